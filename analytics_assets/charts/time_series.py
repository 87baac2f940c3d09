"""Charts of values over time: one overlay of up to eight lines, or a panel for each series.

A series is drawn as the line of its means over a light band up to its maxima; where samples are
missing there is a gap, never a line. Panels share one scale unless told otherwise, so that they
can be compared; they need no colour to be told apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.charts.font import shorten, shorten_all, text_width
from analytics_assets.charts.frame import (
    LABEL_SIZE,
    MARGIN,
    WIDTH,
    Box,
    Heading,
    Key,
    draw_axes,
    draw_legend,
    label_room,
    open_chart,
)
from analytics_assets.charts.palette import AXIS, BAND, BLACK, BLUE, DASHES, GREY, LINES, QUIET_TEXT, TEXT, VERMILLION
from analytics_assets.charts.scale import Axis, format_value, time_axis, value_axis
from analytics_assets.charts.svg import Svg
from analytics_assets.charts.trend_line import FAN_OPACITY, Trend, draw_trend, place_trend
from resources.errors import InvalidInput

MOST_LINES = len(LINES)
MOST_PANELS = 24

CAPACITY_DASH = "2 2"


@dataclass(frozen=True)
class Series:
    """Values of one thing: `ts_ms` are ascending bucket starts, `mean` (and `peak`) one value each, NaN missing.

    `capacity` is a level to compare with, in the same unit; `note` is a short remark beside the name.
    `partial` marks values that stand for a part of what they should, which get a strip on the axis.
    """

    name: str
    ts_ms: NDArray[np.int64]
    mean: NDArray[np.float64]
    peak: NDArray[np.float64] | None = None
    trend: Trend | None = None
    capacity: float | None = None
    note: str = ""
    partial: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Span:
    """The time a chart covers, `[start_ms, end_ms)`, in buckets of `step_ms`."""

    start_ms: int
    end_ms: int
    step_ms: int


@dataclass(frozen=True)
class Words:
    """What the legend calls the parts of a series; an empty word leaves its entry out."""

    mean: str = "Mean"
    band: str = "Up to the maximum"
    trend: str = "Trend, 95 % interval of its slope"
    capacity: str = "Capacity"
    partial: str = "Incomplete"


def line_chart(
    heading: Heading, series: Sequence[Series], unit: str, span: Span, words: Words | None = None, height: float = 230
) -> str:
    """Return an overlay of one to eight series as SVG, each labelled at its end; a single one shows its band.

    `height` is that of the plot in pixels.

    Raises:
        InvalidInput: no series, or more than eight.
    """
    if not 1 <= len(series) <= MOST_LINES:
        raise InvalidInput(
            f"{len(series)} series cannot be told apart in one chart. Give 1 to {MOST_LINES}, or draw panels."
        )
    words = words or Words()
    svg, y = open_chart(heading)
    values = _value_axis(series, unit, True, bands=len(series) == 1)
    # One line can only stand for a capacity that all of them have.
    levels = {each.capacity for each in series}
    capacity = levels.pop() if len(levels) == 1 else None
    if len(series) == 1:
        y = draw_legend(svg, y, _keys(series, words, values, has_gaps(series, span)))
    else:
        keys = [_GAP_KEY] if has_gaps(series, span) else []
        if capacity is not None and _shows(capacity, values):
            label = f"{words.capacity} {format_value(capacity, unit)}"
            keys.insert(0, Key(label, stroke=BLACK, dash=CAPACITY_DASH, width=1))
        y = draw_legend(svg, y, keys)
    names = shorten_all([each.name for each in series], 150, LABEL_SIZE) if len(series) > 1 else []
    right = max(text_width(name, LABEL_SIZE) for name in names) + 38 if names else MARGIN
    left = MARGIN + label_room(values)
    width = WIDTH - left - right
    box = Box(left, y + 6, width, height, time_axis(span.start_ms, span.end_ms, int(width // 52)), values)
    draw_axes(svg, box)
    if len(series) == 1:
        _draw_series(svg, box, series[0], span, BLUE)
    else:
        _draw_capacity(svg, box, capacity)
        for each, colour, dash in zip(series, LINES, DASHES, strict=False):
            _draw_line(svg, box, each, span, colour, dash)
            _draw_trend_of(svg, box, each, span, colour, fan=False)
        _label_ends(svg, box, series, names, span)
    _say_if_empty(svg, box, series)
    return svg.to_text(box.bottom + 26)


def panel_chart(
    heading: Heading,
    series: Sequence[Series],
    unit: str,
    span: Span,
    words: Words | None = None,
    same_scale: bool = True,
) -> str:
    """Return small panels as SVG, two in a row, one for each series: mean, band, trend and capacity.

    With `same_scale` all panels share the value axis, which includes zero. Without it each panel
    has its own, which need not.

    Raises:
        InvalidInput: no series, or more than 24.
    """
    if not 1 <= len(series) <= MOST_PANELS:
        raise InvalidInput(f"{len(series)} panels cannot be drawn. Give 1 to {MOST_PANELS} series.")
    words = words or Words()
    svg, y = open_chart(heading)
    shared = _value_axis(series, unit, True, intervals=4)
    axes = [shared if same_scale else _value_axis([each], unit, False, intervals=4) for each in series]
    y = draw_legend(svg, y, _keys(series, words, axes, has_gaps(series, span)))
    columns = min(2, len(series))
    room = max(label_room(axis) for axis in axes)
    between = 18.0
    width = (WIDTH - 2 * MARGIN - between * (columns - 1)) / columns - room
    times = time_axis(span.start_ms, span.end_ms, max(2, int(width // 52)))
    height, step = (200.0, 0.0) if columns == 1 else (96.0, 132.0)
    names = _panel_names(series, width)
    for index, (each, axis) in enumerate(zip(series, axes, strict=True)):
        row, column = divmod(index, columns)
        left = MARGIN + room + column * (width + room + between)
        box = Box(left, y + 22 + row * step, width, height, times, axis)
        svg.text(box.left, box.top - 8, names[index], LABEL_SIZE, TEXT, bold=True)
        if each.note:
            svg.text(
                box.right, box.top - 8, shorten(each.note, width * 0.55, LABEL_SIZE), LABEL_SIZE, QUIET_TEXT, "end"
            )
        draw_axes(svg, box, times=index + columns >= len(series))
        _draw_series(svg, box, each, span, BLUE)
        _say_if_empty(svg, box, [each])
    rows = -(-len(series) // columns)
    return svg.to_text(y + 22 + (rows - 1) * step + height + 26)


def runs(valid: NDArray[np.bool_], ts_ms: NDArray[np.int64], step_ms: int) -> Iterator[slice]:
    """Yield the stretches of points that are there and follow each other without a missing bucket."""
    places = np.flatnonzero(valid)
    if not len(places):
        return
    breaks = np.flatnonzero((np.diff(places) > 1) | (np.diff(ts_ms[places]) > 1.5 * step_ms)) + 1
    for stretch in np.split(places, breaks):
        yield slice(int(stretch[0]), int(stretch[-1]) + 1)


def has_gaps(series: Sequence[Series], span: Span) -> bool:
    """Say whether any series lacks a bucket between its first and its last value."""
    return any(len(list(runs(np.isfinite(each.mean), each.ts_ms, span.step_ms))) > 1 for each in series)


_GAP_KEY = Key("Gaps: no samples", stroke=QUIET_TEXT, dash="7 4")


def _panel_names(series: Sequence[Series], width: float) -> list[str]:
    noted = max((text_width(shorten(each.note, width * 0.55, LABEL_SIZE), LABEL_SIZE) for each in series), default=0)
    return shorten_all([each.name for each in series], width - noted - 10, LABEL_SIZE, bold=True)


def _value_axis(series: Sequence[Series], unit: str, from_zero: bool, bands: bool = True, intervals: int = 5) -> Axis:
    parts = [each.mean for each in series]
    if bands:
        parts += [each.peak for each in series if each.peak is not None]
    values = np.concatenate([part[np.isfinite(part)] for part in parts])
    limits = [float(values.min()), float(values.max())] if len(values) else []
    if limits:
        # A capacity far above the data would flatten them; then it is told by the note, not drawn.
        reach = (2.5 if from_zero else 1.25) * limits[1]
        near = [each.capacity for each in series if each.capacity is not None and each.capacity <= reach]
        limits += near
        # Away from zero only where the data would otherwise be a thin strip at the top.
        from_zero = from_zero or limits[0] < 0.5 * limits[1]
    return value_axis(limits, unit, intervals, from_zero)


def _shows(capacity: float | None, axis: Axis) -> bool:
    return capacity is not None and axis.low <= capacity <= axis.high


def _keys(series: Sequence[Series], words: Words, axes: Axis | Sequence[Axis], gaps: bool) -> list[Key]:
    scales = [axes] * len(series) if isinstance(axes, Axis) else axes
    keys = []
    if words.mean:
        keys.append(Key(words.mean, stroke=BLUE))
    if words.band and any(each.peak is not None for each in series):
        keys.append(Key(words.band, fill=BAND))
    if words.trend and any(each.trend for each in series):
        keys.append(Key(words.trend, stroke=VERMILLION, dash="6 3", fill=VERMILLION, opacity=FAN_OPACITY))
    if any(_shows(each.capacity, scale) for each, scale in zip(series, scales, strict=True)):
        keys.append(Key(words.capacity, stroke=BLACK, dash=CAPACITY_DASH, width=1))
    if gaps:
        keys.append(_GAP_KEY)
    if any(each.partial is not None and each.partial.any() for each in series):
        keys.append(Key(words.partial, fill=GREY))
    return keys


def _middle(each: Series, span: Span) -> NDArray[np.float64]:
    return each.ts_ms.astype(np.float64) + span.step_ms / 2


def _draw_series(svg: Svg, box: Box, each: Series, span: Span, colour: str) -> None:
    if each.peak is not None:
        x, low, high = box.x(_middle(each, span)), box.y(each.mean), box.y(each.peak)
        for part in runs(np.isfinite(each.mean) & np.isfinite(each.peak), each.ts_ms, span.step_ms):
            if part.stop - part.start > 1:
                svg.polygon(np.r_[x[part], x[part][::-1]], np.r_[high[part], low[part][::-1]], BAND)
            else:
                svg.lines([(x[part.start], low[part.start], x[part.start], high[part.start])], BAND, 2.4)
    _draw_capacity(svg, box, each.capacity)
    if each.partial is not None:
        ends = box.x(each.ts_ms), box.x(each.ts_ms + span.step_ms)
        for part in runs(each.partial, each.ts_ms, span.step_ms):
            left, right = float(ends[0][part.start]), float(ends[1][part.stop - 1])
            svg.rect(left, box.bottom - 3.5, right - left, 3.5, GREY)
    _draw_line(svg, box, each, span, colour, "", 1.2)
    _draw_trend_of(svg, box, each, span, VERMILLION, fan=True)


def _draw_capacity(svg: Svg, box: Box, capacity: float | None) -> None:
    if _shows(capacity, box.value):
        level = float(box.y(capacity))
        svg.lines([(box.left, level, box.right, level)], BLACK, 1, CAPACITY_DASH)


def _draw_line(svg: Svg, box: Box, each: Series, span: Span, colour: str, dash: str, width: float = 1.5) -> None:
    x, y = box.x(_middle(each, span)), box.y(each.mean)
    for part in runs(np.isfinite(each.mean), each.ts_ms, span.step_ms):
        if part.stop - part.start > 1:
            svg.polyline(x[part], y[part], colour, width, dash)
        else:
            svg.circle(float(x[part.start]), float(y[part.start]), 1.7, colour)


def _draw_trend_of(svg: Svg, box: Box, each: Series, span: Span, colour: str, fan: bool) -> None:
    if each.trend is not None:
        line = place_trend(each.trend, _middle(each, span).astype(np.int64), each.mean)
        if line is not None:
            draw_trend(svg, box, line, colour, fan=fan)


def _label_ends(svg: Svg, box: Box, series: Sequence[Series], names: Sequence[str], span: Span) -> None:
    """Write each name beside the last point of its line, moved apart where they would touch."""
    ends = []
    for index, each in enumerate(series):
        there = np.flatnonzero(np.isfinite(each.mean))
        if len(there):
            ends.append((float(box.y(each.mean[there[-1]])), float(box.x(_middle(each, span)[there[-1]])), index))
    apart = spread([end[0] for end in sorted(ends)], 13.0, box.top + 4, box.bottom - 2)
    for (y, x, index), place in zip(sorted(ends), apart, strict=True):
        # Dotted, so that the way to a label is not read as data where a line ends early.
        svg.lines([(x + 2, y, box.right + 4, y), (box.right + 4, y, box.right + 12, place)], LINES[index], 0.8, "1 2")
        svg.lines([(box.right + 12, place, box.right + 26, place)], LINES[index], 1.8, DASHES[index])
        svg.text(box.right + 30, place + 3.6, names[index], LABEL_SIZE, TEXT)


def spread(places: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Return ascending `places` moved so that neighbours are `distance` apart, as near to `[low, high]` as fits."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + distance if moved else low))
    limit = max(high, low + distance * (len(moved) - 1))
    for index in range(len(moved) - 1, -1, -1):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - distance
    return moved


def _say_if_empty(svg: Svg, box: Box, series: Sequence[Series]) -> None:
    if not any(np.isfinite(each.mean).any() for each in series):
        svg.text(box.left + box.width / 2, box.top + box.height / 2 - 5, "no samples", LABEL_SIZE, AXIS, "middle")
