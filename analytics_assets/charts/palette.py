"""Colours that stay apart for colour-blind readers, in print and in grey.

Lines use the palette of M. Okabe and K. Ito, "Color Universal Design" (2008,
https://jfly.uni-koeln.de/color/), recommended by B. Wong, "Points of view: Color blindness",
Nature Methods 8, 441 (2011); its yellow, too pale for a thin line on white, is left out. Heatmaps
use a ramp from light to dark that is computed in OKLab (B. Ottosson, 2020,
https://bottosson.github.io/posts/oklab/) so that equal steps of the value look like equal steps.
"""

import math
from functools import lru_cache
from itertools import pairwise

BLUE, VERMILLION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
ORANGE, SKY, BLACK, GREY = "#e69f00", "#56b4e9", "#000000", "#767676"

LINES = (BLUE, VERMILLION, GREEN, BLACK, PURPLE, ORANGE, SKY, GREY)

DASHES = ("", "8 2", "12 2 3 2", "", "5 2 1 2", "4 3", "16 4", "2 2")
"""Paired with LINES: what looks alike in grey differs in its dashes."""

TEXT, QUIET_TEXT, AXIS, GRID, PAPER = "#222222", "#595959", "#8a8a8a", "#e4e4e4", "#ffffff"

BAND = "#bcdcf0"
"""The light tint of BLUE under a mean line."""

HATCH = "#b0b0b0"

Rgb = tuple[int, int, int]


@lru_cache(maxsize=16)
def ramp(count: int) -> tuple[Rgb, ...]:
    """Return `count` colours from pale yellow (low) over teal to deep blue (high).

    Lightness falls all the way, so the order survives in grey; neighbours are equally far apart
    in OKLab.
    """
    fine = [_curve(index / 512) for index in range(513)]
    along = [0.0]
    for before, after in pairwise(fine):
        along.append(along[-1] + math.dist(before, after))
    colours = []
    at = 0
    for index in range(count):
        wanted = along[-1] * (index / (count - 1) if count > 1 else 1.0)
        while at < len(along) - 1 and along[at] < wanted - 1e-12:
            at += 1
        colours.append(_srgb(*fine[at]))
    return tuple(colours)


def hexadecimal(colour: Rgb) -> str:
    """Return a colour as SVG writes it, such as `#0072b2`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _curve(part: float) -> tuple[float, float, float]:
    """Return the OKLab point at `part` (0 to 1) of the ramp."""
    lightness = 0.96 - 0.68 * part
    chroma = 0.045 + 0.03 * math.sin(math.pi * part) + 0.012 * part + 0.04 * part**6
    hue = math.radians(105 + 165 * part)
    return lightness, chroma * math.cos(hue), chroma * math.sin(hue)


def _srgb(lightness: float, a: float, b: float) -> Rgb:
    """Return an OKLab colour as 8-bit sRGB (the matrices of the OKLab article)."""
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    return tuple(_gamma(channel) for channel in linear)  # type: ignore[return-value]  # three channels in, three out


def _gamma(channel: float) -> int:
    channel = min(1.0, max(0.0, channel))
    encoded = 12.92 * channel if channel <= 0.0031308 else 1.055 * channel ** (1 / 2.4) - 0.055
    return round(encoded * 255)
