"""Hourly matrices as daily values that can be compared: daily cycle, unfinished days and weekdays allowed for."""

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import HOURS_PER_DAY, Floats, row_mean, row_median

DAYS_PER_WEEK = 7
FULLEST_SHARE = 0.9
"""A day belongs to an entity's fullest ones when it has this share of the hours that its best day has."""


def daily_levels(hours: Floats, minimum_hours: int) -> NDArray[np.float64]:
    """Return the daily means [entity, day] of an hourly matrix [entity, 24 x days].

    A day with gaps is compared as if it had none: the entity's hour-of-day profile (the mean
    deviation from the day's mean, over its fullest days) is taken off the hours that are there,
    and the profile's mean put back. A whole day's value is exactly its mean. Days with fewer than
    `minimum_hours` hours are NaN.
    """
    entities, width = hours.shape
    days = hours.reshape(entities, width // HOURS_PER_DAY, HOURS_PER_DAY)
    counts = HOURS_PER_DAY - np.count_nonzero(np.isnan(days), axis=-1)
    levels = row_mean(days, minimum_hours)
    gaps = np.flatnonzero(((counts < HOURS_PER_DAY) & (counts >= minimum_hours)).any(axis=1))
    if len(gaps):
        levels[gaps] = _without_profile(days[gaps].astype(np.float64), counts[gaps], levels[gaps])
    return levels


def _without_profile(
    days: NDArray[np.float64], counts: NDArray[np.int64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    fullest = counts >= FULLEST_SHARE * counts.max(axis=1, keepdims=True)
    deviation = np.where(fullest[:, :, None], days - levels[:, :, None], np.nan)
    profile = row_mean(np.swapaxes(deviation, 1, 2))
    # An hour that none of the fullest days has is left as it is.
    profile = np.where(np.isnan(profile), 0.0, profile)
    missing = np.isnan(days)
    present = np.sum(np.where(missing, 0.0, profile[:, None, :]), axis=-1) / np.maximum(counts, 1)
    adjusted = levels - present + profile.mean(axis=-1, keepdims=True)
    return np.where(counts == HOURS_PER_DAY, levels, adjusted)


def without_weekdays(
    values: NDArray[np.float64], minimum_weeks: int = 3, minimum_share: float = 0.5
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return daily `values` [entity, day] without their weekday effect, and the degrees of freedom that cost.

    The effect of a weekday is the median, over the weeks, of the residuals from the line whose
    slope is the median of the differences over seven days, in which no weekday effect is left. It is
    taken off (6 degrees of freedom) only where it explains more than `minimum_share` of the summed
    absolute residuals and there are `minimum_weeks` whole weeks; elsewhere the values stay and 0 is
    the cost. Noise alone reaches one half in about one series of a hundred.
    """
    entities, days = values.shape
    spent = np.zeros(entities, dtype=np.int64)
    if days < minimum_weeks * DAYS_PER_WEEK or entities == 0:
        return values, spent
    weekly = row_median(values[:, DAYS_PER_WEEK:] - values[:, :-DAYS_PER_WEEK]) / DAYS_PER_WEEK
    residuals = values - np.where(np.isnan(weekly), 0.0, weekly)[:, None] * np.arange(days)
    residuals = residuals - row_median(residuals)[:, None]
    padding = -days % DAYS_PER_WEEK
    by_weekday = np.pad(residuals, ((0, 0), (padding, 0)), constant_values=np.nan)
    by_weekday = np.swapaxes(by_weekday.reshape(entities, by_weekday.shape[1] // DAYS_PER_WEEK, DAYS_PER_WEEK), 1, 2)
    enough = (np.count_nonzero(~np.isnan(by_weekday), axis=-1) >= minimum_weeks).all(axis=1)
    effect = row_median(by_weekday)
    per_day = np.tile(effect, by_weekday.shape[-1])[:, padding:]
    before = row_mean(np.abs(residuals))
    after = row_mean(np.abs(residuals - per_day))
    per_day = per_day - effect.mean(axis=1, keepdims=True)  # the level of the series stays
    found = enough & (after < (1 - minimum_share) * before)
    spent[found] = DAYS_PER_WEEK - 1
    return np.where(found[:, None], values - per_day, values), spent


def without_hours_of_day(hours: Floats) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return hourly values [entity, 24 x days] without their daily cycle, and the degrees of freedom that cost.

    The cycle is the mean, over the days, of each hour's residuals from the line whose slope is
    the median of all differences over whole days, in which no cycle is left. One day alone
    cannot tell a cycle from a trend: it stays as it is, and 0 is the cost.
    """
    entities, width = hours.shape
    days = width // HOURS_PER_DAY
    values = hours.astype(np.float64)
    if days < 2 or entities == 0:
        return values, np.zeros(entities, dtype=np.int64)
    apart = [lag * HOURS_PER_DAY for lag in range(1, days)]
    per_hour = row_median(np.concatenate([(values[:, lag:] - values[:, :-lag]) / lag for lag in apart], axis=1))
    residuals = values - np.where(np.isnan(per_hour), 0.0, per_hour)[:, None] * np.arange(width)
    cycle = row_mean(np.swapaxes(residuals.reshape(entities, days, HOURS_PER_DAY), 1, 2))
    cycle = cycle - row_mean(cycle)[:, None]  # the level of the series stays
    return values - np.tile(cycle, days), np.full(entities, HOURS_PER_DAY - 1, dtype=np.int64)
