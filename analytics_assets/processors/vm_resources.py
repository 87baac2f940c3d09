"""Answers: what did each VM use in each 5-minute bucket of the day?

Method: raw samples of every VM metric are put on the grid here (`kernels/gridding.py`): mean and
maximum of a gauge, rate of a counter. A bucket in which a VM sent nothing has no row; a metric it
did not send is null. Coverage counts samples against what a VM seen that day would send of the
metrics it has, at the metric's own interval.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.components import Component, NoParameters, Result, Workplace
from analytics_assets.kernels.gridding import LEAD_IN_MS, Gridded, grid, interval_seconds
from resources.lake.lake import Facts
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.monitoring.metrics import METRICS, VM_COLUMNS, VM_METRICS
from resources.partition import Partition

_ABOUT = {metric.column: (metric.description, metric.unit) for metric in VM_METRICS}


def measured_columns(statistics: dict[str, str]) -> tuple[Column, ...]:
    """Return the columns of every VM metric: one per statistic (suffix -> how it is made)."""
    return tuple(
        Column(
            f"{stem}_{suffix}",
            pa.float32(),
            f"{_ABOUT[stem][0][0].upper()}{_ABOUT[stem][0][1:]}: {how}",
            _ABOUT[stem][1],
            nullable=True,
            minimum=0,
        )
        for stem in VM_COLUMNS
        for suffix, how in statistics.items()
    )


VM_RESOURCES = Table(
    "vm_resources",
    "what one VM used in one bucket of the grid (5 minutes unless set otherwise)",
    (
        Column("vm_id", ENTITY, "VM"),
        Column("ts", TIMESTAMP, "Start of the bucket, UTC"),
        Column("node_id", ENTITY, "Node the VM ran on", nullable=True),
        *measured_columns({"mean": "mean over the bucket", "max": "highest sample in the bucket"}),
        Column("samples_seen", pa.int32(), "Samples of all metrics in the bucket", minimum=1),
        Column("samples_expected", pa.int32(), "Samples a complete bucket would have", minimum=1),
    ),
    primary_key=("vm_id", "ts"),
    measured=True,
)


@dataclass
class VmGrid:
    """Gridded pieces, gathered by metric until the day is complete."""

    pieces: dict[str, list[Gridded]] = field(default_factory=dict)
    vm_metrics: dict[str, set[str]] = field(default_factory=dict)

    def add(self, metric: str, piece: Gridded) -> None:
        self.pieces.setdefault(metric, []).append(piece)
        for index in np.unique(piece.entity):
            self.vm_metrics.setdefault(piece.entities[int(index)], set()).add(metric)

    def all_pieces(self) -> Iterator[Gridded]:
        for pieces in self.pieces.values():
            yield from pieces

    def of_column(self, stem: str) -> Iterator[Gridded]:
        """Yield the pieces that fill a column; a counter's before those of a rate some other series may have."""
        for metric in VM_METRICS:
            if metric.column == stem:
                yield from self.pieces.get(metric.name, [])

    def intervals(self, known_seconds: int | None) -> Mapping[str, int]:
        """Return the seconds between two samples by metric: what is known, else measured (0: one sample at most)."""
        return {metric: known_seconds or interval_seconds(pieces) for metric, pieces in self.pieces.items()}


def compute(workplace: Workplace, parameters: NoParameters) -> Result:
    """Collect the day's raw samples and put them on the grid."""
    partition, resolution_seconds = workplace.partition, workplace.resolution_seconds
    gathered = VmGrid()
    names = [metric.name for metric in VM_METRICS]
    start_ms, end_ms = partition.start_ms, partition.end_ms
    for batch in workplace.metrics.samples(partition.tenant, names, start_ms - LEAD_IN_MS, end_ms):
        kind = METRICS[batch.metric].kind
        gathered.add(batch.metric, grid(batch, kind, start_ms, end_ms, resolution_seconds * 1000, minimum=0))
    intervals = gathered.intervals(workplace.metrics.sample_interval_seconds(partition.tenant))
    facts = facts_of(gathered, partition, resolution_seconds, intervals)
    pieces = list(gathered.all_pieces())
    numbers = {
        "vms": len(gathered.vm_metrics),
        "late_samples": sum(piece.late for piece in pieces),
        "repeated_samples": sum(piece.repeated for piece in pieces),
        "not_finite_samples": sum(piece.not_finite for piece in pieces),
        "negative_samples": sum(piece.out_of_range for piece in pieces),
        "stale_markers": sum(piece.stale for piece in pieces),
        "frozen_twin_samples": sum(piece.frozen for piece in pieces),
        "doubtful_buckets": sum(int(piece.doubtful.sum()) for piece in pieces),
        "suspect_counters": sum(piece.suspect for piece in pieces),
    }
    del pieces
    return Result(to_table(gathered, partition, resolution_seconds, intervals), facts, numbers=numbers)


def to_table(gathered: VmGrid, partition: Partition, resolution_seconds: int, intervals: Mapping[str, int]) -> pa.Table:
    """Return the gathered pieces as one wide table: a row per VM and bucket that has any sample.

    The pieces are used up: a large tenant is not in memory twice.
    """
    vms = sorted(gathered.vm_metrics)
    code = {vm: number for number, vm in enumerate(vms)}
    buckets = 86_400 // resolution_seconds
    shape = len(vms) * buckets
    seen = np.zeros(shape, np.int32)
    nodes: list[str] = sorted({place for piece in gathered.all_pieces() for place in piece.places})
    node_code = {name: number for number, name in enumerate(nodes)}
    node = np.full(shape, -1, np.int32)
    columns: dict[str, NDArray[np.float32]] = {}
    for stem in VM_COLUMNS:
        mean, maximum = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        for piece in gathered.of_column(stem):
            codes = np.array([code.get(name, -1) for name in piece.entities], np.int64)
            cell = codes[piece.entity] * buckets + piece.bucket
            free = np.isnan(mean[cell])
            mean[cell[free]], maximum[cell[free]] = piece.mean[free], piece.maximum[free]
            seen[cell] += piece.samples  # a piece has each cell once
            places = np.array([node_code[name] for name in piece.places] or [-1], np.int32)
            unplaced = (node[cell] < 0) & (piece.place >= 0)
            node[cell[unplaced]] = places[piece.place[unplaced]]
        for metric in VM_METRICS:
            if metric.column == stem:
                gathered.pieces.pop(metric.name, None)
        columns[f"{stem}_mean"], columns[f"{stem}_max"] = mean, maximum
    # Of a metric with one sample only, one is expected.
    per_bucket = {
        metric: max(1, resolution_seconds // seconds) if seconds else 1 for metric, seconds in intervals.items()
    }
    expected = np.array([sum(per_bucket[metric] for metric in gathered.vm_metrics[vm]) for vm in vms] or [0], np.int32)
    row = np.flatnonzero(seen)
    vm, bucket = row // buckets, row % buckets
    arrays: dict[str, pa.Array] = {
        "vm_id": pa.DictionaryArray.from_arrays(pa.array(vm.astype(np.int32)), pa.array(vms, pa.string())),
        "ts": pa.array(partition.start_ms + bucket * resolution_seconds * 1000, pa.int64()).cast(TIMESTAMP),
        "node_id": pa.DictionaryArray.from_arrays(
            pa.array(node[row], mask=node[row] < 0), pa.array(nodes, pa.string())
        ),
    }
    for name in list(columns):
        arrays[name] = pa.array(columns.pop(name)[row], from_pandas=True)
    arrays["samples_seen"] = pa.array(seen[row])
    arrays["samples_expected"] = pa.array(expected[vm])
    return pa.table(arrays)


def facts_of(gathered: VmGrid, partition: Partition, resolution_seconds: int, intervals: Mapping[str, int]) -> Facts:
    """Return coverage and as_of: the day's end, or the end of the last bucket with samples while the day runs.

    A metric whose interval is not known, as of a single sample, is expected just as it was seen.
    """
    last = max((piece.last_ts_ms for piece in gathered.all_pieces()), default=-1)
    if last < 0:
        return Facts(as_of_ms=partition.end_ms, notes=("No VM of this tenant sent a sample on this day.",))
    resolution_ms = resolution_seconds * 1000
    bucket_end = partition.start_ms + ((last - partition.start_ms) // resolution_ms + 1) * resolution_ms
    as_of = min(partition.end_ms, bucket_end)
    seen = expected = suspect = 0
    for metric, pieces in gathered.pieces.items():
        samples = sum(int(piece.samples.sum()) for piece in pieces)
        vms = sum(metric in metrics for metrics in gathered.vm_metrics.values())
        seen += samples
        expected += vms * ((as_of - partition.start_ms) // 1000 // intervals[metric]) if intervals[metric] else samples
        suspect += sum(piece.suspect for piece in pieces)
    notes = (
        (
            f"{suspect} counter(s) are running sums of totals, as NovaCron's exporter makes of a hypervisor's own "
            "totals; their rates are taken from the totals.",
        )
        if suspect
        else ()
    )
    return Facts(as_of_ms=as_of, samples_seen=seen, samples_expected=expected, notes=notes)


COMPONENT = Component(
    name="vm_resources",
    stage="processors",
    title="VM resource collector",
    description="Collects the CPU, memory, disk and network use of a tenant's VMs and puts it on the grid: "
    "mean and maximum per bucket, counters as rates, gaps as gaps.",
    parameters=NoParameters,
    inputs=(),
    table=VM_RESOURCES,
    compute=compute,
    reads=("metrics",),
)
