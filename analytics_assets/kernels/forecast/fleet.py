"""What the series of a group have in common: which candidates do well, what errors look like, how wide is enough.

A group is a metric of one tenant in one call: nothing is learned from any other. What is learned
does not depend on the order of the series, nor on how many are worked on at once. A group of one
series learns from that one alone, which comes to no shrinking at all.
"""

import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from analytics_assets.kernels.forecast.backtest import Floats, Layout, Record, backtest, error_ratios
from analytics_assets.kernels.forecast.intervals import fleet_quantiles, learn_inflation
from analytics_assets.kernels.forecast.plan import Plan

SERIES_AT_ONCE = 128

Found = TypeVar("Found")


@dataclass(frozen=True)
class Fleet:
    """A group's habits: candidates' log ratios [block, candidate], error quantiles [block, end], widening."""

    ratios: Floats
    quantiles: Floats
    inflation: Floats


def learn(series: Floats, plan: Plan, horizon: int, threads: int) -> Fleet:
    """Return the habits of `series` [series, step], all of one group and all long enough to be forecast."""
    layout = Layout.of(plan, horizon, (0, *plan.rehearsal_days))
    sample = series[_sample(series, plan.fleet_sample)]
    ratios = np.concatenate(
        in_chunks(lambda rows: error_ratios(rows, layout, len(plan.candidates)), sample, threads)
    )  # fmt: skip
    usual = _order_free_mean(ratios)
    parts = in_chunks(lambda rows: backtest(rows, plan, layout, usual), sample, threads)
    record = Record(*(np.concatenate([getattr(part, name) for part in parts]) for name in Record.__dataclass_fields__))
    quantiles = fleet_quantiles(record, plan)
    inflation = learn_inflation(record, _truth(sample, layout), quantiles, plan, layout)
    return Fleet(usual[0], quantiles[0], inflation)


def in_chunks(work: Callable[[Floats], Found], series: Floats, threads: int) -> list[Found]:
    """Return what `work` makes of the rows of `series`, some at a time, in order; compiled work frees the others."""
    chunks = [series[start : start + SERIES_AT_ONCE] for start in range(0, len(series), SERIES_AT_ONCE)]
    if threads == 1 or len(chunks) < 2:
        return [work(chunk) for chunk in chunks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, chunks))


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
