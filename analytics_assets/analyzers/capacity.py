"""What runs out and when, what is left, and which VMs are the wrong size.

One row per entity and resource: each VM's CPU, memory and disk, the tenant's VMs together, and, for
the platform, each node's CPU and memory, those of all nodes together (the cluster) and each storage
tier's space. Method:

1. Physical is the size at the day's end; usable leaves out the reserve for failures and the buffer.
2. Demand is hourly; CPU in cores of the vCPUs that held in that hour, so a resize is not a trend.
   A VM that the day's inventory lacks and that sent nothing that day is gone, and misses no samples.
   What is together has the size of those whose use is known: a node without samples, or a disk that
   nobody measures, is no free capacity.
3. The 95th percentile of each day's hourly 95th percentiles is projected (`kernels/projection.py`):
   along its line where the trend lasts (`kernels/lasting_slope.py`), else at its recent level, with an upper bound
   from the errors that the same rule made at earlier days of the window.
4. Time remaining is the first day on which the expected value, or conservatively the bound of a
   demand that grows, exceeds the usable part: 0 if today, null beyond the horizon. Levels go by the
   conservative one. Without growth nothing runs out, however high its peaks: that is a wrong size.
5. Size classes: `capacity_model/size_class.py`.
6. Demand and allocation side by side: of a node's cores and memory so many times may be allocated to
   VMs. What remains is also told as VMs that fit: average ones, and ones of a size that was asked for.
7. What-if scenarios (`capacity_model/scenarios.py`) have rows of their own, of what is more than one VM.

Rules after vRealize/Aria Operations' capacity analytics (usable capacity, conservative bound,
30/60/120 days); the margins and limits that differ are in `capacity_model/parameters.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from analytics_assets.analyzers.capacity_model.allocation import INVENTORY_COLUMNS as ALLOCATION_COLUMNS
from analytics_assets.analyzers.capacity_model.allocation import Allocated, allocated_by_node
from analytics_assets.analyzers.capacity_model.nodes import COLUMNS as NODE_COLUMNS
from analytics_assets.analyzers.capacity_model.nodes import cluster, node_load, recent_shares
from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.capacity_model.rows import RECENT_DAYS, Demand, ResourceRows, Supply
from analytics_assets.analyzers.capacity_model.size_class import SIZE_CLASSES
from analytics_assets.analyzers.capacity_model.sizes import COLUMNS as INVENTORY_COLUMNS
from analytics_assets.analyzers.capacity_model.sizes import vm_sizes
from analytics_assets.analyzers.capacity_model.tiers import COLUMNS as TIER_COLUMNS
from analytics_assets.analyzers.capacity_model.tiers import storage_tiers
from analytics_assets.analyzers.capacity_model.vms import (
    NETWORK,
    STEMS,
    UNITS,
    VmSamples,
    expected_while_running,
    vm_capacity,
)
from analytics_assets.analyzers.capacity_model.what_if import Subject, rows_by_scenario
from analytics_assets.components import Component, Input, Result, Workplace
from analytics_assets.kernels.coverage import has_recent, sample_counts
from analytics_assets.kernels.matrix import (
    HOURS_PER_DAY,
    Grid,
    days_of,
    entity_ids,
    locate,
    place,
    row_quantile,
    within,
)
from resources.lake.table import ENTITY, Column, Table, number
from resources.partition import PLATFORM

CLUSTER = "all"
LEVELS = ("critical", "immediate", "warning", "ok", "unknown")


TABLE = Table(
    name="capacity",
    description="one resource of one VM, node or tenant: what there is of it, what is used, and how long it lasts",
    columns=(
        Column(
            "entity_kind",
            ENTITY,
            "what the entity is; tenant: all its VMs; cluster: all nodes",
            values=("vm", "node", "cluster", "tier", "tenant"),
        ),
        Column("entity_id", ENTITY, "id of the VM, node, tier (tier/node) or tenant; all for the cluster"),
        Column("resource", ENTITY, "what is used", values=("cpu", "memory", "disk")),
        Column("scenario", ENTITY, "what-if scenario whose changes the row has; empty: as it is"),
        Column("unit", pa.string(), "unit of all amounts of the row: cores or bytes"),
        Column("status", ENTITY, "whether there is an answer", values=("ok", "insufficient_data", "no_data")),
        Column("reason", pa.string(), "why there is no answer, or what of a scenario does not count", nullable=True),
        Column("level", ENTITY, "urgency by the conservative time remaining; unknown without an answer", values=LEVELS),
        Column(
            "use_level",
            ENTITY,
            "how full it is by utilization_percent; unknown without an answer",
            values=("ok", "warning", "critical", "unknown"),
        ),
        number("physical", "size at the day's end (tenant, cluster: of what has samples; stopped VMs too)", minimum=0),
        number("usable", "physical less the reserve for failures and the buffer", minimum=0),
        number("allocated", "sizes of the VMs of the tenant, on the node or cluster, stopped ones too", minimum=0),
        number("allocation_limit", "what may be allocated of it: physical less the reserve, times a ratio", minimum=0),
        number("allocation_remaining", "allocation_limit less allocated, at least 0", minimum=0),
        number("committed", "what committed scenarios add to demand_p95 once they have begun; below 0: take off"),
        number("demand_mean", "mean of the last 7 days", minimum=0),
        number(
            "demand_p95", "95th percentile of the last 7 days' hourly p95 (tenant: hourly sums of the means)", minimum=0
        ),
        number("demand_peak", "highest of the window (tenant: of the sums of the VMs' maxima, a bound)", minimum=0),
        number("utilization_percent", "demand_p95 of physical", "percent", minimum=0),
        number(
            "slope_per_day",
            "robust slope of the daily p95, in the row's unit per day; of what moves, without a single step",
        ),
        Column(
            "direction",
            ENTITY,
            "which way the daily p95 moves; stable, too, after one step, or where growth has stopped",
            values=("rising", "falling", "stable", "unknown"),
        ),
        number("projected_30d", "expected daily p95 in 30 days; the level where there is no trend", minimum=0),
        number("projected_30d_high", "upper bound of the daily p95 in 30 days", minimum=0),
        number(
            "time_remaining_days_expected",
            "days until the expected daily p95 exceeds usable: 0 already, null not within the horizon",
            "days",
            minimum=0,
        ),
        number(
            "time_remaining_days_conservative",
            "days until the bound of a growing demand exceeds usable: 0 already, null not within the horizon",
            "days",
            minimum=0,
        ),
        Column("horizon_days", pa.int32(), "how far the projection looks ahead", unit="days"),
        number(
            "capacity_remaining",
            "usable less the highest expected daily p95 of the next 3 days and less what is committed",
            minimum=0,
        ),
        number(
            "average_vms_fit",
            "VMs as the average one that runs, that fit into what remains and may be allocated",
            minimum=0,
        ),
        number("profile_vms_fit", "VMs of the profile's size that fit, if one is set", minimum=0),
        number("recommended_total", "size that lasts through the warning time and 30 days by the bound", minimum=0),
        number(
            "size_needed",
            "of a VM's CPU and memory: what its peaks need, and the bound of the next 30 days; a resize goes by it",
            minimum=0,
        ),
        Column("size_class", ENTITY, "whether the VM has the right size", nullable=True, values=SIZE_CLASSES),
        Column("size_reason", pa.string(), "why it is in that class, with figures", nullable=True),
        Column("window_days", pa.int32(), "length of the window", unit="days", minimum=1),
        Column("days_used", pa.int32(), "days with enough hours to count", unit="days", minimum=0),
        number("coverage", "samples seen over samples expected while running", minimum=0, maximum=1),
    ),
    primary_key=("entity_kind", "entity_id", "resource", "scenario"),
    measured=True,
)


@dataclass(frozen=True)
class Part:
    """Rows of one resource for some entities of one kind; `classes` and `reasons` are the VMs' size classes."""

    kind: str
    entities: Sequence[str]
    rows: ResourceRows
    scenario: str = ""
    classes: Sequence[str] = ()
    reasons: Sequence[str] = ()


@dataclass(frozen=True)
class Found:
    """The parts of one input, the samples behind them, what a reader must know, and the nodes or tiers there are."""

    parts: tuple[Part, ...] = ()
    seen: int = 0
    expected: int = 0
    notes: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()


def capacity_table(parts: Sequence[Part]) -> pa.Table:
    """Return the table of `parts`."""
    if not parts:
        return TABLE.empty()
    arrays: dict[str, list[pa.Array]] = {column.name: [] for column in TABLE.columns}
    for part in parts:
        count = len(part.entities)
        given: Mapping[str, Any] = {
            **part.rows.columns,
            "entity_kind": [part.kind] * count,
            "entity_id": list(part.entities),
            "scenario": [part.scenario] * count,
            "size_class": part.classes or [None] * count,
            "size_reason": part.reasons or [None] * count,
        }
        for column in TABLE.columns:
            arrays[column.name].append(pa.array(given[column.name], column.given_as, from_pandas=True))
    return pa.table({name: pa.chunked_array(chunks) for name, chunks in arrays.items()})


def compute(workplace: Workplace, parameters: CapacityParameters) -> Result:
    """Make one partition: the tenant's VMs, their total, and the nodes and tiers where the partition has any."""
    vms, nodes, tiers = (look(workplace, parameters) for look in (_vms, _nodes, _tiers))
    parts = (*vms.parts, *nodes.parts, *tiers.parts)
    levels = [level for part in parts if not part.scenario for level in part.rows.columns["level"]]
    classes = list(vms.parts[0].classes) if vms.parts else []
    return Result(
        data=capacity_table(parts),
        facts=workplace.facts(
            as_of_ms=workplace.as_of_ms("nodes" if nodes.parts and not vms.parts else "samples"),
            samples_seen=vms.seen + nodes.seen + tiers.seen,
            samples_expected=vms.expected + nodes.expected + tiers.expected,
            notes=(
                *vms.notes,
                *nodes.notes,
                *tiers.notes,
                *_not_found(workplace, parameters, (*nodes.entities, *tiers.entities)),
            ),
        ),
        numbers={
            **{level: levels.count(level) for level in LEVELS if level != "ok"},
            **{name: classes.count(name) for name in ("idle", "undersized", "oversized")},
        },
    )


def _vms(workplace: Workplace, parameters: CapacityParameters) -> Found:
    days, day = parameters.window_days, workplace.partition.day
    grid = Grid.ending(workplace.as_of_ms("samples"), days)
    read = days_of(grid, workplace.partition)
    inventory = workplace.read_window("inventory", read, INVENTORY_COLUMNS)
    names = [f"{stem}_{which}" for stem in STEMS.values() for which in ("mean", "max", "p95")]
    names += [f"{stem}_p95" for stem in NETWORK]
    rows = workplace.read_window("samples", read, ["vm_id", "ts", "samples_seen", "samples_expected", *names])
    rows = within(rows, grid)
    today = inventory.filter(pc.equal(inventory.column("day"), pa.scalar(day, pa.date32())))
    vms = sorted({*entity_ids(rows.column("vm_id")), *entity_ids(today.column("vm_id"))})
    if not vms:
        own = workplace.partition.tenant != PLATFORM
        return Found(notes=("no VM has samples or inventory: no rows of VMs",) if own else ())
    cells = locate(rows.column("vm_id"), rows.column("ts"), grid, vms)
    counts = sample_counts(cells, rows.column("samples_seen"), rows.column("samples_expected"))
    columns = {name: place(cells, rows.column(name)) for name in names}
    del rows, cells
    sizes = vm_sizes(inventory, day, grid, vms)
    # A VM that was deleted misses nothing; one that the inventory still has, and that is silent, does.
    counts = counts.ended_where(sizes.gone(np.any(counts.seen[:, -HOURS_PER_DAY:] > 0, axis=1)))
    buckets = 3600 // workplace.resolution_seconds
    found = vm_capacity(VmSamples(columns, counts, buckets), sizes, parameters, workplace.minimum_coverage)
    unsized = int(np.count_nonzero(~sizes.listed))
    total: list[Part] = []
    for resource, (demand, supply) in found.total.items():
        runs = found.counted[resource] & has_recent(columns[f"{STEMS[resource]}_mean"], HOURS_PER_DAY)
        average = _average(demand, sizes.at_end[resource][runs])
        whole = ("tenant", [workplace.partition.tenant], resource)
        total += _under_scenarios(workplace, parameters, *whole, demand, supply, average)
    return Found(
        parts=(
            *(Part("vm", vms, rows, "", found.size_class, found.size_reason) for rows in found.vms.values()),
            *total,
        ),
        seen=int(counts.seen.sum(dtype=np.float64)),
        expected=int(expected_while_running(counts, sizes.stopped).sum()),
        notes=(
            *((f"{unsized} VM(s) have no inventory: their rows say no_data",) if unsized else ()),
            *(
                _left_out("tenant", resource, f"{left} VM(s)")
                for resource, counted in found.counted.items()
                if (left := int(np.count_nonzero((sizes.at_end[resource] > 0) & ~counted)))
            ),
        ),
    )


def _nodes(workplace: Workplace, parameters: CapacityParameters) -> Found:
    if not workplace.tables("nodes"):
        return Found()
    scopes = pc.unique(workplace.read("nodes", ["scope"]).column("scope").cast(pa.string())).to_pylist()
    if "node" not in scopes:
        own = workplace.partition.tenant == PLATFORM
        return Found(notes=("no node has a load of its own here: no rows of nodes",) if own else ())
    grid = Grid.ending(workplace.as_of_ms("nodes"), parameters.window_days, workplace.resolution_seconds * 1000)
    load = within(workplace.read_window("nodes", days_of(grid, workplace.partition), NODE_COLUMNS), grid)
    allocated, notes = _allocated(workplace)
    found = node_load(load, grid, allocated, parameters)
    parts: list[Part] = []
    for resource in found.demand:
        together = cluster(found, resource, workplace.minimum_coverage)
        average = _average(together[0], allocated.running_on(found.counted_names(resource), resource))
        if left := found.left_out(resource):
            notes += (_left_out("cluster", resource, f"{len(left)} node(s)", f": {', '.join(left)}"),)
        load_of = (found.demand[resource], found.supply[resource], average)
        parts += _under_scenarios(workplace, parameters, "node", found.nodes, resource, *load_of)
        shares = recent_shares(found, resource)
        parts += _under_scenarios(
            workplace, parameters, "cluster", [CLUSTER], resource, *together, average, shares=shares
        )
    return Found(tuple(parts), found.seen, found.expected, notes, found.nodes)


def _allocated(workplace: Workplace) -> tuple[Allocated, tuple[str, ...]]:
    """Return what the VMs of all tenants take by size; only the platform looks at other tenants' rows."""
    lake, day, table = workplace.lake, workplace.partition.day, workplace.tables("inventory")[0]
    tenants = [name for name in lake.tenants() if name != PLATFORM] if workplace.partition.tenant == PLATFORM else []
    there = [tenant for tenant in tenants if lake.has(table.name, tenant, day)]
    found = allocated_by_node(lake.read(table, tenant, [day], ALLOCATION_COLUMNS)[0] for tenant in there)
    if not tenants:
        return found, ()
    missing = sorted(set(tenants) - set(there))
    told = f"; {', '.join(missing)} had no inventory that day" if missing else ""
    return found, (f"allocated are the VMs of {len(there)} tenant(s): {', '.join(there) or 'none'}{told}",)


def _tiers(workplace: Workplace, parameters: CapacityParameters) -> Found:
    if not workplace.tables("storage") or workplace.partition.tenant != PLATFORM:
        return Found()
    grid = Grid.ending(workplace.as_of_ms("storage"), parameters.window_days, workplace.resolution_seconds * 1000)
    rows = workplace.read_window("storage", days_of(grid, workplace.partition), TIER_COLUMNS)
    found = storage_tiers(within(rows, grid), grid)
    if not found.tiers:
        return Found(notes=("no storage tier has samples: no rows of tiers",))
    none = (np.nan, np.nan)
    parts = _under_scenarios(workplace, parameters, "tier", found.tiers, "disk", found.demand, found.supply, none)
    seen, expected = (int(values.sum()) for values in (found.demand.seen, found.demand.expected))
    return Found(tuple(parts), seen, expected, entities=found.tiers)


def _under_scenarios(
    workplace: Workplace,
    parameters: CapacityParameters,
    kind: str,
    entities: Sequence[str],
    resource: str,
    demand: Demand,
    supply: Supply,
    average: tuple[float, float],
    shares: Mapping[str, float] = MappingProxyType({}),
) -> list[Part]:
    """Return the parts of one resource, as it is and by scenario; `average` is the average VM's demand and size."""
    subject = Subject(kind, entities, resource, UNITS[resource], demand, supply, *average, shares)
    rows = rows_by_scenario(subject, workplace.partition, parameters, workplace.minimum_coverage)
    return [Part(kind, part.entities, part.rows, part.scenario) for part in rows]


def _left_out(whole: str, resource: str, what: str, names: str = "") -> str:
    return f"the {whole}'s {resource} is without {what} of a known size but no {resource} sample in the last day{names}"


def _average(together: Demand, sizes: ArrayLike) -> tuple[float, float]:
    """Return the demand and the size of the average one of the VMs that run, of `sizes`; NaN where none does."""
    each = np.asarray(sizes, np.float64)
    used = float(row_quantile(together.p95[:, -RECENT_DAYS * HOURS_PER_DAY :], 0.95)[0])
    return (used / len(each), float(each.mean())) if len(each) else (np.nan, np.nan)


def _not_found(workplace: Workplace, parameters: CapacityParameters, entities: Collection[str]) -> tuple[str, ...]:
    """Return what the platform's reader must know of scenarios whose tenants, nodes or tiers are not there."""
    if workplace.partition.tenant != PLATFORM:
        return ()
    tenants = {PLATFORM, *workplace.lake.tenants()}
    notes = []
    for scenario in parameters.scenarios:
        if scenario.tenant not in tenants:
            notes.append(f"scenario {scenario.name} is of {scenario.tenant}, of which nothing is stored")
        if scenario.tenant == PLATFORM and (absent := sorted(scenario.entities - set(entities))):
            notes.append(f"scenario {scenario.name} names what is no node or tier here, and counts nothing of it: "
                         f"{', '.join(absent)}")  # fmt: skip
    return tuple(notes)


COMPONENT = Component(
    name="capacity",
    stage="analyzers",
    title="Capacity",
    description=(
        "What runs out and when, what is left, and which VMs are idle, undersized or oversized. The daily 95th "
        "percentile of demand is projected along its significant trend, with an upper bound from the projection's own "
        "past errors; sizes and levels follow the bound."
    ),
    parameters=CapacityParameters,
    inputs=(
        Input("samples", ("vm_resources_hourly",), "what the VMs used, by hour"),
        Input("inventory", ("vm_inventory",), "how large the VMs are, and whether they run"),
        Input("nodes", ("system_load",), "load and size of the nodes, for the platform", optional=True),
        Input("storage", ("storage_utilization",), "use of the storage tiers, for the platform", optional=True),
    ),
    table=TABLE,
    compute=compute,
)
