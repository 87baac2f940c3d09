"""From indices to deliveries: which samples of a VM arrive, as part of which series, in which order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.simulated.vm import NodeRef, Span, Vm

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Delivery:
    """The samples of one series in order of arrival, by index.

    From the index `frozen_from` on, the series is what a migration left behind on `node`: it
    repeats the value of the index before.
    """

    node: NodeRef
    indices: Indices
    frozen_from: int | None


def deliveries(vm: Vm, span: Span, outages: Callable[[NodeRef], Sequence[Span]]) -> Iterator[Delivery]:
    """Yield the series of `vm` (any metric) that have samples in `span`, oldest first.

    A series is what one node's exporter says about the VM, so it has a new one after a migration,
    and an outage of a node's exporter (`outages`) takes those with that node's label.
    """
    for position, (start, node) in enumerate(vm.placements):
        left = vm.placements[position + 1][0] if position + 1 < len(vm.placements) else None
        indices = np.arange(max(span[0], start), span[1])
        for first, last in (*vm.gaps, *outages(node)):
            indices = indices[(indices < first) | (indices >= last)]
        if len(indices):
            yield Delivery(node, _in_order_of_arrival(vm, indices), left)


def _in_order_of_arrival(vm: Vm, indices: Indices) -> Indices:
    """Return `indices` with late ones after those that overtook them and duplicates sent again.

    The order of any two samples does not depend on which others are asked for.
    """
    low, high = indices[0], indices[-1]
    late = [block for block in vm.late if block.span[0] <= high and block.span[1] > low]
    doubled = [(first, last) for first, last in vm.duplicates if first <= high and last > low]
    if not late and not doubled:
        return indices
    arrival = indices.astype(np.float64)
    for block in late:
        arrival[(indices >= block.span[0]) & (indices < block.span[1])] += block.delay + 0.5
    for first, last in doubled:
        again = indices[(indices >= first) & (indices < last)]
        indices = np.concatenate((indices, again))
        # the whole block once more, right after its last sample
        arrival = np.concatenate((arrival, np.full(len(again), last - 0.5)))
    return indices[np.argsort(arrival, kind="stable")]


def samples_lost(vm: Vm, span: Span, node: NodeRef | None = None) -> int:
    """Return how many samples of each metric `vm` loses in `span`; with `node`, of its series there only."""
    lost = 0
    for start, place in vm.placements:
        if node is None or place == node:
            lost += max(0, span[1] - max(span[0], start))
    return lost
