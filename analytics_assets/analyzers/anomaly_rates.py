"""How much of the day was anomalous: the anomaly rate of every metric, VM, node and tenant.

The rate is the share of judged points (a metric in a bucket) that lie in an anomalous interval of the day's `anomalies`
(what goes on from the day before is no interval of the day, but a new level), so it compares VMs of any size, and a
node with many VMs with one that has few. A node's points are those of the VMs that were on it in that bucket; the
platform's nodes are judged by their own metrics. What could not be judged has a row that says why.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from analytics_assets.analyzers.anomaly_model.parameters import AnomaliesParameters
from analytics_assets.analyzers.anomaly_model.rates import Tally, tally
from analytics_assets.analyzers.anomaly_model.table import TOGETHER
from analytics_assets.components import Component, Input, NoParameters, Result, Workplace
from analytics_assets.kernels.matrix import Grid, entity_ids, locate, place, positions
from analytics_assets.measured_metrics import measured_metrics
from resources.lake.table import ENTITY, Column, Table

STATUSES = ("ok", "insufficient_data", "no_data", "degenerate")

TABLE = Table(
    name="anomaly_rates",
    description="the share of a metric's, VM's, node's or tenant's points of the day that were anomalous",
    columns=(
        Column("entity_kind", ENTITY, "what the entity is", values=("vm", "node", "tenant")),
        Column("entity_id", ENTITY, "id of the VM, node or tenant"),
        Column("metric", ENTITY, f"metric, as the stem of its columns; {TOGETHER} for all of them"),
        Column("status", ENTITY, "whether there is an answer", values=STATUSES),
        Column("reason", pa.string(), "why there is no answer", nullable=True),
        Column("points", pa.int64(), "judged points: a metric in a bucket", minimum=0),
        Column("anomalous_points", pa.int64(), "points in an anomalous interval", minimum=0),
        Column("anomaly_rate", pa.float64(), "anomalous points of all", nullable=True, minimum=0, maximum=1),
        Column("intervals", pa.int64(), "anomalous intervals of single metrics", minimum=0),
        Column("highest_score", pa.float64(), "highest score of an interval", nullable=True, minimum=0),
    ),
    primary_key=("entity_kind", "entity_id", "metric"),
)


def compute(workplace: Workplace, parameters: NoParameters) -> Result:
    """Make one partition from the day's anomalies and the buckets that have samples."""
    table = workplace.tables("samples")[0]
    key = table.primary_key[0]
    partition, step_ms = workplace.partition, workplace.resolution_seconds * 1000
    grid = Grid(partition.start_ms, step_ms, (partition.end_ms - partition.start_ms) // step_ms)
    judged_by = workplace.instance.inputs["anomalies"][0].parameters
    wanted = judged_by.metrics if isinstance(judged_by, AnomaliesParameters) else ()
    metrics = list(measured_metrics(table, wanted))
    with_node = key == "vm_id"
    rows = workplace.read("samples", [key, "ts", *(["node_id"] if with_node else []), *(f"{m}_mean" for m in metrics)])
    entities = entity_ids(rows.column(key))
    cells = locate(rows.column(key), rows.column("ts"), grid, entities)
    present = {metric: np.isfinite(place(cells, rows.column(f"{metric}_mean"))) for metric in metrics}
    node_ids, nodes = _nodes(rows, cells.cell, (len(entities), grid.count)) if with_node else ((), _NOWHERE)
    intervals, unanswered = _anomalies(workplace)
    found = tally(entities, present, intervals, frozenset(unanswered), grid, node_ids, nodes)
    silent = sorted({entity for entity, _ in unanswered}.difference(entities))
    kind = "vm" if with_node else "node"
    made = [
        *(_row(kind, entity, metric, own) for (entity, metric), own in found.by_metric.items()),
        *(_row(kind, entity, TOGETHER, own) for entity, own in found.by_entity.items()),
        *(_row("node", node, TOGETHER, own) for node, own in found.by_node.items()),
        _row("tenant", partition.tenant, TOGETHER, found.total),
        *(_without_answer(kind, entity, metric, row) for (entity, metric), row in unanswered.items()),
        *(_row(kind, entity, TOGETHER, Tally()) for entity in silent),
    ]
    rate = found.total.rate
    return Result(
        data=TABLE.from_rows(made),
        facts=workplace.facts(as_of_ms=workplace.as_of_ms("samples")),
        numbers={"points": found.total.points, **({"anomaly_percent": 100 * rate} if rate is not None else {})},
    )


_NOWHERE = np.empty((0, 0), np.int64)


def _nodes(
    rows: pa.Table, cell: NDArray[np.int64], shape: tuple[int, int]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    column = rows.column("node_id")
    ids = entity_ids(column)
    nodes = np.full(shape, -1, np.int64)
    inside = cell >= 0
    nodes.reshape(-1)[cell[inside]] = positions(column, ids)[inside]
    return ids, nodes


def _anomalies(
    workplace: Workplace,
) -> tuple[dict[tuple[str, str], list[dict[str, Any]]], dict[tuple[str, str], dict[str, Any]]]:
    """Return the intervals of single metrics by entity and metric, and those that could not be judged."""
    wanted = ["kind", "entity_id", "metric", "status", "reason", "start", "end", "score"]
    rows = workplace.read("anomalies", wanted)
    for name in ("start", "end"):
        rows = rows.set_column(wanted.index(name), name, rows.column(name).cast(pa.int64()))
    intervals: dict[tuple[str, str], list[dict[str, Any]]] = {}
    unanswered = {}
    for row in rows.filter(pc.equal(rows.column("kind"), "metric")).to_pylist():
        key = row["entity_id"], row["metric"]
        if row["status"] == "ok":
            intervals.setdefault(key, []).append(row)
        else:
            unanswered[key] = row
    return intervals, unanswered


def _row(kind: str, entity: str, metric: str, own: Tally) -> dict[str, Any]:
    return {
        "entity_kind": kind,
        "entity_id": entity,
        "metric": metric,
        "status": "ok" if own.points else "no_data",
        "reason": None if own.points else "no point of it could be judged",
        "points": own.points,
        "anomalous_points": own.anomalous,
        "anomaly_rate": own.rate,
        "intervals": own.intervals,
        "highest_score": own.highest_score,
    }


def _without_answer(kind: str, entity: str, metric: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {**_row(kind, entity, metric, Tally()), "status": row["status"], "reason": row["reason"]}


COMPONENT = Component(
    name="anomaly_rates",
    stage="analyzers",
    title="Anomaly rates",
    description="The share of the day's points that were anomalous, of every metric, VM, node and tenant.",
    parameters=NoParameters,
    inputs=(
        Input("anomalies", ("anomalies",), "the day's anomalous intervals"),
        Input("samples", ("vm_resources", "system_load"), "the samples that they were found in"),
    ),
    table=TABLE,
    compute=compute,
)
