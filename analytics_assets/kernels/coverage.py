"""How many of the samples that should be there are there, gaps without any row included."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import Cells, Floats, place


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
