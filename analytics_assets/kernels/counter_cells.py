"""Counters series by series on the grid: what each counted in each bucket, and over how much time.

Where `gridding.py` answers for entities, this keeps every series apart: the counters of one
histogram only mean something together, and only where they cover the same time. An increase is
taken as it is; it is never told from its course that a counter might be a running sum of totals.

The counters of a family begin again together, when their process does. One that is soon beyond its
old value does not show it, so a fall of any of them is a beginning for all whose increase spans it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analytics_assets.kernels.counters import GAP_INTERVALS
from analytics_assets.kernels.gridding import LARGEST
from analytics_assets.kernels.samples import BoolArray, FloatArray, IntArray, OrderedSamples, in_order
from resources.monitoring.source import SeriesBatch

SAMPLES_AT_ONCE = 1_000_000
"""Samples that are read together; more would only move through memory."""

_SERIES = "series"

_SPAN = 1 << 41
"""More milliseconds than lie between two samples of a series, so that series and time make one number."""


@dataclass(frozen=True)
class Falls:
    """When counters began again: by fall the family, the time of the last sample before and that of the first after."""

    family: IntArray
    before_ms: IntArray
    after_ms: IntArray

    @classmethod
    def joined(cls, parts: Sequence["Falls"]) -> "Falls":
        """Return the falls of all `parts`, each once."""
        if not parts:
            return cls(*np.zeros((3, 0), np.int64))
        rows = [np.concatenate([getattr(part, name) for part in parts]) for name in ("family", "before_ms", "after_ms")]
        return cls(*np.unique(np.stack(rows), axis=1))

    def as_set(self) -> set[tuple[int, int, int]]:
        """Return the falls as tuples of family, time before and time after."""
        return set(zip(self.family.tolist(), self.before_ms.tolist(), self.after_ms.tolist(), strict=True))


@dataclass(frozen=True)
class CounterCells:
    """By series and bucket: the increase, the milliseconds it took, samples, if it spans a gap, and the last value.

    Row `i` is the batch's series `series[i]`. `last` is NaN in a bucket without a sample. By series:
    `interval_ms` is the median time between two samples, 0 where there are not two, `first_ms` and
    `last_ms` are when the first and the last sample of the window were taken, -1 without any.
    `flaws` counts samples: late, repeated, stale, not finite, refused (negative or beyond
    `gridding.LARGEST`). `falls` are those that were known or found.
    """

    series: IntArray
    increase: FloatArray
    covered_ms: FloatArray
    samples: IntArray
    doubtful: BoolArray
    last: FloatArray
    interval_ms: IntArray
    first_ms: IntArray
    last_ms: IntArray
    flaws: Counter[str] = field(default_factory=Counter)
    falls: Falls = field(default_factory=lambda: Falls.joined([]))

    @property
    def last_ts_ms(self) -> int:
        """When the last sample of all was taken; -1 without any."""
        return int(self.last_ms.max(initial=-1))

    @classmethod
    def joined(cls, parts: Sequence["CounterCells"], buckets: int) -> "CounterCells":
        """Return the rows of `parts` one after another; `buckets` is the width where there are none."""
        parts = parts or [cls._empty(np.zeros(0, np.int64), buckets)]
        return cls(
            np.concatenate([part.series for part in parts]),
            np.concatenate([part.increase for part in parts]),
            np.concatenate([part.covered_ms for part in parts]),
            np.concatenate([part.samples for part in parts]),
            np.concatenate([part.doubtful for part in parts]),
            np.concatenate([part.last for part in parts]),
            np.concatenate([part.interval_ms for part in parts]),
            np.concatenate([part.first_ms for part in parts]),
            np.concatenate([part.last_ms for part in parts]),
            sum((part.flaws for part in parts), Counter()),
            Falls.joined([part.falls for part in parts]),
        )

    @classmethod
    def _empty(cls, series: IntArray, buckets: int) -> "CounterCells":
        shape = (len(series), buckets)
        return cls(
            series, np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, bool),
            np.full(shape, np.nan), np.zeros(len(series), np.int64), *np.full((2, len(series)), -1, np.int64),
        )  # fmt: skip


def counter_cells(
    batch: SeriesBatch,
    families: Sequence[int],
    start_ms: int,
    end_ms: int,
    resolution_ms: int,
    interval_seconds: int | None = None,
    known: Falls | None = None,
) -> CounterCells:
    """Return what each series of `batch` counted in the buckets of `[start_ms, end_ms)`.

    `families` numbers the family of each series, and `known` are falls of other series of these.
    Samples before `start_ms` only serve the first increase. A counter cannot be below zero, nor did
    it count more than `gridding.LARGEST`, so such samples are none. A gap is more than two
    intervals: `interval_seconds`, or those of the series.
    """
    buckets = int(-(-(end_ms - start_ms) // resolution_ms))
    family = np.array(families, np.int64)
    known = known or Falls.joined([])
    parts = [
        _read(batch, chosen, family[chosen], known, start_ms, end_ms, resolution_ms, buckets, interval_seconds)
        for chosen in _in_parts(batch, family)
    ]
    return CounterCells.joined(parts, buckets)


def _in_parts(batch: SeriesBatch, family: IntArray) -> Iterator[IntArray]:
    """Yield the series of whole families, as many together as have `SAMPLES_AT_ONCE` samples, and at least one."""
    order = np.argsort(family, kind="stable")
    edges = np.r_[np.flatnonzero(np.diff(family[order], prepend=-1)), len(order)]
    before = np.r_[0, np.cumsum(np.diff(batch.offsets)[order])][edges]
    first = 0
    while first < len(edges) - 1:
        stop = max(first + 1, int(np.searchsorted(before, before[first] + SAMPLES_AT_ONCE, "right")) - 1)
        yield order[edges[first] : edges[stop]]
        first = stop


def _picked(batch: SeriesBatch, chosen: IntArray) -> SeriesBatch:
    """Return the series `chosen`, in that order, each named by its place there."""
    sizes = np.diff(batch.offsets)[chosen]
    offsets = np.r_[0, np.cumsum(sizes)].astype(np.int64)
    if np.all(np.diff(chosen) == 1):
        span = slice(int(batch.offsets[chosen[0]]), int(batch.offsets[chosen[-1] + 1]))
        ts_ms, values = batch.ts_ms[span], batch.values[span]
    else:
        at = np.repeat(batch.offsets[chosen] - offsets[:-1], sizes) + np.arange(offsets[-1])
        ts_ms, values = batch.ts_ms[at], batch.values[at]
    # Their number is all that is needed of the labels, written so that its order as text is its order.
    labels = tuple({_SERIES: f"{number:09d}"} for number in range(len(chosen)))
    return replace(batch, labels=labels, offsets=offsets, ts_ms=ts_ms, values=values)


def _read(
    batch: SeriesBatch,
    chosen: IntArray,
    family: IntArray,
    known: Falls,
    start_ms: int,
    end_ms: int,
    resolution_ms: int,
    buckets: int,
    interval_seconds: int | None,
) -> CounterCells:
    samples = in_order(_picked(batch, chosen), start_ms, end_ms, _SERIES, "", minimum=0, maximum=LARGEST)
    flaws = Counter(
        late=samples.late,
        repeated=samples.repeated,
        stale=samples.stale,
        not_finite=samples.not_finite,
        refused=samples.out_of_range,
    )
    if not len(samples.ts_ms):
        return replace(CounterCells._empty(chosen, buckets), flaws=flaws, falls=known)
    row = np.array([int(samples.entities[code]) for code in samples.entity], np.int64)
    falls = Falls.joined([known, _falls(samples, family[row])])
    amount = _increases(samples, family[row], falls)
    found = _placed(samples, amount, row, chosen, start_ms, resolution_ms, buckets, interval_seconds)
    return replace(found, flaws=flaws, falls=falls)


def _falls(samples: OrderedSamples, family: IntArray) -> Falls:
    """Return the falls of these series; `family` is by series."""
    fallen = samples.values[1:] < samples.values[:-1]
    fallen[samples.bounds[1:-1] - 1] = False
    before = np.flatnonzero(fallen)
    series = np.searchsorted(samples.bounds, before, "right") - 1
    return Falls.joined([Falls(family[series], samples.ts_ms[before], samples.ts_ms[before + 1])])


def _increases(samples: OrderedSamples, family: IntArray, falls: Falls) -> FloatArray:
    """Return by sample the increase since the one before, 0 for a series' first; `family` is by series and rises."""
    amount = np.diff(samples.values, prepend=0.0)
    amount[samples.bounds[:-1]] = 0.0
    if not len(falls.family):
        return amount
    # Every fall with every series of its family: few, as exporters seldom restart.
    first, stop = np.searchsorted(family, falls.family), np.searchsorted(family, falls.family, "right")
    sizes = stop - first
    series = np.repeat(first - np.r_[0, np.cumsum(sizes)[:-1]], sizes) + np.arange(int(sizes.sum()))
    before, after = np.repeat(falls.before_ms, sizes), np.repeat(falls.after_ms, sizes)
    origin = min(int(samples.ts_ms.min()), int(falls.before_ms.min()))
    key = np.repeat(np.arange(len(family)) * _SPAN, np.diff(samples.bounds)) + (samples.ts_ms - origin)
    at = np.searchsorted(key, series * _SPAN + (after - origin))
    inside = (at > samples.bounds[series]) & (at < samples.bounds[series + 1])
    spans = inside & (samples.ts_ms[np.maximum(at - 1, 0)] <= before)
    amount[at[spans]] = samples.values[at[spans]]
    return amount


def _placed(
    samples: OrderedSamples,
    amount: FloatArray,
    row: IntArray,
    series: IntArray,
    start_ms: int,
    resolution_ms: int,
    buckets: int,
    interval_seconds: int | None,
) -> CounterCells:
    inside = samples.ts_ms >= start_ms
    cell = np.repeat(row * buckets, np.diff(samples.bounds)) + (samples.ts_ms - start_ms) // resolution_ms
    rows = len(series)
    size = rows * buckets
    seen = np.bincount(cell[inside], minlength=size)
    last = np.full(size, np.nan)
    last[cell[inside]] = samples.values[inside]  # of several assigned to one cell the last one stays
    first_ms, last_ms = _ends(samples, row, rows, start_ms)

    follows = np.ones(len(cell), bool)
    follows[samples.bounds[:-1]] = False
    ends = np.flatnonzero(inside & follows)
    step = samples.ts_ms[ends] - samples.ts_ms[ends - 1]
    cell = cell[ends]
    interval = samples.interval_ms if interval_seconds is None else np.full(len(row), interval_seconds * 1000)
    gap = step > GAP_INTERVALS * np.repeat(interval, np.diff(samples.bounds))[ends]
    doubtful = np.zeros(size, bool)
    doubtful[cell[gap]] = True
    interval_ms = np.zeros(rows, np.int64)
    interval_ms[row] = samples.interval_ms
    return CounterCells(
        series,
        _summed(cell, amount[ends], size).reshape(rows, buckets),
        _summed(cell, step.astype(np.float64), size).reshape(rows, buckets),
        seen.reshape(rows, buckets),
        doubtful.reshape(rows, buckets),
        last.reshape(rows, buckets),
        interval_ms,
        first_ms,
        last_ms,
    )


def _ends(samples: OrderedSamples, row: IntArray, rows: int, start_ms: int) -> tuple[IntArray, IntArray]:
    """Return by row when the first and the last sample from `start_ms` on was taken, -1 without any."""
    before = np.r_[0, np.cumsum(samples.ts_ms < start_ms)]
    first_at = samples.bounds[:-1] + np.diff(before[samples.bounds])
    some = first_at < samples.bounds[1:]
    first, last = np.full((2, rows), -1, np.int64)
    first[row[some]] = samples.ts_ms[first_at[some]]
    last[row[some]] = samples.ts_ms[samples.bounds[1:][some] - 1]
    return first, last


def _summed(cell: IntArray, amount: FloatArray, size: int) -> FloatArray:
    """Return the sum of `amount` in each of `size` cells."""
    found: FloatArray = np.bincount(cell, amount, size).astype(np.float64, copy=False)
    return found
