"""What the next days would be by each of five simple rules, from the daily values before an origin.

Three repeat a level (the weighted median of the days, with a short, middle and long memory) with
the effect of the weekday on it; the fourth is the same weekday of the last week (the seasonal naive
forecast); the fifth goes on with the slope of the days (`drift.py`) from the long level. The effect
of a weekday is the median deviation from the seven days around it, shrunk as far as its own noise
explains it. Lines lose on most VMs and get next to no weight there; a disk that fills needs one.
"""

import numpy as np
from numba import njit

from analytics_assets.kernels.forecast.drift import SLOPE_BY_WEEKS_DAYS, is_shorter, slope_per_day
from analytics_assets.kernels.forecast.hourly_candidates import WEEK, Vector, shrunk_median
from analytics_assets.kernels.forecast.plan import DAILY
from analytics_assets.kernels.forecast.weighted_median import ascending, weighted_median

DAYS = DAILY.value_days

HALF_LIVES_DAYS = (1.5, 3.0, 7.0)
LINE_MEMORY = 2
"""Which of the half-lives the line starts with: it needs no short memory, as it does not lag."""

WEEKDAY_HALF_LIFE_DAYS = 28.0

_WEIGHTS = np.array([0.5 ** (np.arange(DAYS) / half_life) for half_life in HALF_LIVES_DAYS])
_WEEKDAY = 0.5 ** (WEEK * np.arange(DAYS // WEEK + 1) / WEEKDAY_HALF_LIFE_DAYS)


@njit(cache=True, nogil=True)
def daily_candidates(series: Vector, end: int, floor: float, out: Vector) -> float:
    """Write the forecasts of the days from `end` on into `out` [day, candidate], from `series` before `end`.

    NaN is a missing day. All are NaN where the last 56 days are empty. None is below `floor`. Returns
    the line's slope per day.
    """
    out[:] = np.nan
    days = min(DAYS, end)
    if days <= 0:
        return 0.0
    values = np.empty(days)
    for day in range(days):
        values[day] = series[end - 1 - day]
    order = np.empty(DAYS, np.int64)
    count = ascending(values, order)
    if count == 0:
        return 0.0
    levels = np.empty(len(HALF_LIVES_DAYS))
    for memory in range(len(levels)):
        levels[memory] = weighted_median(values, _WEIGHTS[memory], order, count)

    slope = slope_per_day(values, is_shorter(series, SLOPE_BY_WEEKS_DAYS))
    moved = values + slope * np.arange(1, days + 1)
    line = levels[LINE_MEMORY]
    if slope != 0.0:
        line = weighted_median(moved, _WEIGHTS[LINE_MEMORY], order, ascending(moved, order))

    deviations = np.empty(days)
    ones = np.ones(DAYS)
    for day in range(days):
        around = values[max(0, day - WEEK // 2) : day + WEEK // 2 + 1].copy()
        deviations[day] = values[day] - weighted_median(around, ones, order, ascending(around, order))
    effects, last_week = np.zeros(WEEK), np.full(WEEK, np.nan)
    for ahead in range(WEEK):
        first = WEEK - 1 - ahead
        same = deviations[first::WEEK].copy()
        effects[ahead] = shrunk_median(same, _WEEKDAY, order, ascending(same, order))
        for day in range(first, days, WEEK):
            if not np.isnan(values[day]):
                last_week[ahead] = values[day]
                break

    for at in range(out.shape[0]):
        for memory in range(len(levels)):
            out[at, memory] = max(levels[memory] + effects[at % WEEK], floor)
        known = last_week[at % WEEK]
        out[at, 3] = out[at, 1] if np.isnan(known) else max(known, floor)
        out[at, 4] = max(line + slope * at + effects[at % WEEK], floor)
    return slope
