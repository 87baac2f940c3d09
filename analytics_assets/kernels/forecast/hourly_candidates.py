"""What the next hours would be by each of nine simple rules, from the hours before an origin.

Days are counted back from the origin, whatever the hour of the clock: day `k` is the 24 hours that
ended `k` days before it, so hour `j` of a forecast day lies at hour `j` of every past day, and the
same weekday is a multiple of seven days away. Two kinds of rules:

- absolute ones repeat what was seen at that hour: weighted medians over days, recent or of the
  same weekday, and the plain last day (the seasonal naive forecast);
- level rules repeat the shape of the day on the present level: the shape is, per hour, the median
  deviation from the day's median, shrunk to nothing as far as its own noise explains it, and the
  level is the median of what the recent hours are without that shape; one of them goes on with the
  slope of the days' levels (`drift.py`).

Medians throughout: the forecasts are judged by their absolute error, and jobs and spikes would
drag a mean along.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from analytics_assets.kernels.forecast.drift import SLOPE_BY_WEEKS_DAYS, is_shorter, slope_per_day
from analytics_assets.kernels.forecast.plan import HOURLY
from analytics_assets.kernels.forecast.weighted_median import ascending, weighted_median, weighted_quartile_range

HOURS = 24
WEEK = 7
DAYS = HOURLY.value_days

RECENT_HALF_LIFE_DAYS = 1.5
LAST_VALUE_HALF_LIFE_DAYS = 3.0
LAST_VALUE_KEPT_PER_HOUR = 0.8
PROFILE_HALF_LIFE_DAYS = 14.0
WEEKDAY_WEIGHT = 8.0
LEVEL_HALF_LIFE_DAYS = 7.0
LEVEL_HOURS = 168
HOURS_LEVEL_HALF_LIFE = 6.0
SETTLING_FAST_HALF_LIFE = 12.0
SETTLING_SLOW_HALF_LIFE = 48.0
SETTLING_KEPT_PER_HOUR = 0.9

NOISE_WEIGHT = 4.0
"""How many squared standard errors of a median count as noise when a deviation is shrunk."""

VARIANCE_OF_MEDIAN = np.pi / 2
QUARTILES_TO_SD = 1.349
FEWEST_DAYS_OF_SHAPE = 3

_AGE = np.arange(DAYS)
_RECENT = 0.5 ** (_AGE / RECENT_HALF_LIFE_DAYS)
_LAST_VALUE = 0.5 ** (_AGE / LAST_VALUE_HALF_LIFE_DAYS)
_PROFILE = 0.5 ** (_AGE / PROFILE_HALF_LIFE_DAYS)
_LEVEL = 0.5 ** (_AGE / LEVEL_HALF_LIFE_DAYS)
_SAME_WEEKDAY = np.array([[float((ahead + day + 1) % WEEK == 0) for day in range(DAYS)] for ahead in range(WEEK)])
_WEEKDAY = _PROFILE * (1.0 + (WEEKDAY_WEIGHT - 1.0) * _SAME_WEEKDAY)
_HOUR_AGE = np.arange(LEVEL_HOURS)
_HOURS_LEVEL = 0.5 ** (_HOUR_AGE / HOURS_LEVEL_HALF_LIFE)
_FAST = 0.5 ** (_HOUR_AGE / SETTLING_FAST_HALF_LIFE)
_SLOW = 0.5 ** (_HOUR_AGE / SETTLING_SLOW_HALF_LIFE)

Vector = NDArray[np.float64]


@njit(cache=True, nogil=True)
def shrunk_median(values: Vector, weights: Vector, order: NDArray[np.int64], count: int) -> float:
    """Return the weighted median of deviations, shrunk to 0 as far as its own noise explains it.

    With m the median and v its squared standard error, m x m^2 / (m^2 + 4 v): a deviation of two
    standard errors is halved, a clear one stays. Too few values show no shape: 0.
    """
    if count < FEWEST_DAYS_OF_SHAPE:
        return 0.0
    middle = weighted_median(values, weights, order, count)
    if np.isnan(middle) or middle == 0.0:
        return 0.0
    deviation = weighted_quartile_range(values, weights, order, count) / QUARTILES_TO_SD
    total, squares = 0.0, 0.0
    for at in range(count):
        total += weights[order[at]]
        squares += weights[order[at]] ** 2
    # The ratio first: squares of very small values would be 0.
    noise = deviation / abs(middle) * np.sqrt(NOISE_WEIGHT * VARIANCE_OF_MEDIAN * squares) / total
    return float(middle / (1.0 + noise * noise))


@njit(cache=True, nogil=True)
def hourly_candidates(
    series: Vector, origins: NDArray[np.int64], floor: float, out: Vector, slopes: Vector
) -> None:  # fmt: skip
    """Write forecasts from each of `origins`, days before the end of `series`, into `out` [origin, hour, candidate].

    `origins` ascend. NaN is a missing hour. A candidate that has nothing to go by at an hour takes the
    week's level; all are NaN where the 28 days before an origin are empty. None is below `floor`. The
    slope per day of the line goes into `slopes` [origin].
    """
    # Days lie the same way at every origin, so each hour's values are sorted once for all of them.
    days = min(len(series) // HOURS, origins[-1] + DAYS)
    by_hour, deviations = np.empty((HOURS, days)), np.empty((HOURS, days))
    for day in range(days):
        for hour in range(HOURS):
            by_hour[hour, day] = series[len(series) - HOURS * (day + 1) + hour]
    order, ones = np.empty(max(days, HOURS), np.int64), np.ones(HOURS)
    day_level = np.empty(days)
    for day in range(days):
        hours = by_hour[:, day].copy()
        day_level[day] = weighted_median(hours, ones, order, ascending(hours, order))
    orders, counts = np.empty((2, HOURS, days), np.int64), np.empty((2, HOURS), np.int64)
    for hour in range(HOURS):
        deviations[hour] = by_hour[hour] - day_level
        counts[0, hour] = ascending(by_hour[hour], orders[0, hour])
        counts[1, hour] = ascending(deviations[hour], orders[1, hour])
    for slot in range(len(origins)):
        slopes[slot] = _from_origin(
            series, origins[slot], by_hour, deviations, day_level, orders, counts, floor, out[slot]
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _within(whole: NDArray[np.int64], count: int, first: int, end: int, order: NDArray[np.int64]) -> int:
    """Write the days of the order `whole` that lie in `[first, end)` into `order`, as days from `first`."""
    found = 0
    for at in range(count):
        day = whole[at]
        if first <= day < end:
            order[found] = day - first
            found += 1
    return found


@njit(cache=True, nogil=True)
def _from_origin(
    series: Vector, origin: int, by_hour: Vector, deviations: Vector, day_level: Vector, orders: NDArray[np.int64],
    counts: NDArray[np.int64], floor: float, out: Vector,
) -> float:  # fmt: skip
    horizon = out.shape[0]
    out[:] = np.nan
    oldest = min(by_hour.shape[1], origin + DAYS)
    if oldest <= origin:
        return 0.0
    days = oldest - origin
    order, of_weekday, ones = np.empty(DAYS, np.int64), np.empty(DAYS, np.int64), np.ones(DAYS)
    levels = day_level[origin:oldest]
    week_level = weighted_median(levels, _LEVEL, order, ascending(levels, order))
    if np.isnan(week_level):
        return 0.0
    slope = slope_per_day(levels, is_shorter(series, SLOPE_BY_WEEKS_DAYS * HOURS))
    moved = levels + slope * np.arange(1, days + 1)
    line = weighted_median(moved, _LEVEL, order, ascending(moved, order))

    shape = np.zeros(HOURS)
    for hour in range(HOURS):
        count = _within(orders[1, hour], counts[1, hour], origin, oldest, order)
        shape[hour] = shrunk_median(deviations[hour, origin:oldest], _PROFILE, order, count)
    end = len(series) - HOURS * origin
    recent = np.full(min(LEVEL_HOURS, end), np.nan)
    last_value, last_hour, known = np.nan, 0, 0
    for back in range(len(recent)):
        value = series[end - 1 - back]
        if not np.isnan(value):
            known += 1
            if np.isnan(last_value) and back < HOURS:
                last_value, last_hour = value, HOURS - 1 - back
        recent[back] = value - shape[HOURS - 1 - back % HOURS]
    ordered = np.argsort(recent)  # NaN last; the order of equal values does not change a median
    hours_level = weighted_median(recent, _HOURS_LEVEL, ordered, known)
    fast = weighted_median(recent, _FAST, ordered, known)
    slow = weighted_median(recent, _SLOW, ordered, known)

    last_value_profile = np.empty(HOURS)
    for hour in range(HOURS):
        values = by_hour[hour, origin:oldest]
        count = _within(orders[0, hour], counts[0, hour], origin, oldest, order)
        recent_days = weighted_median(values, _RECENT, order, count)
        last_value_profile[hour] = weighted_median(values, _LAST_VALUE, order, count)
        last_day = np.nan
        for day in range(days):
            if not np.isnan(values[day]):
                last_day = values[day]
                break
        for ahead in range((horizon - hour + HOURS - 1) // HOURS):
            at = ahead * HOURS + hour
            out[at, 0] = recent_days
            out[at, 3] = last_day
            out[at, 1] = weighted_median(values, _WEEKDAY[ahead], order, count)
            same = values[WEEK - 1 - ahead :: WEEK]
            weekly = weighted_median(same, ones, of_weekday, ascending(same, of_weekday))
            out[at, 4] = weighted_median(values, _PROFILE, order, count) if np.isnan(weekly) else weekly

    offset = last_value - last_value_profile[last_hour]
    if np.isnan(offset):
        offset = 0.0
    last_value_kept, settling_kept = LAST_VALUE_KEPT_PER_HOUR, 1.0
    for at in range(horizon):
        hour = at % HOURS
        out[at, 2] = last_value_profile[hour] + offset * last_value_kept
        out[at, 5] = week_level + shape[hour]
        out[at, 6] = hours_level + shape[hour]
        out[at, 7] = settling_kept * fast + (1.0 - settling_kept) * slow + shape[hour]
        out[at, 8] = line + slope * (at // HOURS) + shape[hour]
        last_value_kept *= LAST_VALUE_KEPT_PER_HOUR
        settling_kept *= SETTLING_KEPT_PER_HOUR
        for candidate in range(out.shape[1]):
            if np.isnan(out[at, candidate]):
                out[at, candidate] = out[at, 5]
            out[at, candidate] = max(out[at, candidate], floor)
    return slope
