"""Forecasts with intervals of many series at once, each made by the rules that did best on its own past.

Method: a few simple candidates per series (`hourly_candidates.py`, `daily_candidates.py`), compared
by their absolute errors at inner origins; weights fall exponentially with the log of a candidate's
error, which is shrunk towards what is usual in the group (same metric, same tenant); the forecast is
the weighted median of the candidates. So `mean` is a median forecast: it is made for the least
absolute error, and half of the truth is meant to lie on either side. Intervals: `intervals.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.forecast.backtest import Floats, Layout, Record, backtest, try_candidates
from analytics_assets.kernels.forecast.fleet import Fleet, in_chunks, learn
from analytics_assets.kernels.forecast.intervals import offsets, widened
from analytics_assets.kernels.forecast.plan import Plan

STALE_DAYS = 7
"""A series without a value in so many days before the origin is over, or cannot be told from one that is."""


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of some series: all [series, step] but for `backtest_mase`, `model`, `status`, `reason` [series].

    `mean` is the median forecast, inside both intervals; all values are NaN where `status` is not
    `ok`, and `reason` says why (None where it is). `model` is the candidate with the most weight.
    `backtest_mase` is the mean absolute error at the inner origins over that of the seasonal naive
    method inside the history (24 hours, 7 days); NaN where either is unknown or the latter is 0.
    `backtest_mae` is the mean absolute error at inner origins of the steps of about as far ahead, in
    the unit of the values; NaN where none was tried so far ahead. Both are of origins with as many
    values before them as a forecast needs; some of these also chose the weights, so both are a little low.
    """

    mean: Floats
    lo80: Floats
    hi80: Floats
    lo95: Floats
    hi95: Floats
    backtest_mae: Floats
    model: NDArray[np.object_]
    backtest_mase: Floats
    status: NDArray[np.object_]
    reason: NDArray[np.object_]


def forecast(
    history: NDArray[np.floating[Any]],
    plan: Plan,
    horizon: int,
    groups: Sequence[str] | NDArray[np.str_] | None = None,
    capacity: Floats | None = None,
    threads: int = 1,
) -> Forecasts:
    """Return forecasts of `horizon` steps for the rows of `history` [series, step], which end at the origin.

    `history` is hourly or daily, as `plan` says, with NaN for what is missing. Weekday and hour need
    no clock: they are counted back from the origin. `groups` names each row's metric (one group if
    None); rows of a group share what they have in common, and nothing else does. `capacity` [series]
    bounds values from above, NaN for none; they are bounded by 0 below unless the series itself was
    lower. The order of the rows and the number of `threads` change nothing; `horizon` does change the
    values: rules are chosen by blocks of leads, and a block that it cuts is judged by what is left of it.

    Raises:
        ValueError: `horizon` is not between 1 and the plan's longest, or an argument has another length.
    """
    if not 1 <= horizon <= plan.maximum_horizon:
        raise ValueError(f"horizon is {horizon} steps; the {plan.name} plan reaches from 1 to {plan.maximum_horizon}")
    series = len(history)
    for name, given in (("groups", groups), ("capacity", capacity)):
        if given is not None and len(given) != series:
            raise ValueError(f"{name} has {len(given)} entries for {series} series")
    status, reason = _statuses(history, plan)
    blank = np.full((6, series, horizon), np.nan)
    found = Forecasts(
        blank[0], blank[1], blank[2], blank[3], blank[4], blank[5],
        np.full(series, None, object), np.full(series, np.nan), status, reason,
    )  # fmt: skip
    labels = np.zeros(series, np.int64) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    for label in np.unique(labels):
        rows = np.flatnonzero((labels == label) & (status == "ok"))
        if len(rows):
            _fill(found, rows, np.asarray(history[rows], np.float64), plan, horizon, capacity, threads)
    return found


def _fill(
    found: Forecasts, rows: NDArray[np.int64], series: Floats, plan: Plan, horizon: int, capacity: Floats | None,
    threads: int,
) -> None:  # fmt: skip
    """Write the forecasts of one group's `series` into `rows` of `found`."""
    fleet, learned = learn(series, plan, horizon, threads)
    layout = Layout.of(plan, horizon, (0,))
    if len(series) <= plan.fleet_sample:
        records = [learned]
    else:
        records = in_chunks(lambda part: _record(part, plan, layout, fleet), series, threads)
    done = 0
    for record in records:
        mean, ends = _with_ends(record, plan, layout, fleet)
        at = rows[done : done + len(mean)]
        most = np.full(len(at), np.inf) if capacity is None else np.where(np.isnan(capacity[at]), np.inf, capacity[at])
        part = series[done : done + len(mean)]
        least = np.where((part < 0).any(axis=1), -np.inf, 0.0)
        low, high = least[:, None], np.maximum(most, least)[:, None]
        found.mean[at] = np.clip(mean, low, high)
        found.lo95[at], found.lo80[at] = (np.clip(ends[..., end], low, high) for end in (0, 1))
        found.hi80[at], found.hi95[at] = (np.clip(ends[..., end], low, high) for end in (2, 3))
        found.model[at] = np.array(plan.candidates, object)[np.argmax(record.weight[:, 0], axis=1)]
        found.backtest_mase[at] = _mase(_whole_error(record), part, plan)
        for block, (first, end) in enumerate(layout.interval_blocks):
            found.backtest_mae[at, first:end] = record.error[:, 0, block, None]
        done += len(at)


def _record(series: Floats, plan: Plan, layout: Layout, fleet: Fleet) -> Record:
    return backtest(series, try_candidates(series, plan, layout), plan, layout, fleet.ratios[None])


def _with_ends(record: Record, plan: Plan, layout: Layout, fleet: Fleet) -> tuple[Floats, Floats]:
    """Return the forecasts of a record [series, step] and the ends of their intervals [series, step, end]."""
    mean = record.forecast[:, 0]
    ends = widened(offsets(record, 0, fleet.quantiles, plan, layout), fleet.inflation, layout)
    # Separate factors could cross: the wider interval holds the narrower one.
    ends[..., 0] = np.minimum(ends[..., 0], ends[..., 1])
    ends[..., 3] = np.maximum(ends[..., 3], ends[..., 2])
    return mean, mean[..., None] + ends


def _whole_error(record: Record) -> Floats:
    """Return the mean absolute error over all leads, NaN where there is none."""
    known = np.isfinite(record.error[:, 0])
    counts = np.where(known, record.errors[:, 0], 0.0).sum(axis=1)
    total = np.where(known, record.error[:, 0] * record.errors[:, 0], 0.0).sum(axis=1)
    return np.where(counts > 0, total / np.maximum(counts, 1.0), np.nan)


def _mase(error: Floats, series: Floats, plan: Plan) -> Floats:
    """Return `error` in units of the seasonal naive method's mean absolute error inside the history."""
    steps = np.abs(series[:, plan.season_steps :] - series[:, : -plan.season_steps])
    known = ~np.isnan(steps)
    naive = np.where(known, steps, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(naive > 0, error / np.where(naive > 0, naive, 1.0), np.nan)


def _statuses(
    history: NDArray[np.floating[Any]], plan: Plan
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:  # fmt: skip
    unit = "hours" if plan.steps_per_day > 1 else "days"
    status, reason = np.full(len(history), "ok", object), np.full(len(history), None, object)
    present = ~np.isnan(history)
    counts = present.sum(axis=1)
    recent = present[:, -STALE_DAYS * plan.steps_per_day :].any(axis=1)
    for row in np.flatnonzero(~recent):
        status[row], reason[row] = "insufficient_data", f"no value in the last {STALE_DAYS} days before the forecast"
    for row in np.flatnonzero(counts < plan.minimum_values):
        status[row] = "insufficient_data"
        reason[row] = f"{counts[row]} {unit} with a value; a forecast needs {plan.minimum_values}"
    for row in np.flatnonzero(np.isinf(history).any(axis=1)):
        status[row], reason[row] = "degenerate", "infinite values: the metric has no scale"
    for row in np.flatnonzero(counts == 0):
        status[row], reason[row] = "no_data", "no value in the history"
    return status, reason
