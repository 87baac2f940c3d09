"""Robust slopes of values with a daily cycle, from pairs of the same hour only, so that the cycle cannot matter.

Sources: Hirsch, Slack and Smith (1982), "Techniques of trend analysis for monthly water quality data",
for the seasonal Kendall slope and test; Hirsch and Slack (1984), "A nonparametric trend test for
seasonal data with serial dependence", for the variance, with hours as seasons and days as years.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import HOURS_PER_DAY
from analytics_assets.kernels.slope import freedoms, reaches, two_sided

PAIRS_AT_ONCE = 500_000

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class SeasonalSlopes:
    """Slopes per day with their interval, in the values' unit, and the two-sided p of such an order without a trend.

    NaN where no hour of the day has values on two days.
    """

    slope: Vector
    low: Vector
    high: Vector
    p_value: Vector


def seasonal_slopes(hours: NDArray[np.float32], effective_share: Vector, confidence: float = 0.95) -> SeasonalSlopes:
    """Return the seasonal Kendall slopes of `hours` [series, 24 x days], leaving out NaN.

    The slope is the median of the slopes of all pairs of values that lie whole days apart. Of Kendall's
    S, summed over the hours of the day, the variance is that under all orders of the days, each day
    kept whole: whatever ties the hours of a day together is allowed for. With K the difference of
    two days (hours that rose less hours that fell), it is a third of the summed K^2 plus the summed
    squares of each day's total; ties and gaps are part of K. That the days themselves are tied is
    told by `effective_share` [series]: of the days, as many as this share of them are worth as much as
    independent ones (1: all); the variance is divided by it. The interval lies between two of the pairs, as Sen's does.

    Values whose cycle is the same every day and values without a cycle have the same slope.
    """
    series, width = hours.shape
    days = width // HOURS_PER_DAY
    columns = [np.full(series, np.nan) for _ in range(4)]
    pairs = HOURS_PER_DAY * days * (days - 1) // 2
    at_once = max(1, PAIRS_AT_ONCE // max(1, pairs))
    for start in range(0, series if days > 1 else 0, at_once):
        part = slice(start, start + at_once)
        for column, found in zip(columns, _slopes(hours[part], effective_share[part], confidence), strict=True):
            column[part] = found
    return SeasonalSlopes(*columns)


def _rose(block: NDArray[np.float32], days: int) -> NDArray[np.float32]:
    """Return, per series and day of `block` [series, 24 x days], how many hours rose less how many fell."""
    signs = (block > 0).view(np.int8) - (block < 0).view(np.int8)
    # A product with ones sums the 24 hours several times faster than a sum over so short an axis.
    by_day = signs.reshape(-1, HOURS_PER_DAY).astype(np.float32) @ np.ones(HOURS_PER_DAY, np.float32)
    return by_day.reshape(len(block), days)


def _slopes(hours: NDArray[np.float32], effective_share: Vector, confidence: float) -> tuple[Vector, ...]:
    series, width = hours.shape
    days = width // HOURS_PER_DAY
    pairs = np.empty((series, HOURS_PER_DAY * days * (days - 1) // 2), dtype=np.float32)
    totals = np.zeros((series, days))
    squares = np.zeros(series)
    kendall = np.zeros(series, dtype=np.int64)
    filled = 0
    for lag in range(1, days):
        apart = lag * HOURS_PER_DAY
        block = pairs[:, filled : filled + width - apart]
        np.subtract(hours[:, apart:], hours[:, :-apart], out=block)
        rose = _rose(block, days - lag)
        block /= lag
        totals[:, lag:] += rose
        totals[:, :-lag] -= rose
        squares += np.sum(rose * rose, axis=1)
        kendall += rose.sum(axis=1).astype(np.int64)
        filled += width - apart
    count = pairs.shape[1] - np.count_nonzero(np.isnan(pairs), axis=1)
    pairs.sort(axis=1)  # NaN, which is a pair with a missing end, goes last
    share = np.clip(np.where(np.isnan(effective_share), 1.0, effective_share), 1 / days, 1.0)
    deviation = np.sqrt((squares + np.sum(totals * totals, axis=1)) / 3 / share)
    freedom = freedoms(np.full(series, float(days)), 1 / share)
    reach = reaches(confidence, deviation, freedom)
    known = count > 0

    def ordered(position: Vector) -> Vector:
        place = np.clip(position, 0, np.maximum(count - 1, 0)).astype(np.int64)
        return np.where(known, pairs[np.arange(series), place], np.nan)

    return (
        0.5 * (ordered((count - 1) // 2) + ordered(count // 2)),
        ordered(np.floor((count - reach) / 2) - 1),
        ordered(np.ceil((count + reach) / 2)),
        np.where(known, two_sided(kendall, deviation, freedom), np.nan),
    )
