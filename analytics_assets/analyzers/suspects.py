"""What most likely caused each incident: the VMs, node and storage tiers around it, ranked, with evidence.

An incident is an anomalous interval of `anomalies`. Suspects are the entity itself and all that shared its
node with it during the incident: for a tenant its own VMs there, for the platform the node, its storage tiers and every
tenant's VMs. A tenant's incident of a node is one of the sum of its VMs there, so they are the suspects. The
platform looks into its nodes' incidents and into those of all tenants' VMs, whose neighbours no tenant may see.

Suspects are ranked by how well they agree with the alarming metric over the incident, how far they moved, and who
depends on whom (`kernels/root_cause/suspects.py`); nothing after the incident's end is used, except of incidents too
short to have a course. An incident of a metric that is not measured on its own is ranked by how unusually
everybody's metrics changed. Whoever has no samples before and in it is left out.

A table of its own, since a row is a suspect of an incident, where a row of `correlations` is a pair of series
over a whole window. A suspect is a place to look at first, not a verdict.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics_assets.analyzers.correlation_model.sources import (
    Placement,
    Read,
    Source,
    placement,
    read_source,
    tenants_samples,
)
from analytics_assets.analyzers.suspect_model.neighbourhood import Fleet, Member, fixed, fleet
from analytics_assets.analyzers.suspect_model.parameters import SuspectsParameters
from analytics_assets.components import Component, Input, Result, Workplace
from analytics_assets.kernels.matrix import Grid
from analytics_assets.kernels.root_cause.incident import MINIMUM_REFERENCE_STEPS
from analytics_assets.kernels.root_cause.suspects import Suspect, rank_suspects
from analytics_assets.measured_metrics import measured_metrics
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table, number
from resources.partition import DAY_MS, PLATFORM, Partition

KINDS = ("vm", "node", "tier")
INCIDENT_KEY = ("entity_kind", "entity_id", "metric", "start")
INCIDENT_COLUMNS = ("kind", "status", "entity_kind", "entity_id", "metric", "start", "began", "end", "score")


TABLE = Table(
    name="suspects",
    description="an entity that may have caused an incident, with its rank and what speaks for it",
    columns=(
        Column("entity_kind", ENTITY, "what the incident's entity is"),
        Column("entity_tenant", ENTITY, "tenant of the incident's entity"),
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
        number("score", "relevance less what it gives off to what it depends on, higher is likelier"),
        number("agreement", "agreement of its metric with the alarming one over the incident", minimum=0, maximum=1),
        number("before", "median of its metric right before the incident, in the metric's unit"),
        number("during", "median of its metric in the incident, in the metric's unit"),
        number("change", "change of its metric: half at twice its usual step", minimum=0, maximum=1),
        number("entity_change", "mean change of the kinds of its metrics", minimum=0, maximum=1),
        Column("onset", TIMESTAMP, "when its metric left its usual range; null: it did not", nullable=True),
        Column("distance", pa.int32(), "dependencies from the incident's entity to it", nullable=True, minimum=0),
        Column("evidence", pa.string(), "all that in words", nullable=True),
        Column("candidates", pa.int32(), "entities that were ranked", minimum=0),
        number("coverage", "share of the incident's steps in which its metric has samples", minimum=0, maximum=1),
    ),
    primary_key=("entity_kind", "entity_tenant", "entity_id", "metric", "start", "rank"),
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
    step_ms = workplace.resolution_seconds * 1000
    start_ms = workplace.partition.start_ms - (parameters.history_days - 1) * DAY_MS
    grid = Grid(start_ms, step_ms, max((as_of_ms - start_ms) // step_ms, 0))
    found = _incidents(workplace, workplace.partition.tenant)[: parameters.maximum_incidents]
    notes: tuple[str, ...] = ()
    tenants: list[tuple[str, Read]] = []
    if on_platform:
        tenants, notes = tenants_samples(workplace, parameters.history_days)
        theirs, missing = _tenants_incidents(workplace, [tenant for tenant, _ in tenants])
        found += theirs[: parameters.maximum_incidents]
        notes += missing
    if not found:
        return Result(
            TABLE.empty(), workplace.facts(as_of_ms=as_of_ms, notes=("no anomaly that day: no suspects", *notes))
        )
    sources = _platform(workplace, tenants, parameters, grid) if on_platform else _tenant(workplace, parameters, grid)
    around = fleet(sources, grid)
    rows = [row for incident in found for row in incident_rows(around, incident, parameters)]
    # A tenant's part of a node is the sum of samples that are counted already.
    counted = [source for source, _ in sources if source.kind == "vm" or on_platform]
    return Result(
        data=TABLE.from_rows(rows),
        facts=workplace.facts(
            as_of_ms=as_of_ms,
            samples_seen=sum(source.seen for source in counted),
            samples_expected=sum(source.expected for source in counted),
            notes=notes,
        ),
        numbers={
            "incidents": len(found),
            "without_answer": sum(row["status"] != "ok" for row in rows),
            "own_cause": sum(
                row["rank"] == 1
                and (row.get("suspect_kind"), row.get("suspect_tenant"), row.get("suspect_id"))
                == (row["entity_kind"], row["entity_tenant"], row["entity_id"])
                for row in rows
            ),
        },
    )


def incident_rows(around: Fleet, incident: dict[str, Any], parameters: SuspectsParameters) -> list[dict[str, Any]]:
    """Return the rows of one incident, a row of `anomalies` with its tenant: its suspects, or why there are none."""
    grid = around.grid
    begin_ms = incident["start"] if incident["began"] is None else incident["began"]
    first = int((begin_ms - grid.start_ms) // grid.step_ms)
    end_ms = max(incident["end"], begin_ms + parameters.minimum_window_minutes * 60_000)
    last = min(int((end_ms - 1 - grid.start_ms) // grid.step_ms), grid.count - 1)
    row = {**{name: incident[name] for name in ("entity_tenant", *INCIDENT_KEY, "end")}, "rank": 1}
    member = Member(incident["entity_kind"], incident["entity_tenant"], incident["entity_id"])

    def no_answer(status: str, reason: str, candidates: int = 0) -> list[dict[str, Any]]:
        return [{**row, "status": status, "reason": reason, "candidates": candidates}]

    if member not in around.place:
        if member.kind == "node" and all(other.kind != "node" for other in around.members):
            return no_answer("no_data", "no samples of nodes are read: name system_load under 'nodes'")
        return no_answer("no_data", "it has no samples in these days")
    if last < first or first < 2 * MINIMUM_REFERENCE_STEPS:
        reason = f"{max(first, 0)} steps of history before it; {2 * MINIMUM_REFERENCE_STEPS} are needed"
        return no_answer("insufficient_data", reason)
    members = around.around(member, first, last)
    edges = around.dependencies(member, members, first, last)
    candidates = len(members) - member.is_sum
    target = None
    if incident["metric"] in around.metrics:
        values = around.values[around.place[member], around.metrics.index(incident["metric"])]
        if np.isnan(values[first : last + 1]).all():
            return no_answer("no_data", "its metric has no samples in the incident", candidates)
        target = member.name, incident["metric"]
        # How it came about tells more than that it lasts: the way up belongs to the course.
        first -= min(parameters.lead_minutes * 60_000 // grid.step_ms, (last - first + 1) // 2)
    seen = around.incident(members, first, last)
    by_name = {each.name: each for each in members}
    ranked = [
        suspect
        for suspect in (rank_suspects(seen, target, edges) if seen.metrics else ())
        if not by_name[suspect.entity].is_sum and not (np.isnan(suspect.before) and np.isnan(suspect.inside))
    ]
    if not ranked:
        return no_answer("no_data", "nobody with samples is known to have been there in the incident", candidates)
    sampled = np.isfinite(seen.values[:, :, first:]).mean(axis=2)
    place = {each: number for number, each in enumerate(seen.entities)}
    return [
        {
            **row,
            "status": "ok",
            "candidates": candidates,
            **_columns(suspect, by_name[suspect.entity]),
            "rank": rank,
            "coverage": float(sampled[place[suspect.entity], seen.metrics.index(suspect.metric)]),
        }
        for rank, suspect in enumerate(ranked[: parameters.suspects_per_incident], start=1)
    ]


def _columns(suspect: Suspect, member: Member) -> dict[str, Any]:
    return {
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


def _incidents(workplace: Workplace, tenant: str) -> list[dict[str, Any]]:
    """Return the anomalies of a tenant's day, the highest score first, instants in milliseconds since the epoch.

    Of an interval that several instances of anomalies found, it is the row with the highest score. A VM among its
    peers is no incident: its row spans the day.
    """
    partition = Partition(tenant, workplace.partition.day)
    tables, columns = workplace.tables("anomalies"), list(INCIDENT_COLUMNS)
    rows = pa.concat_tables(workplace.lake.read_day(table, partition, columns) for table in tables)
    for name in ("start", "began", "end"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, rows.column(name).cast(pa.int64()))
    found = [
        {**row, "entity_tenant": tenant} for row in rows.to_pylist() if row["status"] == "ok" and row["kind"] != "peer"
    ]
    once: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in _by_score(found):
        once.setdefault(tuple(row[name] for name in INCIDENT_KEY), row)
    return list(once.values())


def _by_score(incidents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the incidents, the highest score first; equal ones by key, end and begin."""
    key = (*INCIDENT_KEY, "entity_tenant", "end")
    return sorted(
        incidents, key=lambda row: (-(row["score"] or 0.0), *(row[name] for name in key), row["began"] or row["start"])
    )


def _tenants_incidents(workplace: Workplace, tenants: Sequence[str]) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the anomalies of the tenants' VMs, the highest score first, and a note on tenants that lack them."""
    found, missing = [], []
    for tenant in tenants:
        if all(
            workplace.lake.has(table.name, tenant, workplace.partition.day) for table in workplace.tables("anomalies")
        ):
            found += [row for row in _incidents(workplace, tenant) if row["entity_kind"] == "vm"]
        else:
            missing.append(tenant)
    note = f"incidents of VMs leave out {len(missing)} tenant(s) without anomalies of the day: {', '.join(missing)}"
    return _by_score(found), (note,) if missing else ()


Placed = list[tuple[Source, Placement]]


def _tenant(workplace: Workplace, parameters: SuspectsParameters, grid: Grid) -> Placed:
    """Read the tenant's VMs, and what they put on each node; the nodes themselves are the operator's."""

    def rows(columns: Sequence[str]) -> pa.Table:
        return workplace.read_window("samples", parameters.history_days, columns)

    return [_vms(workplace, workplace.partition.tenant, rows, grid), *_nodes(workplace, parameters, grid)]


def _platform(
    workplace: Workplace, tenants: Sequence[tuple[str, Read]], parameters: SuspectsParameters, grid: Grid
) -> Placed:
    """Read the nodes and tiers, and the VMs of `tenants`."""
    sources = _nodes(workplace, parameters, grid)
    if workplace.tables("storage"):
        sources.append(_tiers(workplace, parameters, grid))
    sources += [_vms(workplace, tenant, rows, grid) for tenant, rows in tenants]
    return sources


def _vms(workplace: Workplace, tenant: str, rows: Read, grid: Grid) -> tuple[Source, Placement]:
    vms = read_source("vm", tenant, "vm_id", list(measured_metrics(workplace.tables("samples")[0])), rows, grid)
    return vms, placement(rows, grid, vms.entities)


def _nodes(workplace: Workplace, parameters: SuspectsParameters, grid: Grid) -> Placed:
    if not workplace.tables("nodes"):
        return []

    def rows(columns: Sequence[str]) -> pa.Table:
        return workplace.read_window("nodes", parameters.history_days, columns)

    metrics = list(measured_metrics(workplace.tables("nodes")[0]))
    nodes = read_source("node", workplace.partition.tenant, "node_id", metrics, rows, grid)
    return [(nodes, fixed(nodes.entities, {node: node for node in nodes.entities}, grid))]


def _tiers(workplace: Workplace, parameters: SuspectsParameters, grid: Grid) -> tuple[Source, Placement]:
    def rows(columns: Sequence[str]) -> pa.Table:
        data = workplace.read_window("storage", parameters.history_days, ["entity_kind", *columns])
        return data.filter(pc.equal(data.column("entity_kind").cast(pa.string()), "tier"))

    table = workplace.tables("storage")[0]
    tiers = read_source("tier", PLATFORM, "entity_id", list(measured_metrics(table)), rows, grid)
    placed = rows(["entity_id", "node_id"]).select(["entity_id", "node_id"]).to_pylist()
    return tiers, fixed(tiers.entities, {row["entity_id"]: row["node_id"] for row in placed if row["node_id"]}, grid)


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
        Input("nodes", ("system_load",), "load of the nodes; for a tenant, of its VMs there", optional=True),
        Input("storage", ("storage_utilization",), "the nodes' storage tiers, for the platform", optional=True),
    ),
    table=TABLE,
    compute=compute,
)
