"""The plan of a tenant's VMs: who they are, and what is planted in which of them.

The VMs go through a cycle of 60: the first 20 carry one planted thing each, so that 20 VMs a tenant
show everything, and the other 40 are ordinary. What a VM is depends on the seed, its tenant and its
number only, so a larger fleet holds the smaller one.

Sizes are kept well away from the thresholds of rightsizing. An optimal VM peaks at 66 to 80 % of
both its vCPUs and its memory, so no smaller flavour holds it; an undersized one passes 95 % CPU,
90 % memory or fills its disk within 30 days; an oversized one fits the next smaller flavour with room
to spare. Short disturbances of optimal VMs stay below 0.5 % of a week.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from resources.monitoring.simulated.catalogue import FLAVORS, ROLES
from resources.monitoring.simulated.clock import Clock, stream
from resources.monitoring.simulated.planting import PLANTS
from resources.monitoring.simulated.vm import NodeRef, Rates, SizeClass, Vm

NAMED_TENANTS = ("acme", "globex", "initech")
CYCLE = 60
VMS_PER_NODE = 10


@dataclass(frozen=True)
class Slot:
    """What a place in the cycle asks for; an empty `roles` or `flavors` allows all usual ones."""

    size_class: SizeClass = "optimal"
    reason: str = ""
    roles: tuple[str, ...] = ()
    flavors: tuple[str, ...] = ()
    plants: tuple[str, ...] = ()


_USUAL_FLAVORS = ("s1.small", "s1.medium", "s1.medium", "s1.large", "s1.large", "s1.xlarge", "m1.large", "m1.xlarge")
_S1 = ("s1.medium", "s1.large", "s1.xlarge")
_LARGE = ("s1.xlarge", "s1.2xlarge")

SLOTS = (
    Slot(roles=("web",), plants=("cpu_saturation",)),
    Slot(flavors=_S1, plants=("leak",)),
    Slot("undersized", "disk", roles=("db",), plants=("disk_full_soon", "io_storm")),
    Slot(roles=("web", "db"), plants=("migration",)),
    Slot(roles=("web", "db"), plants=("cpu_growth",)),
    Slot("idle", roles=("web", "cache"), flavors=_S1),
    Slot("oversized", flavors=_LARGE, roles=("web", "db", "batch")),
    Slot("undersized", "cpu", roles=("worker",), flavors=_S1),
    Slot("undersized", "cpu", roles=("batch",), flavors=("s1.8xlarge",), plants=("noisy_neighbour",)),
    Slot(roles=("db",), plants=("disk_full_later",)),
    Slot(flavors=_S1, plants=("memory_growth",)),
    Slot("powered_off"),
    Slot(roles=("web", "db"), flavors=("s1.medium", "s1.large"), plants=("resize",)),
    Slot(plants=("restart", "late")),
    Slot(plants=("gap", "duplicates")),
    Slot(roles=("web",), plants=("traffic_spike",)),
    Slot("undersized", "memory", flavors=_S1, plants=("memory_exhaustion",)),
    Slot(roles=("db",), plants=("write_burst",)),
    Slot("undersized", "memory", roles=("cache", "db")),
    Slot(flavors=_S1, plants=("restarting_leak",)),
)


def slot_of(number: int) -> Slot:
    """Return what the VM with this number (from 0) is asked to be."""
    place = number % CYCLE
    if place < len(SLOTS):
        return SLOTS[place]
    if place % 10 == 5:
        return Slot("idle", roles=("web", "cache"), flavors=_S1)
    if place % 10 == 6:
        return Slot("oversized", flavors=_LARGE, roles=("web", "db", "batch"))
    if place % 20 == 7:
        return Slot("undersized", "cpu", roles=("worker",), flavors=_S1)
    return Slot()


def tenant_name(position: int) -> str:
    """Return the id of the tenant at `position`, counted from 0."""
    return NAMED_TENANTS[position] if position < len(NAMED_TENANTS) else f"tenant-{position + 1:02d}"


def nodes_in_rack(vms_per_tenant: int) -> int:
    """Return the nodes of a rack: an even number, so that each has a neighbour to migrate to."""
    return 2 * -(-vms_per_tenant // (2 * VMS_PER_NODE))


def plan_vm(seed: int, clock: Clock, position: int, number: int) -> Vm:
    """Return the VM `number` of the tenant at `position`.

    Each tenant has a rack, and every third of its VMs stands in the rack of the tenant before it: nodes
    are shared by tenants, and still no VM's place depends on how many tenants there are.
    """
    tenant = tenant_name(position)
    slot = slot_of(number)
    chance = stream(seed, tenant, number, "plan")
    role = ROLES[_pick(chance, slot.roles or tuple(ROLES))]
    flavor = FLAVORS[_pick(chance, slot.flavors or _USUAL_FLAVORS)]
    rack = position - 1 if number % 3 == 0 and position else position
    hours = chance.integers(-1, 2) if role.whole_hours else chance.uniform(-1.5, 1.5)
    vm = Vm(
        tenant=tenant,
        number=number,
        role=role.name,
        size_class=slot.size_class,
        size_reason=slot.reason,
        flavors=((0, flavor),),
        placements=((0, NodeRef(rack, number // VMS_PER_NODE)),),
        running=slot.size_class != "powered_off",
        offset_ms=int(chance.integers(0, clock.step_ms)),
        day_shift=round(float(hours) * 3600 / clock.interval_seconds),
        disk_level=float(chance.uniform(0.3, 0.5)) * flavor.disk_bytes,
        rates=_scaled(role.rates, float(chance.uniform(0.6, 1.6))),
        uptime_days=float(chance.uniform(3, 90)),
        **_levels(chance, slot, flavor.vcpus),
    )
    if slot.size_class == "idle":
        vm = replace(vm, rates=(2e3, 4e3, 300.0, 150.0))
    if slot.size_class == "oversized":
        vm = replace(vm, disk_level=0.2 * flavor.disk_bytes)
    for plant in slot.plants:
        vm = PLANTS[plant](vm, clock, chance)
    return vm


def _levels(chance: np.random.Generator, slot: Slot, vcpus: int) -> dict[str, Any]:
    """Return the CPU levels (percent) and memory levels (share of the flavour) that make the size class true."""
    low, peak, noise = chance.uniform(12, 22), chance.uniform(67, 74), 1.3
    memory_low, swing = chance.uniform(0.62, 0.70), chance.uniform(0.06, 0.08)
    if slot.size_class == "idle":
        # about 0.012 of a vCPU, where the rule draws its line at 0.03
        low = 1.2 / vcpus
        peak, noise = 1.2 * low, 0.05 * low
        memory_low = chance.uniform(0.2, 0.4)
    elif slot.size_class == "oversized":
        low, peak, noise = chance.uniform(3, 4), chance.uniform(8, 10), 0.3
        memory_low, swing = chance.uniform(0.10, 0.14), 0.02
    elif "noisy_neighbour" in slot.plants:
        low, peak, noise = 4.0, 10.0, 0.5
    elif slot.reason == "cpu":
        low, peak = 15.0, 97.0
    elif slot.reason == "memory" and not slot.plants:
        memory_low, swing = 0.925, 0.025
    return {
        "cpu_low": float(low),
        "cpu_peak": float(peak),
        "cpu_noise": float(noise),
        "memory_low": float(memory_low),
        "memory_swing": float(swing),
    }


def _scaled(rates: Rates, by: float) -> Rates:
    read, write, receive, transmit = rates
    return read * by, write * by, receive * by, transmit * by


def _pick(chance: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(chance.integers(len(options)))]
