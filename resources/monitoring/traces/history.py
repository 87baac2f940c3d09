"""What follows from all samples of a tenant: when each VM had which size, and how often it was measured.

Derived anew after each import, day by day, so that it is the same however the samples came in.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resources.lake.table import TIMESTAMP
from resources.monitoring.traces.rows import SIZES, TEXTS
from resources.monitoring.traces.store import TRACE_INVENTORY, TRACE_SAMPLES
from resources.partition import DAY_MS

STATED = (*TEXTS, *SIZES)
COLUMNS = ("vm_id", "ts", *STATED)

IntArray = NDArray[np.int64]


def derive(days: Iterable[pa.Table]) -> tuple[pa.Table, int, int]:
    """Return the inventory by `TRACE_INVENTORY`, the number of VMs, and the median step in seconds.

    `days` are the samples' `COLUMNS`, oldest day first, each in order of VM and time. A size or
    place that a row does not state holds on from the row before. A VM that was measured once has
    no step; where none has a step, the answer is a day.
    """
    changes: list[pa.Table] = []
    steps: Counter[int] = Counter()
    last: pa.Table | None = None
    for rows in days:
        moments, is_new = _moments(rows, last)
        vms, ts = _codes(moments.column("vm_id")), _ms(moments)
        begins = _begins(vms)
        gaps = np.diff(ts)[~begins[1:]]
        steps.update(dict(zip(*map(np.ndarray.tolist, np.unique(gaps, return_counts=True)), strict=True)))
        stated = [_codes(moments.column(name)) for name in STATED]
        differs = begins.copy()
        for codes in stated:
            differs[1:] |= codes[1:] != codes[:-1]
        changes.append(moments.filter(pa.array(differs & is_new)))
        ends = np.r_[begins[1:], True] if len(begins) else begins
        last = moments.filter(pa.array(ends))
    if last is None:
        return TRACE_INVENTORY.empty(), 0, DAY_MS // 1000
    return _inventory(pa.concat_tables(changes), last), last.num_rows, _median_seconds(steps)


def _moments(rows: pa.Table, last: pa.Table | None) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Return one row for each VM and instant with what is known then, and which of them are of `rows`.

    `last` are the last moments of the days before; they come first, so that what they say holds on.
    """
    rows = rows.replace_schema_metadata(None).select(list(COLUMNS)).cast(_PLAIN)
    count = 0 if last is None else last.num_rows
    everything = pa.concat_tables([rows] if last is None else [last, rows]).unify_dictionaries().combine_chunks()
    vms, ts = _codes(everything.column("vm_id")), _ms(everything)
    order = np.lexsort((ts, vms))
    vms, ts = vms[order], ts[order]
    begins = np.maximum.accumulate(np.where(_begins(vms), np.arange(len(vms)), 0))
    columns = {}
    for name in STATED:
        known = np.asarray(everything.column(name).is_valid())[order]
        source = np.maximum.accumulate(np.where(known, np.arange(len(vms)), -1))
        held = source >= begins
        columns[name] = everything.column(name).take(pa.array(order[source], mask=~held))
    # Of several rows at one instant the last to arrive counts, as it does for the values.
    latest = np.r_[(vms[1:] != vms[:-1]) | (ts[1:] != ts[:-1]), True] if len(vms) else np.ones(0, dtype=bool)
    columns["vm_id"] = everything.column("vm_id").take(pa.array(order))
    columns["ts"] = everything.column("ts").take(pa.array(order))
    moments = pa.table({name: columns[name] for name in COLUMNS}).filter(pa.array(latest))
    return moments, (order >= count)[latest]


_PLAIN = pa.schema([(name, TRACE_SAMPLES.column(name).type) for name in COLUMNS])


def _inventory(changes: pa.Table, last: pa.Table) -> pa.Table:
    seen = dict(zip(last.column("vm_id").to_pylist(), _ms(last).tolist(), strict=True))
    vms = changes.column("vm_id").to_pylist()
    off = pc.equal(changes.column("vcpus"), 0).fill_null(False)
    return pa.table(
        {
            "vm_id": pa.array(vms, pa.string()),
            "valid_from": changes.column("ts"),
            "last_seen": pa.array([seen[vm] for vm in vms], pa.int64()).cast(TIMESTAMP),
            **{name: changes.column(name) for name in TEXTS},
            "vcpus": changes.column("vcpus"),
            "memory_bytes": changes.column("memory_capacity_bytes"),
            "disk_bytes": changes.column("disk_capacity_bytes"),
            "state": pc.if_else(off, "stopped", "running"),
        }
    )


def _median_seconds(steps: Counter[int]) -> int:
    """Return the median of the steps, which are in milliseconds, as whole seconds, at least one."""
    if not steps:
        return DAY_MS // 1000
    lengths = sorted(steps)
    reached = np.cumsum([steps[length] for length in lengths])
    total = int(reached[-1])
    low, high = (lengths[int(np.searchsorted(reached, place + 1))] for place in ((total - 1) // 2, total // 2))
    return max(1, round((low + high) / 2000))


def _ms(rows: pa.Table) -> IntArray:
    return np.asarray(rows.column("ts").cast(pa.int64()).combine_chunks())


def _codes(column: pa.ChunkedArray) -> IntArray:
    """Return a number for each value, equal for equal ones; null is -1."""
    array = column.combine_chunks()
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    if isinstance(array, pa.ChunkedArray):
        array = array.unify_dictionaries().chunk(0)
    return np.asarray(array.indices.fill_null(-1)).astype(np.int64)


def _begins(codes: IntArray) -> NDArray[np.bool_]:
    """Return where a run of equal codes begins."""
    begins = np.ones(len(codes), dtype=bool)
    begins[1:] = codes[1:] != codes[:-1]
    return begins
