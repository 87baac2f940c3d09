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


@njit(cache=True, nogil=True)
def slope_per_day(values: NDArray[np.float64]) -> float:
    """Return the slope of `values`, the newest day first, with NaN for a missing day; 0 where none can be told."""
    days = len(values)
    slopes = np.empty(days * days // (2 * WEEK) + 1)
    count = 0
    for apart in range(WEEK, days, WEEK):
        for day in range(days - apart):
            slope = (values[day] - values[day + apart]) / apart
            if not np.isnan(slope):
                slopes[count] = slope
                count += 1
    if count < FEWEST_PAIRS:
        return 0.0
    slope = float(np.median(slopes[:count]))
    if slope == 0.0:
        return 0.0
    # The ratio to the slope first: squares of very small values would be 0.
    squares, steps, later = 0.0, 0, np.nan
    week, order = np.empty(WEEK), np.empty(WEEK, np.int64)
    for first in range(0, days - WEEK + 1, WEEK):
        known = 0
        for day in range(first, first + WEEK):
            if not np.isnan(values[day]):
                week[known] = values[day]
                known += 1
        level = median_of_few(week[:known], order) if known else np.nan
        step = (later - level) / WEEK / slope - 1.0
        if not np.isnan(step):
            squares += step * step
            steps += 1
        later = level
    if steps < FEWEST_STEPS:
        return 0.0
    return slope / (1.0 + NOISE_WEIGHT * squares / steps / steps)
