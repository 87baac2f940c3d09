"""What the storage tiers of a node do: the sum of what its VMs do, and how long it takes.

A matrix has a row for each of `TIERS`, or for each tier and operation (reads before writes).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from resources.monitoring.simulated.catalogue import GIB, ROLES, TIERS
from resources.monitoring.simulated.latencies import STORAGE_BOUNDS, Array, SinceRestart, observed, whole
from resources.monitoring.simulated.nodes import Node
from resources.monitoring.simulated.signals import Matrix, Signals
from resources.monitoring.simulated.tiers import DISK_COLUMNS, HOST_BLOCK_BYTES, HOST_OPERATIONS, tier_of

OPERATIONS = ("read", "write")
HOST_BYTES = 20 * GIB
"""Images and the like that each node keeps on each tier for itself."""
BUSIEST = 0.92
"""However much more is asked of a tier, waiting is as long as when this share of it is busy: queues are short."""
LATENCY_NOISE = 0.04


@dataclass(frozen=True)
class Io:
    """What the tiers of a node did on a day: a row for each tier and operation."""

    throughput: Matrix
    """Bytes per second since the sample before."""
    operations: Matrix
    """Operations per second."""
    median: Matrix
    """The median latency of the operations, in seconds."""


class StorageSignals:
    """The storage tiers of a run."""

    def __init__(self, signals: Signals, cached: int) -> None:
        self.signals = signals
        self.clock = signals.clock
        self._latencies = SinceRestart(signals.clock, self._observed)
        self.io = lru_cache(maxsize=cached)(self._io)
        """Return the `Io` of a node and day."""

    def used(self, node: Node, day: int) -> Matrix:
        """Return the bytes in use on each tier: by the disks of the VMs, stopped ones too, and by the node."""
        used = np.full((len(TIERS), self.clock.per_day), float(HOST_BYTES))
        running = [vm for vm in node.vms if vm.running]
        if running:
            disks = self.signals.gauge(running, "disk_bytes", day)
            for row, vm in enumerate(running):
                used[tier_of(vm)] += disks[row] * self.signals.placed(vm, node, day)
        for vm in node.vms:
            if not vm.running:
                used[tier_of(vm)] += np.rint(vm.disk_level) * self.signals.placed(vm, node, day)
        return used

    def latencies(self, node: Node, day: int) -> Array:
        """Return the latency histograms: tier and operation x what (as in `latencies.py`) x sample."""
        return whole(self._latencies.total(node, day), self.io(node, day).median)

    def _observed(self, node: Node, day: int) -> Array:
        io = self.io(node, day)
        return observed(io.operations * self.clock.interval_seconds, io.median, STORAGE_BOUNDS)

    def _io(self, node: Node, day: int) -> Io:
        shape = (len(TIERS) * len(OPERATIONS), self.clock.per_day)
        throughput, operations = np.full(shape, HOST_OPERATIONS * HOST_BLOCK_BYTES), np.full(shape, HOST_OPERATIONS)
        vms = [vm for vm in node.vms if vm.running]
        for number, column in enumerate(DISK_COLUMNS):
            rates = self.signals.rates(vms, column, day)
            for row, vm in enumerate(vms):
                here = self.signals.placed(vm, node, day)
                line, block = len(OPERATIONS) * tier_of(vm) + number, ROLES[vm.role].block_bytes
                moved = rates[row] * here
                throughput[line] += moved
                operations[line] += moved / block
                for disturbance, first, last in self.signals.disturbances(vm, column, day):
                    if disturbance.block_bytes is not None:
                        other = disturbance.value / disturbance.block_bytes - disturbance.value / block
                        operations[line, first:last] += other * here[first:last]
        np.rint(throughput, out=throughput)
        # To the hundredth, as exposed: the histograms count exactly what the gauge says.
        operations = np.rint(operations * 100) / 100
        return Io(throughput, operations, self._median(node, day, operations))

    def _median(self, node: Node, day: int, operations: Matrix) -> Matrix:
        """Return the median latency: its idle time, and the wait behind what else the tier has to do."""
        noise = self.signals.noise([f"{node.id}/{tier.name}" for tier in TIERS], "latency", day).astype(np.float64)
        median = np.empty_like(operations)
        for number, tier in enumerate(TIERS):
            first = len(OPERATIONS) * number
            asked = operations[first] + operations[first + 1]
            busy = np.minimum(asked / node.tier_operations[number], BUSIEST)
            wait = np.maximum(1 + LATENCY_NOISE * noise[number], 0.5) / (1 - busy)
            median[first], median[first + 1] = tier.read_seconds * wait, tier.write_seconds * wait
        return median
