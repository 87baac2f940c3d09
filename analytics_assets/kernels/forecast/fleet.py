"""What the series of a group have in common: which candidates do well, what errors look like, how wide is enough.

A group is a metric of one tenant in one call: nothing is learned from any other. What is learned
does not depend on the order of the series, nor on how many are worked on at once. A group of one
series learns from that one alone, which comes to no shrinking at all.
"""

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from analytics_assets.kernels.forecast.backtest import Floats, Layout, Record, backtest, error_ratios, try_candidates
from analytics_assets.kernels.forecast.intervals import fleet_quantiles, learn_inflation
from analytics_assets.kernels.forecast.plan import Plan

SERIES_AT_ONCE = 32
"""Small enough that a tenant of a hundred VMs has work for several threads."""

Given = TypeVar("Given")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Fleet:
    """A group's habits: candidates' log ratios [block, candidate], error quantiles [block, end], widening."""

    ratios: Floats
    quantiles: Floats
    inflation: Floats


def learn(series: Floats, plan: Plan, horizon: int, threads: int) -> tuple[Fleet, Record]:
    """Return the habits of `series` [series, step], all of one group and all long enough to be forecast.

    The record is that of the series which were learned from, all of them where they are not too many.
    """
    layout = Layout.of(plan, horizon, (0, *plan.rehearsal_days))
    sample = series[_sample(series, plan.fleet_sample)]
    chunks = _chunks(sample)
    tried = _each(lambda rows: try_candidates(rows, plan, layout), chunks, threads)
    pairs = list(zip(chunks, tried, strict=True))
    usual = _order_free_mean(np.concatenate(_each(lambda pair: error_ratios(*pair, layout), pairs, threads)))
    parts = _each(lambda pair: backtest(*pair, plan, layout, usual), pairs, threads)
    record = Record(*(np.concatenate([getattr(part, name) for part in parts]) for name in Record.__dataclass_fields__))
    quantiles = fleet_quantiles(record, plan)
    inflation = learn_inflation(record, _truth(sample, layout), quantiles, plan, layout)
    return Fleet(usual[0], quantiles[0], inflation), record


def in_chunks(work: Callable[[Floats], Found], series: Floats, threads: int) -> list[Found]:
    """Return what `work` makes of the rows of `series`, some at a time, in order; compiled work frees the others."""
    return _each(work, _chunks(series), threads)


def _chunks(series: Floats) -> list[Floats]:
    return [series[start : start + SERIES_AT_ONCE] for start in range(0, len(series), SERIES_AT_ONCE)]


def _each(work: Callable[[Given], Found], parts: Sequence[Given], threads: int) -> list[Found]:
    if threads == 1 or len(parts) < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))


def _sample(series: Floats, most: int) -> list[int]:
    """Return the rows to learn from: all, or those `most` with the least checksum, whatever their order."""
    if len(series) <= most:
        return list(range(len(series)))
    return sorted(range(len(series)), key=lambda row: (zlib.crc32(series[row].tobytes()), series[row].tobytes()))[:most]


def _order_free_mean(ratios: Floats) -> Floats:
    """Return the mean over the series [rehearsal, block, candidate], 0 where none has a ratio.

    Sums of floats depend on their order, so each column is sorted first.
    """
    known = np.isfinite(ratios)
    ordered = np.sort(np.where(known, ratios, np.inf), axis=0)
    counts = known.sum(axis=0)
    total = np.where(np.isfinite(ordered), ordered, 0.0).sum(axis=0)
    return np.where(counts > 0, total / np.maximum(counts, 1), 0.0)


def _truth(series: Floats, layout: Layout) -> Floats:
    """Return what happened after each rehearsal's day [series, rehearsal, step], NaN where it is not over."""
    steps = series.shape[1]
    truth = np.full((len(series), len(layout.rehearsals), layout.horizon), np.nan)
    for at, rehearsal in enumerate(layout.rehearsals):
        first = steps - int(rehearsal) * layout.per_day
        if first >= 0:
            known = series[:, first : min(first + layout.horizon, steps)]
            truth[:, at, : known.shape[1]] = known
    return truth
