"""A small SVG writer: rectangles, lines, paths, circles, text and one embedded picture; nothing else.

Callers use pixels. In the text every coordinate is a whole number of tenths of a pixel, which keeps
it short and the same on every machine. No styles, no scripts, no links, no outside references. All
text goes through `escape`: ids and names come from outside and must stay text.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from xml.sax.saxutils import escape as escape_markup

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analytics_assets.charts.font import FAMILY

TENTHS = 10

UNSAFE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u200a\u2010-\u2027\u2030-\u205f\u2070-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd"
    "\U00010000-\U0001fffd\U00020000-\U0003fffd]"
)
"""What XML forbids (control characters, lone surrogates), private use, and marks that hide or turn text around."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def escape(text: str) -> str:
    """Return `text` for use between tags or in a quoted attribute, with forbidden characters replaced."""
    return escape_markup(UNSAFE.sub(REPLACEMENT, text), {'"': "&quot;", "'": "&#39;"})


class Svg:
    """One drawing of a fixed width in pixels, whose height is settled when it is written.

    `title` and `description` are what a screen reader says of it.
    """

    def __init__(self, width: float, title: str, description: str) -> None:
        self.width = width
        self._title = title
        self._description = description
        self._parts: list[str] = []

    def rect(self, x: float, y: float, width: float, height: float, fill: str, stroke: str = "") -> None:
        outline = f' stroke="{stroke}" stroke-width="8"' if stroke else ""
        left, top = _tenths(x), _tenths(y)
        self._parts.append(
            f'<rect x="{left}" y="{top}" width="{_tenths(x + width) - left}" height="{_tenths(y + height) - top}" '
            f'fill="{fill}"{outline}/>'
        )

    def lines(
        self, ends: Iterable[tuple[float, float, float, float]], stroke: str, width: float = 1, dash: str = ""
    ) -> None:
        """Draw separate straight lines, each from (x1, y1) to (x2, y2), in one style."""
        data = "".join(f"M{_tenths(a)} {_tenths(b)}L{_tenths(c)} {_tenths(d)}" for a, b, c, d in ends)
        if data:
            self._parts.append(f'<path d="{data}" fill="none"{_pen(stroke, width, dash)}/>')

    def polyline(self, x: ArrayLike, y: ArrayLike, stroke: str, width: float = 1.4, dash: str = "") -> None:
        """Draw one unbroken line through two points or more."""
        self._parts.append(f'<path d="{_path(x, y)}" fill="none" stroke-linejoin="round"{_pen(stroke, width, dash)}/>')

    def polygon(self, x: ArrayLike, y: ArrayLike, fill: str, opacity: float = 1) -> None:
        """Fill the area that the points enclose."""
        thin = f' fill-opacity="{opacity:.2f}"' if opacity < 1 else ""
        self._parts.append(f'<path d="{_path(x, y)}Z" fill="{fill}"{thin}/>')

    def circle(self, x: float, y: float, radius: float, fill: str) -> None:
        self._parts.append(f'<circle cx="{_tenths(x)}" cy="{_tenths(y)}" r="{_tenths(radius)}" fill="{fill}"/>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 10.5,
        fill: str = "#222222",
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """Write `text` on the baseline `y`; `anchor` is start, middle or end."""
        self.texts([(x, y, text)], size, fill, anchor, bold)

    def texts(
        self,
        items: Iterable[tuple[float, float, str]],
        size: float = 10.5,
        fill: str = "#222222",
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """Write several texts (x, baseline y, text) in one style."""
        written = "".join(f'<text x="{_tenths(x)}" y="{_tenths(y)}">{escape(text)}</text>' for x, y, text in items)
        if written:
            placed = f' text-anchor="{anchor}"' if anchor != "start" else ""
            weight = ' font-weight="bold"' if bold else ""
            self._parts.append(f'<g font-size="{_tenths(size)}" fill="{fill}"{placed}{weight}>{written}</g>')

    def image(self, x: float, y: float, width: float, height: float, png: bytes) -> None:
        """Place a PNG picture, its pixels kept sharp."""
        data = base64.b64encode(png).decode("ascii")
        self._parts.append(
            f'<image x="{_tenths(x)}" y="{_tenths(y)}" width="{_tenths(width)}" height="{_tenths(height)}" '
            f'preserveAspectRatio="none" style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
        )

    def to_text(self, height: float) -> str:
        """Return the drawing as SVG text; it may stand in a file or within an HTML page."""
        body = "".join(self._parts)
        # Several drawings may share a page: the ids that name title and description differ with the content.
        key = (
            "c"
            + hashlib.sha256(f"{self._title}\n{self._description}\n{body}".encode("utf-8", "replace")).hexdigest()[:12]
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {_tenths(self.width)} {_tenths(round(height))}" role="img" '
            f'aria-labelledby="{key}t {key}d" font-family="{escape(FAMILY)}">'
            f'<title id="{key}t">{escape(self._title)}</title><desc id="{key}d">{escape(self._description)}</desc>'
            f'<rect x="0" y="0" width="{_tenths(self.width)}" height="{_tenths(round(height))}" fill="#ffffff"/>'
            f"{body}</svg>"
        )


def _tenths(value: float) -> int:
    return round(value * TENTHS)


def _pen(stroke: str, width: float, dash: str) -> str:
    dashes = " ".join(str(_tenths(float(part))) for part in dash.split())
    return f' stroke="{stroke}" stroke-width="{_tenths(width)}"' + (f' stroke-dasharray="{dashes}"' if dashes else "")


def _path(x: ArrayLike, y: ArrayLike) -> str:
    """Return a path through the points: an absolute start, then steps, which are short to write and do not drift."""
    points: NDArray[np.int64] = np.rint(np.stack([np.asarray(x, float), np.asarray(y, float)], 1) * TENTHS).astype(
        np.int64
    )
    steps = np.diff(points, axis=0)
    start = f"M{points[0, 0]} {points[0, 1]}"
    return f"{start}l{' '.join(map(str, steps.ravel().tolist()))}".replace(" -", "-") if len(steps) else start
