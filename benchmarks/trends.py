"""Trends of many series of 28 days: ours against a plain batched Theil-Sen slope in numpy.

The peer takes the median of the slopes of all pairs of points, all series of a batch at once, and
nothing else. Ours adds intervals, the test that allows for autocorrelation and, in the last line,
all columns of the table: cycle and weekdays removed, changes of level, next hour, day and week.
Milliseconds per 1,000 series; the hourly peer, which is hundreds of times slower, is timed on fewer series.
"""

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.trend_figures import MetricTrendsParameters, Samples, trend_columns
from analytics_assets.kernels.coverage import SampleCounts
from analytics_assets.kernels.daily import daily_levels
from analytics_assets.kernels.matrix import Grid
from analytics_assets.kernels.seasonal_slope import seasonal_slopes
from analytics_assets.kernels.slope import robust_slopes
from benchmarks.report import Outcome, best, side_by_side

DAYS = 28
PAIRS_AT_ONCE = 4_000_000
PEER = "numpy Theil-Sen"


def run(quick: bool) -> list[Outcome]:
    """Return the times of the daily slopes, the hourly slopes, and all columns of the table."""
    series, peer_series = (700, 8) if quick else (7000, 40)
    hours = _hours(series)
    daily = daily_levels(hours, 12)
    for_1000, peer_for_1000 = 1e6 / series, 1e6 / peer_series

    ours_daily, peer_daily = side_by_side(lambda: robust_slopes(daily), lambda: theil_sen(daily), 3)
    ours_hourly = best(lambda: seasonal_slopes(hours, np.ones(series)), 3)
    peer_hourly = best(lambda: theil_sen(hours[:peer_series].astype(np.float64)), 1 if quick else 2)
    counts = np.full(hours.shape, 12, np.float32)
    samples, grid = Samples("cpu_percent", "percent", hours, SampleCounts(counts, counts)), Grid.ending(0, DAYS)
    whole = best(lambda: trend_columns(samples, grid, MetricTrendsParameters(), 0.7), 3)
    peer_both = peer_daily * for_1000 + peer_hourly * peer_for_1000
    return [
        Outcome("slopes of daily values", ours_daily * for_1000, "ms", peer_daily * for_1000, PEER, "<= 2"),
        Outcome("slopes of hourly values", ours_hourly * for_1000, "ms", peer_hourly * peer_for_1000, PEER, "<= 2"),
        Outcome(
            "all columns", whole * for_1000, "ms", peer_both, f"{PEER}, daily and hourly", "<= 2",
            f"{whole / peer_daily:.0f}x its daily slopes alone",
        ),
    ]  # fmt: skip


def theil_sen(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median slope per step of all pairs of points of each row, a batch of rows at a time."""
    first, second = np.triu_indices(values.shape[1], 1)
    apart = second - first
    slopes = np.empty(len(values))
    at_once = max(1, PAIRS_AT_ONCE // len(apart))
    for start in range(0, len(values), at_once):
        rows = values[start : start + at_once]
        slopes[start : start + at_once] = np.median((rows[:, second] - rows[:, first]) / apart, axis=1)
    return slopes


def _hours(series: int) -> NDArray[np.float32]:
    """Return hours with a daily cycle and noise; some series grow, some change their level."""
    random = np.random.default_rng(1)
    hour = np.arange(24 * DAYS)
    values = 40 + 15 * np.sin(hour / 24 * 2 * np.pi) + random.normal(0, 3, (series, len(hour)))
    values[::10] += hour / len(hour) * 20
    values[5::10, 400:] += 12
    return values.astype(np.float32)
