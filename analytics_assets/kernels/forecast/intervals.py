"""From errors and values of the past to the ends of the intervals, and how much too narrow those were.

The ends lie between two answers: quantiles of the series' own past errors (mixed with the fleet's,
the fewer there are), and quantiles of its past values at that hour, which knows that a level that
left comes back. Rehearsals then show by how much such intervals would have had to be wider to hold
the share they promise; that factor is learned from all series of the group together.

The idea of learning the width from errors on held-back data is that of conformal prediction
(Vovk, Gammerman and Shafer, 2005, "Algorithmic Learning in a Random World").
"""

import numpy as np

from analytics_assets.kernels.forecast.backtest import Floats, Layout, Record
from analytics_assets.kernels.forecast.plan import LEVELS, Plan

LAPLACE = (-np.log(20.0), -np.log(5.0), np.log(5.0), np.log(20.0))
"""Ends of the intervals in units of the mean absolute error where nothing is known: a Laplace distribution's."""

LEAST_OFFSET = 0.01
"""No end is nearer to the forecast than this share of the mean absolute error."""

SIDES = ((1, 2), (0, 3))
"""The ends of the 80 % and of the 95 % interval among lo95, lo80, hi80, hi95."""


def fleet_quantiles(record: Record, plan: Plan) -> Floats:
    """Return the median series' error quantiles [rehearsal, block, end]; NaN where no series has any."""
    enough = record.errors >= plan.minimum_values
    own = np.where(enough[..., None], record.quantiles, np.nan)
    known = np.isfinite(own).any(axis=0)
    # The median does not depend on the order of the series.
    return np.where(known, np.nanmedian(np.where(known, own, 0.0), axis=0), np.nan)


def offsets(record: Record, rehearsal: int, fleet: Floats, plan: Plan, layout: Layout) -> Floats:
    """Return how far the ends are from the forecast [series, step, end], before any widening.

    `fleet` [block, end] are the fleet's error quantiles.
    """
    series, horizon = record.forecast.shape[0], layout.horizon
    hours = np.arange(horizon) % layout.per_day
    forecast = record.forecast[:, rehearsal]
    spread = np.nan_to_num(record.spread[:, rehearsal])[:, None]
    ends = np.empty((series, horizon, 4))
    before, middle_before = np.repeat(spread, layout.per_day, axis=1), None
    for block, (first, end) in enumerate(layout.interval_blocks):
        middle = (first + end) / 2
        grown = before if middle_before is None else before * (middle / middle_before) ** plan.growth
        scale = record.scale[:, rehearsal, block]
        scale = np.maximum(np.where(np.isnan(scale), grown, scale), plan.least_scale * spread)
        own = record.quantiles[:, rehearsal, block]
        count = np.where(np.isfinite(own).all(axis=1), record.errors[:, rehearsal, block], 0.0)[:, None]
        usual = np.where(np.isfinite(fleet[block]), fleet[block], LAPLACE)
        mixed = (count * np.nan_to_num(own) + plan.fleet_errors * usual) / (count + plan.fleet_errors)
        ends[:, first:end] = scale[:, hours[first:end], None] * mixed[:, None, :]
        before, middle_before = scale, middle
    ahead = record.drift[:, rehearsal, None] * (np.arange(horizon) // layout.per_day)
    values = record.values[:, rehearsal][:, hours] + (ahead - forecast)[:, :, None]
    values *= _line_growth(record, rehearsal, plan, layout)[:, :, None]
    ends = np.where(np.isfinite(values), (1 - plan.value_share) * ends + plan.value_share * values, ends)
    least = LEAST_OFFSET * _by_step(record, rehearsal, plan, layout, spread)
    ends[..., :2] = np.minimum(ends[..., :2], -least[..., None])
    ends[..., 2:] = np.maximum(ends[..., 2:], least[..., None])
    return ends


def _line_growth(record: Record, rehearsal: int, plan: Plan, layout: Layout) -> Floats:
    """Return how much wider than the values around a line its continuation is [series, step], as far as it weighs.

    The textbook's prediction interval of a least-squares line through `plan.value_days` days.
    """
    days = float(plan.value_days)
    from_middle = (days + 1) / 2 + np.arange(layout.horizon) // layout.per_day
    wider = np.sqrt(1 + 1 / days + 12 * from_middle**2 / (days * (days**2 - 1)))
    line = np.where(record.drift[:, rehearsal] != 0, record.weight[:, rehearsal, -1], 0.0)
    factors: Floats = 1 + line[:, None] * (wider[None, :] - 1)
    return factors


def _by_step(record: Record, rehearsal: int, plan: Plan, layout: Layout, spread: Floats) -> Floats:
    """Return the scale of errors [series, step], the least one where none is known."""
    steps = np.empty((len(spread), layout.horizon))
    hours = np.arange(layout.horizon) % layout.per_day
    for block, (first, end) in enumerate(layout.interval_blocks):
        steps[:, first:end] = np.nan_to_num(record.scale[:, rehearsal, block])[:, hours[first:end]]
    return np.maximum(steps, plan.least_scale * spread)


def learn_inflation(record: Record, truth: Floats, fleet: Floats, plan: Plan, layout: Layout) -> Floats:
    """Return the factors [block, level] that make the rehearsals' intervals hold what they promise.

    `truth` [series, rehearsal, step] is what happened, NaN where it is not known; rehearsal 0 is the
    real forecast and has none. Per rehearsal the factor is that with which the aimed share of the
    truth lies inside; their geometric mean, between 1 and `plan.most_inflation`, is the answer. A
    block that no rehearsal reached takes the factors of the block before it, the first one 1.
    """
    factors = np.ones((len(layout.interval_blocks), len(LEVELS)))
    logs: list[list[list[float]]] = [[[] for _ in LEVELS] for _ in layout.interval_blocks]
    for rehearsal in range(1, truth.shape[1]):
        ends = offsets(record, rehearsal, fleet[rehearsal], plan, layout)
        error = truth[:, rehearsal] - record.forecast[:, rehearsal]
        for block, (first, end) in enumerate(layout.interval_blocks):
            known = np.isfinite(error[:, first:end])
            if not known.any():
                continue
            off = error[:, first:end][known]
            for level, (low, high) in enumerate(SIDES):
                side = np.where(off < 0, ends[:, first:end, low][known], ends[:, first:end, high][known])
                most = plan.most_inflation**2 * np.abs(side)  # more than that counts as that
                reached = np.minimum(np.abs(off), most)
                needed = np.where(
                    off == 0,
                    0.0,
                    np.where(most > 0, reached / np.where(most > 0, np.abs(side), 1.0), plan.most_inflation**2),
                )
                aim = 1 - (1 - LEVELS[level]) * plan.miss_share
                logs[block][level].append(np.log(max(np.quantile(needed, aim), 1 / plan.most_inflation)))
    for block in range(len(factors)):
        for level in range(len(LEVELS)):
            if logs[block][level]:
                wider = np.exp(np.mean(logs[block][level]))
                factors[block, level] = min(max(wider, 1.0), plan.most_inflation)
            elif block:
                factors[block, level] = factors[block - 1, level]
    return factors


def widened(ends: Floats, factors: Floats, layout: Layout) -> Floats:
    """Return `ends` [series, step, end] widened by `factors` [block, level]."""
    result = ends.copy()
    for block, (first, end) in enumerate(layout.interval_blocks):
        for level, sides in enumerate(SIDES):
            for side in sides:
                result[:, first:end, side] *= factors[block, level]
    return result
