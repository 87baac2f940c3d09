"""The nodes under the VMs: how large they are, when nobody could read their exporter, and when it began again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.simulated.catalogue import GIB, ROLES, daily_shape
from resources.monitoring.simulated.clock import Clock, stream
from resources.monitoring.simulated.planting import NOISY_HOURS, NOISY_PERCENT
from resources.monitoring.simulated.tiers import operations_for
from resources.monitoring.simulated.vm import NodeRef, Span, Vm

SLOTS_PER_DAY = 96
"""Resolution of the expected load by which nodes are sized."""
NOISY_OVERLOAD = 1.06
"""Demand during a noisy neighbour's burst, as a multiple of its node's cores, at the least busy time."""
NORMAL_PEAK = 0.7
"""Share of its cores that the VMs of any other node are expected to use at the busiest time."""


@dataclass(frozen=True, eq=False)
class Node:
    """A node and the VMs that are on it at any time of the run."""

    ref: NodeRef
    cores: int
    memory_bytes: int
    offset_ms: int
    """How long after the sampling instant it is scraped."""
    vms: tuple[Vm, ...]
    outages: tuple[Span, ...]
    restarts: tuple[int, ...]
    """Indices from which its exporter counts again from 0: latencies and migrations, not the VMs' bytes."""
    tier_operations: tuple[float, ...]
    """The reads and writes per second that each of `TIERS` can do here."""

    @property
    def id(self) -> str:
        return self.ref.id


def outages_of(seed: int, clock: Clock, ref: NodeRef) -> tuple[Span, ...]:
    """Return when the exporter of a node cannot be read: two hours once, on the first node of a rack."""
    if ref.number:
        return ()
    day = int(clock.days * stream(seed, ref.id, "outage").uniform(0.3, 0.6))
    start = clock.index(day, 2)
    return ((start, start + clock.count(120)),)


def restarts_of(seed: int, clock: Clock, ref: NodeRef) -> tuple[int, ...]:
    """Return when the exporter of a node is restarted: once a week at 05:00, on a weekday of its own.

    Its counters are then the sum of what happened since. Such a sum has to be added up day by day;
    the restarts bound that to a week, wherever in the run the day lies that was asked for.
    """
    first = int(stream(seed, ref.id, "restart").integers(7))
    return tuple(clock.index(day, 5) for day in range(first, clock.days, 7))


def scrape_offset_of(seed: int, clock: Clock, ref: NodeRef) -> int:
    """Return how many milliseconds after the sampling instant a node is scraped."""
    return int(stream(seed, ref.id, "plan").integers(0, clock.step_ms))


def plan_nodes(seed: int, clock: Clock, racks: int, per_rack: int, vms: Iterable[Vm]) -> list[Node]:
    """Return the nodes of all racks, each with its VMs and large enough for them.

    Only a node with a noisy neighbour is too small: for the burst, never for its ordinary load.
    """
    placed: dict[NodeRef, list[Vm]] = {NodeRef(rack, number): [] for rack in range(racks) for number in range(per_rack)}
    for vm in vms:
        for ref in {ref for _, ref in vm.placements}:
            placed[ref].append(vm)
    return [
        Node(
            ref=ref,
            cores=_cores_for(here),
            memory_bytes=_memory_for(here),
            offset_ms=scrape_offset_of(seed, clock, ref),
            vms=tuple(here),
            outages=outages_of(seed, clock, ref),
            restarts=restarts_of(seed, clock, ref),
            tier_operations=operations_for(here),
        )
        for ref, here in placed.items()
    ]


def _cores_for(vms: Sequence[Vm]) -> int:
    _, highest = _expected_cores(vms)
    noisy = [vm for vm in vms if any(incident.kind == "noisy_neighbour" for incident in vm.incidents)]
    if not noisy:
        return _in_fours(highest.max(initial=0.0) / NORMAL_PEAK + 3)
    others, _ = _expected_cores([vm for vm in vms if vm not in noisy and len(vm.placements) == 1])
    hour = SLOTS_PER_DAY // 24
    left = others[:, NOISY_HOURS[0] * hour : NOISY_HOURS[1] * hour].min()
    burst = sum(vm.flavor.vcpus * NOISY_PERCENT / 100 for vm in noisy)
    return _in_fours((0.95 * left + burst) / NOISY_OVERLOAD)


def _in_fours(cores: float) -> int:
    return max(8, 4 * int(cores // 4))


def _memory_for(vms: Sequence[Vm]) -> int:
    """Return memory for all VMs at full size and the hypervisor, in steps of 64 GiB."""
    wanted = 8 * GIB + sum(vm.flavor.memory_bytes for vm in vms)
    return -(-wanted // (64 * GIB)) * 64 * GIB


def _expected_cores(vms: Sequence[Vm]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cores `vms` use by (working day, weekend) and time of day: before trends, and after them."""
    lowest = np.zeros((2, SLOTS_PER_DAY))
    highest = np.zeros((2, SLOTS_PER_DAY))
    for vm in vms:
        if not vm.running:
            continue
        shape = daily_shape(vm.role, SLOTS_PER_DAY).astype(np.float64)
        days = np.stack([shape, shape * ROLES[vm.role].weekend])
        percent = vm.cpu_low + (vm.cpu_peak - vm.cpu_low) * days
        # At most 17 points are gained by a growth of CPU.
        gained = 17.0 if any(trend.column == "cpu_percent" for trend in vm.trends) else 0.0
        # Days are shifted by up to 1.5 hours: take the neighbours' least and most.
        around = [np.roll(percent, shift, axis=1) for shift in range(-6, 7)]
        lowest += np.min(around, axis=0) * vm.flavors[0][1].vcpus / 100
        highest += (np.max(around, axis=0) + gained) * vm.flavor.vcpus / 100
    return lowest, highest
