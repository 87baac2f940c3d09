"""What was abnormal on the day: intervals of single metrics, of an entity's metrics together, and odd ones out.

Method: the window and the day are replayed in the order of time, so an answer needs no earlier
answer, and a day computed again or alone gives the same. Of each metric every point is compared with
what the points before it led to expect (`kernels/anomaly/residuals.py`), against an alarm line of
the metric's own (`scores.py`): 1 is that line for every metric. Points become intervals
(`intervals.py`); what is too small to matter, in the metric's unit, is none. An entity's metrics are
also judged together (`multivariate.py`), and VMs among their peers, by the hours of the day
(`kernels/peers.py`).

An interval belongs to the day of its first alarm, and to the next one if it ended on it; `began` tells where it started
the day before. What goes on for longer is a new level, which is told once. A metric that could not be judged has a row
that says why. Rates: `anomaly_rates`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from analytics_assets.analyzers.anomaly_model.at_once import add_others
from analytics_assets.analyzers.anomaly_model.history import History, blocks, read_ahead, window_grid
from analytics_assets.analyzers.anomaly_model.metric_rows import Span, judge, metric_rows
from analytics_assets.analyzers.anomaly_model.parameters import AnomaliesParameters
from analytics_assets.analyzers.anomaly_model.peer_rows import peer_groups, peer_hours, peer_rows, without_peers
from analytics_assets.analyzers.anomaly_model.table import TABLE
from analytics_assets.analyzers.anomaly_model.together_rows import together_rows
from analytics_assets.components import Component, Input, Result, Workplace
from analytics_assets.kernels.coverage import coverage_of
from analytics_assets.measured_metrics import measured_metrics

FIRST_DAYS = 2
"""An entity without a sample on the day and the day before it is gone: it has no row."""


@dataclass
class Findings:
    """Rows gathered block by block, and what peers are compared by."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    entities: list[str] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    expected: list[int] = field(default_factory=list)
    hours: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)
    points: dict[str, list[NDArray[np.int64]]] = field(default_factory=dict)


def compute(workplace: Workplace, parameters: AnomaliesParameters) -> Result:
    """Make one partition, a block of entities at a time."""
    source = workplace.instance.inputs["samples"][0]
    key = source.table.primary_key[0]
    metrics = measured_metrics(source.table, parameters.metrics)
    grid = window_grid(workplace, "samples", parameters.window_days)
    span = Span.of(grid, parameters.window_days)
    found = Findings()
    history = blocks(workplace, "samples", grid, parameters.window_days, list(metrics), key, FIRST_DAYS)
    for block in read_ahead(history):
        _judge_block(block, metrics, span, parameters, found)
    notes = []
    if not found.entities:
        notes.append(f"table {source.table.name} has no row on the day or the day before: no rows")
    if key == "vm_id" and parameters.peers_by != "none" and workplace.tables("inventory"):
        groups = peer_groups(
            workplace.read("inventory", ["vm_id", "valid_from", "vm_name", "flavor"]), parameters.peers_by
        )
        hours = {
            metric: (metrics[metric], np.concatenate(parts), np.concatenate(found.points[metric]))
            for metric, parts in found.hours.items()
        }
        _add(found.rows, peer_rows(hours, found.entities, groups, span, parameters), found, 0)
        if alone := without_peers(found.entities, groups, parameters.peers_minimum):
            notes.append(f"{alone} of {len(found.entities)} VMs have too few peers to be compared with")
    add_others(found.rows, span)
    kind = "vm" if key == "vm_id" else "node"
    data = TABLE.from_rows([{**row, "entity_kind": kind} for row in found.rows])
    return Result(
        data=data,
        facts=workplace.facts(
            as_of_ms=workplace.as_of_ms("samples"),
            samples_seen=sum(found.seen),
            samples_expected=sum(found.expected),
            notes=tuple(notes),
        ),
        numbers=_numbers(data, len(found.entities)),
    )


def _judge_block(
    block: History, metrics: dict[str, str], span: Span, parameters: AnomaliesParameters, found: Findings
) -> None:
    first = len(found.entities)
    found.entities += block.entities
    found.seen += block.samples_seen.tolist()
    found.expected += block.samples_expected.tolist()
    judged = [judge(metric, unit, block.values[metric], span, parameters) for metric, unit in metrics.items()]
    for metric in judged:
        _add(found.rows, metric_rows(metric, span, parameters), found, first)
        hours = peer_hours(metric.values, span.day_step, span.grid.steps_per_hour)
        found.hours.setdefault(metric.metric, []).append(hours)
        points = np.count_nonzero(np.isfinite(metric.values[:, span.day_step :]), axis=1)
        found.points.setdefault(metric.metric, []).append(points)
    if parameters.together:
        _add(found.rows, together_rows(judged, span, parameters), found, first)


def _add(rows: list[dict[str, Any]], new: Iterator[tuple[int, dict[str, Any]]], found: Findings, first: int) -> None:
    for position, row in new:
        entity = first + position
        seen, expected = found.seen[entity], found.expected[entity]
        coverage = float(coverage_of(np.array([seen]), np.array([expected]))[0])
        about = {"samples_seen": seen, "samples_expected": expected, "coverage": coverage}
        rows.append({**row, "entity_id": found.entities[entity], **about})


def _numbers(data: pa.Table, entities: int) -> dict[str, int | float]:
    answered = pc.equal(data.column("status"), "ok")

    def count(column: str, value: str) -> int:
        return int(pc.sum(pc.and_kleene(answered, pc.equal(data.column(column), value)), min_count=0).as_py())

    return {
        "entities": entities,
        "metric_anomalies": count("kind", "metric"),
        "joint_anomalies": count("kind", "together"),
        "peer_outliers": count("kind", "peer"),
        "high": count("severity", "high"),
        "without_answer": data.num_rows - int(pc.sum(answered, min_count=0).as_py()),
    }


COMPONENT = Component(
    name="anomalies",
    stage="analyzers",
    title="Anomalies",
    description=(
        "What was abnormal on the day: metrics against their own past (by the hour of the day where it is known), all "
        "metrics of a VM together, and VMs among their peers. Scores are comparable: 1 is the alarm line of every "
        "metric. The window is replayed in the order of time, so no answer depends on an earlier one."
    ),
    parameters=AnomaliesParameters,
    inputs=(
        Input("samples", ("vm_resources", "system_load"), "what is judged, in the buckets of the grid"),
        Input("inventory", ("vm_inventory",), "names and flavours of the VMs, which tell peers", optional=True),
    ),
    table=TABLE,
    compute=compute,
)
