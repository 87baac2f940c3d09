"""Which series move together, beyond their cycles and beyond chance, and which of them moves first.

Compared are the metrics of a VM or node with each other, the same metric of different VMs or nodes, and, for the
platform, the metrics of every tenant's VMs with those of the node they run on. Method:

1. Of the window's whole 24-hour blocks, each series keeps what its daily level and its cycle by hour and
   kind of day do not explain (`kernels/cycle_residuals.py`).
2. Every pair is compared at all lags up to the maximum, both ways; the coefficient furthest from 0 counts
   (`kernels/lag_correlation.py`).
3. Its significance allows for autocorrelation, for the number of lags, and, by false discovery rate, for
   the number of pairs of the same kind and metric. A pair that is sure but weak is not shown.

The first of a pair moves first, or they move together (lag 0). Moving first is not causing. A VM or node of which no
pair of a kind is shown has one row of that kind that says why.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from analytics_assets.analyzers.correlation_model.parameters import CorrelationsParameters
from analytics_assets.analyzers.correlation_model.population import (
    Comparison,
    Label,
    Population,
    compare,
    population,
)
from analytics_assets.analyzers.correlation_model.shown_pairs import Shown, busiest, shown_pairs
from analytics_assets.analyzers.correlation_model.sources import (
    Source,
    placement,
    read_source,
    tenants_samples,
)
from analytics_assets.analyzers.correlation_model.unanswered import STATUSES, named, unanswered
from analytics_assets.components import Component, Input, Result, Workplace
from analytics_assets.kernels.matrix import HOUR_MS, Grid, days_of
from analytics_assets.measured_metrics import measured_metrics
from resources.errors import InvalidInput
from resources.lake.table import ENTITY, Column, Table, number
from resources.partition import PLATFORM

KINDS = ("vm_metrics", "vm_vm", "vm_node", "node_metrics", "node_node")


TABLE = Table(
    name="correlations",
    description="two series that move together beyond their cycles and chance, or an entity of which none do",
    columns=(
        Column("kind", ENTITY, "what is compared: metrics of one entity, or one metric of two", values=KINDS),
        Column("first_kind", ENTITY, "what the entity is that moves first", values=("vm", "node")),
        Column("first_tenant", ENTITY, "tenant of the first entity"),
        Column("first_id", ENTITY, "entity that moves first, or the first by id where they move together"),
        Column("first_metric", ENTITY, "its metric, as the stem of its columns; empty without an answer"),
        Column("second_kind", ENTITY, "what the entity is that follows", values=("vm", "node")),
        Column("second_tenant", ENTITY, "tenant of the second entity"),
        Column("second_id", ENTITY, "entity that follows"),
        Column("second_metric", ENTITY, "its metric; empty without an answer"),
        Column("status", ENTITY, "whether there is an answer", values=("ok", *STATUSES)),
        Column("reason", pa.string(), "why there is no answer", nullable=True),
        Column("lag_seconds", pa.int64(), "by how much the second follows the first", "seconds", True, minimum=0),
        number("coefficient", "correlation of the residuals at the lag", minimum=-1, maximum=1),
        Column("steps_shared", pa.int64(), "steps that both have at the lag", nullable=True, minimum=0),
        number("steps_effective", "independent steps that the shared ones are worth", minimum=0),
        number("q_value", "least false discovery rate at which the pair counts", minimum=0, maximum=1),
        Column("pairs_tested", pa.int64(), "pairs that were tested together with it", nullable=True, minimum=0),
        Column("window_days", pa.int32(), "length of the window", "days", minimum=1),
        number("coverage", "lower share of the two of steps with samples", minimum=0, maximum=1),
    ),
    primary_key=(
        "kind", "first_tenant", "first_id", "first_metric", "second_tenant", "second_id", "second_metric",
    ),
    measured=True,
)  # fmt: skip


Families = dict[str, list[Comparison]]
"""By kind, the pairs that are tested together: those of one metric, or all of the kind."""


def compute(workplace: Workplace, parameters: CorrelationsParameters) -> Result:
    """Make one partition: a tenant's VMs; for the platform, its nodes, and all tenants' VMs with them."""
    source = workplace.instance.inputs["samples"][0]
    step_ms = HOUR_MS if source.component.name == "vm_resources_hourly" else workplace.resolution_seconds * 1000
    on_platform = workplace.partition.tenant == PLATFORM
    as_of_ms = workplace.as_of_ms("nodes" if on_platform and workplace.tables("nodes") else "samples")
    grid = Grid.ending(as_of_ms, parameters.window_days, step_ms)
    parameters, capped = _with_lag_in_window(workplace.instance.id, parameters, grid)
    if on_platform:
        series, families, sources, notes = _platform(workplace, parameters, grid)
    else:
        vms = read_source(
            "vm",
            workplace.partition.tenant,
            "vm_id",
            list(measured_metrics(source.table, parameters.metrics)),
            lambda columns: workplace.read_window("samples", days_of(grid, workplace.partition), columns),
            grid,
        )
        series = _population([vms], grid, workplace.minimum_coverage)
        families = _among(series, "vm", parameters)
        sources, notes = [vms], () if vms.entities else ("no VM has samples in the window: no rows",)
    pairs = [pair for kind, tested in families.items() for pair in shown_pairs(kind, series, tested, parameters)]
    rows = [_shown_row(series, pair, grid) for pair in pairs]
    for kind, tested in families.items():
        answered = {
            series.labels[row].owner for pair in pairs if pair.kind == kind for row in (pair.first, pair.second)
        }
        rows += unanswered(kind, series, tested, answered, parameters)
    data = TABLE.from_rows([{**row, "window_days": parameters.window_days} for row in rows])
    return Result(
        data=data,
        facts=workplace.facts(
            as_of_ms=as_of_ms,
            samples_seen=sum(each.seen for each in sources),
            samples_expected=sum(each.expected for each in sources),
            notes=(*capped, *notes),
        ),
        numbers={
            "pairs_tested": sum(len(family.left) for tested in families.values() for family in tested),
            **{kind: sum(pair.kind == kind for pair in pairs) for kind in families},
        },
    )


def _with_lag_in_window(
    instance: str, parameters: CorrelationsParameters, grid: Grid
) -> tuple[CorrelationsParameters, tuple[str, ...]]:
    """Return the parameters with a lag that the steps of `grid` allow, and a note where that is not the default one.

    Raises:
        InvalidInput: a lag was set that no day could allow.
    """
    lag, days, most = parameters.maximum_lag_steps, parameters.window_days, grid.count - 1
    if lag <= most:
        return parameters, ()
    steps = f"the {grid.count} steps of {grid.step_ms // 1000} s that window_days {days} has"
    if "maximum_lag_steps" in parameters.model_fields_set:
        raise InvalidInput(
            f"instance {instance}: maximum_lag_steps {lag} is not below {steps}. Set at most {most}, or a longer "
            "window_days."
        )
    note = f"lags are up to {most} steps, not up to {lag} (maximum_lag_steps): they must be below {steps}"
    return parameters.model_copy(update={"maximum_lag_steps": most}), (note,)


def _platform(
    workplace: Workplace, parameters: CorrelationsParameters, grid: Grid
) -> tuple[Population, Families, list[Source], tuple[str, ...]]:
    """Read the nodes, and the VMs of every tenant that has the day; pair the VMs with the node they are on."""
    if not workplace.tables("nodes"):
        return _population([], grid, 1), {}, [], ("no nodes are read: no rows. Name system_load under 'nodes'",)
    days = days_of(grid, workplace.partition)
    table = workplace.tables("samples")[0]
    node_metrics = list(measured_metrics(workplace.tables("nodes")[0]))
    nodes = read_source(
        "node",
        PLATFORM,
        "node_id",
        [name for name in node_metrics if not parameters.metrics or name in parameters.metrics],
        lambda columns: workplace.read_window("nodes", days, columns),
        grid,
        grid.step_ms // (workplace.resolution_seconds * 1000),
    )
    sources, places = [nodes], {}
    tenants, notes = tenants_samples(workplace, days)
    for tenant, rows in tenants:
        vms = read_source("vm", tenant, "vm_id", list(measured_metrics(table, parameters.metrics)), rows, grid)
        placed = placement(rows, grid, vms.entities)
        there = (placed.code == placed.last[:, None]) & (placed.code >= 0)
        for values in vms.matrices.values():
            values[~there] = np.nan  # what it did elsewhere says nothing of this node
        places.update(
            {
                ("vm", tenant, vm): placed.nodes[code]
                for vm, code in zip(vms.entities, placed.last, strict=True)
                if code >= 0
            }
        )
        sources.append(vms)
    series = _population(sources, grid, workplace.minimum_coverage)
    usable = np.flatnonzero(series.usable)
    across = []
    for node in nodes.entities:
        on_node = [row for row in usable if places.get(series.labels[row].owner) == node]
        own = [row for row in usable if series.labels[row].owner == ("node", PLATFORM, node)]
        if on_node and own:
            across.append(compare(series, np.array(on_node), np.array(own), parameters.maximum_lag_steps))
    families = {**_among(series, "node", parameters), "vm_node": [Comparison.joined(across)]}
    return series, families, sources, notes


def _population(sources: Sequence[Source], grid: Grid, minimum_coverage: float) -> Population:
    labels = [
        Label(source.kind, source.tenant, entity, metric)
        for source in sources
        for metric in source.matrices
        for entity in source.entities
    ]
    return population(
        labels, (values for source in sources for values in source.matrices.values()), grid, minimum_coverage
    )


def _among(series: Population, kind: str, parameters: CorrelationsParameters) -> Families:
    """Compare the metrics of every entity with each other, and every metric among the entities."""
    by_entity: dict[tuple[str, str, str], list[int]] = {}
    by_metric: dict[str, list[int]] = {}
    for row in np.flatnonzero(series.usable):
        label = series.labels[row]
        if label.kind == kind:
            by_entity.setdefault(label.owner, []).append(int(row))
            by_metric.setdefault(label.metric, []).append(int(row))
    lag = parameters.maximum_lag_steps
    within = [compare(series, np.array(rows), None, lag) for rows in by_entity.values()]
    between = [
        compare(series, busiest(series, np.array(rows), parameters.maximum_entities), None, lag)
        for rows in by_metric.values()
    ]
    return {f"{kind}_metrics": [Comparison.joined(within)], f"{kind}_{kind}": between}


def _shown_row(series: Population, pair: Shown, grid: Grid) -> dict[str, Any]:
    return {
        "kind": pair.kind,
        **named("first", series.labels[pair.first]),
        **named("second", series.labels[pair.second]),
        "status": "ok",
        "lag_seconds": pair.lag * grid.step_ms // 1000,
        "coefficient": pair.coefficient,
        "steps_shared": pair.shared,
        "steps_effective": pair.effective,
        "q_value": pair.q_value,
        "pairs_tested": pair.pairs_tested,
        "coverage": float(min(series.coverage[pair.first], series.coverage[pair.second])),
    }


COMPONENT = Component(
    name="correlations",
    stage="analyzers",
    title="Correlations",
    description=(
        "Which metrics, VMs and nodes move together beyond their daily and weekly cycles, how strongly, and which "
        "moves first by how much. Coefficients of the residuals at all lags; significance allows for autocorrelation "
        "(Bartlett's effective sample size), the lags tried, and the number of pairs (false discovery rate)."
    ),
    parameters=CorrelationsParameters,
    inputs=(
        Input("samples", ("vm_resources", "vm_resources_hourly"), "what the VMs used"),
        Input("nodes", ("system_load",), "load of the nodes, for the platform", optional=True),
    ),
    table=TABLE,
    compute=compute,
)
