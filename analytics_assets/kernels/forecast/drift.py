"""How fast a series grows or shrinks a day: the slope that one candidate of each plan goes on with.

The slope is Theil and Sen's median of the slopes between pairs of days, of pairs that are whole weeks
apart only, so that weekdays cancel. It is then shrunk as far as the steps between the weeks explain
it by chance: a line has steps of one size, a jump has one large step and a random walk has all sorts.

Source: Sen (1968), "Estimates of the regression coefficient based on Kendall's tau", JASA 63.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from analytics_assets.kernels.forecast.weighted_median import median_of_few

WEEK = 7
FEWEST_PAIRS = 14
"""Pairs of days below which no slope is told: three weeks of days."""

FEWEST_STEPS = 2
"""Steps from one week to the next below which nothing is known of their noise."""

NOISE_WEIGHT = 4.0
"""How many squared standard errors of the slope count as noise: at two of them it is halved."""

DAY_NOISE_WEIGHT = 16.0
"""The same by single days, whose steps say less of the weeks to come: at four standard errors it is halved."""

SLOPE_BY_WEEKS_DAYS = 49
"""From so many days on the origins, up to four weeks back, have three weeks before them: slopes by weeks will do."""


@njit(cache=True, nogil=True)
def is_shorter(series: NDArray[np.float64], steps: int) -> bool:
    """Return whether `series`, the oldest step first, begins less than `steps` before its end; NaN is missing."""
    first = 0
    while first < len(series) and np.isnan(series[first]):
        first += 1
    return len(series) - first < steps


@njit(cache=True, nogil=True)
def slope_per_day(values: NDArray[np.float64], by_days: bool) -> float:
    """Return the slope of `values`, the newest day first, with NaN for a missing day; 0 where none can be told.

    Where it cannot be told by weeks, it is told by single days if `by_days`.
    """
    slope = _shrunk_slope(values, WEEK, NOISE_WEIGHT)
    if np.isnan(slope) and by_days:
        slope = _shrunk_slope(values, 1, DAY_NOISE_WEIGHT)
    return 0.0 if np.isnan(slope) else slope


@njit(cache=True, nogil=True)
def _shrunk_slope(values: NDArray[np.float64], unit: int, noise_weight: float) -> float:
    """Return the slope by pairs that are multiples of `unit` days apart, shrunk by the steps between such units.

    NaN where there are too few pairs or steps.
    """
    days = len(values)
    slopes = np.empty(days * days // (2 * unit) + 1)
    count = 0
    for apart in range(unit, days, unit):
        for day in range(days - apart):
            slope = (values[day] - values[day + apart]) / apart
            if not np.isnan(slope):
                slopes[count] = slope
                count += 1
    if count < FEWEST_PAIRS:
        return np.nan
    slope = float(np.median(slopes[:count]))
    if slope == 0.0:
        return 0.0
    # The ratio to the slope first: squares of very small values would be 0.
    squares, steps, later = 0.0, 0, np.nan
    within, order = np.empty(unit), np.empty(unit, np.int64)
    for first in range(0, days - unit + 1, unit):
        known = 0
        for day in range(first, first + unit):
            if not np.isnan(values[day]):
                within[known] = values[day]
                known += 1
        level = median_of_few(within[:known], order) if known else np.nan
        step = (later - level) / unit / slope - 1.0
        if not np.isnan(step):
            squares += step * step
            steps += 1
        later = level
    if steps < FEWEST_STEPS:
        return np.nan
    return slope / (1.0 + noise_weight * squares / steps / steps)
