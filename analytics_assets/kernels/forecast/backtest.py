"""One series at a time, compiled: what each candidate would have done, and the forecast their record makes.

A *rehearsal* pretends that an earlier day is the last one known; rehearsal 0 is the real forecast.
For each, the candidates are compared at inner origins before it, and only values before it count.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from analytics_assets.kernels.forecast.daily_candidates import daily_candidates
from analytics_assets.kernels.forecast.hourly_candidates import hourly_candidates
from analytics_assets.kernels.forecast.plan import LEVELS, Plan
from analytics_assets.kernels.forecast.weighted_median import (
    ascending,
    interpolated_median,
    median_of_few,
    quantile_of_sorted,
)

SHARES = ((1 - LEVELS[1]) / 2, (1 - LEVELS[0]) / 2, (1 + LEVELS[0]) / 2, (1 + LEVELS[1]) / 2)
"""Shares of the truth below the ends of the intervals: lo95, lo80, hi80, hi95."""

WIDEST_RATIO = 3.0
"""Log of an error's ratio to the median candidate's is cut at this: an exact past proves no miracle."""

WHOLE_ROUNDING = 1e-3
HOUR_ROUNDING = 0.02
"""Share of the median candidate's error that is added to each, for a whole block and for one hour of it."""

NOTHING = 1e-290
"""A mean error below this has no quantiles: dividing by it would leave the range of floats."""

FEWEST_VALUES = 14
"""Values at an hour below which their quantiles say nothing."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """A plan as arrays that compiled code reads, for some rehearsals (days before the last one).

    `origins` are all days at which candidates are needed, ascending; `slots` finds a day among them.
    """

    hourly: bool
    per_day: int
    horizon: int
    origins: Integers
    slots: Integers
    rehearsals: Integers
    selection: Integers
    residual: Integers
    weight_blocks: Integers
    interval_blocks: Integers

    @classmethod
    def of(cls, plan: Plan, horizon: int, rehearsals: tuple[int, ...]) -> "Layout":
        """Return the arrays of `plan` for forecasts of `horizon` steps, made at `rehearsals`."""
        inner = {0, *plan.selection_days, *plan.residual_days}
        origins = sorted({rehearsal + day for rehearsal in rehearsals for day in inner})
        slots = np.full(origins[-1] + 1, -1, np.int64)
        slots[origins] = np.arange(len(origins))
        return cls(
            plan.name == "h", plan.steps_per_day, horizon, np.array(origins), slots, np.array(rehearsals),
            np.array(plan.selection_days), np.array(plan.residual_days), _blocks(plan.weight_blocks, horizon),
            _blocks(plan.interval_blocks, horizon),
        )  # fmt: skip


def _blocks(blocks: tuple[tuple[int, int], ...], horizon: int) -> Integers:
    return np.array([(first, min(end, horizon)) for first, end in blocks if first < horizon], dtype=np.int64)


@dataclass(frozen=True)
class Tried:
    """What the candidates of some series said at each origin: `forecasts` [series, origin, step, candidate].

    `slopes` [series, origin] are the line's, per day.
    """

    forecasts: Floats
    slopes: Floats


@dataclass(frozen=True)
class Record:
    """What the backtests of some series found, by series and rehearsal.

    `forecast` [.., step] is the median forecast. By block of the intervals: `scale` [.., block, hour] is the
    mean absolute error by hour of the day, `quantiles` [.., block, end] are the error quantiles in units of the
    scale, `errors` [.., block] how many errors made them, `error` [.., block] is the mean absolute value of
    those that came from as many values as a forecast needs, NaN where none is so far ahead. `drift` [..] is the
    slope per day that the forecast has: the line's, times its weight. `values` [.., hour, end] are quantiles of
    the past values, moved along the drift to the first day ahead (NaN where they are few), `spread` [..] is
    their mean absolute deviation from their median. `weight` [.., candidate] is a candidate's mean weight.
    """

    forecast: Floats
    scale: Floats
    quantiles: Floats
    errors: Floats
    values: Floats
    spread: Floats
    drift: Floats
    weight: Floats
    error: Floats


def try_candidates(series: Floats, plan: Plan, layout: Layout) -> Tried:
    """Return what the candidates would have said of `series` [series, step] at the origins of `layout`."""
    shape = (len(series), len(layout.origins))
    tried = Tried(np.empty((*shape, layout.horizon, len(plan.candidates))), np.empty(shape))
    _try(series, layout.hourly, layout.origins, tried.forecasts, tried.slopes)
    return tried


def error_ratios(series: Floats, tried: Tried, layout: Layout) -> Floats:
    """Return the log of each candidate's error over the median candidate's [series, rehearsal, block, candidate].

    NaN where no candidate could be tried.
    """
    shape = (len(series), len(layout.rehearsals), len(layout.weight_blocks), tried.forecasts.shape[3])
    ratios = np.full(shape, np.nan)
    _ratios(
        series, tried.forecasts, layout.per_day, layout.slots, layout.rehearsals, layout.selection,
        layout.weight_blocks, ratios,
    )  # fmt: skip
    return ratios


def backtest(series: Floats, tried: Tried, plan: Plan, layout: Layout, fleet: Floats) -> Record:
    """Return forecasts and errors of `series` [series, step], with `fleet` [rehearsal, block, candidate] ratios."""
    shape = (len(series), len(layout.rehearsals))
    blocks = len(layout.interval_blocks)
    record = Record(
        np.full((*shape, layout.horizon), np.nan),
        np.full((*shape, blocks, layout.per_day), np.nan),
        np.full((*shape, blocks, len(SHARES)), np.nan),
        np.zeros((*shape, blocks)),
        np.full((*shape, layout.per_day, len(SHARES)), np.nan),
        np.full(shape, np.nan),
        np.zeros(shape),
        np.zeros((*shape, len(plan.candidates))),
        np.full((*shape, blocks), np.nan),
    )
    _backtest(
        series, tried.forecasts, tried.slopes, layout.per_day, layout.slots, layout.rehearsals,
        layout.selection, layout.residual, layout.weight_blocks, layout.interval_blocks, fleet,
        (plan.fleet_share, plan.sharpness, plan.hour_prior, plan.scale_prior, plan.value_days, plan.minimum_values),
        np.array(SHARES),
        record.forecast, record.scale, record.quantiles, record.errors, record.values, record.spread, record.drift,
        record.weight, record.error,
    )  # fmt: skip
    return record


@njit(cache=True, nogil=True)
def _try(series: Floats, hourly: bool, origins: Integers, out: Floats, slopes: Floats) -> None:
    """Write the forecasts into `out` and `slopes`; a series that was never below 0 is not forecast below 0."""
    for number in range(len(series)):
        row = series[number]
        floor = 0.0
        for value in row:
            if value < 0:
                floor = -np.inf
        if hourly:
            hourly_candidates(row, origins, floor, out[number], slopes[number])
        else:
            for slot in range(len(origins)):
                slopes[number, slot] = daily_candidates(row, len(row) - origins[slot], floor, out[number, slot])


@njit(cache=True, nogil=True)
def _sum_errors(
    row: Floats, per_day: int, forecasts: Floats, slots: Integers, rehearsal: int, selection: Integers,
    first: int, end: int, sums: Floats, counts: Floats,
) -> None:  # fmt: skip
    """Sum absolute errors of leads `first` to `end` by candidate and hour into `sums`, and count them by hour."""
    sums[:] = 0.0
    counts[:] = 0.0
    for day in selection:
        at = slots[rehearsal + day]
        start = len(row) - (rehearsal + day) * per_day
        if start < 0 or np.isnan(forecasts[at, 0, 0]):
            continue
        for lead in range(first, min(end, day * per_day)):
            truth = row[start + lead]
            if np.isnan(truth):
                continue
            hour = lead % per_day
            counts[hour] += 1
            for candidate in range(forecasts.shape[2]):
                sums[candidate, hour] += abs(forecasts[at, lead, candidate] - truth)


@njit(cache=True, nogil=True)
def _log_ratio(error: float, middle: float, rounding: float) -> float:
    if middle <= 0:
        return 0.0 if error <= 0 else WIDEST_RATIO
    return float(min(max(np.log((error + rounding * middle) / middle), -WIDEST_RATIO), WIDEST_RATIO))


@njit(cache=True, nogil=True)
def _whole_ratios(sums: Floats, counts: Floats, out: Floats) -> bool:
    """Write the log ratios over all hours into `out`; return whether there was any error to compare."""
    if counts.sum() == 0:
        return False
    whole = sums.sum(axis=1)
    middle = median_of_few(whole, np.empty(len(whole), np.int64))
    for candidate in range(len(whole)):
        out[candidate] = _log_ratio(whole[candidate], middle, WHOLE_ROUNDING)
    return True


@njit(cache=True, nogil=True)
def _ratios(
    series: Floats, tried: Floats, per_day: int, slots: Integers, rehearsals: Integers, selection: Integers,
    blocks: Integers, ratios: Floats,
) -> None:  # fmt: skip
    candidates = ratios.shape[3]
    sums, counts = np.empty((candidates, per_day)), np.empty(per_day)
    for number in range(len(series)):
        row, forecasts = series[number], tried[number]
        for at in range(len(rehearsals)):
            for block in range(len(blocks)):
                first, end = blocks[block]
                _sum_errors(
                    row, per_day, forecasts, slots, rehearsals[at], selection, first, end, sums, counts
                )  # fmt: skip
                _whole_ratios(sums, counts, ratios[number, at, block])


@njit(cache=True, nogil=True)
def _weights(
    sums: Floats, counts: Floats, fleet: Floats, fleet_share: float, sharpness: float, hour_prior: float, out: Floats
) -> None:
    """Write each candidate's weight by hour into `out` [hour, candidate]; they sum to 1.

    An hour's own errors are mixed with the whole block's (as `hour_prior` errors), the series' log
    ratio with the fleet's; without any error of its own the fleet's alone decides.
    """
    candidates, hours = sums.shape
    whole, own, order = np.zeros(candidates), np.empty(candidates), np.empty(candidates, np.int64)
    known = _whole_ratios(sums, counts, whole)
    prior = hour_prior * np.exp(whole)
    for hour in range(hours):
        middle = median_of_few(sums[:, hour], order)
        for candidate in range(candidates):
            own[candidate] = sums[candidate, hour] + prior[candidate] * middle / max(counts[hour], 1.0)
        middle_mixed = median_of_few(own, order)
        for candidate in range(candidates):
            ratio = whole[candidate] if middle <= 0 else _log_ratio(own[candidate], middle_mixed, HOUR_ROUNDING)
            believed = fleet[candidate]
            if known:
                believed = (1 - fleet_share) * ratio + fleet_share * fleet[candidate]
            out[hour, candidate] = believed
        best = out[hour].min()
        for candidate in range(candidates):
            out[hour, candidate] = np.exp(-sharpness * (out[hour, candidate] - best))
        out[hour] /= out[hour].sum()


@njit(cache=True, nogil=True)
def _backtest(
    series: Floats, tried: Floats, slopes: Floats, per_day: int, slots: Integers,
    rehearsals: Integers, selection: Integers, residual: Integers, weight_blocks: Integers, interval_blocks: Integers,
    fleet: Floats, numbers: tuple[float, float, float, float, int, int], shares: Floats,
    forecast: Floats, scale: Floats, quantiles: Floats, errors: Floats, values: Floats, spread: Floats,
    drift: Floats, weight: Floats, error: Floats,
) -> None:  # fmt: skip
    fleet_share, sharpness, hour_prior, scale_prior, value_days, minimum_values = numbers
    horizon, candidates = tried.shape[2], tried.shape[3]
    line = candidates - 1
    sums, counts = np.empty((candidates, per_day)), np.empty(per_day)
    weights = np.empty((len(weight_blocks), per_day, candidates))
    residuals = np.empty((len(residual), horizon))
    order = np.empty(candidates, np.int64)
    values_at = np.empty(value_days * per_day)
    ordering = np.empty(value_days * per_day, np.int64)
    gathered = np.empty(len(residual) * horizon)
    of_step = np.zeros(horizon, np.int64)
    for block in range(len(weight_blocks)):
        of_step[weight_blocks[block, 0] : weight_blocks[block, 1]] = block
    for number in range(len(series)):
        row, forecasts = series[number], tried[number]
        for at in range(len(rehearsals)):
            rehearsal = rehearsals[at]
            for block in range(len(weight_blocks)):
                first, end = weight_blocks[block]
                _sum_errors(
                    row, per_day, forecasts, slots, rehearsal, selection, first, end, sums, counts
                )  # fmt: skip
                _weights(sums, counts, fleet[at, block], fleet_share, sharpness, hour_prior, weights[block])
            made = forecasts[slots[rehearsal]]
            for lead in range(horizon):
                by_candidate = weights[of_step[lead], lead % per_day]
                forecast[number, at, lead] = interpolated_median(made[lead], by_candidate, order)
                weight[number, at] += by_candidate / horizon
            residuals[:] = np.nan
            for origin in range(len(residual)):
                day = rehearsal + residual[origin]
                start = len(row) - day * per_day
                made = forecasts[slots[day]]
                if start < 0 or np.isnan(made[0, 0]):
                    continue
                for lead in range(min(horizon, residual[origin] * per_day)):
                    truth = row[start + lead]
                    if not np.isnan(truth):
                        by_candidate = weights[of_step[lead], lead % per_day]
                        residuals[origin, lead] = truth - interpolated_median(made[lead], by_candidate, order)
            for block in range(len(interval_blocks)):
                first, end = interval_blocks[block]
                errors[number, at, block] = _error_quantiles(
                    residuals[:, first:end], per_day, scale_prior, shares, gathered, scale[number, at, block],
                    quantiles[number, at, block],
                )  # fmt: skip
            # Less than a week repeats no week: such errors widen the intervals, but are no promise.
            for origin in range(len(residual)):
                start = max(len(row) - (rehearsal + residual[origin]) * per_day, 0)
                if np.count_nonzero(~np.isnan(row[:start])) < minimum_values:
                    residuals[origin] = np.nan
            for block in range(len(interval_blocks)):
                first, end = interval_blocks[block]
                error[number, at, block] = np.nanmean(np.abs(residuals[:, first:end]))
            last = len(row) - rehearsal * per_day
            drift[number, at] = slopes[number, slots[rehearsal]] * weight[number, at, line]
            spread[number, at] = _value_quantiles(
                row[max(0, last - value_days * per_day) : last], per_day, drift[number, at], shares, values_at,
                ordering, values[number, at],
            )  # fmt: skip


@njit(cache=True, nogil=True)
def _error_quantiles(
    residuals: Floats, per_day: int, prior: float, shares: Floats, gathered: Floats, scale: Floats, quantiles: Floats
) -> int:
    """Write the mean absolute errors by hour and the quantiles of the errors in their units; return how many."""
    sums, counts = np.zeros(per_day), np.zeros(per_day)
    for origin in range(residuals.shape[0]):
        for lead in range(residuals.shape[1]):
            value = residuals[origin, lead]
            if not np.isnan(value):
                sums[lead % per_day] += abs(value)
                counts[lead % per_day] += 1
    count = int(counts.sum())
    if count == 0:
        return 0
    whole = sums.sum() / count
    for hour in range(per_day):
        scale[hour] = (sums[hour] + prior * whole) / (counts[hour] + prior)
    if whole < NOTHING:
        return count
    at = 0
    for origin in range(residuals.shape[0]):
        for lead in range(residuals.shape[1]):
            value = residuals[origin, lead]
            if not np.isnan(value):
                gathered[at] = value / scale[lead % per_day]
                at += 1
    ordered = np.sort(gathered[:count])
    for end in range(len(shares)):
        quantiles[end] = quantile_of_sorted(ordered, count, shares[end])
    return count


@njit(cache=True, nogil=True)
def _value_quantiles(
    recent: Floats, per_day: int, drift: float, shares: Floats, values_at: Floats, order: Integers, quantiles: Floats
) -> float:
    """Write quantiles of the values by hour of the forecast day; return their mean absolute deviation.

    Values are moved to the first day ahead by `drift` per day.
    """
    if drift != 0.0:
        recent = recent + drift * np.ceil(np.arange(len(recent), 0.0, -1.0) / per_day)
    offset = len(recent) % per_day
    for hour in range(per_day):
        size = 0
        for step in range(offset + hour, len(recent), per_day):
            values_at[size] = recent[step]
            size += 1
        count = ascending(values_at[:size], order)
        if count < FEWEST_VALUES:
            continue
        ordered = values_at[order[:count]]
        for end in range(len(shares)):
            quantiles[hour, end] = quantile_of_sorted(ordered, count, shares[end])
    known = recent[~np.isnan(recent)]
    if len(known) == 0:
        return np.nan
    return float(np.mean(np.abs(known - np.median(known))))
