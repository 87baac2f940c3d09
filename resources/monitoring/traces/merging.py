"""A day's stored rows and those that arrived for it, as one.

Files overlap: an export is appended to and imported again. A row that a file repeats from another
one is kept once. Rows that differ at one VM and instant are all kept, in order of arrival, and so
are equal ones within one file: which of them counts is for the gridding to decide.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resources.monitoring.traces.rows import ROWS
from resources.monitoring.traces.store import TRACE_SAMPLES

IntArray = NDArray[np.int64]

FILE = "file"
"""Column of arriving rows: a number that is the same for rows of one file."""

STORED = -1


def merge(stored: pa.Table | None, arrived: pa.Table) -> tuple[pa.Table, int]:
    """Return the rows to store, by `TRACE_SAMPLES`, and how many of `arrived` they have more than `stored`.

    Of a row that occurs in several files, and in the store, it keeps as many as the one that has
    most of it. So merging the same rows again adds nothing.
    """
    parts = [arrived.select([*ROWS.names, FILE])]
    before = 0
    if stored is not None:
        before = stored.num_rows
        origin = pa.array(np.full(before, STORED, np.int32))
        parts.insert(0, stored.select(ROWS.names).append_column(FILE, origin))
    rows = pa.concat_tables([part.replace_schema_metadata(None).cast(_PLAIN) for part in parts])
    rows = rows.unify_dictionaries().combine_chunks()
    vms, ts = _ranks(rows.column("vm_id")), np.asarray(rows.column("ts").cast(pa.int64()))
    order = np.lexsort((ts, vms))  # stable: rows of one instant stay in order of arrival
    starts = _starts(vms[order], ts[order])
    crowded = order[_sizes(starts, len(order)) > 1]
    if len(crowded):
        keep = np.ones(len(order), dtype=bool)
        keep[crowded[_repeats(rows.take(pa.array(crowded)))]] = False
        order = order[keep[order]]
        starts = _starts(vms[order], ts[order])
    rows = rows.take(pa.array(order)).drop_columns([FILE])
    copies = pa.array(_since_start(starts, len(order)), pa.int32())
    return rows.add_column(2, "copy", copies).select(TRACE_SAMPLES.column_names), len(order) - before


_PLAIN = pa.schema([*(pa.field(f.name, f.type) for f in ROWS), pa.field(FILE, pa.int32())])


def _repeats(rows: pa.Table) -> NDArray[np.bool_]:
    """Return which rows another file, earlier in order of arrival, has as often already."""
    keys = [_ranks(rows.column(name)) for name in ROWS.names]
    file = np.asarray(rows.column(FILE))
    order = np.lexsort((file, *keys))
    same = np.ones(max(0, len(order) - 1), dtype=bool)
    for key in keys:
        same &= key[order][1:] == key[order][:-1]
    content = np.empty(len(order), np.int64)
    content[order] = np.cumsum(np.r_[False, ~same])
    occurrence = np.empty(len(order), np.int64)
    occurrence[order] = _since_start(_starts(content[order], file[order]), len(order))
    order = np.lexsort((occurrence, content))
    repeated = np.ones(len(order), dtype=bool)
    repeated[order[_starts(content[order], occurrence[order])]] = False
    return repeated


def _ranks(column: pa.ChunkedArray) -> IntArray:
    """Return whole numbers that are equal where the values are; ids are in order of their text, null is lowest."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    if pa.types.is_dictionary(array.type):
        rank = np.empty(len(array.dictionary) + 1, np.int64)
        rank[np.asarray(pc.sort_indices(array.dictionary))] = np.arange(len(array.dictionary))
        rank[-1] = -1
        ranks: IntArray = rank[np.asarray(array.indices.fill_null(-1))]
        return ranks
    if pa.types.is_floating(array.type):
        return np.asarray(array.fill_null(-1.0)).view(np.int64)
    return np.asarray((array if pa.types.is_integer(array.type) else array.cast(pa.int64())).fill_null(-1))


def _starts(*keys: IntArray) -> IntArray:
    """Return where a run of equal keys begins."""
    new = np.ones(len(keys[0]), dtype=bool)
    if len(new) > 1:
        new[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.flatnonzero(new)


def _sizes(starts: IntArray, count: int) -> IntArray:
    """Return for each place how long its run is."""
    lengths = np.diff(np.r_[starts, count])
    return np.repeat(lengths, lengths)


def _since_start(starts: IntArray, count: int) -> IntArray:
    """Return for each place how far into its run it is."""
    return np.arange(count) - np.repeat(starts, np.diff(np.r_[starts, count]))
