"""What to do: resize, reclaim or move VMs, or add capacity; each with what it rests on and what it would have done.

Every VM has a row, every other resource of `capacity` too, those with nothing to do as well. Method:

1. Classes and needs are those of the capacity analysis: CPU and memory for the peaks of the window and
   30 days of growth, for a resize can be followed by another; disk for the warning time and 30 days.
   `recommendation_model/vm_decisions.py` turns them into a size, from the flavours where there are some.
2. The recommended size is replayed on the window's hours: for about how many minutes the demand was
   above it, and its fullest hour. A VM that stays as it is, is replayed on its own size.
3. Savings are the difference of the price list's prices by the hour, times the hours of a month.
4. Nodes, storage tiers and tenants that run out within the warning time get more capacity
   (`recommendation_model/growth.py`).
5. For the platform, VMs move from hot nodes to cool ones (`recommendation_model/rebalance.py`). It
   reads the tenants' VMs as they are stored; a tenant's own rows come from that tenant's data alone.

Given the recommended size, the same data ask for no other.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.capacity_model.sizes import COLUMNS as SIZE_COLUMNS
from analytics_assets.analyzers.capacity_model.sizes import vm_sizes
from analytics_assets.analyzers.capacity_model.vms import NETWORK, STEMS, VmSamples, vm_demand
from analytics_assets.analyzers.recommendation_model.catalogue import Catalogue
from analytics_assets.analyzers.recommendation_model.growth import growth_rows
from analytics_assets.analyzers.recommendation_model.history import idle_every_day, measured_share, replay
from analytics_assets.analyzers.recommendation_model.parameters import RecommendationsParameters
from analytics_assets.analyzers.recommendation_model.placement import (
    INVENTORY_COLUMNS,
    SAMPLE_COLUMNS,
    move_rows,
    nodes_of,
    placed_vms,
)
from analytics_assets.analyzers.recommendation_model.vm_rows import Row, decisions, vm_case, vm_rows
from analytics_assets.components import Component, Input, Result, Workplace
from analytics_assets.kernels.coverage import sample_counts
from analytics_assets.kernels.matrix import Grid, days_of, locate, place, row_mean, row_quantile
from resources.errors import InvalidInput
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table, number
from resources.partition import DAY_MS, PLATFORM

ACTIONS = ("resize", "reclaim", "move", "add_capacity", "none")
CLASSES = (
    "insufficient_data", "powered_off", "zombie", "idle", "undersized", "oversized", "burstable", "optimal",
)  # fmt: skip


def _text(name: str, description: str) -> Column:
    return Column(name, pa.string(), description, nullable=True)


def _from_to(name: str, what: str, unit: str) -> tuple[Column, Column]:
    return (
        number(f"{name}_from", f"{what} now", unit, minimum=0),
        number(f"{name}_to", f"{what} as recommended; 0 where all is given back", unit, minimum=0),
    )


TABLE = Table(
    name="recommendations",
    description="what to do with one VM, or with one resource of a node, storage tier or tenant",
    columns=(
        Column("entity_kind", ENTITY, "what the entity is", values=("vm", "node", "cluster", "tier", "tenant")),
        Column("entity_id", ENTITY, "id of it, as in capacity; a VM of the platform's rows is tenant/VM"),
        Column(
            "resource",
            ENTITY,
            "size: of a VM as a whole; placement: where a VM runs; else what runs out",
            values=("size", "placement", "cpu", "memory", "disk"),
        ),
        Column("action", ENTITY, "what to do", values=ACTIONS),
        Column("size_class", ENTITY, "what the VM's size is for its use", nullable=True, values=CLASSES),
        Column("status", ENTITY, "whether there is an answer", values=("ok", "insufficient_data", "no_data")),
        _text("reason", "why there is no answer, or why nothing (else) is recommended"),
        Column(
            "severity",
            ENTITY,
            "how urgent it is; none where nothing is to be done",
            values=("critical", "high", "medium", "low", "none"),
        ),
        Column(
            "confidence",
            ENTITY,
            "how sure it is, by days, coverage and replay; none without an answer",
            values=("high", "medium", "low", "none"),
        ),
        *_from_to("vcpus", "vCPUs (node: cores)", "cores"),
        *_from_to("memory_bytes", "Memory", "bytes"),
        *_from_to("disk_bytes", "Disk", "bytes"),
        _text("flavor_from", "flavour now"),
        _text("flavor_to", "recommended flavour; null for a free size"),
        _text("node_from", "node the VM runs on"),
        _text("node_to", "node to move it to"),
        number(
            "cpu_minutes_above",
            "minutes above the CPU of the recommended size (its own, if it stays) in the replayed hours; an estimate "
            "from each hour's mean, 95th percentile and maximum, up to three times off where load comes and goes "
            "within hours",
            "min",
            minimum=0,
        ),
        number("memory_minutes_above", "the same of its memory", "min", minimum=0),
        Column(
            "replay_hours",
            pa.int32(),
            "hours replayed: those with both CPU and memory",
            unit="h",
            nullable=True,
            minimum=0,
        ),
        Column("worst_hour", TIMESTAMP, "begin of the hour in which that size is fullest, UTC", nullable=True),
        number("worst_hour_percent", "highest CPU or memory use in that hour, of that size", "percent", minimum=0),
        number("monthly_savings", "what it saves in a month by the price list; below 0: costs"),
        _text("currency", "currency of the savings"),
        _text("savings_reason", "why there are no savings"),
        Column("valid_until", TIMESTAMP, "when it is to be made anew, UTC"),
        Column("days_used", pa.int32(), "days with enough hours to count", unit="days", minimum=0),
        number("coverage", "samples seen over samples expected while running", minimum=0, maximum=1),
        Column("evidence", pa.string(), "what was compared with what, in figures"),
    ),
    primary_key=("entity_kind", "entity_id", "resource"),
    measured=True,
)


def compute(workplace: Workplace, parameters: RecommendationsParameters) -> Result:
    """Make one partition: a tenant's VMs and what it runs out of; for the platform, nodes and moves."""
    capacity = workplace.read("capacity").to_pylist()
    as_of_ms, facts = workplace.as_of_ms("capacity"), workplace.facts_of("capacity")
    limits = workplace.instance.inputs["capacity"][0].parameters
    if not isinstance(limits, CapacityParameters):
        raise InvalidInput(f"instance {workplace.instance.id}: its input capacity is no capacity analysis")
    notes: list[str] = []
    # A what-if is not what is so: nothing is recommended by it.
    capacity = [row for row in capacity if not row.get("scenario")]
    found = _of_vms(workplace, parameters, limits, [row for row in capacity if row["entity_kind"] == "vm"], as_of_ms)
    found += growth_rows(capacity, parameters)
    if workplace.partition.tenant == PLATFORM:
        found += _moves(workplace, parameters, capacity, as_of_ms, notes)
    valid_until = as_of_ms + parameters.valid_days * DAY_MS
    actions = [row["action"] for row in found]
    saved = [row.get("monthly_savings") or 0.0 for row in found]
    return Result(
        data=recommendations_table(found, valid_until),
        facts=workplace.facts(
            as_of_ms=as_of_ms,
            samples_seen=facts.samples_seen,
            samples_expected=facts.samples_expected,
            notes=tuple(notes),
        ),
        numbers={
            **{name: actions.count(name) for name in ACTIONS},
            "monthly_savings": round(sum(amount for amount in saved if amount > 0), 2),
            "monthly_costs": round(abs(sum(amount for amount in saved if amount < 0)), 2),
        },
    )


def recommendations_table(rows: list[Row], valid_until_ms: int) -> pa.Table:
    """Return the table of `rows`, in which what is left out is null."""
    return TABLE.from_rows([{**row, "valid_until": valid_until_ms} for row in rows])


def _of_vms(
    workplace: Workplace,
    parameters: RecommendationsParameters,
    limits: CapacityParameters,
    capacity: list[Row],
    as_of_ms: int,
) -> list[Row]:
    by_vm: dict[str, dict[str, Row]] = {}
    for row in capacity:
        by_vm.setdefault(row["entity_id"], {})[row["resource"]] = row
    if not by_vm:
        return []
    vms, buckets = sorted(by_vm), 3600 // workplace.resolution_seconds
    samples, sizes, grid = _samples(workplace, max(limits.window_days, parameters.zombie_days), vms, as_of_ms, buckets)
    window = slice(-limits.window_days * 24, None)
    cpu, memory = (vm_demand(resource, samples, sizes).hours.columns(window) for resource in ("cpu", "memory"))
    receive, transmit = (samples.columns[f"{stem}_p95"] for stem in NETWORK)
    minimum_hours = int(np.ceil(workplace.minimum_coverage * 24))
    idle = idle_every_day(vm_demand("cpu", samples, sizes).p95, receive, transmit, limits, minimum_hours)
    flavors = _flavors(workplace)
    mean, p95 = row_mean(cpu.mean), row_quantile(cpu.p95, 0.95)
    cases = [
        vm_case(
            name,
            by_vm[name],
            flavors.get(name),
            (float(mean[number]), float(p95[number])),
            int(idle[number]),
            limits,
        )
        for number, name in enumerate(vms)
    ]
    catalogue = Catalogue(parameters.flavors, parameters.prices)
    found = decisions(cases, catalogue, parameters)
    played_on = [decision.to or case.vm.size for case, decision in zip(cases, found, strict=True)]
    played = replay(
        cpu,
        memory,
        np.array([size.vcpus for size in played_on]),
        np.array([size.memory_bytes for size in played_on]),
        measured_share(samples.counts)[:, window],
        Grid(grid.end_ms - limits.window_days * DAY_MS, grid.step_ms, limits.window_days * 24),
    )
    return vm_rows(cases, found, played, catalogue, parameters)


def _samples(
    workplace: Workplace, days: int, vms: list[str], as_of_ms: int, buckets: int
) -> tuple[VmSamples, Any, Grid]:
    grid = Grid.ending(as_of_ms, days)
    read = days_of(grid, workplace.partition)
    inventory = workplace.read_window("inventory", read, SIZE_COLUMNS)
    names = [f"{STEMS[resource]}_{which}" for resource in ("cpu", "memory") for which in ("mean", "max", "p95")]
    names += [f"{stem}_p95" for stem in NETWORK]
    rows = workplace.read_window("samples", read, ["vm_id", "ts", "samples_seen", "samples_expected", *names])
    cells = locate(rows.column("vm_id"), rows.column("ts"), grid, vms)
    counts = sample_counts(cells, rows.column("samples_seen"), rows.column("samples_expected"))
    columns = {name: place(cells, rows.column(name)) for name in names}
    sizes = vm_sizes(inventory, workplace.partition.day, grid, vms)
    return VmSamples(columns, counts, buckets), sizes, grid


def _flavors(workplace: Workplace) -> Mapping[str, str | None]:
    """Return each VM's flavour in its last row of the day."""
    rows = workplace.read("inventory", ["vm_id", "valid_from", "flavor"]).sort_by("valid_from")
    names = (rows.column(name).cast(pa.string()).to_pylist() for name in ("vm_id", "flavor"))
    return dict(zip(*names, strict=True))


def _moves(
    workplace: Workplace,
    parameters: RecommendationsParameters,
    capacity: list[Row],
    as_of_ms: int,
    notes: list[str],
) -> list[Row]:
    nodes = nodes_of(capacity)
    if not nodes:
        notes.append("no node has a known capacity: no moves")
        return []
    partition, lake = workplace.partition, workplace.lake
    inventory, samples = (workplace.tables(role)[0] for role in ("inventory", "samples"))
    grid = Grid.ending(as_of_ms, parameters.rebalance_days)
    days = partition.trailing_days(days_of(grid, partition))
    vms, read, missing = [], [], []
    for tenant in lake.tenants():
        if tenant == PLATFORM:
            continue
        if not all(lake.has(table.name, tenant, partition.day) for table in (inventory, samples)):
            missing.append(tenant)
            continue
        sized, _ = lake.read(inventory, tenant, days, INVENTORY_COLUMNS)
        used, _ = lake.read(samples, tenant, days, SAMPLE_COLUMNS)
        vms += placed_vms(tenant, sized, used, grid, partition.day)
        read.append(tenant)
    notes.append(f"read the VMs of {len(read)} tenant(s): {', '.join(read) or 'none'}")
    if missing:
        notes.append(f"{len(missing)} tenant(s) have no VMs stored for {partition.day}: {', '.join(missing)}")
    cpu_rows = {row["entity_id"]: row for row in capacity if row["entity_kind"] == "node" and row["resource"] == "cpu"}
    return move_rows(nodes, vms, cpu_rows, parameters, partition.day)


COMPONENT = Component(
    name="recommendations",
    stage="analyzers",
    title="Recommendations",
    description=(
        "What to do with each VM (resize, reclaim, move, nothing), and where capacity is to be added: the size that "
        "fits with its replay on the history, what it saves by the price list, how sure that is and until when it "
        "holds."
    ),
    parameters=RecommendationsParameters,
    inputs=(
        Input("capacity", ("capacity",), "what VMs need and what runs out"),
        Input("samples", ("vm_resources_hourly",), "what the VMs used, by hour"),
        Input("inventory", ("vm_inventory",), "how large the VMs are, of which flavour, and where they run"),
    ),
    table=TABLE,
    compute=compute,
)
