"""Drawing a chart as SVG: our writer against matplotlib drawing the same values.

A month of hours as a line with its band, and a heatmap of 60 VMs by 14 days of hours.
"""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.charts.frame import Heading
from analytics_assets.charts.heatmap import Grid, heatmap
from analytics_assets.charts.time_series import Series, Span, line_chart
from benchmarks.report import Outcome, side_by_side

HOUR_MS = 3_600_000


def run(quick: bool) -> list[Outcome]:
    """Return milliseconds for each chart."""
    random = np.random.default_rng(1)
    hours = np.arange(720)
    mean = 40 + 20 * np.sin(hours / 24 * 2 * np.pi) + random.normal(0, 2, 720)
    ts_ms = hours.astype(np.int64) * HOUR_MS
    series = Series("vm-1", ts_ms, mean, mean + 5)
    span = Span(0, 720 * HOUR_MS, HOUR_MS)
    cells = random.gamma(2, 15, (60, 336)).clip(0, 100)
    grid = Grid([f"vm-{number:02}" for number in range(60)], cells, 0, HOUR_MS)
    repeats = 3 if quick else 9
    line = side_by_side(
        lambda: line_chart(Heading("CPU use"), [series], "percent", span), lambda: _line(hours, mean), repeats
    )
    heat = side_by_side(lambda: heatmap(Heading("CPU use"), grid, "percent"), lambda: _heat(cells), repeats)
    return [
        Outcome("line and band, 720 points", 1000 * line[0], "ms", 1000 * line[1], "matplotlib SVG", "<= 0.1"),
        Outcome("heatmap 60 x 336", 1000 * heat[0], "ms", 1000 * heat[1], "matplotlib SVG", "<= 0.1"),
    ]


def _line(hours: NDArray[np.int64], mean: NDArray[np.float64]) -> bytes:
    figure, axes = _figure()
    axes.fill_between(hours, mean, mean + 5, alpha=0.3)
    axes.plot(hours, mean)
    return _svg(figure)


def _heat(cells: NDArray[np.float64]) -> bytes:
    figure, axes = _figure()
    figure.colorbar(axes.imshow(cells, aspect="auto"))
    return _svg(figure)


def _figure() -> tuple[Any, Any]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4))
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def _svg(figure: Any) -> bytes:
    sink = io.BytesIO()
    figure.savefig(sink, format="svg")
    return sink.getvalue()
