"""Counts of VMs and of their moves: what is there, and what has happened, at any index."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.simulated.batching import Series, Wanted
from resources.monitoring.simulated.clock import Clock
from resources.monitoring.simulated.nodes import Node, outages_of, scrape_offset_of
from resources.monitoring.simulated.vm import NodeRef, Vm

Floats = NDArray[np.float64]
STATUSES = ("running", "stopped")


def vm_counts(
    seed: int, clock: Clock, tenant: str, vms: Sequence[Vm], wanted: Wanted | None, start_ms: int, end_ms: int
) -> Iterator[list[Series]]:
    """Yield the counts of a tenant's `vms` for each node they are ever on: a series for each of `STATUSES`.

    They depend on this tenant's VMs alone. A node that they have all left goes on with 0; before
    the first comes, there is no series.
    """
    stays: dict[NodeRef, dict[bool, list[tuple[int, int]]]] = {}
    for vm in vms:
        ends = [*(start for start, _ in vm.placements[1:]), clock.total]
        for (start, ref), end in zip(vm.placements, ends, strict=True):
            stays.setdefault(ref, {True: [], False: []})[vm.running].append((start, end))
    for ref in sorted(stays):
        offset_ms = scrape_offset_of(seed, clock, ref)
        first, last = clock.range(start_ms, end_ms, offset_ms)
        arrival = min(start for spans in stays[ref].values() for start, _ in spans)
        indices = np.arange(max(first, arrival), last)
        for begin, end in outages_of(seed, clock, ref):
            indices = indices[(indices < begin) | (indices >= end)]
        if not len(indices):
            continue
        ts_ms = clock.start_ms + offset_ms + indices * clock.step_ms
        series: list[Series] = []
        for status, spans in zip(STATUSES, (stays[ref][True], stays[ref][False]), strict=True):
            labels = {"status": status, "tenant_id": tenant, "node_id": ref.id}
            if wanted is None or wanted(labels):
                came, went = ([span[side] for span in spans] for side in (0, 1))
                series.append((labels, ts_ms, _up_to(came, indices) - _up_to(went, indices)))
        yield series


def partners(node: Node, nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes that VMs of `node` can be moved to: its neighbour in the rack."""
    return [other for other in nodes if other.ref == NodeRef(node.ref.rack, node.ref.number ^ 1)]


def migrations(clock: Clock, node: Node, target: Node, day: int) -> Floats:
    """Return how many VMs had been moved from `node` to `target` at each index of `day`, since `node`'s restart."""
    moves = [
        at
        for vm in node.vms
        if vm.running
        for (_, source), (at, reached) in zip(vm.placements, vm.placements[1:], strict=False)
        if source == node.ref and reached == target.ref
    ]
    indices = np.arange(day * clock.per_day, (day + 1) * clock.per_day)
    restarted = np.searchsorted(np.array(node.restarts, np.int64), indices, side="right")
    # A move in the sample of the restart is counted after it, as everything else is.
    before = np.array([0.0, *(_up_to(moves, np.array([at - 1]))[0] for at in node.restarts)])
    moved: Floats = _up_to(moves, indices) - before[restarted]
    return moved


def _up_to(events: Sequence[int], indices: NDArray[np.int64]) -> Floats:
    """Return how many of `events` had happened at each of `indices`."""
    happened: Floats = np.searchsorted(np.sort(np.array(events, np.int64)), indices, side="right").astype(np.float64)
    return happened
