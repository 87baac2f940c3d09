"""Named fleets of one day in a real lake, and both reports over them."""

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from analytics_assets.analyzers.capacity import COMPONENT as CAPACITY
from analytics_assets.analyzers.metric_trends import COMPONENT as METRIC_TRENDS
from analytics_assets.charts.frame import Heading
from analytics_assets.charts.heatmap import Grid, heatmap
from analytics_assets.charts.table import Chart, chart_rows, result_sha256
from analytics_assets.components import Instance, Result, Workplace
from analytics_assets.processors.system_load import COMPONENT as SYSTEM_LOAD
from analytics_assets.processors.vm_inventory import COMPONENT as VM_INVENTORY
from analytics_assets.processors.vm_resources_hourly import COMPONENT as VM_RESOURCES_HOURLY
from analytics_assets.reporters import capacity_planning_report, system_performance_report
from analytics_assets.reports import as_json, figures
from analytics_assets.visualizers.heatmap_charts import COMPONENT as HEATMAPS
from resources.lake.lake import Facts, Lake
from resources.lake.table import Table
from resources.lake.warehouse import QueryLimits
from resources.partition import Partition, day_start_ms

DAY = date(2026, 3, 28)
GIB = 2.0**30
BUCKETS = 288
HOSTILE = (
    "<b>&</script>",
    "n" * 300,
    "\u05e9\u05dc\u05d5\u05dd",
    "a\x07\x1b[2J\nb",
    "'; DROP TABLE x; --",
    '" onload="alert(1)',
)


@dataclass
class Fleet:
    """The rows of each input; what a row leaves out is null, or a value that says nothing."""

    load: list[dict[str, Any]] = field(default_factory=list)
    trends: list[dict[str, Any]] = field(default_factory=list)
    node_trends: list[dict[str, Any]] = field(default_factory=list)
    capacity: list[dict[str, Any]] = field(default_factory=list)
    inventory: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    days_missing: tuple[str, ...] = ()
    tenant: str = "acme"


def load(node: str, cpu: Any = 20.0, buckets: int = BUCKETS, **more: Any) -> list[dict[str, Any]]:
    """Return a node's day: `cpu` percent of its 16 CPUs, constant or one for each bucket."""
    values = np.broadcast_to(np.asarray(cpu, np.float32), buckets)
    start = day_start_ms(DAY)
    return [
        {
            "node_id": node, "ts": start + 300_000 * place, "scope": "tenant", "cpu_percent_mean": float(value),
            "cpu_percent_max": float(value) + 1, "cpu_cores_mean": float(value) * 0.16, "cpu_cores_total": 16.0,
            "memory_bytes_mean": 8 * GIB, "memory_bytes_max": 9 * GIB, "memory_total_bytes": 32 * GIB, "vm_count": 2,
            "samples_seen": 10, "samples_expected": 10, **more,
        }
        for place, value in enumerate(values)
    ]  # fmt: skip


def trend(entity: str, metric: str = "cpu_percent", level: float = 30.0, **more: Any) -> dict[str, Any]:
    """Return a trend that says `stable`; `slope=(low, middle, high)` makes it rise or fall."""
    low, middle, high = more.pop("slope", (-0.01, 0.0, 0.01))
    direction = "stable" if low <= 0 <= high else "rising" if middle > 0 else "falling"
    return {
        "entity_kind": "vm", "entity_id": entity, "metric": metric,
        "unit": "percent" if metric == "cpu_percent" else "bytes", "status": "ok", "window_days": 28, "days_used": 28,
        "samples_seen": 100, "samples_expected": 100, "coverage": 1.0, "level": level, "slope_per_day": middle,
        "slope_low_per_day": low, "slope_high_per_day": high, "change_over_window": 28 * middle, "direction": direction,
        **more,
    }  # fmt: skip


def size(entity: str, resource: str = "cpu", **more: Any) -> dict[str, Any]:
    """Return a row of capacity that presses nobody: 1 of 4 cores, or 10 of 100 GiB, used."""
    whole, used, unit = (4.0, 1.0, "cores") if resource == "cpu" else (100 * GIB, 10 * GIB, "bytes")
    row = {
        "entity_kind": "vm", "entity_id": entity, "resource": resource, "scenario": "", "unit": unit,
        "status": "ok", "level": "ok", "use_level": "ok",
        "physical": whole, "usable": 0.9 * whole, "demand_mean": used / 2, "demand_p95": used, "demand_peak": used,
        "slope_per_day": -0.000034, "direction": "stable", "capacity_remaining": 0.9 * whole - used,
        "horizon_days": 365, "size_class": "optimal", "window_days": 28, "days_used": 28, "coverage": 1.0, **more,
    }  # fmt: skip
    if row["demand_p95"] is not None and row["physical"]:
        row.setdefault("utilization_percent", 100 * row["demand_p95"] / row["physical"])
    return row


def tenant_sizes() -> list[dict[str, Any]]:
    """Return the rows of all VMs together."""
    return [
        size("acme", resource, entity_kind="tenant", allocated=whole, size_class=None)
        for resource, whole in (("cpu", 4.0), ("memory", 100 * GIB), ("disk", 100 * GIB))
    ]


def unanswered(entity: str, resource: str) -> dict[str, Any]:
    """Return a row of capacity without an answer."""
    nothing = dict.fromkeys(("demand_mean", "demand_p95", "demand_peak", "slope_per_day", "capacity_remaining"))
    return size(
        entity, resource, status="insufficient_data", reason="2 days; needs 5", level="unknown", direction="unknown",
        size_class="insufficient_data", size_reason="too few hours", days_used=2, utilization_percent=None, **nothing,
    )  # fmt: skip


def inventory(names: list[str]) -> list[dict[str, Any]]:
    return [
        {"vm_id": name, "valid_from": day_start_ms(DAY), "vm_name": f"vm {name}", "vcpus": 4.0, "state": "running"}
        for name in names
    ]


def hours(name: str, day: date = DAY, count: int = 24) -> list[dict[str, Any]]:
    start = day_start_ms(day)
    return [
        {"vm_id": name, "ts": start + 3_600_000 * hour, "samples_seen": 12, "samples_expected": 12}
        for hour in range(count)
    ]


def healthy() -> Fleet:
    """Two nodes and two VMs: everything has an answer and nothing moves."""
    vms = ["vm-1", "vm-2"]
    return Fleet(
        load=[*load("n1"), *load("n2", 10.0)],
        trends=[trend(vm) for vm in vms] + [trend(vm, "memory_bytes", 9 * GIB) for vm in vms],
        node_trends=[trend(node, entity_kind="node") for node in ("n1", "n2")],
        capacity=[size(vm, resource) for vm in vms for resource in ("cpu", "memory", "disk")] + tenant_sizes(),
        inventory=inventory(vms),
        samples=[row for vm in vms for row in hours(vm)],
    )


def disk_filling() -> Fleet:
    """As `healthy`, and db-1's disk fills; web-1's CPU rises; n3 was busy for 35 minutes, n4 for 30."""
    fleet = healthy()
    fleet.load += [*load("n3", np.r_[np.full(7, 95.0), np.full(281, 40.0)])]
    fleet.load += [*load("n4", np.r_[np.full(6, 99.0), np.full(282, 5.0)])]
    fleet.trends += [
        trend("db-1", "disk_bytes", 80 * GIB, slope=(1.5 * GIB, 2 * GIB, 2.5 * GIB)),
        trend("web-1", level=50.0, slope=(0.8, 1.0, 1.25)),
        trend("db-1", "memory_bytes", 10 * GIB, slope=(0.1 * GIB, 0.15 * GIB, 0.2 * GIB)),
        trend("web-1", "network_receive_bytes_per_second", 50e6, unit="bytes/s"),
        trend("db-1", "network_receive_bytes_per_second", 2e3, unit="bytes/s", slope=(30.0, 40.0, 50.0)),
    ]
    fleet.capacity += [
        size(
            "db-1", "disk", level="critical", demand_p95=81 * GIB, slope_per_day=2 * GIB, direction="rising",
            time_remaining_days_expected=5.0, time_remaining_days_conservative=4.0, recommended_total=200 * GIB,
        ),
        size("db-1", "memory"),
        size("burst", level="critical", time_remaining_days_conservative=4.0, demand_p95=0.5),
    ]  # fmt: skip
    return fleet


def insufficient() -> Fleet:
    """Nothing has an answer: the VMs are two days old."""
    short = {"status": "insufficient_data", "reason": "2 days with at least 12 hours of samples; needs 5"}
    nothing = dict.fromkeys(("level", "slope_per_day", "slope_low_per_day", "slope_high_per_day", "change_over_window"))
    return Fleet(
        load=load("n1", buckets=100),
        trends=[trend("vm-1", **short, **nothing, direction="unknown", days_used=2)],
        node_trends=[trend("n1", entity_kind="node", **short, **nothing, direction="unknown", days_used=2)],
        capacity=[unanswered("vm-1", resource) for resource in ("cpu", "memory", "disk")],
        inventory=inventory(["vm-1"]),
        samples=hours("vm-1", count=5),
        notes=("only 2 of 28 days are stored",),
        days_missing=("2026-03-01", "2026-03-02", "2026-03-04"),
    )


def empty() -> Fleet:
    """A tenant without a single VM."""
    return Fleet()


def many_vms() -> Fleet:
    """300 VMs whose memory fills, the later the higher their number."""
    names = [f"vm-{number:03}" for number in range(300)]
    slopes = [GIB / (1 + number) for number in range(300)]
    return Fleet(
        load=[row for node in range(20) for row in load(f"n{node:02}", 20.0 + node, buckets=24)],
        trends=[
            trend(name, "memory_bytes", 50 * GIB, slope=(slope / 2, slope, 2 * slope))
            for name, slope in zip(names, slopes, strict=True)
        ],
        capacity=[
            size(
                name, "memory", level="critical", time_remaining_days_conservative=float(number + 1),
                time_remaining_days_expected=float(2 * number + 1), direction="rising", slope_per_day=GIB,
                size_class="undersized", size_reason="memory peak 99 % is above 90 %",
            )
            for number, name in enumerate(names)
        ] + tenant_sizes(),
        inventory=inventory(names),
        samples=[row for name in names for row in hours(name, count=1)],
    )  # fmt: skip


def hostile() -> Fleet:
    """Names and reasons that would break a page, a shell or a query if they were not inert."""
    rising = (GIB, 2 * GIB, 3 * GIB)
    return Fleet(
        load=[row for name in HOSTILE for row in load(name, 95.0, buckets=8)],
        trends=[trend(name, "memory_bytes", 50 * GIB, slope=rising) for name in HOSTILE]
        + [trend(name, reason=f"reason {name}") for name in HOSTILE],
        capacity=[
            size(name, "memory", level="critical", time_remaining_days_conservative=3.0, direction="rising")
            for name in HOSTILE
        ]
        + [{**unanswered(name, "cpu"), "reason": f"because {name}"} for name in HOSTILE],
        inventory=[{**row, "vm_name": HOSTILE[0]} for row in inventory(list(HOSTILE))],
        samples=[row for name in HOSTILE for row in hours(name, count=2)],
        notes=tuple(f"note {name}" for name in HOSTILE),
    )


def nodes() -> Fleet:
    """The operator's own partition: nodes only."""
    return Fleet(
        load=[*load("n1", scope="node", vm_count=None), *load("node-2", 50.0, scope="node", vm_count=None)],
        node_trends=[trend(node, entity_kind="node") for node in ("n1", "node-2")],
        capacity=[
            size(node, resource, entity_kind="node", size_class=None)
            for node in ("n1", "node-2")
            for resource in ("cpu", "memory")
        ],
        tenant="platform",
    )


CHART_SQL = "SELECT node_id, ts, cpu_percent_mean FROM {load} WHERE {days} ORDER BY node_id, ts"

FLEETS = {fleet.__name__: fleet for fleet in (healthy, disk_filling, insufficient, empty, many_vms, hostile, nodes)}

LOAD = Instance("load-of-nodes", SYSTEM_LOAD, SYSTEM_LOAD.parameters())
TRENDS = Instance("vm-trends", METRIC_TRENDS, METRIC_TRENDS.parameters())
NODE_TRENDS = Instance("node-trends", METRIC_TRENDS, METRIC_TRENDS.parameters())
SIZES = Instance("capacity", CAPACITY, CAPACITY.parameters())
NAMES = Instance("vm_inventory", VM_INVENTORY, VM_INVENTORY.parameters())
HOURS = Instance("vm_resources_hourly", VM_RESOURCES_HOURLY, VM_RESOURCES_HOURLY.parameters())
CHARTS = Instance("heat", HEATMAPS, HEATMAPS.parameters(), {"samples": (LOAD,)})
MODULES: dict[str, Any] = {"performance": system_performance_report, "capacity": capacity_planning_report}
STORED = (LOAD, TRENDS, NODE_TRENDS, SIZES, NAMES, HOURS, CHARTS)
REPORTS = {
    "performance": Instance(
        "performance", system_performance_report.COMPONENT, system_performance_report.COMPONENT.parameters(),
        {"load": (LOAD,), "trends": (TRENDS, NODE_TRENDS), "charts": (CHARTS,), "capacity": (SIZES,)},
    ),
    "capacity": Instance(
        "capacity-report", capacity_planning_report.COMPONENT, capacity_planning_report.COMPONENT.parameters(),
        {"capacity": (SIZES,), "charts": (CHARTS,), "inventory": (NAMES,), "samples": (HOURS,)},
    ),
}  # fmt: skip


def store(root: Path, fleet: Fleet) -> Lake:
    """Store a fleet's day and its chart; return the lake."""
    lake, partition = Lake(root), Partition(fleet.tenant, DAY)
    rows = (
        (LOAD, fleet.load), (TRENDS, fleet.trends), (NODE_TRENDS, fleet.node_trends), (SIZES, fleet.capacity),
        (NAMES, fleet.inventory), (HOURS, fleet.samples),
    )  # fmt: skip
    for instance, given in rows:
        noted = instance is SIZES
        facts = Facts(
            as_of_ms=day_start_ms(DAY + timedelta(days=1)),
            days_missing=fleet.days_missing if noted else (),
            days_read=(DAY.isoformat(),),
            notes=fleet.notes if noted else (),
        )
        lake.write(instance.table, partition, _table(instance.table, given), facts)
    lake.write(CHARTS.table, partition, _charts(lake, fleet), Facts())
    return lake


def _charts(lake: Lake, fleet: Fleet) -> pa.Table:
    sql = figures.fill(CHART_SQL, [DAY], {"load": LOAD.table.name})
    with workplace(lake, CHARTS, fleet.tenant) as place:
        data = place.query(sql, [DAY])
    names = sorted({row["node_id"] for row in fleet.load})
    drawing = None
    if names:
        values = np.arange(24.0) + np.arange(len(names))[:, np.newaxis]
        drawing = heatmap(Heading("CPU by node"), Grid(names, values, day_start_ms(DAY), 3_600_000), "percent")
    about = f"CPU by node, such as {names[0]}" if names else "CPU by node"
    return chart_rows(
        [
            Chart("cpu", about, f"{about}. In words.", "percent", sql, data.num_rows, result_sha256(data), drawing,
                  None if names else "no node")
        ]
    )  # fmt: skip


def workplace(lake: Lake, instance: Instance, tenant: str = "acme") -> Workplace:
    """Return the workplace that makes `instance` for the scenario's day."""
    limits = QueryLimits(max_rows=100_000, timeout_seconds=60, memory_mb=512, threads=2)
    return Workplace(
        Partition(tenant, DAY), instance, lake, None, None, limits,  # type: ignore[arg-type]
        resolution_seconds=300, minimum_coverage=0.7,
    )  # fmt: skip


def make(lake: Lake, report: str, tenant: str = "acme") -> Result:
    """Make one of the two reports."""
    instance = REPORTS[report]
    with workplace(lake, instance, tenant) as place:
        return instance.component.compute(place, instance.parameters)


def told(lake: Lake, report: str, tenant: str = "acme", **parameters: Any) -> Any:
    """Return the JSON of one of the two reports, without laying out its pages."""
    instance, module = REPORTS[report], MODULES[report]
    chosen = instance.component.parameters(**parameters)
    with workplace(lake, instance, tenant) as place:
        return json.loads(as_json.write(module.write(place, chosen, module.ask_all(place, chosen))))


_FOLDER = TemporaryDirectory(prefix="novacron-reports-")


@cache
def made(fleet: str, report: str) -> tuple[Lake, Result]:
    """Return the lake of a named fleet and one of its reports, both made once for all tests; they only read."""
    root = Path(_FOLDER.name) / fleet
    rows = FLEETS[fleet]()
    lake = Lake(root) if root.exists() else store(root, rows)
    return lake, make(lake, report, rows.tenant)


def _table(table: Table, rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows as the table declares them: what they leave out is null, 1, or the first value allowed."""
    arrays = {}
    for column in table.columns:
        text = pa.types.is_dictionary(column.type)
        otherwise: Any = None
        if not column.nullable:
            otherwise = 1 if pa.types.is_integer(column.type) else (column.values or ("x",))[0]
        values = [row.get(column.name, otherwise) for row in rows]
        if pa.types.is_timestamp(column.type):
            arrays[column.name] = pa.array(values, pa.int64()).cast(column.type)
        else:
            arrays[column.name] = pa.array(values, pa.string() if text else column.type).cast(column.type)
    return pa.table(arrays)
