"""Answers: what did each VM use in each 5-minute bucket of the day?

Method: raw samples of every VM metric are put on the grid here (`kernels/gridding.py`): mean and
maximum of a gauge, rate of a counter. A bucket in which a VM sent nothing has no row; a metric it
did not send is null. Coverage counts samples against what each VM would have sent of each of its
metrics, at its own interval, while it was there (`kernels/coverage.py`).

A VM of which nothing at all changes stands still, or is gone while its exporter goes on showing what
it had last: nobody can tell from samples. Such VMs are counted and named, and stay in the table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.components import Component, NoParameters, Result, Workplace
from analytics_assets.kernels.coverage import IntArray, Presence, expected_together, presence
from analytics_assets.kernels.gridding import LEAD_IN_MS, Gridded, grid
from analytics_assets.processors.vm_inventory import named
from resources.lake.lake import Facts
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.monitoring.metrics import METRICS, VM_COLUMNS, VM_METRICS, Kind
from resources.partition import Partition

FROZEN_SAMPLES, FROZEN_MS, FROZEN_METRICS = 24, 2 * 3_600_000, 2
"""Of a VM that stands still: samples of each metric at least, time from the first to the last, and metrics."""

CPU = VM_METRICS[0].name

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

    def add(self, metric: str, piece: Gridded) -> None:
        self.pieces.setdefault(metric, []).append(piece)

    def all_pieces(self) -> Iterator[Gridded]:
        for pieces in self.pieces.values():
            yield from pieces

    def of_column(self, stem: str) -> Iterator[Gridded]:
        """Yield the pieces that fill a column; a counter's before those of a rate some other series may have."""
        for metric in VM_METRICS:
            if metric.column == stem:
                yield from self.pieces.get(metric.name, [])


@dataclass(frozen=True)
class VmCounts:
    """The VMs that have a row, sorted, and what their samples are counted against.

    `in_bucket` are the samples of all its metrics that a complete bucket of a VM has. `frozen` are
    the VMs of which nothing ever changed.
    """

    vms: tuple[str, ...]
    in_bucket: IntArray
    seen: int
    expected: int
    frozen: tuple[str, ...]


def compute(workplace: Workplace, parameters: NoParameters) -> Result:
    """Collect the day's raw samples and put them on the grid."""
    partition, resolution_seconds, metrics = workplace.partition, workplace.resolution_seconds, workplace.metrics
    gathered = VmGrid()
    names = [metric.name for metric in VM_METRICS]
    start_ms, end_ms = partition.start_ms, partition.end_ms
    places: dict[str, str] = {}
    for batch in metrics.samples(partition.tenant, names, start_ms - LEAD_IN_MS, end_ms):
        kind = METRICS[batch.metric].kind
        piece = grid(batch, kind, start_ms, end_ms, resolution_seconds * 1000, minimum=0, places=places)
        gathered.add(batch.metric, piece)
        if batch.metric == CPU:  # which never stands still, and comes before the others of its VMs
            places.update(last_places(piece))
    is_over = metrics.has_passed(partition.tenant, end_ms)
    known = metrics.sample_interval_seconds(partition.tenant)
    counts = counts_of(gathered, partition, resolution_seconds * 1000, known, is_over)
    pieces = list(gathered.all_pieces())
    numbers = {
        "vms": len(counts.vms),
        "late_samples": sum(piece.late for piece in pieces),
        "repeated_samples": sum(piece.repeated for piece in pieces),
        "not_finite_samples": sum(piece.not_finite for piece in pieces),
        "negative_samples": sum(piece.out_of_range for piece in pieces),
        "stale_markers": sum(piece.stale for piece in pieces),
        "frozen_twin_samples": sum(piece.frozen for piece in pieces),
        "frozen_vms": len(counts.frozen),
        "doubtful_buckets": sum(int(piece.doubtful.sum()) for piece in pieces),
        "suspect_counters": sum(piece.suspect for piece in pieces),
        "undecided_counters": sum(piece.undecided for piece in pieces),
    }
    last_ms = max((piece.last_ts_ms for piece in pieces), default=-1)
    facts = Facts(as_of_ms=partition.end_ms, notes=("No VM of this tenant sent a sample on this day.",))
    if last_ms >= 0:
        facts = Facts(
            as_of_ms=partition.end_ms if is_over else bucket_end(last_ms, partition, resolution_seconds * 1000),
            samples_seen=counts.seen,
            samples_expected=counts.expected,
            notes=tuple(_notes(numbers, counts.frozen)),
        )
    del pieces
    return Result(to_table(gathered, counts, partition, resolution_seconds), facts, numbers=numbers)


def last_places(piece: Gridded) -> dict[str, str]:
    """Return where each entity was in its last bucket, of those that say so."""
    last = np.flatnonzero(np.diff(piece.entity, append=-1))
    last = last[piece.place[last] >= 0]
    pairs = zip(piece.entity[last].tolist(), piece.place[last].tolist(), strict=True)
    return {piece.entities[entity]: piece.places[place] for entity, place in pairs}


def to_table(gathered: VmGrid, counts: VmCounts, partition: Partition, resolution_seconds: int) -> pa.Table:
    """Return the gathered pieces as one wide table: a row per VM and bucket that has any sample.

    The pieces are used up: a large tenant is not in memory twice.
    """
    code = {vm: number for number, vm in enumerate(counts.vms)}
    buckets = 86_400 // resolution_seconds
    shape = len(counts.vms) * buckets
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
    row = np.flatnonzero(seen)
    vm, bucket = row // buckets, row % buckets
    arrays: dict[str, pa.Array] = {
        "vm_id": pa.DictionaryArray.from_arrays(pa.array(vm.astype(np.int32)), pa.array(counts.vms, pa.string())),
        "ts": pa.array(partition.start_ms + bucket * resolution_seconds * 1000, pa.int64()).cast(TIMESTAMP),
        "node_id": pa.DictionaryArray.from_arrays(
            pa.array(node[row], mask=node[row] < 0), pa.array(nodes, pa.string())
        ),
    }
    for name in list(columns):
        arrays[name] = pa.array(columns.pop(name)[row], from_pandas=True)
    arrays["samples_seen"] = pa.array(seen[row])
    arrays["samples_expected"] = pa.array(counts.in_bucket.astype(np.int32)[vm])
    return pa.table(arrays)


def counts_of(
    gathered: VmGrid, partition: Partition, resolution_ms: int, known_seconds: int | None, is_over: bool
) -> VmCounts:
    """Return the VMs and what their samples count; of a day that is not over, up to the last sample of all."""
    pieces = [(METRICS[metric], piece) for metric, parts in gathered.pieces.items() for piece in parts]
    vms = sorted({piece.entities[number] for _, piece in pieces for number in np.unique(piece.entity)})
    code = {vm: number for number, vm in enumerate(vms)}
    node_code = {name: number for number, name in enumerate({name for _, piece in pieces for name in piece.places})}
    last_ms = max((piece.last_ts_ms for _, piece in pieces), default=-1)
    own_last, node, in_bucket, metrics, still = np.zeros((5, len(vms)), np.int64)
    has_cpu = np.zeros(len(vms), bool)
    parts: list[tuple[IntArray, Presence]] = []
    for metric, piece in pieces:
        whole = presence(piece, partition.start_ms, resolution_ms, known_seconds)
        there = np.flatnonzero(whole.seen)
        codes = np.array([code[piece.entities[number]] for number in there], np.int64)
        own = Presence(whole.seen[there], whole.first_ms[there], whole.last_ms[there], whole.interval_ms[there])
        parts.append((codes, own))
        places = np.array([*(node_code[name] for name in piece.places), -1], np.int64)
        later = own.last_ms > own_last[codes]
        node[codes[later]] = places[piece.place[np.flatnonzero(np.diff(piece.entity, append=-1))]][later]
        own_last[codes] = np.maximum(own_last[codes], own.last_ms)
        in_bucket[codes] += own.in_bucket(resolution_ms)
        metrics[codes] += 1
        long = (own.seen >= FROZEN_SAMPLES) & (own.last_ms - own.first_ms >= FROZEN_MS)
        still[codes] += long & unchanged(piece, metric.kind)[there]
        has_cpu[codes] |= metric.column == "cpu_percent"
    window_ms = partition.start_ms, partition.end_ms if is_over else last_ms + 1
    seen, expected = sum(int(own.seen.sum()) for _, own in parts), int(expected_together(parts, window_ms, node).sum())
    frozen = np.flatnonzero((still == metrics) & (metrics >= FROZEN_METRICS) & has_cpu)
    return VmCounts(tuple(vms), in_bucket, seen, expected, tuple(vms[number] for number in frozen))


def unchanged(piece: Gridded, kind: Kind) -> NDArray[np.bool_]:
    """Return the entities whose samples in all buckets have one value, or whose counter counted nothing."""
    moves = piece.total != 0
    if kind == "gauge":
        first = np.flatnonzero(np.diff(piece.entity, prepend=-1))
        value = piece.total / piece.samples
        usual = np.repeat(value[first], np.diff(np.r_[first, len(value)]))
        # A mean of equal values is theirs but for its last digits.
        moves = (np.abs(value - usual) > 1e-12 * np.abs(usual)) | (piece.maximum != piece.mean)
    still: NDArray[np.bool_] = np.bincount(piece.entity, moves, len(piece.entities)) == 0
    return still


def bucket_end(ts_ms: int, partition: Partition, resolution_ms: int) -> int:
    """Return the end of the bucket that an instant is in."""
    return partition.start_ms + ((ts_ms - partition.start_ms) // resolution_ms + 1) * resolution_ms


def _notes(numbers: Mapping[str, int], frozen: Sequence[str]) -> Iterator[str]:
    if numbers["suspect_counters"]:
        yield (
            f"{numbers['suspect_counters']} counter(s) are running sums of totals, as NovaCron's exporter makes of a "
            "hypervisor's own totals; their rates are taken from the totals."
        )
    if numbers["doubtful_buckets"]:
        yield (
            f"{numbers['doubtful_buckets']} rate(s) of a bucket are doubtful: the counter had no sample for more than "
            "two intervals before. What it counted then is in that one bucket, as a mean over the gap; when in the gap "
            "it was is not known."
        )
    if frozen:
        yield (
            f"{len(frozen)} VM(s) always sent the same, of their CPU use and of all the rest: they stand still, or are "
            f"gone and still exported with what they had last. They are counted as load: {named(frozen)}."
        )


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
