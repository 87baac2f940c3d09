"""Long tables of samples as float32 matrices [entity, step] on an even grid of time steps.

A missing sample is NaN. Entities are in the order of their ids and steps in the order of time, so
the order of the rows read never matters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resources.partition import DAY_MS, Partition

HOUR_MS = 3_600_000
HOURS_PER_DAY = 24

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Grid:
    """`count` steps of `step_ms` from `start_ms` (milliseconds since the epoch); the end is not part of it."""

    start_ms: int
    step_ms: int
    count: int

    @classmethod
    def ending(cls, as_of_ms: int, days: int, step_ms: int = HOUR_MS) -> "Grid":
        """Return the `days` times 24 hours that end with the last whole hour before `as_of_ms`.

        All its blocks of 24 hours are whole, whatever the hour of `as_of_ms`: the hours of an
        unfinished day are never held against whole days.
        """
        end = as_of_ms // HOUR_MS * HOUR_MS
        return cls(end - days * HOURS_PER_DAY * HOUR_MS, step_ms, days * HOURS_PER_DAY * HOUR_MS // step_ms)

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.step_ms * self.count

    @property
    def steps_per_hour(self) -> int:
        return HOUR_MS // self.step_ms


def days_of(grid: Grid, partition: Partition) -> int:
    """Return how many days ending with the partition's hold the whole of `grid`: of an unfinished day one more."""
    return -((grid.start_ms - partition.end_ms) // DAY_MS)


def within(rows: pa.Table, grid: Grid) -> pa.Table:
    """Return the `rows` whose `ts` lies in `grid`: whole days that hold it hold what was before it, too."""
    ts = rows.column("ts").cast(pa.int64())
    inside = pc.and_(pc.greater_equal(ts, grid.start_ms), pc.less(ts, grid.end_ms))
    return rows if pc.all(inside).as_py() is not False else rows.filter(inside)


@dataclass(frozen=True)
class Cells:
    """Where each row of a long table lies: `cell` is entity x step count + step, -1 outside of the grid."""

    entities: tuple[str, ...]
    steps: int
    cell: NDArray[np.int64]


def entity_ids(keys: pa.ChunkedArray) -> tuple[str, ...]:
    """Return the distinct ids of a key column, sorted."""
    return tuple(sorted(value for value in pc.unique(keys.cast(pa.string())).to_pylist() if value is not None))


def locate(keys: pa.ChunkedArray, ts: pa.ChunkedArray, grid: Grid, entities: Sequence[str]) -> Cells:
    """Return where the rows with these `keys` and instants `ts` (millisecond timestamps) lie.

    Rows of entities that `entities` does not name, and of instants outside of `grid`, lie nowhere.
    """
    row = positions(keys, entities)
    instants = np.asarray(ts.cast(pa.int64()).combine_chunks(), dtype=np.int64)
    step = (instants - grid.start_ms) // grid.step_ms
    inside = (step >= 0) & (step < grid.count) & (row >= 0)
    return Cells(tuple(entities), grid.count, np.where(inside, row * grid.count + step, -1))


def positions(keys: pa.ChunkedArray, entities: Sequence[str]) -> NDArray[np.int64]:
    """Return each row's place in `entities`, -1 where its key is null or not among them."""
    encoded = keys if pa.types.is_dictionary(keys.type) else keys.dictionary_encode()
    whole = encoded.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        if whole.num_chunks == 0:
            return np.empty(0, np.int64)
        whole = whole.chunk(0)
    place = {name: position for position, name in enumerate(entities)}
    of_code = np.array([place.get(name, -1) for name in whole.dictionary.to_pylist()] + [-1], dtype=np.int64)
    codes: NDArray[np.int32] = np.asarray(whole.indices.fill_null(len(of_code) - 1))
    return of_code[codes]


def place(cells: Cells, values: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return `values`, one per row, as a matrix [entity, step]; NaN where there is no row or a null."""
    column = np.asarray(values.to_numpy(), dtype=np.float32)
    matrix = np.full((len(cells.entities), cells.steps), np.nan, dtype=np.float32)
    inside = cells.cell >= 0
    if inside.all():
        matrix.reshape(-1)[cells.cell] = column
    else:
        matrix.reshape(-1)[cells.cell[inside]] = column[inside]
    return matrix


def row_mean(values: Floats, minimum: int = 1) -> NDArray[np.float64]:
    """Return the means over the last axis, leaving out NaN; NaN where fewer than `minimum` values are there."""
    missing = np.isnan(values)
    counts = values.shape[-1] - np.count_nonzero(missing, axis=-1)
    filled = np.where(missing, values.dtype.type(0), values) if missing.any() else values
    total = np.sum(filled, axis=-1, dtype=np.float64)
    return np.where(counts >= max(minimum, 1), total / np.maximum(counts, 1), np.nan)


def row_max(values: Floats) -> NDArray[np.float64]:
    """Return the maxima over the last axis, leaving out NaN; NaN where no value is there."""
    highest = np.max(np.where(np.isnan(values), values.dtype.type(-np.inf), values), axis=-1, initial=-np.inf)
    return np.where(np.isneginf(highest), np.nan, highest).astype(np.float64)


def row_quantiles(values: Floats, shares: Sequence[float]) -> list[NDArray[np.float64]]:
    """Return the quantiles at `shares` over the last axis, leaving out NaN, with linear interpolation.

    NaN where no value is there. Rows without a gap are only partitioned, not sorted.
    """
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"shares are {list(shares)}; a quantile lies between 0 and 1")
    width = values.shape[-1]
    flat = values.reshape(-1, width)
    results = [np.full(len(flat), np.nan) for _ in shares]
    counts = width - np.count_nonzero(np.isnan(flat), axis=-1)
    whole = (counts == width) & (width > 0)
    if whole.any():
        rows = flat if whole.all() else flat[whole]
        lowest = [int(share * (width - 1)) for share in shares]
        ordered = np.partition(rows, sorted({at for low in lowest for at in (low, min(low + 1, width - 1))}), axis=-1)
        for result, share, low in zip(results, shares, lowest, strict=True):
            result[whole] = _between(ordered[:, low], ordered[:, min(low + 1, width - 1)], share * (width - 1) - low)
    gaps = ~whole & (counts > 0)
    if gaps.any():
        ordered = np.sort(flat[gaps], axis=-1)
        row, last = np.arange(len(ordered)), counts[gaps] - 1
        for result, share in zip(results, shares, strict=True):
            under = np.floor(share * last).astype(np.int64)
            over = np.minimum(under + 1, last)
            result[gaps] = _between(ordered[row, under], ordered[row, over], share * last - under)
    return [result.reshape(values.shape[:-1]) for result in results]


def row_quantile(values: Floats, share: float) -> NDArray[np.float64]:
    """Return the one quantile at `share`, as `row_quantiles` does."""
    return row_quantiles(values, (share,))[0]


def row_median(values: Floats) -> NDArray[np.float64]:
    """Return the medians over the last axis, leaving out NaN; NaN where no value is there."""
    return row_quantile(values, 0.5)


def _between(low: Floats, high: Floats, weight: Any) -> NDArray[np.float64]:
    """Return the value `weight` of the way; equal ends give just that end, so a flat row stays exactly flat."""
    below, above = low.astype(np.float64), high.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(below == above, below, below + weight * (above - below))
