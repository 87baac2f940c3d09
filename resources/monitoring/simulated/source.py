"""The simulated fleet as a source of samples and of sizes."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from resources.errors import InvalidInput
from resources.inventory.source import INVENTORY_SCHEMA
from resources.monitoring.metrics import METRICS, Metric
from resources.monitoring.simulated.clock import DAY_SECONDS, Clock
from resources.monitoring.simulated.delivery import Delivery, deliveries
from resources.monitoring.simulated.fleet import nodes_in_rack, plan_vm, tenant_name
from resources.monitoring.simulated.nodes import Node, outages_of, plan_nodes
from resources.monitoring.simulated.signals import LOAD_PERIODS, Signals
from resources.monitoring.simulated.vm import NodeRef, Span, Vm
from resources.monitoring.source import SeriesBatch
from resources.partition import PLATFORM

BATCH_SAMPLES = 1_000_000
"""A batch has no more samples than this, unless the series of a single entity do."""
BLOCK_VMS = 32
"""VMs computed at once: the matrices of a block stay in the processor's cache."""

_Series = tuple[dict[str, str], NDArray[np.int64], NDArray[np.float64]]


class SimulatedFleet:
    """A NovaCron fleet that exists in numbers only; `MetricSource` and `InventorySource` in one.

    The same arguments give the same samples, whatever was asked before and however the window is
    cut; a tenant's data depend neither on how many tenants nor on how many more VMs there are.
    VM counters are `..._bytes_total`, never the `..._per_second` gauges.

    Raises:
        InvalidInput: a count is below 1, or the interval does not divide a day.
    """

    kind = "simulated"

    def __init__(
        self, seed: int, tenants: int, vms_per_tenant: int, first_day: date, days: int, interval_seconds: int
    ) -> None:
        for name, value in (("tenants", tenants), ("vms_per_tenant", vms_per_tenant), ("days", days)):
            if value < 1:
                raise InvalidInput(f"{name} of the simulated fleet is {value}. Give at least 1.")
        if not 1 <= interval_seconds <= 300 or DAY_SECONDS % interval_seconds:
            raise InvalidInput(
                f"interval_seconds of the simulated fleet is {interval_seconds}. "
                "Give 1 to 300 seconds that divide a day evenly, such as 15, 60 or 300."
            )
        self.seed = seed
        self.vms_per_tenant = vms_per_tenant
        self.clock = Clock(first_day, days, interval_seconds)
        self.signals = Signals(seed, self.clock)
        self._positions = {tenant_name(position): position for position in range(tenants)}
        self._vms: dict[str, tuple[Vm, ...]] = {}
        self._nodes: list[Node] = []

    def tenants(self) -> list[str]:
        return [*self._positions, PLATFORM]

    def extent(self, tenant: str) -> tuple[date, date] | None:
        if tenant != PLATFORM and not any(vm.running for vm in self.vms(tenant)):
            return None
        return self.clock.first_day, self.clock.first_day + timedelta(days=self.clock.days - 1)

    def sample_interval_seconds(self, tenant: str) -> int:
        return self.clock.interval_seconds

    def vms(self, tenant: str) -> tuple[Vm, ...]:
        """Return the plan of a tenant's VMs, none where there is no such tenant."""
        if tenant not in self._vms and tenant in self._positions:
            position = self._positions[tenant]
            self._vms[tenant] = tuple(
                plan_vm(self.seed, self.clock, position, number) for number in range(self.vms_per_tenant)
            )
        return self._vms.get(tenant, ())

    def nodes(self) -> list[Node]:
        """Return the plan of the nodes, each with its VMs of all tenants."""
        if not self._nodes:
            racks, per_rack = len(self._positions), nodes_in_rack(self.vms_per_tenant)
            everyone = (vm for tenant in self._positions for vm in self.vms(tenant))
            self._nodes = plan_nodes(self.seed, self.clock, racks, per_rack, everyone)
        return self._nodes

    def outages(self, node: NodeRef) -> tuple[Span, ...]:
        """Return when the exporter of `node` could not be read."""
        return outages_of(self.seed, self.clock, node)

    def samples(self, tenant: str, metrics: Sequence[str], start_ms: int, end_ms: int) -> Iterator[SeriesBatch]:
        for name in metrics:
            metric = METRICS.get(name)
            if metric is None or (metric.kind == "gauge" and metric.column.endswith("_per_second")):
                continue
            if metric.entity == "vm":
                yield from _batches(name, self._vm_series(self.vms(tenant), metric, start_ms, end_ms))
            elif tenant == PLATFORM:
                yield from _batches(name, self._node_series(metric, start_ms, end_ms))

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        rows: list[dict[str, object]] = []
        for vm in self.vms(tenant):
            # The run's first instant is in both lists, so every instant has a size and a place.
            changes = sorted({start for start, _ in (*vm.flavors, *vm.placements)})
            ends = [*(self.clock.ms(index) for index in changes[1:]), None]
            for index, until in zip(changes, ends, strict=True):
                begin = self.clock.ms(index)
                if begin >= end_ms or (until is not None and until <= start_ms):
                    continue
                flavor = [flavor for start, flavor in vm.flavors if start <= index][-1]
                node = [node for start, node in vm.placements if start <= index][-1]
                rows.append(
                    {
                        "vm_id": vm.vm_id,
                        "valid_from_ms": begin,
                        "vm_name": vm.name,
                        "node_id": node.id,
                        "flavor": flavor.name,
                        "vcpus": float(flavor.vcpus),
                        "memory_bytes": flavor.memory_bytes,
                        "disk_bytes": flavor.disk_bytes,
                        "state": "running" if vm.running else "stopped",
                    }
                )
        return pa.Table.from_pylist(rows, schema=INVENTORY_SCHEMA)

    def _vm_series(self, vms: Sequence[Vm], metric: Metric, start_ms: int, end_ms: int) -> Iterator[list[_Series]]:
        """Yield the series of each running VM."""
        running = [vm for vm in vms if vm.running]
        for begin in range(0, len(running), self._block(start_ms, end_ms)):
            block = running[begin : begin + self._block(start_ms, end_ms)]
            spans = [self.clock.range(start_ms, end_ms, vm.offset_ms) for vm in block]
            wanted = [span for span in spans if span[0] < span[1]]
            if not wanted:
                continue
            first_day = min(span[0] for span in wanted) // self.clock.per_day
            last_day = (max(span[1] for span in wanted) - 1) // self.clock.per_day
            make = self.signals.gauge if metric.kind == "gauge" else self.signals.moved
            days = [make(block, metric.column, day) for day in range(first_day, last_day + 1)]
            values = days[0] if len(days) == 1 else np.concatenate(days, axis=1)
            for row, (vm, span) in enumerate(zip(block, spans, strict=True)):
                series = []
                for delivery in deliveries(vm, span, self.outages):
                    at = delivery.indices
                    read = values[row, at - first_day * self.clock.per_day]
                    read = self._read(vm, metric, delivery, read)
                    labels = {
                        "vm_id": vm.vm_id, "vm_name": vm.name, "tenant_id": vm.tenant, "node_id": delivery.node.id,
                    }  # fmt: skip
                    series.append((labels, self.clock.start_ms + vm.offset_ms + at * self.clock.step_ms, read))
                yield series

    def _block(self, start_ms: int, end_ms: int) -> int:
        """Return how many VMs to compute at once so that a block is not much more than a batch."""
        days = min((end_ms - start_ms) // (DAY_SECONDS * 1000) + 2, self.clock.days)
        return min(BLOCK_VMS, max(1, BATCH_SAMPLES // (days * self.clock.per_day)))

    def _read(self, vm: Vm, metric: Metric, delivery: Delivery, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the exporter shows for `values`: counters since they began, a left series frozen."""
        indices = delivery.indices
        if metric.kind == "counter":
            values = self._counted(vm, metric, indices, values)
        if delivery.frozen_from is not None and indices.max() >= delivery.frozen_from:
            last = np.array([delivery.frozen_from - 1])
            frozen = self._at(vm, metric, int(last[0]))
            if metric.kind == "counter":
                frozen = self._counted(vm, metric, last, frozen)
            values = np.where(indices >= delivery.frozen_from, frozen, values)
        return values

    def _counted(
        self, vm: Vm, metric: Metric, indices: NDArray[np.int64], moved: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the counter at `indices`: whole bytes moved since it last began at 0."""
        zeros = np.array(vm.counter_zeros, dtype=np.int64)
        which = np.searchsorted(zeros, indices, side="right")
        counted = moved.copy()
        for number in np.unique(which):
            if number:
                counted[which == number] -= self._at(vm, metric, int(zeros[number - 1]) - 1)
        return np.floor(counted, out=counted)

    def _at(self, vm: Vm, metric: Metric, index: int) -> NDArray[np.float64]:
        """Return the one value of the signal at `index`."""
        day, sample = divmod(index, self.clock.per_day)
        make = self.signals.gauge if metric.kind == "gauge" else self.signals.moved
        return make([vm], metric.column, day)[0, sample : sample + 1]

    def _node_series(self, metric: Metric, start_ms: int, end_ms: int) -> Iterator[list[_Series]]:
        """Yield the series of each node."""
        for node in self.nodes():
            first, last = self.clock.range(start_ms, end_ms, node.offset_ms)
            indices = np.arange(first, last)
            for begin, end in node.outages:
                indices = indices[(indices < begin) | (indices >= end)]
            if not len(indices):
                continue
            first_day = first // self.clock.per_day
            days = range(first_day, (last - 1) // self.clock.per_day + 1)
            rows = np.concatenate([self._node_rows(node, metric, day) for day in days], axis=1)
            rows = rows[:, indices - first_day * self.clock.per_day]
            ts_ms = self.clock.start_ms + node.offset_ms + indices * self.clock.step_ms
            labels = _node_labels(node, metric)
            yield [({"node_id": node.id, **label}, ts_ms, row) for label, row in zip(labels, rows, strict=True)]

    def _node_rows(self, node: Node, metric: Metric, day: int) -> NDArray[np.float64]:
        if metric.column == "cpu_percent":
            return self.signals.node_cpus(node, day)
        if metric.column == "load_average":
            return self.signals.node_load(node, day)
        used = self.signals.node_memory(node, day)
        return np.stack([used, np.full(len(used), float(node.memory_bytes))])


def _node_labels(node: Node, metric: Metric) -> list[dict[str, str]]:
    if metric.column == "cpu_percent":
        return [{"cpu": str(number)} for number in range(node.cores)]
    if metric.column == "load_average":
        return [{"period": period} for period in LOAD_PERIODS]
    return [{"type": "used"}, {"type": "total"}]


def _batches(metric: str, entities: Iterator[list[_Series]]) -> Iterator[SeriesBatch]:
    """Yield the series of whole entities together, up to `BATCH_SAMPLES` samples."""
    held: list[_Series] = []
    count = 0
    for series in entities:
        size = sum(len(values) for _, _, values in series)
        if held and count + size > BATCH_SAMPLES:
            yield _batch(metric, held)
            held, count = [], 0
        held += series
        count += size
    if held:
        yield _batch(metric, held)


def _batch(metric: str, series: Sequence[_Series]) -> SeriesBatch:
    return SeriesBatch(
        metric=metric,
        labels=tuple(labels for labels, _, _ in series),
        offsets=np.cumsum([0, *(len(values) for _, _, values in series)], dtype=np.int64),
        ts_ms=np.concatenate([ts_ms for _, ts_ms, _ in series]),
        values=np.concatenate([values for _, _, values in series]),
    )
