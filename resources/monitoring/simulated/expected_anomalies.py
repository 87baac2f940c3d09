"""Which anomalies a detector should report of a simulated fleet, and which it may.

Required is everything out of the ordinary that is planted once and shows in the samples. Allowed,
but not required, is what follows from something planted but may be held usual or too small:

- A noisy neighbour and its node's saturation: they come every third day at the same hour. A detector
  that has seen that a few times may take it for the usual.
- The CPU that a traffic spike costs: six points, on a VM whose own day goes up and down by fifty.
- What a VM's incident does to its node, to the tiers and links there, and to what is measured of its
  tenant there: more or less, as the other VMs leave room for it.
- A level that changes for good, for a day after it: memory after a resize, or after the restart of a
  leaking VM; nodes and tiers after a VM came, went or grew.

Everything else reported is a false alarm: daily and weekly cycles, backups and jobs at their hours, steady
growth (which is a trend), gaps, late and doubled samples, counters that begin again, and a moved VM
itself, whose load goes on as it was.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from resources.monitoring.simulated.catalogue import TIERS
from resources.monitoring.simulated.source import SimulatedFleet
from resources.monitoring.simulated.tiers import tier_of
from resources.monitoring.simulated.vm import NodeRef, Span, Vm
from resources.partition import PLATFORM

SETTLING_DAYS = 1
"""How long a change for good may still be reported: then the new level is the usual one."""

REQUIRED = {
    "cpu_saturation": ("cpu_percent",),
    "traffic_spike": ("network_receive_bytes_per_second", "network_transmit_bytes_per_second"),
    "write_burst": ("disk_write_bytes_per_second",),
    "io_storm": ("disk_read_bytes_per_second", "disk_write_bytes_per_second"),
    "memory_exhaustion": ("memory_bytes",),
}
"""Kinds of a VM's incidents that must be found, each in at least one of these metrics."""

ANY_METRIC: tuple[str, ...] = ()


def expected_anomalies(fleet: SimulatedFleet) -> Iterator[dict[str, Any]]:
    """Yield the rows of the truth's table `anomalies`, required ones and allowed ones."""
    for tenant in fleet.tenants():
        for vm in fleet.vms(tenant):
            if vm.running:
                yield from _of_incidents(fleet, vm)
                yield from _of_changes(fleet, vm)
    for link in fleet.links():
        if link.fault is not None:
            yield _row(fleet, PLATFORM, "link", link.id, ANY_METRIC, link.fault, "link_fault", required=True)


def _of_incidents(fleet: SimulatedFleet, vm: Vm) -> Iterator[dict[str, Any]]:
    for incident in vm.incidents:
        required = REQUIRED.get(incident.kind, ())
        if required:
            yield _row(fleet, vm.tenant, "vm", vm.vm_id, required, incident.span, incident.kind, required=True)
        rest = tuple(column for column in incident.columns if column not in required)
        if rest:
            yield _row(fleet, vm.tenant, "vm", vm.vm_id, rest, incident.span, incident.kind)
        node = [ref for start, ref in vm.placements if start <= incident.span[0]][-1]
        if incident.kind == "io_storm":
            tier = f"{TIERS[tier_of(vm)].name}/{node.id}"
            yield _row(fleet, PLATFORM, "tier", tier, ANY_METRIC, incident.span, "tier_saturation", required=True)
        yield from _around(fleet, vm, [node], incident.span, incident.kind)


def _of_changes(fleet: SimulatedFleet, vm: Vm) -> Iterator[dict[str, Any]]:
    nodes = [ref for _, ref in vm.placements]
    for at, _ in vm.placements[1:]:
        yield from _around(fleet, vm, nodes, _settling(fleet, at), "migration")
    for at, _ in vm.flavors[1:]:
        yield _row(fleet, vm.tenant, "vm", vm.vm_id, ("memory_bytes",), _settling(fleet, at), "resize")
        yield from _around(fleet, vm, nodes, _settling(fleet, at), "resize")
    for trend in vm.trends:
        for at in vm.restarts if trend.restart_every_days else ():
            yield _row(fleet, vm.tenant, "vm", vm.vm_id, (trend.column,), _settling(fleet, at), "restart")
            yield from _around(fleet, vm, nodes, _settling(fleet, at), "restart")


def _around(fleet: SimulatedFleet, vm: Vm, nodes: Iterable[NodeRef], span: Span, kind: str) -> Iterator[dict[str, Any]]:
    """Yield what something of `vm` may do to its `nodes`, their tiers and links, and its tenant's share of them."""
    for node in dict.fromkeys(nodes):
        for tenant in (PLATFORM, vm.tenant):
            yield _row(fleet, tenant, "node", node.id, ANY_METRIC, span, kind)
        for tier in TIERS:
            yield _row(fleet, PLATFORM, "tier", f"{tier.name}/{node.id}", ANY_METRIC, span, kind)
        for link in fleet.links():
            if node in (link.source.ref, link.target.ref):
                yield _row(fleet, PLATFORM, "link", link.id, ANY_METRIC, span, kind)


def _settling(fleet: SimulatedFleet, at: int) -> Span:
    return at, min(at + SETTLING_DAYS * fleet.clock.per_day, fleet.clock.total)


def _row(
    fleet: SimulatedFleet,
    tenant: str,
    entity_kind: str,
    entity_id: str,
    metrics: tuple[str, ...],
    span: Span,
    kind: str,
    *,
    required: bool = False,
) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "entity_kind": entity_kind,
        "entity_id": entity_id,
        "metrics": list(metrics),
        "start": fleet.clock.ms(span[0]),
        "end": fleet.clock.ms(span[1]),
        "kind": kind,
        "required": required,
    }
