"""What is true of a simulated fleet, as tables: what an analysis of its samples should find.

Instants are the sampling instants by the fleet's clock; a sample's own time is later by less than
an interval, so the samples of `[start, end)` are those with `start <= ts < end`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from resources.monitoring.simulated.catalogue import TIERS
from resources.monitoring.simulated.delivery import samples_lost
from resources.monitoring.simulated.expected_anomalies import expected_anomalies
from resources.monitoring.simulated.links import Link
from resources.monitoring.simulated.nodes import Node
from resources.monitoring.simulated.planting import ALERT_FOR_MINUTES
from resources.monitoring.simulated.source import SimulatedFleet
from resources.monitoring.simulated.tiers import tier_of
from resources.monitoring.simulated.vm import Incident, Vm
from resources.partition import PLATFORM

_TS = pa.timestamp("ms", tz="UTC")
_NODE_COLUMNS = ("cpu_percent", "memory_bytes", "load_average")
_TIER_COLUMNS = ("iops", "throughput_bytes_per_second", "latency_seconds")
_LINK_COLUMNS = ("latency_seconds", "packet_loss_rate")


def _schema(nullable: tuple[str, ...] = (), /, **columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=name in nullable) for name, kind in columns.items()])


TRUTH_SCHEMAS: Mapping[str, pa.Schema] = {
    "vms": _schema(
        tenant=pa.string(), vm_id=pa.string(), vm_name=pa.string(), role=pa.string(), flavor=pa.string(),
        vcpus=pa.float64(), memory_bytes=pa.int64(), disk_bytes=pa.int64(), state=pa.string(),
        size_class=pa.string(), size_reason=pa.string(), node_id=pa.string(),
    ),
    "trends": _schema(
        ("restart_every_days", "exhaustion_day"),
        tenant=pa.string(), entity_kind=pa.string(), entity_id=pa.string(), metric=pa.string(), kind=pa.string(),
        start=_TS, slope_per_day=pa.float64(), restart_every_days=pa.int32(), exhaustion_day=pa.date32(),
    ),
    "incidents": _schema(
        ("cause_vm_id",),
        incident_id=pa.string(), tenant=pa.string(), entity_kind=pa.string(), entity_id=pa.string(),
        kind=pa.string(), severity=pa.string(), start=_TS, end=_TS, metrics=pa.list_(pa.string()),
        cause_vm_id=pa.string(),
    ),
    "anomalies": _schema(
        tenant=pa.string(), entity_kind=pa.string(), entity_id=pa.string(), metrics=pa.list_(pa.string()),
        start=_TS, end=_TS, kind=pa.string(), required=pa.bool_(),
    ),
    "alerts": _schema(
        tenant=pa.string(), incident_id=pa.string(), alertname=pa.string(), severity=pa.string(),
        labels=pa.string(), annotations=pa.string(), startsAt=_TS, endsAt=_TS,
        generatorURL=pa.string(), fingerprint=pa.string(),
    ),
    "migrations": _schema(
        tenant=pa.string(), vm_id=pa.string(), at=_TS, source_node=pa.string(), target_node=pa.string(),
    ),
    "resizes": _schema(
        tenant=pa.string(), vm_id=pa.string(), at=_TS, flavor_before=pa.string(), flavor_after=pa.string(),
    ),
    "resets": _schema(tenant=pa.string(), vm_id=pa.string(), at=_TS),
    "gaps": _schema(
        tenant=pa.string(), entity_kind=pa.string(), entity_id=pa.string(), cause=pa.string(), start=_TS, end=_TS,
        samples_lost=pa.int64(),
    ),
    "late": _schema(
        tenant=pa.string(), vm_id=pa.string(), start=_TS, end=_TS, delay_seconds=pa.int64(), samples=pa.int64(),
    ),
    "duplicates": _schema(tenant=pa.string(), vm_id=pa.string(), start=_TS, end=_TS, samples=pa.int64()),
}  # fmt: skip
"""The truth's tables.

- vms: size class (rightsizing's words) and its reason, flavour, state and node at the end of the run.
- trends: `metric` (a column stem) grows by `slope_per_day` in its unit from `start` to the end of the
  run; where `restart_every_days` is set it falls back that often and has no lasting trend. A VM and
  metric without a row, and without a row in `resizes`, has a level that does not change.
- incidents: `metrics` are the columns that show it, `cause_vm_id` the VM to blame for a node's or
  tier's. `entity_id` is `node/tier` for a tier, `source/target` for a link (this direction only).
- anomalies: what a detector should report (`required`: in at least one of `metrics`) and what it may; no
  metrics means any. `entity_id` is as the tables have it: `tier/node`, `source/target`; the load that a
  tenant has on a node is a `node` of that tenant.
- alerts: what Alertmanager would have sent, with its field names; `labels` and `annotations` are JSON.
- gaps: `samples_lost` are those of each of the entity's series; `cause` is not_scraped or node_outage.
  A node's are also those of its tiers and interfaces, of the links from it, and of the VM counts there.
- late, duplicates: `samples` of each metric that came `delay_seconds` late, or once more.
"""


def truth_tables(fleet: SimulatedFleet) -> dict[str, pa.Table]:
    """Return the truth of `fleet` by the tables of `TRUTH_SCHEMAS`; a table may be empty, none is missing."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TRUTH_SCHEMAS}
    for tenant in fleet.tenants():
        for vm in fleet.vms(tenant):
            for table, row in _of_vm(fleet, vm):
                rows[table].append({"tenant": tenant, **row})
    for node in fleet.nodes():
        for table, row in _of_node(fleet, node):
            rows[table].append({"tenant": PLATFORM, **row})
    for link in fleet.links():
        for table, row in _of_link(fleet, link):
            rows[table].append({"tenant": PLATFORM, **row})
    rows["anomalies"].extend(expected_anomalies(fleet))
    return {name: pa.Table.from_pylist(rows[name], schema=schema) for name, schema in TRUTH_SCHEMAS.items()}


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return Alertmanager's fingerprint of a label set: 64-bit FNV-1a over its sorted names and values."""
    value = 0xCBF29CE484222325
    for byte in b"".join(f"{name}\xff{labels[name]}\xff".encode("latin-1") for name in sorted(labels)):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def _of_vm(fleet: SimulatedFleet, vm: Vm) -> Iterator[tuple[str, dict[str, Any]]]:
    clock = fleet.clock
    yield "vms", {
        "vm_id": vm.vm_id, "vm_name": vm.name, "role": vm.role, "flavor": vm.flavor.name,
        "vcpus": vm.flavor.vcpus, "memory_bytes": vm.flavor.memory_bytes, "disk_bytes": vm.flavor.disk_bytes,
        "state": "running" if vm.running else "stopped", "size_class": vm.size_class,
        "size_reason": vm.size_reason, "node_id": vm.node.id,
    }  # fmt: skip
    for trend in vm.trends:
        yield "trends", {
            "entity_kind": "vm", "entity_id": vm.vm_id, "metric": trend.column, "kind": trend.kind,
            "start": clock.ms(trend.start), "slope_per_day": trend.slope_per_day,
            "restart_every_days": trend.restart_every_days, "exhaustion_day": trend.exhaustion_day,
        }  # fmt: skip
    for incident in vm.incidents:
        labels = {"tenant_id": vm.tenant, "vm_id": vm.vm_id, "vm_name": vm.name}
        node = [ref for start, ref in vm.placements if start <= incident.span[0]][-1]
        yield from _of_incident(fleet, "vm", vm.vm_id, incident, {**labels, "node_id": node.id}, None)
    for (_, source), (at, target) in zip(vm.placements, vm.placements[1:], strict=False):
        yield "migrations", {
            "vm_id": vm.vm_id, "at": clock.ms(at), "source_node": source.id, "target_node": target.id,
        }  # fmt: skip
    for (_, before), (at, after) in zip(vm.flavors, vm.flavors[1:], strict=False):
        yield "resizes", {
            "vm_id": vm.vm_id, "at": clock.ms(at), "flavor_before": before.name, "flavor_after": after.name,
        }  # fmt: skip
    for at in vm.restarts:
        yield "resets", {"vm_id": vm.vm_id, "at": clock.ms(at)}
    for late in vm.late:
        yield "late", {
            "vm_id": vm.vm_id, **_times(fleet, late.span), "samples": late.span[1] - late.span[0],
            "delay_seconds": late.delay * clock.interval_seconds,
        }  # fmt: skip
    for span in vm.duplicates:
        yield "duplicates", {"vm_id": vm.vm_id, **_times(fleet, span), "samples": span[1] - span[0]}
    if not vm.running:
        return
    entity = {"entity_kind": "vm", "entity_id": vm.vm_id}
    for span in vm.gaps:
        yield "gaps", {
            **entity, "cause": "not_scraped", **_times(fleet, span), "samples_lost": samples_lost(vm, span),
        }  # fmt: skip
    for node in dict.fromkeys(ref for _, ref in vm.placements):
        for span in fleet.outages(node):
            if lost := samples_lost(vm, span, node):
                yield "gaps", {**entity, "cause": "node_outage", **_times(fleet, span), "samples_lost": lost}


def _of_node(fleet: SimulatedFleet, node: Node) -> Iterator[tuple[str, dict[str, Any]]]:
    after = fleet.clock.count(ALERT_FOR_MINUTES)
    for vm in node.vms:
        for burst in vm.incidents:
            if burst.kind == "noisy_neighbour":
                incident = Incident(
                    "node_saturation", burst.span, ("cpu_percent", "load_average"), "NodeCpuSaturated", "error", after
                )
                yield from _of_incident(fleet, "node", node.id, incident, {"node_id": node.id}, vm.vm_id)
            elif burst.kind == "io_storm":
                incident = Incident("tier_saturation", burst.span, _TIER_COLUMNS, "StorageLatencyHigh", "error", after)
                tier = TIERS[tier_of(vm)].name
                labels = {"node_id": node.id, "tier": tier}
                yield from _of_incident(fleet, "tier", f"{node.id}/{tier}", incident, labels, vm.vm_id)
    for span in node.outages:
        incident = Incident("node_outage", span, _NODE_COLUMNS, "NodeDown", "critical", after)
        yield from _of_incident(fleet, "node", node.id, incident, {"node_id": node.id}, None)
        yield "gaps", {
            "entity_kind": "node", "entity_id": node.id, "cause": "node_outage", **_times(fleet, span),
            "samples_lost": span[1] - span[0],
        }  # fmt: skip


def _of_link(fleet: SimulatedFleet, link: Link) -> Iterator[tuple[str, dict[str, Any]]]:
    if link.fault is not None:
        after = fleet.clock.count(ALERT_FOR_MINUTES)
        incident = Incident("link_fault", link.fault, _LINK_COLUMNS, "LinkLossy", "error", after)
        labels = {"source_node": link.source.id, "target_node": link.target.id}
        yield from _of_incident(fleet, "link", link.id, incident, labels, None)


def _of_incident(
    fleet: SimulatedFleet,
    entity_kind: str,
    entity_id: str,
    incident: Incident,
    labels: Mapping[str, str],
    cause_vm_id: str | None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    times = _times(fleet, incident.span)
    incident_id = f"{entity_id}/{incident.kind}/{incident.span[0]}"
    labels = {"alertname": incident.alertname, "severity": incident.severity, **labels}
    yield "incidents", {
        "incident_id": incident_id, "entity_kind": entity_kind, "entity_id": entity_id, "kind": incident.kind,
        "severity": incident.severity, **times, "metrics": list(incident.columns), "cause_vm_id": cause_vm_id,
    }  # fmt: skip
    yield (
        "alerts",
        {
            "incident_id": incident_id,
            "alertname": incident.alertname,
            "severity": incident.severity,
            "labels": json.dumps(labels, sort_keys=True),
            "annotations": json.dumps({"summary": f"{incident.alertname} on {entity_id}"}),
            "startsAt": fleet.clock.ms(min(incident.span[0] + incident.alert_after, incident.span[1] - 1)),
            "endsAt": times["end"],
            "generatorURL": f"http://prometheus.example/graph?g0.expr=ALERTS&g0.entity={entity_id}",
            "fingerprint": fingerprint(labels),
        },
    )


def _times(fleet: SimulatedFleet, span: tuple[int, int]) -> dict[str, int]:
    return {"start": fleet.clock.ms(span[0]), "end": fleet.clock.ms(span[1])}
