"""A heatmap: a row for each entity, a column for each hour, one colour for each step of the value.

The colours are steps, not a blend: every boundary of the colour bar is a round number, so a cell
can be read. Missing cells show a hatched ground. The cells are one small embedded picture; names,
axes and colour bar are vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.charts.font import shorten_all, text_width
from analytics_assets.charts.frame import LABEL_SIZE, MARGIN, WIDTH, Heading, open_chart
from analytics_assets.charts.palette import AXIS, HATCH, PAPER, QUIET_TEXT, TEXT, hexadecimal, ramp
from analytics_assets.charts.png import indexed_png
from analytics_assets.charts.scale import Axis, format_value, time_axis, value_axis
from analytics_assets.charts.svg import Svg
from resources.errors import InvalidInput
from resources.partition import DAY_MS

MOST_COLOURS = 15
"""More steps are hard to tell apart, and make the picture larger."""

MOST_ROWS = 200

MOST_PEAKS = 40
"""Up to this many rows, the highest value of each stands at its end."""

NAME_ROOM, PEAK_ROOM = 170.0, 70.0

BAR_WIDTH, BAR_HEIGHT = 240.0, 10.0


@dataclass(frozen=True)
class Grid:
    """Values by row and column: `values[i, j]` belongs to `names[i]` and `start_ms + j * step_ms`; NaN missing."""

    names: Sequence[str]
    values: NDArray[np.float64]
    start_ms: int
    step_ms: int

    @property
    def end_ms(self) -> int:
        return self.start_ms + int(self.values.shape[1]) * self.step_ms


def heatmap(heading: Heading, grid: Grid, unit: str, row_word: str = "") -> str:
    """Return the grid as SVG, its rows in the order given, with each row's highest value at its end (up to 40 rows).

    `row_word` says what a row is ("VM"), above the names.

    Raises:
        InvalidInput: no cell, more than 200 rows, or names and rows differ in number.
    """
    height_cells, width_cells = grid.values.shape
    if not grid.values.size or height_cells > MOST_ROWS or len(grid.names) != height_cells:
        raise InvalidInput(
            f"a heatmap of {len(grid.names)} names and {height_cells} x {width_cells} cells cannot be drawn. "
            f"Give 1 to {MOST_ROWS} rows with a name each, and at least one column."
        )
    svg, y = open_chart(heading)
    finite = grid.values[np.isfinite(grid.values)]
    axis = value_axis([float(finite.min()), float(finite.max())] if len(finite) else [], unit)
    colours = colour_steps(axis)
    missing = bool(len(finite) < grid.values.size)
    y = _draw_colour_bar(svg, y, axis, colours, missing)
    names = shorten_all(grid.names, NAME_ROOM, LABEL_SIZE)
    size = LABEL_SIZE if height_cells <= 24 else 9.5
    row_height = 16.0 if height_cells <= 24 else 12.5
    left = MARGIN + max(text_width(name, size) for name in [*names, row_word]) + 8
    peaks = height_cells <= MOST_PEAKS
    width = WIDTH - left - MARGIN - (PEAK_ROOM if peaks else 0)
    height = row_height * height_cells
    top = y + 16
    svg.texts([(left - 6, top - 5, row_word)] if row_word else [], size, QUIET_TEXT, "end")
    if missing:
        _draw_hatch(svg, left, top, width, height)
    if len(finite):
        svg.image(left, top, width, height, _picture(grid.values, axis, colours))
    _draw_times(svg, grid, left, top, width, height)
    middles = [top + (index + 0.5) * row_height + size * 0.34 for index in range(height_cells)]
    svg.texts(((left - 6, at, name) for at, name in zip(middles, names, strict=True)), size, TEXT, "end")
    if peaks:
        ends = [(left + width + 6, at, _highest(row, unit)) for at, row in zip(middles, grid.values, strict=True)]
        svg.texts([(left + width + 6, top - 5, "highest"), *ends], size, QUIET_TEXT)
    return svg.to_text(top + height + 26)


def colour_steps(axis: Axis) -> int:
    """Return how many colours an axis gets: the most that divide each tick interval alike, at most 15."""
    intervals: int = len(axis.ticks) - 1
    return intervals * max(1, MOST_COLOURS // intervals)


def classify(values: NDArray[np.float64], axis: Axis, colours: int) -> NDArray[np.uint8]:
    """Return the colour of each value: 1 to `colours` from low to high, 0 where it is missing."""
    there = np.isfinite(values)
    part = (np.where(there, values, axis.low) - axis.low) / (axis.high - axis.low)
    step = np.clip(np.floor(part * colours + 1e-9), 0, colours - 1) + 1
    return np.where(there, step, 0).astype(np.uint8)


def _picture(values: NDArray[np.float64], axis: Axis, colours: int) -> bytes:
    return indexed_png(classify(values, axis, colours), [(255, 255, 255), *ramp(colours)], transparent=0)


def _draw_colour_bar(svg: Svg, y: float, axis: Axis, colours: int, missing: bool) -> float:
    left, cell = MARGIN + 4, BAR_WIDTH / colours
    for index, colour in enumerate(ramp(colours)):
        svg.rect(left + index * cell, y, cell, BAR_HEIGHT, hexadecimal(colour))
    places = [left + BAR_WIDTH * (tick.at - axis.low) / (axis.high - axis.low) for tick in axis.ticks]
    svg.lines([(x, y + BAR_HEIGHT, x, y + BAR_HEIGHT + 4) for x in places], AXIS, 0.8)
    # Long labels would touch: then every other one is written, from the highest down.
    labels = list(zip(places, axis.labels, strict=True))
    widest = max(text_width(label, LABEL_SIZE) for label in axis.labels)
    if widest + 8 > places[1] - places[0]:
        labels = labels[::-2]
    baseline = y + BAR_HEIGHT + 14
    svg.texts(((x, baseline, label) for x, label in labels), LABEL_SIZE, QUIET_TEXT, "middle")
    if missing:
        x = left + BAR_WIDTH + 50
        _draw_hatch(svg, x, y, 22, BAR_HEIGHT)
        svg.text(x + 28, y + BAR_HEIGHT - 1.2, "No samples", LABEL_SIZE, TEXT)
    return baseline + 4


def _draw_hatch(svg: Svg, left: float, top: float, width: float, height: float) -> None:
    """Draw a white field with slanted grey lines, cut at its borders."""
    svg.rect(left, top, width, height, PAPER, HATCH)
    slants = []
    offset = 5.0
    while offset < width + height:
        start, end = max(0.0, offset - height), min(width, offset)
        slants.append((left + start, top + offset - start, left + end, top + offset - end))
        offset += 5.0
    svg.lines(slants, HATCH, 0.8)


def _draw_times(svg: Svg, grid: Grid, left: float, top: float, width: float, height: float) -> None:
    axis = time_axis(grid.start_ms, grid.end_ms, int(width // 48))
    scale = width / (grid.end_ms - grid.start_ms)
    midnights = range(-(-(grid.start_ms + 1) // DAY_MS) * DAY_MS, grid.end_ms, DAY_MS)
    days = [left + (at - grid.start_ms) * scale for at in midnights]
    if len(days) <= 62:
        svg.lines(((x, top, x, top + height) for x in days), PAPER, 0.8)
    places = [left + (tick.at - grid.start_ms) * scale for tick in axis.ticks]
    svg.lines(((x, top + height, x, top + height + 4) for x in places), AXIS, 0.8)
    svg.texts(
        ((x, top + height + 15.5, label) for x, label in zip(places, axis.labels, strict=True)),
        LABEL_SIZE, QUIET_TEXT, "middle",
    )  # fmt: skip


def _highest(row: NDArray[np.float64], unit: str) -> str:
    there = row[np.isfinite(row)]
    return format_value(float(there.max()), unit) if len(there) else "-"
