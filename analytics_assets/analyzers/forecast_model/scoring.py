"""Forecasts that were made, held against what happened: errors, coverage and quantile loss, beside the promise."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.daily import daily_levels
from analytics_assets.kernels.forecast.plan import DAILY, HOURLY, Plan
from analytics_assets.kernels.matrix import HOURS_PER_DAY, row_mean

QUANTILES = (("lo95", 0.025), ("lo80", 0.1), ("mean", 0.5), ("hi80", 0.9), ("hi95", 0.975))
"""The columns that are quantiles of the forecast distribution, and which; `mean` is its median."""

LEAD_BLOCKS = {
    HOURLY.name: ((1, 24), (25, 72), (73, 168)),
    DAILY.name: ((1, 7), (8, 14), (15, 28), (29, 56), (57, 90)),
}
"""First and last lead of the blocks that are told apart, in steps."""

SEASON_HOURS = {plan.name: plan.season_steps * HOURS_PER_DAY // plan.steps_per_day for plan in (HOURLY, DAILY)}

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Made:
    """Steps of one metric and freq that were forecast; one entry per step in each array.

    `entity` is the row of the history's matrix, `hour` the column at which the step begins, `lead`
    its steps ahead; `values` are the five columns of `QUANTILES`, `promise` the error that the backtest
    had so far ahead, NaN where it had none.
    """

    entity: Integers
    hour: Integers
    lead: Integers
    values: dict[str, Floats]
    promise: Floats


@dataclass(frozen=True)
class Scored:
    """Per step of `Made`: what happened, what the seasonal naive method had said, the scale of MASE; NaN: unknown."""

    truth: Floats
    naive: Floats
    scale: Floats


class Steps:
    """The values of the steps of one matrix [entity, hour], whatever hour they begin at."""

    def __init__(self, hours: NDArray[np.floating[Any]], plan: Plan, minimum_hours: int) -> None:
        """Days with fewer hours than `minimum_hours` are NaN; those with gaps are made as the forecasts' history is.

        Infinite values are missing ones.
        """
        self.width = HOURS_PER_DAY // plan.steps_per_day
        self.minimum_hours = minimum_hours
        self.hours = np.where(np.isfinite(hours), hours, np.nan).astype(np.float64)
        self._levels: dict[int, Floats] = {}

    def at(self, entity: Integers, hour: Integers) -> Floats:
        """Return the mean of the step of `entity` that begins at `hour`; NaN outside of the matrix."""
        entity, hour = np.broadcast_arrays(entity, hour)
        inside = (hour >= 0) & (hour + self.width <= self.hours.shape[1])
        found = np.full(hour.shape, np.nan)
        # Days begin at the hour at which the data ended: one hour of the day for nearly all.
        for first in np.unique(hour[inside] % self.width):
            chosen = inside & (hour % self.width == first)
            found[chosen] = self._beginning_at(int(first))[entity[chosen], hour[chosen] // self.width]
        return found

    def _beginning_at(self, first: int) -> Floats:
        """Return the values [entity, step] of whole steps from the hour `first` on."""
        if first not in self._levels:
            end = first + (self.hours.shape[1] - first) // self.width * self.width
            part = self.hours[:, first:end]
            self._levels[first] = part if self.width == 1 else daily_levels(part, self.minimum_hours)
        return self._levels[first]


def scored(made: Made, hours: NDArray[np.floating[Any]], plan: Plan, minimum_hours: int) -> Scored:
    """Return what happened at each step of `made`, by `hours` [entity, hour].

    The seasonal naive method repeats the last season before the origin; the scale is its mean
    absolute error over all of `hours`, as MASE (Hyndman and Koehler, 2006) takes it.
    """
    steps = Steps(hours, plan, minimum_hours)
    season = SEASON_HOURS[plan.name]
    seasons_back = -(-made.lead // plan.season_steps)
    starts = np.arange(hours.shape[1] % steps.width, hours.shape[1] - steps.width + 1, steps.width)
    entities = np.arange(len(hours))[:, None]
    later = steps.at(entities, starts[None, :])
    earlier = steps.at(entities, starts[None, :] - season)
    scale = row_mean(np.abs(later - earlier))
    return Scored(
        truth=steps.at(made.entity, made.hour),
        naive=steps.at(made.entity, made.hour - season * seasons_back),
        scale=scale[made.entity],
    )


def figures(made: Made, found: Scored, group: Integers, groups: int) -> dict[str, NDArray[Any]]:
    """Return the figures of each of `groups`; `group` is each step's.

    Steps whose truth is not known count among `steps_forecast` only. A ratio whose denominator is 0 or
    unknown is NaN.
    """
    known = ~np.isnan(found.truth)
    where = group[known]
    truth, naive, scale = found.truth[known], found.naive[known], found.scale[known]
    values = {name: column[known] for name, column in made.values.items()}
    promise = made.promise[known]
    error = np.abs(truth - values["mean"])

    def total(part: NDArray[Any]) -> Floats:
        return np.asarray(np.bincount(where, np.asarray(part, np.float64), groups), np.float64)

    def ratio(over: Floats, under: Floats) -> Floats:
        return np.where(under > 0, over / np.where(under > 0, under, 1.0), np.nan)

    count = total(np.ones(len(truth)))
    comparable = ~np.isnan(naive)
    scalable = scale > 0
    promised = ~np.isnan(promise)
    loss = np.zeros(len(truth))
    for name, share in QUANTILES:
        off = truth - values[name]
        loss += 2 * np.maximum(share * off, (share - 1) * off) / len(QUANTILES)
    return {
        "steps_forecast": np.bincount(group, minlength=groups),
        "steps": count.astype(np.int64),
        "mae": ratio(total(error), count),
        "mase": ratio(total(np.where(scalable, error / np.where(scalable, scale, 1.0), 0.0)), total(scalable)),
        "relative_to_naive": ratio(
            total(np.where(comparable, error, 0.0)), total(np.where(comparable, np.abs(truth - naive), 0.0))
        ),
        "coverage80": ratio(total((truth >= values["lo80"]) & (truth <= values["hi80"])), count),
        "coverage95": ratio(total((truth >= values["lo95"]) & (truth <= values["hi95"])), count),
        "weighted_quantile_loss": ratio(total(loss), total(np.abs(truth))),
        "promised_mae": ratio(total(np.where(promised, promise, 0.0)), total(promised)),
        "relative_to_promise": ratio(total(np.where(promised, error, 0.0)), total(np.where(promised, promise, 0.0))),
    }
