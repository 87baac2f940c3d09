"""The series of VMs, as the exporters of their nodes deliver them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.metrics import VM_METRICS, Metric
from resources.monitoring.simulated import batching
from resources.monitoring.simulated.batching import Labels, Series, Wanted
from resources.monitoring.simulated.clock import DAY_SECONDS
from resources.monitoring.simulated.delivery import Delivery, deliveries
from resources.monitoring.simulated.signals import Signals
from resources.monitoring.simulated.vm import NodeRef, Span, Vm

BLOCK_VMS = 32
"""VMs computed at once: the matrices of a block stay in the processor's cache."""

MEASURED = {
    metric.name: metric
    for metric in VM_METRICS
    if metric.kind == "counter" or not metric.column.endswith("_per_second")
}
"""The metrics that simulated VMs have: bytes are counted in `..._bytes_total`, never in `..._per_second`."""


class VmSeries:
    """The samples of VMs; `outages` says when the exporter of a node could not be read."""

    def __init__(self, signals: Signals, outages: Callable[[NodeRef], Sequence[Span]]) -> None:
        self.signals = signals
        self.clock = signals.clock
        self.outages = outages

    def of(
        self, vms: Sequence[Vm], metric: Metric, wanted: Wanted | None, start_ms: int, end_ms: int
    ) -> Iterator[list[Series]]:
        """Yield the series of each running VM in `[start_ms, end_ms)`, of all or of those `wanted`."""
        running = [vm for vm in vms if vm.running and (wanted is None or any(map(wanted, _all_labels(vm))))]
        for begin in range(0, len(running), self._block(start_ms, end_ms)):
            block = running[begin : begin + self._block(start_ms, end_ms)]
            spans = [self.clock.range(start_ms, end_ms, vm.offset_ms) for vm in block]
            sampled = [span for span in spans if span[0] < span[1]]
            if not sampled:
                continue
            first_day = min(span[0] for span in sampled) // self.clock.per_day
            last_day = (max(span[1] for span in sampled) - 1) // self.clock.per_day
            make = self.signals.gauge if metric.kind == "gauge" else self.signals.moved
            days = [make(block, metric.column, day) for day in range(first_day, last_day + 1)]
            values = days[0] if len(days) == 1 else np.concatenate(days, axis=1)
            for row, (vm, span) in enumerate(zip(block, spans, strict=True)):
                series: list[Series] = []
                for delivery in deliveries(vm, span, self.outages):
                    labels = _labels(vm, delivery.node)
                    if wanted is not None and not wanted(labels):
                        continue
                    at = delivery.indices
                    read = values[row, at - first_day * self.clock.per_day]
                    read = self._read(vm, metric, delivery, read)
                    series.append((labels, self.clock.start_ms + vm.offset_ms + at * self.clock.step_ms, read))
                yield series

    def _block(self, start_ms: int, end_ms: int) -> int:
        """Return how many VMs to compute at once so that a block is not much more than a batch."""
        days = min((end_ms - start_ms) // (DAY_SECONDS * 1000) + 2, self.clock.days)
        return min(BLOCK_VMS, max(1, batching.BATCH_SAMPLES // (days * self.clock.per_day)))

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


def _labels(vm: Vm, node: NodeRef) -> Labels:
    return {"vm_id": vm.vm_id, "vm_name": vm.name, "tenant_id": vm.tenant, "node_id": node.id}


def _all_labels(vm: Vm) -> Iterator[Labels]:
    return (_labels(vm, node) for _, node in vm.placements)
