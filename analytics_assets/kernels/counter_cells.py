"""Counters series by series on the grid: what each counted in each bucket, and over how much time.

Where `gridding.py` answers for entities, this keeps every series apart: the counters of one
histogram only mean something together, and only where they cover the same time. An increase is
taken as it is; it is never told from its course that a counter might be a running sum of totals.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.counters import GAP_INTERVALS
from analytics_assets.kernels.samples import OrderedSamples, in_order
from resources.monitoring.source import SeriesBatch

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

SAMPLES_AT_ONCE = 1_000_000
"""Samples that are read together; more would only move through memory."""

_SERIES = "series"


@dataclass(frozen=True)
class CounterCells:
    """By series and bucket: the increase, the milliseconds it took, samples, and if it spans a gap.

    Row `i` is the batch's series `i`. `interval_ms` is the median time between two samples of a
    series, 0 where there are not two. `flaws` counts samples: late, repeated, stale, not finite, negative.
    """

    increase: FloatArray
    covered_ms: FloatArray
    samples: IntArray
    doubtful: NDArray[np.bool_]
    interval_ms: IntArray
    last_ts_ms: int = -1
    flaws: Counter[str] = field(default_factory=Counter)

    @property
    def interval_seconds(self) -> int:
        """The median seconds between two samples of a series; 0 where no series has two."""
        known = self.interval_ms[self.interval_ms > 0]
        return max(1, round(float(np.median(known)) / 1000)) if len(known) else 0

    @classmethod
    def joined(cls, parts: Sequence["CounterCells"], buckets: int) -> "CounterCells":
        """Return the rows of `parts` one after another; `buckets` is the width where there are none."""
        parts = parts or [cls._empty(0, buckets)]
        return cls(
            np.concatenate([part.increase for part in parts]),
            np.concatenate([part.covered_ms for part in parts]),
            np.concatenate([part.samples for part in parts]),
            np.concatenate([part.doubtful for part in parts]),
            np.concatenate([part.interval_ms for part in parts]),
            max(part.last_ts_ms for part in parts),
            sum((part.flaws for part in parts), Counter()),
        )

    @classmethod
    def _empty(cls, series: int, buckets: int) -> "CounterCells":
        shape = (series, buckets)
        return cls(
            np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, bool),
            np.zeros(series, np.int64),
        )  # fmt: skip


def counter_cells(
    batch: SeriesBatch, start_ms: int, end_ms: int, resolution_ms: int, interval_seconds: int | None = None
) -> CounterCells:
    """Return what each series of `batch` counted in the buckets of `[start_ms, end_ms)`.

    Samples before `start_ms` only serve the first increase. A counter cannot be below zero, so such
    samples are none. A gap is more than two intervals: `interval_seconds`, or those of the series.
    """
    buckets = int(-(-(end_ms - start_ms) // resolution_ms))
    parts = [_read(part, start_ms, end_ms, resolution_ms, buckets, interval_seconds) for part in _in_parts(batch)]
    return CounterCells.joined(parts, buckets)


def _in_parts(batch: SeriesBatch) -> Iterator[SeriesBatch]:
    """Yield the series of `batch`, as many together as have `SAMPLES_AT_ONCE` samples, and at least one."""
    first = 0
    while first < len(batch.labels):
        stop = int(np.searchsorted(batch.offsets, batch.offsets[first] + SAMPLES_AT_ONCE, "right")) - 1
        stop = min(max(stop, first + 1), len(batch.labels))
        low, high = batch.offsets[first], batch.offsets[stop]
        yield replace(
            batch,
            # Their number is all that is needed of the labels, written so that its order as text is its order.
            labels=tuple({_SERIES: f"{number:09d}"} for number in range(stop - first)),
            offsets=batch.offsets[first : stop + 1] - low,
            ts_ms=batch.ts_ms[low:high],
            values=batch.values[low:high],
        )
        first = stop


def _read(
    batch: SeriesBatch, start_ms: int, end_ms: int, resolution_ms: int, buckets: int, interval_seconds: int | None
) -> CounterCells:
    samples = in_order(batch, start_ms, end_ms, _SERIES, "", minimum=0)
    flaws = Counter(
        late=samples.late,
        repeated=samples.repeated,
        stale=samples.stale,
        not_finite=samples.not_finite,
        negative=samples.out_of_range,
    )
    if not len(samples.ts_ms):
        return replace(CounterCells._empty(len(batch.labels), buckets), flaws=flaws)
    row = np.array([int(samples.entities[code]) for code in samples.entity], np.int64)
    return _placed(samples, row, len(batch.labels), start_ms, resolution_ms, buckets, interval_seconds, flaws)


def _placed(
    samples: OrderedSamples,
    row: IntArray,
    rows: int,
    start_ms: int,
    resolution_ms: int,
    buckets: int,
    interval_seconds: int | None,
    flaws: Counter[str],
) -> CounterCells:
    inside = samples.ts_ms >= start_ms
    cell = np.repeat(row * buckets, np.diff(samples.bounds)) + (samples.ts_ms - start_ms) // resolution_ms
    size = rows * buckets
    seen = np.bincount(cell[inside], minlength=size)

    follows = np.ones(len(cell), bool)
    follows[samples.bounds[:-1]] = False
    ends = np.flatnonzero(inside & follows)
    rise = samples.values[ends] - samples.values[ends - 1]
    rise = np.where(rise < 0, samples.values[ends], rise)
    step = samples.ts_ms[ends] - samples.ts_ms[ends - 1]
    cell = cell[ends]
    interval = samples.interval_ms if interval_seconds is None else np.full(len(row), interval_seconds * 1000)
    gap = step > GAP_INTERVALS * np.repeat(interval, np.diff(samples.bounds))[ends]
    doubtful = np.zeros(size, bool)
    doubtful[cell[gap]] = True
    interval_ms = np.zeros(rows, np.int64)
    interval_ms[row] = samples.interval_ms
    return CounterCells(
        _summed(cell, rise, size).reshape(rows, buckets),
        _summed(cell, step.astype(np.float64), size).reshape(rows, buckets),
        seen.reshape(rows, buckets),
        doubtful.reshape(rows, buckets),
        interval_ms,
        int(samples.ts_ms[inside].max()) if inside.any() else -1,
        flaws,
    )


def _summed(cell: IntArray, amount: FloatArray, size: int) -> FloatArray:
    """Return the sum of `amount` in each of `size` cells."""
    found: FloatArray = np.bincount(cell, amount, size).astype(np.float64, copy=False)
    return found
