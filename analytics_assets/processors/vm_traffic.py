"""What the VMs of a tenant moved: rows of `network_traffic` from counters, or from rates where there are none.

A VM that has a counter of a direction is read by it alone on that day: the increase over a gap holds
what a rate would tell of the buckets within the gap. Packets dropped are counters of other exporters,
one for each virtual interface; their rates are added. A series that a migration left behind stands
still and adds nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.gridding import LEAD_IN_MS, Gridded, grid, interval_seconds
from analytics_assets.processors.traffic_rows import (
    DIRECTIONS,
    NUMBER,
    Measured,
    Moved,
    TrafficRows,
    codes_of,
    number_of,
    numbered,
)
from resources.monitoring.metrics import VM_METRICS, Kind
from resources.monitoring.source import MetricSource
from resources.partition import Partition

COUNTERS, RATES = (
    {
        metric.name: way
        for way in DIRECTIONS
        for metric in VM_METRICS
        if metric.column == f"network_{way}_bytes_per_second" and metric.kind == kind
    }
    for kind in ("counter", "gauge")
)
"""Direction by metric."""


@dataclass
class VmTraffic:
    """What was read of a tenant's VMs.

    The entities of `drops` are numbers of counters, each its own, and `drop_vm` names their VMs;
    `unnamed_drops` counts those without one.
    """

    pieces: dict[str, list[Gridded]] = field(default_factory=dict)
    drops: list[Gridded] = field(default_factory=list)
    drop_vm: list[str] = field(default_factory=list)
    unnamed_drops: int = 0

    @property
    def all_pieces(self) -> list[Gridded]:
        return [piece for pieces in self.pieces.values() for piece in pieces]

    @property
    def last_ts_ms(self) -> int:
        """When the last sample was taken; -1 without any."""
        return max((piece.last_ts_ms for piece in (*self.all_pieces, *self.drops)), default=-1)

    @property
    def vms(self) -> list[str]:
        """The VMs that have a row, sorted."""
        found = {piece.entities[code] for piece in self.all_pieces for code in np.unique(piece.entity)}
        numbers = {number for piece in self.drops for number in number_of(piece)[np.unique(piece.entity)]}
        return sorted(found | {self.drop_vm[number] for number in numbers})


def read_vms(
    source: MetricSource, partition: Partition, resolution_seconds: int, drop_metrics: Sequence[str]
) -> VmTraffic:
    """Read one day of a tenant's traffic and of the counters that `drop_metrics` select."""
    found = VmTraffic()
    start_ms, end_ms, step_ms = partition.start_ms, partition.end_ms, resolution_seconds * 1000
    for batch in source.samples(partition.tenant, [*COUNTERS, *RATES], start_ms - LEAD_IN_MS, end_ms):
        kind: Kind = "counter" if batch.metric in COUNTERS else "gauge"
        found.pieces.setdefault(batch.metric, []).append(grid(batch, kind, start_ms, end_ms, step_ms, minimum=0))
    if drop_metrics:
        read: set[tuple[str, frozenset[tuple[str, str]]]] = set()
        for batch in source.samples(partition.tenant, list(drop_metrics), start_ms - LEAD_IN_MS, end_ms):
            numbers = [_drop_counter(found, read, batch.metric, labels) for labels in batch.labels]
            found.drops.append(
                grid(numbered(batch, numbers), "counter", start_ms, end_ms, step_ms, NUMBER, "", minimum=0)
            )
    return found


def _drop_counter(
    found: VmTraffic, read: set[tuple[str, frozenset[tuple[str, str]]]], metric: str, labels: dict[str, str]
) -> int:
    """Return the number of a counter of dropped packets, -1 if it has no VM or another selector found it too."""
    series = (metric, frozenset(labels.items()))
    if series in read:
        return -1
    read.add(series)
    if not labels.get("vm_id"):
        found.unnamed_drops += 1
        return -1
    found.drop_vm.append(labels["vm_id"])
    return len(found.drop_vm) - 1


def vm_rows(
    found: VmTraffic, resolution_seconds: int, known_interval_seconds: int | None
) -> tuple[TrafficRows, list[Measured]]:
    """Return the rows of what was read, and what coverage counts.

    `known_interval_seconds` is the time between two samples; None measures it by metric.
    """
    vms = found.vms
    code = {vm: number for number, vm in enumerate(vms)}
    nodes = sorted({place for piece in found.all_pieces for place in piece.places})
    node_code = {node: number for number, node in enumerate(nodes)}
    buckets = 86_400 // resolution_seconds
    moved = Moved(len(vms), buckets, resolution_seconds)
    in_bucket = np.zeros(len(vms), np.int64)
    measured: list[Measured] = []

    counted = {way: np.zeros(len(vms), bool) for way in DIRECTIONS}
    for metric, way in (*COUNTERS.items(), *RATES.items()):
        pieces = found.pieces.get(metric, [])
        interval = known_interval_seconds or interval_seconds(pieces)
        seen_before = int(moved.seen.sum())
        present = np.zeros(len(vms), bool)
        for piece in pieces:
            codes = codes_of(piece.entities, code)
            places = codes_of(piece.places, node_code)
            if metric in COUNTERS:
                moved.add_counter(way, piece, codes, places)
            else:
                codes = np.where((codes >= 0) & ~_taken(counted[way], codes), codes, -1)
                moved.add_rate(way, piece, codes, places, interval)
            own = codes[np.unique(piece.entity)]
            present[own[own >= 0]] = True
        if metric in COUNTERS:
            counted[way] = present
        measured.append(Measured(int(present.sum()), int(moved.seen.sum()) - seen_before, interval))
        in_bucket[present] += measured[-1].in_bucket(resolution_seconds)

    drops = _drops(found, code, buckets)
    at = np.flatnonzero((moved.seen > 0) | ~np.isnan(drops))
    vm = at // buckets
    rows = TrafficRows(
        kind="vm",
        labels={"entity_id": vms},
        nodes=nodes,
        entity=vm,
        bucket=at % buckets,
        node=moved.node[at],
        values={**{name: values[at] for name, values in moved.values.items()}, "drops_per_second": drops[at]},
        doubtful=moved.doubtful[at],
        seen=moved.seen[at],
        expected=in_bucket[vm],
    )
    return rows, measured


def _taken(counted: NDArray[np.bool_], codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    return counted[np.maximum(codes, 0)] if len(counted) else np.zeros(len(codes), bool)


def _drops(found: VmTraffic, code: dict[str, int], buckets: int) -> NDArray[np.float64]:
    """Return packets dropped per second by VM and bucket: the sum over its counters, NaN without any."""
    size = len(code) * buckets
    rate, known = np.zeros(size), np.zeros(size, bool)
    vm_of = codes_of(found.drop_vm, code)
    for piece in found.drops:
        cell = vm_of[number_of(piece)[piece.entity]] * buckets + piece.bucket
        np.add.at(rate, cell, piece.mean.astype(np.float64))
        known[cell] = True
    return np.where(known, rate, np.nan)
