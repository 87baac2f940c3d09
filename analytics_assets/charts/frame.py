"""What every chart has around its data: heading, legend, axes with ticks and units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.charts.font import text_width, wrap
from analytics_assets.charts.palette import AXIS, GRID, QUIET_TEXT, TEXT
from analytics_assets.charts.scale import Axis
from analytics_assets.charts.svg import Svg

WIDTH = 760.0
MARGIN = 14.0

TITLE_SIZE, SUBTITLE_SIZE, LABEL_SIZE = 15.0, 11.0, 10.5


@dataclass(frozen=True)
class Heading:
    """What a chart says of itself: `title` and `subtitle` are drawn, `description` is its text alternative."""

    title: str
    subtitle: str = ""
    description: str = ""


@dataclass(frozen=True)
class Key:
    """One entry of a legend: a stroke, a filled box, or both, and what they mean."""

    label: str
    stroke: str = ""
    dash: str = ""
    width: float = 1.6
    fill: str = ""
    opacity: float = 1


@dataclass(frozen=True)
class Box:
    """A rectangle of the drawing in which `time` (ms) runs right and `value` runs up."""

    left: float
    top: float
    width: float
    height: float
    time: Axis
    value: Axis

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def x(self, at_ms: Any) -> NDArray[np.float64]:
        part = (np.asarray(at_ms, dtype=np.float64) - self.time.low) / (self.time.high - self.time.low)
        return self.left + part * self.width

    def y(self, value: Any) -> NDArray[np.float64]:
        part = (np.asarray(value, dtype=np.float64) - self.value.low) / (self.value.high - self.value.low)
        return self.bottom - part * self.height


def open_chart(heading: Heading) -> tuple[Svg, float]:
    """Return a drawing with the heading written on it, and the y below the heading."""
    svg = Svg(WIDTH, heading.title, heading.description or heading.title)
    y = 10.0
    room = WIDTH - 2 * MARGIN
    for line in wrap(heading.title, room, TITLE_SIZE, bold=True):
        y += 18
        svg.text(MARGIN, y, line, TITLE_SIZE, TEXT, bold=True)
    for line in wrap(heading.subtitle, room, SUBTITLE_SIZE, lines=3):
        y += 15
        svg.text(MARGIN, y, line, SUBTITLE_SIZE, QUIET_TEXT)
    return svg, y + 8


def draw_legend(svg: Svg, y: float, keys: Sequence[Key]) -> float:
    """Draw a legend from the left margin, in as many rows as it takes; return the y below it."""
    if not keys:
        return y
    x = MARGIN
    for key in keys:
        needed = 24 + text_width(key.label, LABEL_SIZE)
        if x > MARGIN and x + needed > WIDTH - MARGIN:
            x, y = MARGIN, y + 16
        if key.fill:
            _swatch(svg, x, y + 2, key)
        if key.stroke:
            svg.lines([(x, y + 7, x + 18, y + 7)], key.stroke, key.width, key.dash)
        svg.text(x + 24, y + 10.8, key.label, LABEL_SIZE, TEXT)
        x += needed + 18
    return y + 20


def draw_axes(svg: Svg, box: Box, times: bool = True) -> None:
    """Draw grid lines and labels of the values, and the time axis below, with its labels if `times`."""
    heights = box.y([tick.at for tick in box.value.ticks]).tolist()
    base = box.bottom
    svg.lines(((box.left, y, box.right, y) for y in heights if y < base - 0.5), GRID, 0.8)
    svg.texts(
        ((box.left - 6, y + 3.6, label) for y, label in zip(heights, box.value.labels, strict=True)),
        LABEL_SIZE, QUIET_TEXT, "end",
    )  # fmt: skip
    places = box.x([tick.at for tick in box.time.ticks]).tolist()
    svg.lines([(box.left, base, box.right, base), *((x, base, x, base + 4) for x in places)], AXIS, 0.8)
    if times:
        shown = [
            (x, base + 15.5, tick.label)
            for x, tick in zip(places, box.time.ticks, strict=True)
            if x + text_width(tick.label, LABEL_SIZE) / 2 <= WIDTH - 4
        ]
        svg.texts(shown, LABEL_SIZE, QUIET_TEXT, "middle")


def label_room(axis: Axis) -> float:
    """Return the width that the tick labels of a value axis need left of the box."""
    return max((text_width(label, LABEL_SIZE) for label in axis.labels), default=0) + 8


def _swatch(svg: Svg, x: float, y: float, key: Key) -> None:
    left, right, top, bottom = x, x + 18, y, y + 10
    svg.polygon([left, right, right, left], [top, top, bottom, bottom], key.fill, key.opacity)
