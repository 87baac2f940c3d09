import math
from itertools import combinations, pairwise

import pytest

from analytics_assets.charts.palette import DASHES, LINES, _curve, hexadecimal, ramp


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("count", [2, 5, 12, 15])
def test_the_ramp_darkens_step_by_step(count: int) -> None:
    """In grey print the order of the values must survive."""
    tones = [luminance(hexadecimal(colour)) for colour in ramp(count)]
    assert tones == sorted(tones, reverse=True)
    assert tones[0] > 0.85
    assert tones[-1] < 0.04


def test_neighbours_of_the_ramp_are_equally_far_apart() -> None:
    """Unequal steps would show edges that the data do not have."""

    def oklab(colour: tuple[int, int, int]) -> tuple[float, float, float]:
        red, green, blue = ((c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4) for c in colour)
        long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
        medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
        short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
        return (
            0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
            1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
            0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
        )

    points = [oklab(colour) for colour in ramp(15)]
    steps = [math.dist(a, b) for a, b in pairwise(points)]
    assert max(steps) / min(steps) < 1.15
    assert points[0] == pytest.approx(_curve(0), abs=0.01)


def test_lines_stand_out_from_paper_and_from_each_other_in_grey() -> None:
    """WCAG 2.2 asks 3:1 of graphics; the paler lines of the palette are dashed as well."""
    for colour, dash in zip(LINES, DASHES, strict=True):
        contrast = 1.05 / (luminance(colour) + 0.05)
        assert contrast >= 3 or (dash and contrast >= 2), colour
    styles = list(zip(LINES, DASHES, strict=True))
    for (one, dash), (other, other_dash) in combinations(styles, 2):
        assert dash != other_dash or abs(luminance(one) - luminance(other)) > 0.07, (one, other)
