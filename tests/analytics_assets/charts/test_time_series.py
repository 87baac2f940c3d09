import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.charts.font import text_width
from analytics_assets.charts.frame import LABEL_SIZE, WIDTH, Heading
from analytics_assets.charts.read_svg import Drawing, Shape, read_svg, subpaths
from analytics_assets.charts.time_series import Series, Span, line_chart, panel_chart, runs, spread
from analytics_assets.charts.trend_line import Trend, place_trend
from resources.errors import InvalidInput
from resources.partition import DAY_MS

START, HOUR = 1_772_323_200_000, 3_600_000
SPAN = Span(START, START + 2 * DAY_MS, HOUR)
HEADING = Heading("A title", "A subtitle", "A description")
NAN = float("nan")


def series(name: str = "vm", values: np.ndarray | None = None, **more: object) -> Series:
    mean = np.linspace(10, 60, 48) if values is None else values
    return Series(name, START + HOUR * np.arange(len(mean)), mean, mean * 1.3, **more)  # type: ignore[arg-type]


def strokes(drawing: Drawing) -> list[Shape]:
    """Return the data lines: the only strokes with round joins."""
    return [shape for shape in drawing.shapes if shape.attributes.get("stroke-linejoin") == "round"]


def texts(svg: str) -> list[str]:
    return [shape.text for shape in read_svg(svg).shapes if shape.tag == "text"]


def test_gaps_are_gaps_in_line_and_band() -> None:
    values = np.full(48, 20.0)
    values[[10, 11, 30, 32]] = NAN
    drawing = read_svg(line_chart(HEADING, [series(values=values)], "percent", SPAN))
    assert len(strokes(drawing)) == 3
    assert [shape.tag for shape in drawing.shapes].count("circle") == 1  # the lone point between two gaps
    bands = [shape for shape in drawing.shapes if shape.attributes.get("fill") == "#bcdcf0" and "d" in shape.attributes]
    assert len(bands) == 1 + 3  # the legend's, and one for each stretch


def test_rows_that_are_not_there_are_gaps_too() -> None:
    """A table without a row for the missing hour has no NaN to see."""
    ts = START + HOUR * np.array([0, 1, 2, 5, 6])
    parts = list(runs(np.ones(5, bool), ts, HOUR))
    assert parts == [slice(0, 3), slice(3, 5)]


def test_a_missing_value_is_a_gap_even_in_samples_closer_than_the_step() -> None:
    """Else the stretch would hold a NaN, which has no place in a path."""
    parts = list(runs(np.array([True, False, True]), START + HOUR // 2 * np.arange(3), HOUR))
    assert parts == [slice(0, 1), slice(2, 3)]


def test_a_chart_of_nothing_says_so() -> None:
    svg = line_chart(HEADING, [series(values=np.full(48, NAN))], "percent", SPAN)
    assert "no samples" in texts(svg)
    assert not strokes(read_svg(svg))


def test_points_are_where_the_axes_say() -> None:
    """A chart with shifted axes looks as right as a correct one."""
    values = np.full(48, 50.0)
    drawing = read_svg(line_chart(HEADING, [Series("vm", START + HOUR * np.arange(48), values)], "percent", SPAN))
    ((points, _),) = subpaths(strokes(drawing)[0].attributes["d"])
    label_y = {shape.text: shape.number("y") for shape in drawing.shapes if shape.tag == "text"}
    label_x = {shape.text: shape.number("x") for shape in drawing.shapes if shape.tag == "text"}
    # Labels sit 3.6 pixels below their line; a bucket's point is in its middle.
    assert points[0][1] == pytest.approx(label_y["50 %"] - 36, abs=1)
    day = label_x["2 Mar"] - label_x["1 Mar"]
    assert points[0][0] == pytest.approx(label_x["1 Mar"] + day / 48, abs=1)
    assert points[24][0] == pytest.approx(label_x["2 Mar"] + day / 48, abs=1)


@pytest.mark.parametrize("slope", [0.0, 25.0, -25.0, 400.0, -1e6])
def test_trend_and_interval_stay_inside_the_plot(slope: float) -> None:
    """A steep trend drawn over title and neighbours would hide them."""
    each = replace(series(), trend=Trend(slope, slope - 30, slope + 30), peak=None)
    drawing = read_svg(panel_chart(HEADING, [each, each], "percent", SPAN))
    ys = [y for shape in strokes(drawing) for points, _ in subpaths(shape.attributes["d"]) for _, y in points]
    fans = [shape for shape in drawing.shapes if "fill-opacity" in shape.attributes]
    fan_ys = [y for shape in fans[1:] for points, _ in subpaths(shape.attributes["d"]) for _, y in points]
    ticks = [shape.number("y") - 36 for shape in drawing.shapes if shape.text.endswith(" %") or shape.text == "0"]
    assert len(fans) == 3
    assert min(ticks) - 1 <= min([*ys, *fan_ys])
    assert max([*ys, *fan_ys]) <= max(ticks) + 1


def test_the_trend_goes_through_the_data() -> None:
    ts = START + HOUR * np.arange(14 * 24)
    days = (ts - START) / DAY_MS
    values = 30 + 2.0 * days + 10 * np.sin(2 * np.pi * days)
    values[40:60] = NAN
    line = place_trend(Trend(2.0, 1.9, 2.1), ts, values)
    assert line is not None
    assert line.level == pytest.approx(30 + 2.0 * (line.pivot_ms - START) / DAY_MS, abs=0.2)
    assert place_trend(Trend(2.0, 1.9, 2.1), ts[:1], values[:1]) is None


def test_a_trend_is_laid_through_what_came_after_the_step_that_it_leaves_out():
    """Stops a line that runs between the old level and the new one, and touches neither."""
    ts = HOUR * np.arange(24 * 20)
    values = 2.0 * ts / (24 * HOUR) + np.where(ts >= 10 * 24 * HOUR, 50.0, 0.0)
    line = place_trend(Trend(2.0, 1.9, 2.1, from_ms=10 * 24 * HOUR), ts, values)
    assert (line.first_ms, line.last_ms) == (ts[240], ts[-1])
    assert np.allclose(line.at(ts[240:], 2.0), values[240:])


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_no_text_leaves_the_drawing_or_touches_another(count: int) -> None:
    names = [f"a-rather-long-name-of-a-machine-in-rack-{n}-position-{n * 7}" for n in range(count)]
    rows = [series(name, np.full(48, 50.0 + n / 10), note="+120 MiB a day") for n, name in enumerate(names)]
    for svg in (line_chart(HEADING, rows, "bytes", SPAN), panel_chart(HEADING, rows, "bytes", SPAN)):
        drawing = read_svg(svg)
        boxes = [_box(shape) for shape in drawing.shapes if shape.tag == "text"]
        for left, top, right, bottom in boxes:
            assert left >= 0
            assert right <= WIDTH * 10
            assert top >= 0
            assert bottom <= drawing.height * 10
        for index, one in enumerate(boxes):
            for other in boxes[index + 1 :]:
                apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
                assert apart, (one, other)


def _box(shape: Shape) -> tuple[float, float, float, float]:
    size = shape.number("font-size")
    width = text_width(shape.text, size, shape.attributes.get("font-weight") == "bold")
    share = {"start": 0.0, "middle": 0.5, "end": 1.0}[shape.attributes.get("text-anchor", "start")]
    left = shape.number("x") - share * width
    return left, shape.number("y") - 0.72 * size, left + width, shape.number("y") + 0.2 * size


def test_a_capacity_is_drawn_where_it_does_not_flatten_the_data() -> None:
    near = panel_chart(HEADING, [replace(series(), capacity=100.0)], "percent", SPAN)
    far = panel_chart(HEADING, [replace(series(), capacity=10_000.0)], "percent", SPAN)
    assert "Capacity" in texts(near)
    assert "Capacity" not in texts(far)
    assert "80 %" in texts(far)


def test_lines_with_different_capacities_get_no_common_one() -> None:
    """The capacity of one node is not that of its neighbours."""
    same = [replace(series(name), capacity=100.0) for name in "ab"]
    mixed = [replace(series("a"), capacity=100.0), replace(series("b"), capacity=90.0)]
    assert "Capacity 100 %" in texts(line_chart(HEADING, same, "percent", SPAN))
    assert not re.search("Capacity", line_chart(HEADING, mixed, "percent", SPAN))


def test_own_scales_show_what_one_scale_would_flatten() -> None:
    small, large = series("small", np.linspace(10, 11, 48)), series("large", np.linspace(900, 990, 48))
    assert "12.0" not in texts(panel_chart(HEADING, [small, large], "", SPAN))
    assert "12.0" not in texts(panel_chart(HEADING, [small, large], "", SPAN, same_scale=True))
    own = texts(panel_chart(HEADING, [small, large], "", SPAN, same_scale=False))
    assert "10" in own
    assert "1,200" in own


@given(st.lists(st.floats(0, 300), min_size=1, max_size=8).map(sorted))
def test_labels_are_moved_apart_and_stay_in_order(places: list[float]) -> None:
    moved = spread(places, 13, 0, 300)
    assert all(after - before >= 13 - 1e-9 for before, after in pairwise(moved))
    assert moved[0] >= -1e-9
    assert moved[-1] <= 300 + 1e-9


@pytest.mark.parametrize("count", [0, 9])
def test_too_few_or_too_many_lines_are_refused(count: int) -> None:
    with pytest.raises(InvalidInput, match=f"{count} series"):
        line_chart(HEADING, [series()] * count, "percent", SPAN)


def test_the_same_data_give_the_same_text() -> None:
    rows = [replace(series(str(n)), trend=Trend(1, 0, 2), capacity=80.0) for n in range(6)]
    assert panel_chart(HEADING, rows, "percent", SPAN) == panel_chart(HEADING, rows, "percent", SPAN)
    assert LABEL_SIZE > 10  # smaller print cannot be read on paper
