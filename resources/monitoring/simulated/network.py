"""What the network of the nodes does: the sum of what the VMs send and receive, and how the links bear it."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from resources.monitoring.simulated.catalogue import RATE_COLUMNS
from resources.monitoring.simulated.latencies import NETWORK_BOUNDS, Array, SinceRestart, observed, whole
from resources.monitoring.simulated.links import FAULT_LATENCY, FAULT_LOSS, Link
from resources.monitoring.simulated.nodes import Node
from resources.monitoring.simulated.signals import Matrix, Signals
from resources.monitoring.simulated.vm import NodeRef

INTERFACES = ("eth0", "eth1")
"""The VMs' traffic, and the cluster's own."""
DIRECTIONS = ("receive", "transmit")
NETWORK_COLUMNS = RATE_COLUMNS[2:]
"""Columns of the VMs' rates, in the order of `DIRECTIONS`."""
CLUSTER_BYTES = 200_000.0
CLUSTER_NOISE = 0.1
INTERFACE_BYTES = 1.25e9
"""Bytes per second that an interface can carry: 10 Gbit/s."""
BUSIEST = 0.92
LATENCY_NOISE = 0.05
PROBES_PER_SECOND = 10.0
"""Packets that a node sends to each neighbour to measure the link; those that are lost have no latency."""
USUAL_LOSS = 2e-5
"""How fast loss rises with noise above `LOSS_FROM`: now and then a hundredth of a percent, else none."""
LOSS_FROM = 1.5
FAULT_LOSS_NOISE = 0.15


class NetworkSignals:
    """The interfaces of a run's nodes, and its `links`."""

    def __init__(self, signals: Signals, links: Sequence[Link], cached: int) -> None:
        self.signals = signals
        self.clock = signals.clock
        self._from: dict[NodeRef, list[Link]] = {}
        for link in links:
            self._from.setdefault(link.source.ref, []).append(link)
        self._latencies = SinceRestart(signals.clock, self._observed)
        self.bandwidth = lru_cache(maxsize=cached)(self._bandwidth)
        """Return the bytes/s of a node on a day: a row for each interface and direction."""

    def links_from(self, node: Node) -> list[Link]:
        """Return the links that `node` measures."""
        return self._from.get(node.ref, [])

    def _bandwidth(self, node: Node, day: int) -> Matrix:
        bytes_per_second = np.zeros((len(INTERFACES) * len(DIRECTIONS), self.clock.per_day))
        vms = [vm for vm in node.vms if vm.running]
        for number, column in enumerate(NETWORK_COLUMNS):
            rates = self.signals.rates(vms, column, day)
            for row, vm in enumerate(vms):
                bytes_per_second[number] += rates[row] * self.signals.placed(vm, node, day)
        noise = self.signals.noise([f"{node.id}/{direction}" for direction in DIRECTIONS], "eth1", day)
        bytes_per_second[len(DIRECTIONS) :] = CLUSTER_BYTES * np.maximum(1 + CLUSTER_NOISE * noise, 0.5)
        return np.rint(bytes_per_second, out=bytes_per_second)

    def loss(self, node: Node, day: int) -> Matrix:
        """Return the share of packets lost on each link from `node`, 0 to 1."""
        links = self.links_from(node)
        noise = self.signals.noise([link.id for link in links], "loss", day).astype(np.float64)
        loss = np.maximum(noise - LOSS_FROM, 0.0) * USUAL_LOSS
        for row, link in enumerate(links):
            first, last = self._fault(link, day)
            loss[row, first:last] = FAULT_LOSS * np.maximum(1 + FAULT_LOSS_NOISE * noise[row, first:last], 0.3)
        return np.rint(loss * 1e6) / 1e6

    def median(self, node: Node, day: int) -> Matrix:
        """Return the median latency in seconds of each link from `node`.

        It rises with what the source sends and with what the target receives, whichever is more.
        """
        links = self.links_from(node)
        noise = self.signals.noise([link.id for link in links], "latency", day).astype(np.float64)
        median = np.maximum(1 + LATENCY_NOISE * noise, 0.5)
        sent = self.bandwidth(node, day)[1]
        for row, link in enumerate(links):
            received = self.bandwidth(link.target, day)[0]
            busy = np.minimum(np.maximum(sent, received) / INTERFACE_BYTES, BUSIEST)
            median[row] *= link.seconds / (1 - busy)
            first, last = self._fault(link, day)
            median[row, first:last] *= FAULT_LATENCY
        return median

    def latencies(self, node: Node, day: int) -> Array:
        """Return the latency histograms: link x what (as in `latencies.py`) x sample."""
        return whole(self._latencies.total(node, day), self.median(node, day))

    def _observed(self, node: Node, day: int) -> Array:
        answered = (1 - self.loss(node, day)) * (PROBES_PER_SECOND * self.clock.interval_seconds)
        return observed(answered, self.median(node, day), NETWORK_BOUNDS)

    def _fault(self, link: Link, day: int) -> tuple[int, int]:
        """Return the samples `[first, last)` of `day` at which `link` is faulty."""
        if link.fault is None:
            return 0, 0
        begin = day * self.clock.per_day
        first, last = (min(max(index - begin, 0), self.clock.per_day) for index in link.fault)
        return first, last
