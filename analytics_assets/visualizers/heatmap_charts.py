"""Answers: who was busy when? One heatmap for each metric: a row per VM or node, a column per hour.

The rows are those with the highest utilization where `capacity` says it, else with the highest
hourly mean, highest first. Hours without samples are hatched, never zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from string import Template

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from analytics_assets.charts.frame import Heading
from analytics_assets.charts.heatmap import Grid, heatmap
from analytics_assets.charts.result import charts_result
from analytics_assets.charts.samples import HOUR_MS, Samples, between, identifier, literal, samples_of
from analytics_assets.charts.scale import format_days, format_instant, format_value
from analytics_assets.charts.table import CHART, Chart, result_sha256
from analytics_assets.charts.wording import metric_words
from analytics_assets.components import Component, Input, Parameters, Result, Workplace
from resources.partition import day_start_ms

DEFAULT_METRICS = ("cpu_percent", "memory_bytes")

RESOURCES = {"cpu_percent": "cpu", "cpu_cores": "cpu", "memory_bytes": "memory", "disk_bytes": "disk"}
"""Metric stem -> the resource whose utilization in `capacity` orders the rows."""


class HeatmapParameters(Parameters):
    """What is drawn, and over which time."""

    metrics: tuple[str, ...] = Field(
        (), max_length=16,
        description="Metrics by the stem of their columns, such as cpu_percent. "
        "Empty: CPU and memory, as far as the samples have them.",
    )  # fmt: skip
    days: int = Field(7, ge=1, le=31, description="Length of the window in days, ending with the partition's day.")
    rows: int = Field(40, ge=1, le=200, description="Rows of a heatmap, a count; the highest are shown.")


@dataclass(frozen=True)
class Scope:
    """What all charts of one partition share."""

    workplace: Workplace
    samples: Samples
    days: Sequence[date]
    rows: int


HEATMAP_SQL = Template("""WITH _sample AS (
  $sample
)$utilization, _ranked AS (
  SELECT entity, count(*) OVER () AS entities,
    row_number() OVER (ORDER BY ${order}max(mean) DESC, entity) AS position
  FROM _sample$join WHERE mean IS NOT NULL GROUP BY entity
  QUALIFY position <= $rows
)
SELECT position, entities, entity, ts, mean
FROM _ranked JOIN _sample USING (entity)
ORDER BY position, ts""")

WITH_UTILIZATION = Template(""", _utilization AS (
  SELECT entity, max(utilization_percent) AS percent FROM (
    $union
  ) GROUP BY entity
)""")

UTILIZATION_SQL = Template("""SELECT CAST(entity_id AS VARCHAR) AS entity, utilization_percent
    FROM $table
    WHERE $day AND entity_kind = $kind AND resource = $resource AND status = 'ok'""")


def compute(workplace: Workplace, parameters: HeatmapParameters) -> Result:
    """Draw the heatmaps of one partition."""
    source = workplace.instance.inputs["samples"][0]
    samples = samples_of(source.component.name, source.table, workplace.resolution_seconds)
    days = workplace.partition.trailing_days(parameters.days)
    scope = Scope(workplace, samples, days, parameters.rows)
    charts = [heatmap_of(scope, stem) for stem in samples.chosen(parameters.metrics, DEFAULT_METRICS)]
    return charts_result(workplace, charts)


def heatmap_of(scope: Scope, stem: str) -> Chart:
    """Draw one metric of the highest entities, hour by hour."""
    samples, first, last = scope.samples, scope.days[0], scope.days[-1]
    unit, who = samples.unit(stem), samples.who
    ordered = bool(scope.workplace.tables("capacity")) and stem in RESOURCES
    sql = _sql(scope, stem, ordered)
    data = scope.workplace.query(sql, days=scope.days)
    start_ms = day_start_ms(first)
    title = f"{metric_words(stem).noun} by {who} and hour, {format_days(start_ms, start_ms + _hours(scope) * HOUR_MS)}"
    chart_id = f"{stem}-heatmap"
    if not data.num_rows:
        reason = f"{samples.table.name} holds no value of {stem} from {first} to {last}"
        alt = f"{title}. Nothing to draw: {reason}."
        return Chart(chart_id, title, alt, unit, sql, 0, result_sha256(data), reason=reason)
    grid = read_grid(data, start_ms, _hours(scope))
    entities = data.column("entities")[0].as_py()
    by = "utilization" if ordered else "the highest hour"
    subtitle = f"Mean of each hour. {len(grid.names)} of {entities} {who}s, ordered by {by}."
    alt = f"Heatmap. {title}. {subtitle} {_in_words(grid, unit)}"
    svg = heatmap(Heading(title, subtitle, alt), grid, unit, who)
    return Chart(chart_id, title, alt, unit, sql, data.num_rows, result_sha256(data), svg)


def read_grid(data: pa.Table, start_ms: int, hours: int) -> Grid:
    """Return the query's result, which has at least one row, as a grid of entity by hour; NaN missing."""
    row = data.column("position").to_numpy().astype(np.int64) - 1
    ts = data.column("ts").cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
    values: NDArray[np.float64] = np.full((int(row.max()) + 1, hours), np.nan)
    values[row, (ts - start_ms) // HOUR_MS] = data.column("mean").cast(pa.float64()).to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
    names = data.column("entity").take(pa.array(starts)).to_pylist()
    return Grid(names, values, start_ms, HOUR_MS)


def _sql(scope: Scope, stem: str, ordered: bool) -> str:
    utilization = join = order = ""
    if ordered:
        day = between(scope.days[-1], scope.days[-1])
        parts = [
            UTILIZATION_SQL.substitute(
                table=identifier(table.name), day=day,
                kind=literal(scope.samples.entity_kind), resource=literal(RESOURCES[stem]),
            )
            for table in scope.workplace.tables("capacity")
        ]  # fmt: skip
        utilization = WITH_UTILIZATION.substitute(union="\n    UNION ALL\n    ".join(parts))
        join, order = " LEFT JOIN _utilization USING (entity)", "max(percent) DESC NULLS LAST, "
    return HEATMAP_SQL.substitute(
        sample=scope.samples.select(stem, scope.days[0], scope.days[-1], HOUR_MS),
        utilization=utilization, join=join, order=order, rows=scope.rows,
    )  # fmt: skip


def _hours(scope: Scope) -> int:
    return 24 * len(scope.days)


def _in_words(grid: Grid, unit: str) -> str:
    row, column = np.unravel_index(int(np.nanargmax(grid.values)), grid.values.shape)
    at = format_instant(grid.start_ms + int(column) * grid.step_ms)
    highest = format_value(float(grid.values[row, column]), unit)
    said = f"The highest hour is {highest}, {grid.names[int(row)]} at {at}."
    missing = int(np.isnan(grid.values).sum())
    return f"{said} {missing:,} of {grid.values.size:,} hours have no samples." if missing else said


COMPONENT = Component(
    name="heatmap_charts",
    stage="visualizers",
    title="Heatmap charts",
    description="Heatmaps of each metric by VM or node and hour, the highest first, as SVG with the query and "
    "fingerprint of their data.",
    parameters=HeatmapParameters,
    inputs=(
        Input("samples", ("vm_resources_hourly", "system_load"), "the values over time"),
        Input("capacity", ("capacity",), "utilization to order the rows by", many=True, optional=True),
    ),
    table=CHART.named("heatmap_charts"),
    compute=compute,
    formats=("parquet", "svg"),
)
