"""The series of nodes and of what hangs on them: tiers, interfaces, links. They belong to the platform.

All of them are what the exporter of one node says, so they share its scrape offset and outages.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.simulated.batching import Labels, Series, Wanted
from resources.monitoring.simulated.catalogue import TIERS
from resources.monitoring.simulated.counts import migrations, partners
from resources.monitoring.simulated.latencies import BUCKETS, COUNT, NETWORK_BOUNDS, STORAGE_BOUNDS, SUM, Array
from resources.monitoring.simulated.links import Link
from resources.monitoring.simulated.network import DIRECTIONS, INTERFACES, NetworkSignals
from resources.monitoring.simulated.nodes import Node
from resources.monitoring.simulated.signals import LOAD_PERIODS, Matrix, Signals
from resources.monitoring.simulated.storage import OPERATIONS, StorageSignals

ROOT_DEVICE, ROOT_MOUNTPOINT = "/dev/sda1", "/"
CACHED_SAMPLES = 100_000
"""Node-days kept for the next metric hold this many samples of a series together: some tens of MB."""

_Array = Callable[[Node, int], Array]


@dataclass(frozen=True)
class Exposed:
    """A metric of the nodes' exporters: the labels of its series on a node, and their values on a day.

    Every `together` series in a row are one entity's; 0 means all of a node's.
    """

    labels: Callable[[Node], list[Labels]]
    rows: Callable[[Node, int], Matrix]
    together: int = 0


class NodeSeries:
    """The samples of `nodes` and the `links` between them. `metrics` has what is exposed, by name."""

    def __init__(self, signals: Signals, nodes: Sequence[Node], links: Sequence[Link]) -> None:
        self.signals = signals
        self.clock = signals.clock
        self.nodes = nodes
        cached = max(2, CACHED_SAMPLES // self.clock.per_day)
        self.storage = StorageSignals(signals, cached)
        self.network = NetworkSignals(signals, links, cached)
        self.metrics: Mapping[str, Exposed] = {
            "novacron_system_cpu_usage_percent": Exposed(
                lambda node: [{"cpu": str(number)} for number in range(node.cores)], signals.node_cpus
            ),
            "novacron_system_memory_usage_bytes": Exposed(
                lambda node: [{"type": "used"}, {"type": "total"}], self._memory
            ),
            "novacron_system_load_average": Exposed(
                lambda node: [{"period": period} for period in LOAD_PERIODS], signals.node_load
            ),
            "novacron_system_disk_usage_bytes": Exposed(_mounts, self._disks),
            "novacron_storage_usage_bytes": Exposed(
                lambda node: [{"tier": tier.name} for tier in TIERS], self.storage.used, 1
            ),
            "novacron_storage_iops": Exposed(
                lambda node: _by_tier("operation"), lambda node, day: self.storage.io(node, day).operations, 2
            ),
            "novacron_storage_throughput_bytes_per_second": Exposed(
                lambda node: _by_tier("direction"), lambda node, day: self.storage.io(node, day).throughput, 2
            ),
            **_histogram(
                "novacron_storage_latency_seconds",
                lambda node: _by_tier("operation"), self.storage.latencies, STORAGE_BOUNDS,
            ),
            "novacron_network_bandwidth_bytes_per_second": Exposed(
                lambda node: [
                    {"interface": interface, "direction": direction}
                    for interface in INTERFACES
                    for direction in DIRECTIONS
                ],
                self.network.bandwidth, 2,
            ),
            **_histogram(
                "novacron_network_latency_seconds", self._link_labels, self.network.latencies, NETWORK_BOUNDS
            ),
            "novacron_network_packet_loss_rate": Exposed(self._link_labels, self.network.loss, 1),
            "novacron_vm_migrations_total": Exposed(self._migration_labels, self._migrations, 1),
        }  # fmt: skip

    def of(self, metric: str, wanted: Wanted | None, start_ms: int, end_ms: int) -> Iterator[list[Series]]:
        """Yield the series of each entity in `[start_ms, end_ms)`, of all or of those `wanted`."""
        exposed = self.metrics[metric]
        for node in self.nodes:
            every = [_on_node(node, labels) for labels in exposed.labels(node)]
            chosen = [number for number, labels in enumerate(every) if wanted is None or wanted(labels)]
            first, last = self.clock.range(start_ms, end_ms, node.offset_ms)
            indices = np.arange(first, last)
            for begin, end in node.outages:
                indices = indices[(indices < begin) | (indices >= end)]
            if not len(indices) or not chosen:
                continue
            first_day = first // self.clock.per_day
            days = [exposed.rows(node, day) for day in range(first_day, (last - 1) // self.clock.per_day + 1)]
            rows = days[0] if len(days) == 1 else np.concatenate(days, axis=1)
            at: NDArray[np.int64] | slice = indices - first_day * self.clock.per_day
            if len(indices) == last - first:
                at = slice(int(indices[0]) - first_day * self.clock.per_day, last - first_day * self.clock.per_day)
            ts_ms = self.clock.start_ms + node.offset_ms + indices * self.clock.step_ms
            together = exposed.together or len(every)
            for begin in range(0, len(every), together):
                numbers = [number for number in chosen if begin <= number < begin + together]
                if numbers:
                    yield [(every[number], ts_ms, rows[number, at]) for number in numbers]

    def _memory(self, node: Node, day: int) -> Matrix:
        used = self.signals.node_memory(node, day)
        return np.stack([used, np.full(len(used), float(node.memory_bytes))])

    def _disks(self, node: Node, day: int) -> Matrix:
        return np.concatenate([self.signals.node_root_disk(node, day)[np.newaxis], self.storage.used(node, day)])

    def _link_labels(self, node: Node) -> list[Labels]:
        return [{"source_node": node.id, "target_node": link.target.id} for link in self.network.links_from(node)]

    def _migration_labels(self, node: Node) -> list[Labels]:
        return [
            {"source_node": node.id, "target_node": target.id, "status": "success", "migration_type": "live"}
            for target in partners(node, self.nodes)
        ]

    def _migrations(self, node: Node, day: int) -> Matrix:
        return np.stack([migrations(self.clock, node, target, day) for target in partners(node, self.nodes)])


def _on_node(node: Node, labels: Labels) -> Labels:
    """Return `labels` with the node's own; what is between two nodes has its `source_node` instead."""
    return labels if "source_node" in labels else {"node_id": node.id, **labels}


def _by_tier(label: str) -> list[Labels]:
    return [{"tier": tier.name, label: operation} for tier in TIERS for operation in OPERATIONS]


def _mounts(node: Node) -> list[Labels]:
    return [
        {"device": ROOT_DEVICE, "mountpoint": ROOT_MOUNTPOINT},
        *({"device": tier.device, "mountpoint": f"/var/lib/novacron/{tier.name}"} for tier in TIERS),
    ]


def _histogram(
    name: str, labels: Callable[[Node], list[Labels]], latencies: _Array, bounds: tuple[float, ...]
) -> dict[str, Exposed]:
    """Return the three metrics that expose a histogram."""
    limits = [*(repr(bound) for bound in bounds), "+Inf"]

    def buckets(node: Node, day: int) -> Matrix:
        found = latencies(node, day)
        # All operations are in the last bucket, whose bound is infinite.
        return np.concatenate([found[:, BUCKETS:], found[:, COUNT : COUNT + 1]], axis=1).reshape(-1, found.shape[2])

    return {
        f"{name}_bucket": Exposed(
            lambda node: [{**own, "le": limit} for own in labels(node) for limit in limits], buckets, len(limits)
        ),
        f"{name}_sum": Exposed(labels, lambda node, day: latencies(node, day)[:, SUM], 1),
        f"{name}_count": Exposed(labels, lambda node, day: latencies(node, day)[:, COUNT], 1),
    }
