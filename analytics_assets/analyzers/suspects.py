"""What most likely caused each incident: the VMs, node and storage tiers around it, ranked, with evidence.

An incident is an anomalous interval of `anomalies`. Suspects are the entity itself and all that live on its
node: for a tenant its own VMs there, for the platform the node, its storage tiers and every tenant's VMs. They
are ranked by how well they agree with the alarming metric over the incident, how far they moved, and who depends
on whom (`kernels/root_cause/suspects.py`); nothing after the incident's end is used. An incident of
a metric that is not measured on its own is ranked by how unusually everybody's metrics changed.

A table of its own, since a row is a suspect of an incident, where a row of `correlations` is a pair of series
over a whole window. A suspect is a place to look at first, not a verdict.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics_assets.analyzers.correlation_model.sources import Source, last_nodes, read_source
from analytics_assets.analyzers.metric_trends import measured_metrics
from analytics_assets.analyzers.suspect_model.neighbourhood import Fleet, Member, edges, fleet
from analytics_assets.analyzers.suspect_model.parameters import SuspectsParameters
from analytics_assets.components import Component, Input, Result, Workplace
from analytics_assets.kernels.matrix import Grid
from analytics_assets.kernels.root_cause.incident import MINIMUM_REFERENCE_STEPS
from analytics_assets.kernels.root_cause.suspects import Suspect, rank_suspects
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.partition import DAY_MS, PLATFORM

KINDS = ("vm", "node", "tier")
INCIDENT_COLUMNS = ("kind", "status", "entity_kind", "entity_id", "metric", "start", "began", "end", "score")


def _number(name: str, description: str, **limits: Any) -> Column:
    return Column(name, pa.float64(), description, nullable=True, **limits)


TABLE = Table(
    name="suspects",
    description="an entity that may have caused an incident, with its rank and what speaks for it",
    columns=(
        Column("entity_kind", ENTITY, "what the incident's entity is"),
        Column("entity_id", ENTITY, "entity of the incident"),
        Column("metric", ENTITY, "metric of the incident"),
        Column("start", TIMESTAMP, "start of the incident on this day, as in anomalies"),
        Column("rank", pa.int32(), "1 is the most likely cause", minimum=1),
        Column("end", TIMESTAMP, "end of the incident, as in anomalies"),
        Column("status", ENTITY, "whether there is an answer", values=("ok", "no_data", "insufficient_data")),
        Column("reason", pa.string(), "why there is no answer", nullable=True),
        Column("suspect_kind", ENTITY, "what the suspect is", nullable=True, values=KINDS),
        Column("suspect_tenant", ENTITY, "tenant of the suspect", nullable=True),
        Column("suspect_id", ENTITY, "the suspect", nullable=True),
        Column("suspect_metric", ENTITY, "its metric that shows it most", nullable=True),
        _number("score", "relevance less what it gives off to what it depends on, higher is likelier"),
        _number("agreement", "agreement of its metric with the alarming one over the incident", minimum=0, maximum=1),
        _number("before", "median of its metric right before the incident, in the metric's unit"),
        _number("during", "median of its metric in the incident, in the metric's unit"),
        _number("change", "change of its metric: half at twice its usual step", minimum=0, maximum=1),
        _number("entity_change", "mean change of the kinds of its metrics", minimum=0, maximum=1),
        Column("onset", TIMESTAMP, "when its metric left its usual range; null: it did not", nullable=True),
        Column("distance", pa.int32(), "dependencies from the incident's entity to it", nullable=True, minimum=0),
        Column("evidence", pa.string(), "all that in words", nullable=True),
        Column("candidates", pa.int32(), "entities that were ranked", minimum=0),
        _number("coverage", "share of the incident's steps in which its metric has samples", minimum=0, maximum=1),
    ),
    primary_key=("entity_kind", "entity_id", "metric", "start", "rank"),
    measured=True,
)


def compute(workplace: Workplace, parameters: SuspectsParameters) -> Result:
    """Make one partition: the incidents of the day with the highest scores, each with its suspects."""
    on_platform = workplace.partition.tenant == PLATFORM
    clock = "nodes" if on_platform and workplace.tables("nodes") else "samples"
    as_of_ms = workplace.as_of_ms(clock)
    if not workplace.tables("anomalies"):
        note = "no anomalies are read: no suspects. Name the instance of anomalies under 'anomalies'"
        return Result(TABLE.empty(), workplace.facts(as_of_ms=as_of_ms, notes=(note,)))
    found = _incidents(workplace, parameters.maximum_incidents)
    if not found:
        return Result(TABLE.empty(), workplace.facts(as_of_ms=as_of_ms, notes=("no anomaly that day: no suspects",)))
    step_ms = workplace.resolution_seconds * 1000
    start_ms = workplace.partition.start_ms - (parameters.history_days - 1) * DAY_MS
    grid = Grid(start_ms, step_ms, max((as_of_ms - start_ms) // step_ms, 0))
    sources, node_of, notes = (_platform if on_platform else _tenant)(workplace, parameters.history_days, grid)
    around = fleet(sources, grid, node_of)
    rows = [
        row for incident in found for row in incident_rows(around, incident, workplace.partition.tenant, parameters)
    ]
    return Result(
        data=TABLE.from_rows(rows),
        facts=workplace.facts(
            as_of_ms=as_of_ms,
            samples_seen=sum(source.seen for source in sources),
            samples_expected=sum(source.expected for source in sources),
            notes=notes,
        ),
        numbers={
            "incidents": len(found),
            "without_answer": sum(row["status"] != "ok" for row in rows),
            "own_cause": sum(row["rank"] == 1 and row.get("suspect_id") == row["entity_id"] for row in rows),
        },
    )


def incident_rows(
    around: Fleet, incident: dict[str, Any], tenant: str, parameters: SuspectsParameters
) -> list[dict[str, Any]]:
    """Return the rows of one incident, a row of `anomalies`: its suspects, or one that says why there are none."""
    grid = around.grid
    begin_ms = incident["start"] if incident["began"] is None else incident["began"]
    first = int((begin_ms - grid.start_ms) // grid.step_ms)
    end_ms = max(incident["end"], begin_ms + parameters.minimum_window_minutes * 60_000)
    last = min(int((end_ms - 1 - grid.start_ms) // grid.step_ms), grid.count - 1)
    row = {**{name: incident[name] for name in ("entity_kind", "entity_id", "metric", "start", "end")}, "rank": 1}
    member = Member(incident["entity_kind"], tenant, incident["entity_id"])
    if member not in around.members:
        return [{**row, "status": "no_data", "reason": "it has no samples in these days", "candidates": 0}]
    members = around.around(member)
    if last < first or first < 2 * MINIMUM_REFERENCE_STEPS:
        reason = f"{max(first, 0)} steps of history before it; {2 * MINIMUM_REFERENCE_STEPS} are needed"
        return [{**row, "status": "insufficient_data", "reason": reason, "candidates": len(members)}]
    target = None
    if incident["metric"] in around.metrics:
        values = around.values[around.members.index(member), around.metrics.index(incident["metric"])]
        if np.isnan(values[first : last + 1]).all():
            reason = "its metric has no samples in the incident"
            return [{**row, "status": "no_data", "reason": reason, "candidates": len(members)}]
        target = member.name, incident["metric"]
        # How it came about tells more than that it lasts: the way up belongs to the course.
        first -= min(parameters.lead_minutes * 60_000 // grid.step_ms, (last - first + 1) // 2)
    seen = around.incident(members, first, last)
    ranked = rank_suspects(seen, target, edges(members, around.node_of.get(member)))
    by_name = {each.name: each for each in members}
    return [
        {
            **row,
            "status": "ok",
            "candidates": len(members),
            **_columns(suspect, by_name[suspect.entity]),
            "coverage": float(
                np.isfinite(
                    seen.values[members.index(by_name[suspect.entity]), around.metrics.index(suspect.metric), first:]
                ).mean()
            ),
        }
        for suspect in ranked[: parameters.suspects_per_incident]
    ]


def _columns(suspect: Suspect, member: Member) -> dict[str, Any]:
    return {
        "rank": suspect.rank,
        "suspect_kind": member.kind,
        "suspect_tenant": member.tenant,
        "suspect_id": member.entity,
        "suspect_metric": suspect.metric,
        "score": suspect.score,
        "agreement": suspect.agreement,
        "before": None if np.isnan(suspect.before) else suspect.before,
        "during": None if np.isnan(suspect.inside) else suspect.inside,
        "change": suspect.change,
        "entity_change": suspect.entity_change,
        "onset": suspect.onset_ms,
        "distance": suspect.distance,
        "evidence": suspect.evidence(),
    }


def _incidents(workplace: Workplace, most: int) -> list[dict[str, Any]]:
    """Return the `most` anomalies with the highest score, instants in milliseconds since the epoch.

    A VM among its peers is no incident: its row spans the day.
    """
    tables, columns = workplace.tables("anomalies"), list(INCIDENT_COLUMNS)
    rows = pa.concat_tables(workplace.lake.read_day(table, workplace.partition, columns) for table in tables)
    for name in ("start", "began", "end"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, rows.column(name).cast(pa.int64()))
    found = [row for row in rows.to_pylist() if row["status"] == "ok" and row["kind"] != "peer"]
    key = ("entity_kind", "entity_id", "metric", "start")
    found.sort(key=lambda row: (-(row["score"] or 0.0), *(row[name] for name in key)))
    return found[:most]


Read = tuple[list[Source], dict[Member, str], tuple[str, ...]]


def _tenant(workplace: Workplace, days: int, grid: Grid) -> Read:
    """Read the tenant's VMs; nodes are the operator's."""

    def rows(columns: Sequence[str]) -> pa.Table:
        return workplace.read_window("samples", days, columns)

    vms, node_of = _vms(workplace, workplace.partition.tenant, rows, grid)
    return [vms], node_of, ()


def _platform(workplace: Workplace, days: int, grid: Grid) -> Read:
    """Read the nodes and tiers, and the VMs of every tenant that has the day."""
    sources: list[Source] = []
    node_of: dict[Member, str] = {}
    if workplace.tables("nodes"):
        table = workplace.tables("nodes")[0]
        nodes = read_source(
            "node", PLATFORM, "node_id", list(measured_metrics(table)),
            lambda columns: workplace.read_window("nodes", days, columns), grid,
        )  # fmt: skip
        node_of.update({Member("node", PLATFORM, node): node for node in nodes.entities})
        sources.append(nodes)
    if workplace.tables("storage"):
        tiers, on_node = _tiers(workplace, days, grid)
        node_of.update(on_node)
        sources.append(tiers)
    lake, table = workplace.lake, workplace.tables("samples")[0]
    wanted = workplace.partition.trailing_days(days)
    read = [
        tenant
        for tenant in lake.tenants()
        if tenant != PLATFORM and lake.has(table.name, tenant, workplace.partition.day)
    ]
    for tenant in read:

        def rows(columns: Sequence[str], tenant: str = tenant) -> pa.Table:
            return lake.read(table, tenant, wanted, columns)[0]

        vms, on_node = _vms(workplace, tenant, rows, grid)
        node_of.update(on_node)
        sources.append(vms)
    return sources, node_of, (f"VMs are those of {len(read)} tenant(s): {', '.join(read) or 'none'}",)


def _vms(workplace: Workplace, tenant: str, rows: Any, grid: Grid) -> tuple[Source, dict[Member, str]]:
    vms = read_source("vm", tenant, "vm_id", list(measured_metrics(workplace.tables("samples")[0])), rows, grid)
    nodes, _ = last_nodes(rows, grid, vms.entities)
    return vms, {Member("vm", tenant, vm): node for vm, node in zip(vms.entities, nodes, strict=True) if node}


def _tiers(workplace: Workplace, days: int, grid: Grid) -> tuple[Source, dict[Member, str]]:
    def rows(columns: Sequence[str]) -> pa.Table:
        data = workplace.read_window("storage", days, ["entity_kind", *columns])
        return data.filter(pc.equal(data.column("entity_kind").cast(pa.string()), "tier"))

    table = workplace.tables("storage")[0]
    tiers = read_source("tier", PLATFORM, "entity_id", list(measured_metrics(table)), rows, grid)
    placed = rows(["entity_id", "node_id"]).select(["entity_id", "node_id"]).to_pylist()
    return tiers, {Member("tier", PLATFORM, row["entity_id"]): row["node_id"] for row in placed if row["node_id"]}


COMPONENT = Component(
    name="suspects",
    stage="analyzers",
    title="Suspects",
    description=(
        "What most likely caused each anomaly: the VMs, the node and the storage tiers around it, ranked by agreement "
        "with the alarming metric, by change against the time before, by who depends on whom and who moved first; "
        "every part of the score is shown."
    ),
    parameters=SuspectsParameters,
    inputs=(
        Input("samples", ("vm_resources",), "what the VMs used, by 5 minutes"),
        Input("anomalies", ("anomalies",), "the incidents of the day, of VMs and of nodes", many=True, optional=True),
        Input("nodes", ("system_load",), "load of the nodes, for the platform", optional=True),
        Input("storage", ("storage_utilization",), "the nodes' storage tiers, for the platform", optional=True),
    ),
    table=TABLE,
    compute=compute,
)
