import numpy as np

from analytics_assets.charts.frame import Heading
from analytics_assets.charts.read_svg import read_svg, subpaths
from analytics_assets.charts.svg import Svg
from analytics_assets.charts.thumbnail import MOST_BYTES, thumbnail
from analytics_assets.charts.time_series import Series, Span, panel_chart

START, HOUR = 1_772_323_200_000, 3_600_000


def panels(count: int) -> str:
    rng = np.random.default_rng(2)
    rows = []
    for index in range(count):
        mean = rng.random(336) * 50
        mean[200] = 99.0
        rows.append(Series(f"vm-{index}", START + HOUR * np.arange(336), mean, mean * 1.0))
    return panel_chart(Heading("Title", "", "Words"), rows, "percent", Span(START, START + 336 * HOUR, HOUR))


def test_a_small_chart_is_left_alone() -> None:
    svg = panels(1)
    assert len(svg) < MOST_BYTES
    assert thumbnail(svg) == svg


def test_a_large_chart_loses_points_but_not_its_peak() -> None:
    """Taking every n-th point would drop the very spike that the chart is looked at for."""
    svg = panels(8)
    small = thumbnail(svg)
    assert len(svg) > 2 * MOST_BYTES
    assert len(small.encode()) <= MOST_BYTES
    full, thin = read_svg(svg), read_svg(small)
    assert (thin.title, thin.description) == (full.title, full.description)
    assert len(thin.shapes) == len(full.shapes)
    for one, other in zip(full.shapes, thin.shapes, strict=True):
        if one.attributes.get("stroke-linejoin"):
            tops = [min(y for _, y in subpaths(shape.attributes["d"])[0][0]) for shape in (one, other)]
            assert tops[0] == tops[1]


def test_what_cannot_be_made_small_becomes_its_title() -> None:
    svg = Svg(700, "A <title> & more", "d")
    svg.texts((1, 2, f"word {n}") for n in range(5000))
    small = thumbnail(svg.to_text(100))
    assert len(small.encode()) <= MOST_BYTES
    assert "A <title> & more" in [shape.text for shape in read_svg(small).shapes]
