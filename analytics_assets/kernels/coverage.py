"""How many of the samples that should be there are there, gaps without any row included.

An entity is expected to have sent samples at its own interval while it was there: from its first
sample to its last. A VM made at noon misses nothing, nor does one that was deleted then. But where
it begins with the first sample of all, or ends with the last of all, nobody can tell whether there
was nothing to measure or nobody who measured: then the whole of the window counts.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import Cells, Floats, place

IntArray = NDArray[np.int64]

TOGETHER_INTERVALS = 2
"""Entities whose first (last) samples are within so many intervals began (ended) together."""


@dataclass(frozen=True)
class SampleCounts:
    """Samples `seen` [entity, step] and `expected` [entity, step], 0 before an entity's first row."""

    seen: NDArray[np.float32]
    expected: NDArray[np.float32]

    def seen_where(self, present: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the samples seen per entity in the steps that are `present` [entity, step]."""
        return np.asarray(np.sum(self.seen, axis=1, dtype=np.float64, where=present), np.int64)

    @property
    def expected_per_entity(self) -> NDArray[np.int64]:
        return np.asarray(np.sum(self.expected, axis=1, dtype=np.float64), np.int64)


def sample_counts(cells: Cells, seen: pa.ChunkedArray, expected: pa.ChunkedArray) -> SampleCounts:
    """Return the counts of rows that lie in `cells`.

    A step without a row has no samples; from an entity's first row on, as many were expected there
    as in its best row: an entity that stopped reporting loses coverage, one that is new does not.
    """
    given = place(cells, expected)
    absent = np.isnan(given)
    if given.size:
        usual = np.max(np.where(absent, np.float32(0), given), axis=1, keepdims=True)
        alive = np.arange(cells.steps) >= np.argmax(~absent, axis=1)[:, None]
        given = np.where(absent, np.where(alive, usual, np.float32(0)), given)
    there = place(cells, seen)
    return SampleCounts(np.where(np.isnan(there), np.float32(0), there), given)


def coverage_of(seen: NDArray[np.int64], expected: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return seen over expected, at most 1; NaN where nothing was expected."""
    share = seen / np.maximum(expected, 1)
    return np.where(expected > 0, np.minimum(share, 1.0), np.nan)


def has_recent(values: Floats, steps: int) -> NDArray[np.bool_]:
    """Return per entity whether any of its last `steps` values is there."""
    return np.asarray((~np.isnan(values[:, -steps:])).any(axis=1))


def expected_samples(
    seen: IntArray,
    first_ms: IntArray,
    last_ms: IntArray,
    interval_ms: IntArray,
    window_ms: tuple[int, int],
    all_ms: tuple[int, int],
) -> IntArray:
    """Return how many samples of one metric each entity would have in `window_ms`, at least those `seen`.

    `first_ms`, `last_ms` and `interval_ms` are by entity (interval 0: not known, as of a single
    sample, which is expected just as it was seen); `all_ms` are the first and the last sample of
    anything in the window. An entity without a sample is expected to have none.
    """
    slack = TOGETHER_INTERVALS * interval_ms
    begin = np.where(first_ms <= all_ms[0] + slack, window_ms[0], first_ms)
    end = np.where(last_ms >= all_ms[1] - slack, window_ms[1], last_ms + interval_ms)
    known = (interval_ms > 0) & (seen > 0)
    count = np.rint((end - begin) / np.where(known, interval_ms, 1)).astype(np.int64)
    return np.maximum(np.where(known, count, 0), seen)
