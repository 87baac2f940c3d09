"""Answers: what did each VM use in each hour? This is what long windows read.

Method: the hour's buckets of `vm_resources`, equally weighted: mean of the means, highest maximum,
and the 95th percentile of the bucket means (linear between order statistics).
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.components import Component, Input, NoParameters, Result, Workplace
from analytics_assets.processors.vm_resources import measured_columns
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.monitoring.metrics import VM_COLUMNS

HOUR_MS = 3_600_000

_STATISTICS = {
    "mean": "mean over the hour",
    "max": "highest sample in the hour",
    "p95": "95th percentile of the hour's bucket means",
}

VM_RESOURCES_HOURLY = Table(
    "vm_resources_hourly",
    "what one VM used in one hour",
    (
        Column("vm_id", ENTITY, "VM"),
        Column("ts", TIMESTAMP, "Start of the hour, UTC"),
        Column("node_id", ENTITY, "Node the VM ran on at the end of the hour", nullable=True),
        *measured_columns(_STATISTICS),
        Column("samples_seen", pa.int32(), "Samples of all metrics in the hour", minimum=1),
        Column("samples_expected", pa.int32(), "Samples a complete hour would have", minimum=1),
    ),
    primary_key=("vm_id", "ts"),
    measured=True,
)


def compute(workplace: Workplace, parameters: NoParameters) -> Result:
    """Roll the day's buckets up to hours."""
    data = by_hour(workplace.read("samples"), workplace.resolution_seconds)
    # How it was collected is what the buckets say of it; this asset asked for nothing itself.
    facts = replace(workplace.facts_of("samples"), recipe=None)
    return Result(data, facts, numbers={"vms": len(data.column("vm_id").unique())})


def by_hour(buckets: pa.Table, resolution_seconds: int) -> pa.Table:
    """Return one row per VM and hour that has any bucket; `buckets` has the columns of `vm_resources`, in its order."""
    if not buckets.num_rows:
        return VM_RESOURCES_HOURLY.empty()
    vm_ids = buckets.column("vm_id").combine_chunks()
    vm = np.asarray(vm_ids.indices).astype(np.int64)
    ts = np.asarray(buckets.column("ts").cast(pa.int64()))
    hour = ts // HOUR_MS
    first = np.flatnonzero(np.r_[True, (vm[1:] != vm[:-1]) | (hour[1:] != hour[:-1])])
    last = np.r_[first[1:], len(vm)] - 1
    row = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(vm)]))
    slots = 3600 // resolution_seconds
    slot = (ts % HOUR_MS) // (resolution_seconds * 1000)
    node_ids = buckets.column("node_id").combine_chunks()
    seen = np.asarray(buckets.column("samples_seen"))
    per_bucket = np.asarray(buckets.column("samples_expected"))
    arrays = {
        "vm_id": vm_ids.take(pa.array(first)),
        "ts": pa.array(hour[first] * HOUR_MS).cast(TIMESTAMP),
        "node_id": node_ids.take(pa.array(last)),
    }
    for stem in VM_COLUMNS:
        means = _by_slot(buckets, f"{stem}_mean", row, slot, (len(first), slots))
        peaks = _by_slot(buckets, f"{stem}_max", row, slot, (len(first), slots))
        count = np.count_nonzero(~np.isnan(means), axis=1)
        total = np.where(np.isnan(means), 0, means).sum(axis=1, dtype=np.float64)
        mean = np.divide(total, count, out=np.full(len(first), np.nan), where=count > 0)
        peak = np.where(np.isnan(peaks), -np.inf, peaks).max(axis=1)
        arrays[f"{stem}_mean"] = pa.array(mean.astype(np.float32), from_pandas=True)
        arrays[f"{stem}_max"] = pa.array(np.where(count > 0, peak, np.nan).astype(np.float32), from_pandas=True)
        arrays[f"{stem}_p95"] = pa.array(percentile(means, count, 0.95).astype(np.float32), from_pandas=True)
    arrays["samples_seen"] = pa.array(np.add.reduceat(seen, first).astype(np.int32))
    arrays["samples_expected"] = pa.array((per_bucket[first] * slots).astype(np.int32))
    return pa.table(arrays)


def percentile(values: NDArray[np.float32], count: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    """Return the quantile of each row of `values`, whose first-sorted `count` entries are not NaN; NaN where none."""
    ordered = np.sort(values, axis=1)
    rank = np.maximum(count - 1, 0) * share
    low = np.floor(rank).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    lines = np.arange(len(values))
    below, above = ordered[lines, low].astype(np.float64), ordered[lines, high].astype(np.float64)
    return below + (above - below) * (rank - low)


def _by_slot(
    table: pa.Table, column: str, row: NDArray[np.int64], slot: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.float32]:
    spread = np.full(shape, np.nan, np.float32)
    spread[row, slot] = table.column(column).to_numpy(zero_copy_only=False)
    return spread


COMPONENT = Component(
    name="vm_resources_hourly",
    stage="processors",
    title="Hourly VM resources",
    description="Rolls the 5-minute grid up to hours: mean, maximum and 95th percentile of every VM metric.",
    parameters=NoParameters,
    inputs=(Input("samples", ("vm_resources",), "the 5-minute grid"),),
    table=VM_RESOURCES_HOURLY,
    compute=compute,
)
