"""Quantiles of histograms whose bounds may differ: cumulative counts of several instances made one distribution.

Quantiles are made as PromQL's `histogram_quantile` makes them: linear inside a bucket, the lowest
bucket begins at 0 if its bound is above 0, one beyond the highest finite bound gives that bound,
and without an observation there is none.

Series of one entity need not have the same bounds. Each cumulative count is then read at the bounds
of all of them, along the same straight lines that the quantile itself follows, and only then added.
Where the bounds agree that is a plain sum; elsewhere it loses no instance and no bound. (The bounds
that all share would make one old exporter blunt the whole entity; a step function would move
observations up to the next bound; adding what is there makes counts that fall from bound to bound.)
A bound whose counter did not cover the same stretch of time as the total, because a layout came or
went within the bucket of the grid, is left out there for the same reason.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.counter_cells import CounterCells
from analytics_assets.kernels.samples import BoolArray, FloatArray, IntArray

CELLS_AT_ONCE = 4_000_000
"""Bounds x buckets x instances that are interpolated together: about 32 MB an array."""


@dataclass(frozen=True)
class Instances:
    """What is known of each instance and bucket of the grid, apart from its finite bounds.

    `total` counts its observations over `covered` milliseconds (both 0 where nothing tells),
    `overflow` is what its `+Inf` counter says, or `total` where that did not cover the same time.
    """

    entity: IntArray
    total: FloatArray
    covered: FloatArray
    overflow: FloatArray
    tolerance: FloatArray


def quantile(
    q: float,
    bounds: FloatArray,
    cumulative: FloatArray,
    total: FloatArray,
    lowest: FloatArray | None = None,
    highest: FloatArray | None = None,
) -> FloatArray:
    """Return the `q`-quantile of each distribution, as `histogram_quantile` does.

    `bounds` are the finite upper bounds, rising; `cumulative[k, i]` counts the observations of
    distribution `i` up to `bounds[k]`, never falling with `k`; `total[i]` counts them all.
    `lowest[i]` and `highest[i]` are the first and last bound at which distribution `i` was counted
    itself, those of `bounds` unless said otherwise: a quantile beyond the highest gives that one,
    and one in the lowest bucket gives its bound if that is not above 0.
    """
    size = cumulative.shape[1]
    known = total > 0
    if not len(bounds):
        return np.full(size, np.nan)
    lowest = np.full(size, bounds[0]) if lowest is None else lowest
    highest = np.full(size, bounds[-1]) if highest is None else highest
    rank = q * np.where(known, total, np.nan)
    reached = cumulative >= rank
    index = reached.argmax(axis=0)
    column = np.arange(size)
    below = np.where(index > 0, cumulative[index - 1, column], 0.0)
    start = np.where(index > 0, bounds[index - 1], 0.0)
    inside = cumulative[index, column] - below
    value = start + (bounds[index] - start) * (rank - below) / np.where(inside > 0, inside, 1.0)
    value = np.where((bounds[index] <= lowest) & (lowest <= 0), lowest, value)
    value = np.where(reached.any(axis=0), value, highest)
    return np.where(known, value, np.nan)


def by_bounds(
    entity: IntArray, bound: FloatArray, entities: int, buckets: int
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Yield entities that have the same finite bounds, a bounded number at a time, with these bounds.

    Zero is one more bound where there are negative ones: another instance's lowest bucket may begin there.
    """
    order = np.lexsort((bound, entity))
    edges = np.searchsorted(entity[order], np.arange(entities + 1))
    layouts: dict[tuple[float, ...], list[int]] = {}
    for number in range(entities):
        own = np.unique(bound[order[edges[number] : edges[number + 1]]])
        if len(own):
            layouts.setdefault(tuple(np.union1d(own, [0.0]) if own[0] < 0 else own), []).append(number)
    for layout, members in layouts.items():
        step = max(1, CELLS_AT_ONCE // (len(layout) * buckets))
        for first in range(0, len(members), step):
            yield np.array(members[first : first + step], np.int64), np.array(layout)


def merged_quantiles(
    cells: CounterCells,
    known: Instances,
    rows: IntArray,
    instance: IntArray,
    bound: FloatArray,
    members: IntArray,
    bounds: FloatArray,
    quantiles: FloatArray,
    flaws: Counter[str],
) -> FloatArray:
    """Return the quantiles (quantile, member, bucket) of the entities `members`, whose counters are `rows`."""
    own = np.unique(instance[rows])
    slot = np.searchsorted(own, instance[rows]) * len(bounds) + np.searchsorted(bounds, bound[rows])
    shape = (len(own), len(bounds), cells.increase.shape[1])
    cumulative = combined(np.add, slot, cells.increase[rows], shape[0] * shape[1]).reshape(shape)
    covered = combined(np.add, slot, cells.covered_ms[rows], shape[0] * shape[1]).reshape(shape)
    reference = known.covered[own, None]
    told = (covered > 0) & (reference > 0)
    valid = told & (np.abs(covered - reference) <= known.tolerance[own, None])
    flaws["partial"] += int(np.count_nonzero(told & ~valid))
    cumulative = np.where(valid, cumulative, np.nan)
    risen = np.fmax.accumulate(cumulative, axis=1)
    flaws["repaired"] += int(np.count_nonzero(valid & (risen > cumulative)))
    cumulative = _along_lines(np.where(valid, risen, np.nan), valid, bounds)

    # An instance whose bounds tell nothing here takes no part: its observations could lie anywhere.
    takes_part: BoolArray = np.any(valid, axis=1)
    overflow = np.where(takes_part, known.overflow[own], 0.0)
    flaws["repaired"] += int(np.count_nonzero(overflow < cumulative[:, -1]))
    overflow = np.maximum(overflow, cumulative[:, -1])
    lowest = np.where(valid, bounds[:, None], np.inf).min(axis=1)
    highest = np.where(valid, bounds[:, None], -np.inf).max(axis=1)
    entity = np.searchsorted(members, known.entity[own])
    size = len(members)
    merged = combined(np.add, entity, np.where(takes_part[:, None], cumulative, 0.0), size)
    merged = np.moveaxis(merged, 1, 0).reshape(len(bounds), -1)
    total = combined(np.add, entity, overflow, size).ravel()
    lowest = combined(np.minimum, entity, lowest, size).ravel()
    highest = combined(np.maximum, entity, highest, size).ravel()
    found = [quantile(q, bounds, merged, total, lowest, highest) for q in quantiles]
    return np.array(found).reshape(len(quantiles), size, shape[2])


def _along_lines(cumulative: FloatArray, valid: BoolArray, bounds: FloatArray) -> FloatArray:
    """Return `cumulative` (instance, bound, bucket) with a count at every bound, from the valid ones around it.

    Above the highest valid bound nothing is known to lie below any bound; the lowest bucket begins
    at 0 if its bound is above 0, and holds nothing below its bound otherwise.
    """
    if valid.all():
        return cumulative
    size = len(bounds)
    index = np.arange(size)[None, :, None]
    before = np.maximum.accumulate(np.where(valid, index, -1), axis=1)
    after = np.minimum.accumulate(np.where(valid, index, size)[:, ::-1], axis=1)[:, ::-1]
    lower, upper = np.maximum(before, 0), np.minimum(after, size - 1)
    low = np.where(before >= 0, np.take_along_axis(cumulative, lower, axis=1), 0.0)
    high = np.take_along_axis(cumulative, upper, axis=1)
    low_bound = np.where(before >= 0, bounds[lower], np.minimum(0.0, bounds[upper]))
    width = bounds[upper] - low_bound
    share = (bounds[None, :, None] - low_bound) / np.where(width > 0, width, 1.0)
    line = low + (high - low) * np.where(width > 0, np.clip(share, 0.0, 1.0), 0.0)
    filled = np.where(valid, cumulative, np.where(after == size, low, line))
    return np.where(np.any(valid, axis=1, keepdims=True), filled, 0.0)


def combined(ufunc: np.ufunc, codes: IntArray, rows: NDArray[np.generic], size: int) -> FloatArray:
    """Return `size` rows: the `rows` of each code combined by `ufunc`, 0 where a code has none."""
    out = np.zeros((size, *rows.shape[1:]))
    if len(codes):
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(codes[order]) != 0])
        out[codes[order][starts]] = ufunc.reduceat(rows[order], starts, axis=0)
    return out
