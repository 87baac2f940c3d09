"""What the VMs of a tenant moved: rows of `network_traffic` from counters, or from rates where there are none.

A VM that has a counter of a direction is read by it alone from the counter's first value of the day
on: the increase over a gap holds what a rate would tell of the buckets within the gap. Packets
dropped are counters of other exporters, one for each virtual interface; their rates are added, but
one that shows the same as another of its VM (`kernels/replicas.py`) is not another one. A series
that a migration left behind stands still and adds nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analytics_assets.kernels.counter_cells import counter_cells
from analytics_assets.kernels.gridding import LEAD_IN_MS, Gridded, grid
from analytics_assets.kernels.replicas import replicas
from analytics_assets.processors.sampled import FloatArray, without_start
from analytics_assets.processors.traffic_rows import (
    DIRECTIONS,
    NUMBER,
    Moved,
    TrafficRows,
    codes_of,
    number_of,
    numbered,
    untidy,
)
from resources.monitoring.metrics import VM_METRICS, Kind
from resources.monitoring.source import MetricSource, SeriesBatch
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

PLACE = "place in the batch"
"""Label that numbers the series of a batch; no exporter's label has a space."""


@dataclass
class VmTraffic:
    """What was read of a tenant's VMs.

    The entities of `drops` are numbers of counters, each its own, and `drop_vm` names their VMs;
    `unnamed_drops` counts those without one, `drop_replicas` those that show the same as another.
    `without_start` counts the counters of traffic that have no sample in the lead-in.
    """

    pieces: dict[str, list[Gridded]] = field(default_factory=dict)
    drops: list[Gridded] = field(default_factory=list)
    drop_vm: list[str] = field(default_factory=list)
    unnamed_drops: int = 0
    drop_replicas: int = 0
    without_start: int = 0

    @property
    def traffic(self) -> list[Gridded]:
        return [piece for pieces in self.pieces.values() for piece in pieces]

    @property
    def all_pieces(self) -> list[Gridded]:
        return [*self.traffic, *self.drops]

    @property
    def untidy(self) -> dict[str, int]:
        """What was not as it should be, counted."""
        return {"counters_without_start": self.without_start, **untidy(self.all_pieces)}

    @property
    def last_ts_ms(self) -> int:
        """When the last sample was taken; -1 without any."""
        return max((piece.last_ts_ms for piece in self.all_pieces), default=-1)

    @property
    def vms(self) -> list[str]:
        """The VMs that have a row, sorted."""
        found = {piece.entities[code] for piece in self.traffic for code in np.unique(piece.entity)}
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
        piece = grid(batch, kind, start_ms, end_ms, step_ms, minimum=0)
        found.pieces.setdefault(batch.metric, []).append(piece)
        if kind == "counter":
            found.without_start += without_start(batch, piece, start_ms)
    if drop_metrics:
        read: set[tuple[str, frozenset[tuple[str, str]]]] = set()
        for batch in source.samples(partition.tenant, list(drop_metrics), start_ms - LEAD_IN_MS, end_ms):
            numbers = [_drop_counter(found, read, batch.metric, labels) for labels in batch.labels]
            numbers = _each_once(found, batch, numbers, start_ms, end_ms, step_ms)
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


def _each_once(
    found: VmTraffic, batch: SeriesBatch, numbers: list[int], start_ms: int, end_ms: int, step_ms: int
) -> list[int]:
    """Return `numbers` with that of the first for counters of one VM that show the same: one of them speaks."""
    of_vm: dict[str, list[int]] = {}
    for place, number in enumerate(numbers):
        if number >= 0:
            of_vm.setdefault(found.drop_vm[number], []).append(place)
    crowded = {vm for vm, places in of_vm.items() if len(places) > 1}
    if not crowded:
        return numbers
    named = replace(batch, labels=tuple({**labels, PLACE: str(at)} for at, labels in enumerate(batch.labels)))
    several = named.where(lambda labels: labels.get("vm_id") in crowded and numbers[int(labels[PLACE])] >= 0)
    cells = counter_cells(several, range(len(several.labels)), start_ms, end_ms, step_ms)
    row = {several.labels[number][PLACE]: at for at, number in enumerate(cells.series.tolist())}
    given = list(numbers)
    for vm in sorted(crowded):
        places = of_vm[vm]
        for place, first in zip(places, replicas([cells.last[[row[str(at)]]] for at in places]), strict=True):
            given[place] = numbers[places[first]]
            found.drop_replicas += given[place] != numbers[place]
    return given


def vm_rows(
    found: VmTraffic, partition: Partition, resolution_seconds: int, known_interval_seconds: int | None
) -> TrafficRows:
    """Return the rows of what was read; `known_interval_seconds` is the time between samples that do not tell it."""
    vms = found.vms
    code = {vm: number for number, vm in enumerate(vms)}
    nodes = sorted({place for piece in found.traffic for place in piece.places})
    node_code = {node: number for number, node in enumerate(nodes)}
    moved = Moved(len(vms), partition, resolution_seconds)
    for metric, way in (*COUNTERS.items(), *RATES.items()):
        add = moved.add_counter if metric in COUNTERS else moved.add_rate
        for piece in found.pieces.get(metric, []):
            add(way, piece, codes_of(piece.entities, code), codes_of(piece.places, node_code), known_interval_seconds)

    drops = _add_drops(found, code, moved)
    at = np.flatnonzero((moved.seen > 0) | ~np.isnan(drops))
    vm = at // moved.buckets
    return TrafficRows(
        kind="vm",
        labels={"entity_id": vms},
        nodes=nodes,
        entity=vm,
        bucket=at % moved.buckets,
        node=moved.node[at],
        values={**{name: values[at] for name, values in moved.values.items()}, "drops_per_second": drops[at]},
        doubtful=moved.doubtful[at],
        seen=moved.seen[at],
        expected=moved.in_bucket[vm],
        present=list(moved.present.values()),
    )


def _add_drops(found: VmTraffic, code: dict[str, int], moved: Moved) -> FloatArray:
    """Return packets dropped per second by VM and bucket: the sum over its counters, NaN without any.

    Where one of them grew over a gap, that is marked in `moved`.
    """
    rate, known = np.zeros(len(moved.seen)), np.zeros(len(moved.seen), bool)
    vm_of = codes_of(found.drop_vm, code)
    for piece in found.drops:
        cell = vm_of[number_of(piece)[piece.entity]] * moved.buckets + piece.bucket
        np.add.at(rate, cell, piece.mean.astype(np.float64))
        known[cell] = True
        moved.doubtful[cell[piece.doubtful]] = True
    return np.where(known, rate, np.nan)
