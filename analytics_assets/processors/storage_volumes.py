"""What the volumes of a tenant's VMs hold and move, for `storage_utilization`."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from analytics_assets.kernels.gridding import LEAD_IN_MS, Gridded, grid
from analytics_assets.processors.sampled import FloatArray, without_start
from analytics_assets.processors.storage_measures import (
    Collected,
    Rows,
    Window,
    possible,
    used_columns,
)
from resources.monitoring.metrics import Kind
from resources.monitoring.source import MetricSource
from resources.partition import DAY_MS, Partition

USED = "novacron_vm_disk_usage_bytes"
TRAFFIC: dict[str, tuple[tuple[str, Kind], ...]] = {
    "read": (
        ("novacron_vm_disk_read_bytes_total", "counter"),
        ("novacron_vm_disk_read_bytes_per_second", "gauge"),
    ),
    "write": (
        ("novacron_vm_disk_write_bytes_total", "counter"),
        ("novacron_vm_disk_write_bytes_per_second", "gauge"),
    ),
}
"""By direction the metrics to read, best first: only a counter counts every byte.

From a counter's first value of the day on a rate is not read, as what the counter has of a later
bucket may be of this one as well.
"""


def collect_volumes(
    source: MetricSource, partition: Partition, resolution_seconds: int, minimum_hours: int
) -> Collected:
    """Return what was measured of the volumes of a tenant's VMs on a day."""
    found = Collected()
    window = Window(partition, resolution_seconds, source.sample_interval_seconds(partition.tenant))
    start_ms, end_ms, step_ms = partition.start_ms, partition.end_ms, resolution_seconds * 1000

    for batch in source.samples(partition.tenant, [USED], start_ms - DAY_MS, end_ms):
        whole = possible(batch)
        yesterday = grid(whole, "gauge", start_ms - DAY_MS, start_ms, step_ms, minimum=0)
        today = grid(whole, "gauge", start_ms, end_ms, step_ms, minimum=0)
        found.count(today)
        columns = used_columns(today, yesterday, resolution_seconds, minimum_hours)
        found.measures.append(window.measured("used", today, columns))

    pieces: dict[str, list[Gridded]] = {}
    kinds = {name: kind for metrics in TRAFFIC.values() for name, kind in metrics}
    for batch in source.samples(partition.tenant, list(kinds), start_ms - LEAD_IN_MS, end_ms):
        piece = grid(possible(batch), kinds[batch.metric], start_ms, end_ms, step_ms, minimum=0)
        pieces.setdefault(batch.metric, []).append(piece)
        found.count(piece)
        if kinds[batch.metric] == "counter":
            found.without_start += without_start(batch, piece, start_ms)
    for direction, metrics in TRAFFIC.items():
        told_from: dict[str, int] = {}
        for name, kind in metrics:
            measures = [window.traffic(direction, kind, piece).before(told_from) for piece in pieces.get(name, [])]
            for measure in measures:
                told_from |= measure.first_buckets()
            found.measures += measures
    found.notes += list(_notes(found))
    return found


def _notes(found: Collected) -> Iterator[str]:
    if not found.has("used", "read_throughput", "write_throughput"):
        yield "No volume of this tenant sent a sample on this day."
        return
    if not found.has("used"):
        yield f"There is no sample of {USED}: used space, its share and its growth are null."
    for direction, metrics in TRAFFIC.items():
        if not found.has(f"{direction}_throughput"):
            names = " or ".join(name for name, _ in metrics)
            yield f"There is no sample of {names}: what was {'read' if direction == 'read' else 'written'} is null."
    if found.suspect:
        yield (
            f"{found.suspect} counter(s) are running sums of totals, as NovaCron's exporter makes of a hypervisor's "
            "own totals; what was read and written is taken from the totals."
        )
    if found.without_start:
        yield (
            f"{found.without_start} counter(s) have no sample in the hour before midnight: they began within the day "
            "or after a silence of more than an hour, and what they counted before their first sample is in no day."
        )
    yield (
        "Operations per second, latency, deduplication and compression are measured of storage tiers only: "
        "they are null for volumes."
    )


def capacity_at(rows: Rows, ts: Iterable[int], inventory: pa.Table) -> FloatArray:
    """Return the disk size of each row's VM at its instant of `ts` (milliseconds), NaN where unknown.

    `inventory` has the columns `vm_id`, `valid_from` and `disk_bytes` of `vm_inventory`. A row
    replaces the one before it in all: from one without a size on the size is unknown, until the
    next. Before its first row a VM is as that says.
    """
    code = {name: number for number, name in enumerate(rows.entities)}
    owner = np.array([code.get(name, -1) for name in inventory.column("vm_id").to_pylist()], np.int64)
    since = np.asarray(inventory.column("valid_from").cast(pa.int64()).combine_chunks(), dtype=np.int64)
    size = inventory.column("disk_bytes").cast(pa.float64()).to_numpy(zero_copy_only=False)
    keep = np.flatnonzero(owner >= 0)
    keep = keep[np.lexsort((since[keep], owner[keep]))]
    owner, since, size = owner[keep], since[keep], size[keep]
    instant = np.asarray(ts, dtype=np.int64)
    if not len(owner) or not len(instant):
        return np.full(len(instant), np.nan)
    # One number that orders by VM and then by time; what was before the first instant asked for is as good as then.
    first, span = int(instant.min()), int(instant.max() - instant.min()) + 2
    keys = owner * span + np.clip(since - first, 0, span - 1)
    own_first = np.searchsorted(owner, rows.entity)
    at = np.searchsorted(keys, rows.entity * span + (instant - first), "right") - 1
    at = np.clip(np.maximum(at, own_first), 0, len(owner) - 1)
    return np.where(owner[at] == rows.entity, size[at], np.nan)
