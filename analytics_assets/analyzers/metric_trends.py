"""What is trending: direction, slope, level shift and the near future of every metric of every entity.

Method, per entity and metric, over the hours of the window that end with the last whole hour of
the data:

1. Hours become 24-hour values that end at that hour, so none is unfinished; days with gaps are
   corrected by the entity's own hour-of-day profile, and a strong weekday effect is taken off.
   Windows under five days have too few days: they use the hours, the daily cycle taken off where
   there are two days to tell it from.
2. Slope, its 95 % interval and its test: `kernels/slope.py` (Theil-Sen, Mann-Kendall, variance
   corrected for ties and autocorrelation). `rising` or `falling` needs a small p and a change over
   the window that reaches both the noise and a floor in the metric's own unit; a single step to a new
   level does not count, nor does growth that has stopped: `kernels/lasting_slope.py`. The slope of the hours,
   of which no day has to be whole: `kernels/seasonal_slope.py`.
3. Every change of the level, told apart from slopes and autocorrelated noise: `kernels/change_points.py`.
4. Next hour, day and week: `kernels/recent_level.py`.

A constant series is an answer: `stable`, slope 0, noise 0, status `ok`. `degenerate` are series
with infinite values, which have no scale.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from analytics_assets.analyzers.trend_figures import MetricTrendsParameters, Samples, trend_columns
from analytics_assets.components import Component, Input, Result, Workplace
from analytics_assets.kernels.coverage import sample_counts
from analytics_assets.kernels.matrix import HOUR_MS, Grid, days_of, entity_ids, locate, place, within
from analytics_assets.measured_metrics import measured_metrics
from resources.lake.table import ENTITY, Column, Table, number

DIRECTIONS = ("rising", "falling", "stable", "unknown")
STATUSES = ("ok", "insufficient_data", "no_data", "degenerate")


def _forecasts() -> tuple[Column, ...]:
    columns = []
    for name, ahead in (("next_hour", "next hour"), ("next_day", "next 24 hours"), ("next_week", "next 168 hours")):
        columns += [
            number(name, f"expected mean of the {ahead}, in the metric's unit", minimum=0),
            number(f"{name}_low", f"lower end of the 80 % interval of the mean of the {ahead}", minimum=0),
            number(f"{name}_high", f"upper end of the 80 % interval of the mean of the {ahead}", minimum=0),
        ]
    return tuple(columns)


TABLE = Table(
    name="metric_trends",
    description="the trend of one metric of one VM or node over the window that ends with the day",
    columns=(
        Column("entity_kind", ENTITY, "what the entity is", values=("vm", "node")),
        Column("entity_id", ENTITY, "id of the VM or node"),
        Column("metric", ENTITY, "metric, as the stem of its columns"),
        Column("unit", pa.string(), "unit of the metric and of all values in its unit"),
        Column("status", ENTITY, "whether there is an answer", values=STATUSES),
        Column("reason", pa.string(), "why there is no answer, or none in part", nullable=True),
        Column("window_days", pa.int32(), "length of the window", unit="days", minimum=1),
        Column("days_used", pa.int32(), "days with enough hours to count", unit="days", minimum=0),
        Column("samples_seen", pa.int64(), "samples of the metric in the window", minimum=0),
        Column("samples_expected", pa.int64(), "samples expected since the entity's first one", minimum=0),
        number("coverage", "samples seen over samples expected", minimum=0, maximum=1),
        number("level", "median of the last 7 daily means, in the metric's unit"),
        number(
            "slope_per_day",
            "robust slope, in the metric's unit per day; of what moves without a single step along it",
        ),
        number("slope_low_per_day", "lower end of the slope's 95 % interval"),
        number("slope_high_per_day", "upper end of the slope's 95 % interval"),
        number("change_over_window", "slope times the days from the first to the last used one, both counted"),
        number("noise", "robust standard deviation of the daily residuals, in the metric's unit", minimum=0),
        number("p_value", "probability of such an order of the days without a trend", minimum=0, maximum=1),
        Column(
            "direction",
            ENTITY,
            "which way the metric moves; stable, too, after one step to a new level, or where a trend has stopped",
            values=DIRECTIONS,
        ),
        Column(
            "left_out_step_day",
            pa.date32(),
            "first day after the single step along it that the slope leaves out; null where it leaves none out",
            nullable=True,
        ),
        Column(
            "hourly_days",
            pa.int32(),
            "last days whose hours the hourly slope is of",
            unit="days",
            nullable=True,
            minimum=1,
        ),
        number("hourly_slope_per_day", "robust slope of the hours, each against the same hour of other days"),
        number("hourly_slope_low_per_day", "lower end of the hourly slope's 95 % interval"),
        number("hourly_slope_high_per_day", "upper end of the hourly slope's 95 % interval"),
        number("hourly_p_value", "probability of such an order of the hours without a trend", minimum=0, maximum=1),
        Column("change_point_count", pa.int32(), "changes of the level in the window", nullable=True, minimum=0),
        Column("change_point_day", pa.date32(), "first day after the largest change of the level", nullable=True),
        number("change_point_height", "by how much the level changed there, in the metric's unit"),
        Column(
            "change_points",
            pa.string(),
            "every change of the level in order, as JSON: its first day and its height, in the metric's unit",
            nullable=True,
        ),
        *_forecasts(),
    ),
    primary_key=("entity_kind", "entity_id", "metric"),
    measured=True,
)


def trends_table(entity_kind: str, entities: Sequence[str], columns: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return the rows of the table: each metric's `columns` for all `entities`."""
    if not entities or not columns:
        return TABLE.empty()
    arrays = {
        "entity_kind": pa.array([entity_kind] * len(entities) * len(columns), pa.string()),
        "entity_id": pa.array(list(entities) * len(columns), pa.string()),
    }
    for column in TABLE.columns[2:]:
        joined = np.concatenate([part[column.name] for part in columns])
        arrays[column.name] = pa.array(joined, column.given_as, from_pandas=True)
    return pa.table(arrays)


def compute(workplace: Workplace, parameters: MetricTrendsParameters) -> Result:
    """Make one partition. Of 5-minute rows one metric is read at a time, which keeps a large tenant's memory small."""
    source = workplace.instance.inputs["samples"][0]
    table = source.table
    key = table.primary_key[0]
    metrics = measured_metrics(table, parameters.metrics)
    hourly = source.component.name == "vm_resources_hourly"
    means = [f"{metric}_mean" for metric in metrics]
    counted = [key, "ts", "samples_seen", "samples_expected"]
    as_of_ms = workplace.as_of_ms("samples")
    grid = Grid.ending(as_of_ms, parameters.window_days, HOUR_MS if hourly else workplace.resolution_seconds * 1000)
    days = days_of(grid, workplace.partition)
    rows = within(workplace.read_window("samples", days, [*counted, *(means if hourly else ())]), grid)
    entities = entity_ids(rows.column(key))
    cells = locate(rows.column(key), rows.column("ts"), grid, entities)
    counts = sample_counts(cells, rows.column("samples_seen"), rows.column("samples_expected"))
    parts = []
    for metric, unit in metrics.items():
        if not hourly:
            rows = workplace.read_window("samples", days, [key, "ts", f"{metric}_mean"])
            cells = locate(rows.column(key), rows.column("ts"), grid, entities)
        samples = Samples(metric, unit, place(cells, rows.column(f"{metric}_mean")), counts)
        parts.append(trend_columns(samples, grid, parameters, workplace.minimum_coverage))
    data = trends_table("node" if key == "node_id" else "vm", entities, parts)
    notes = () if entities else (f"table {table.name} has no row in the {parameters.window_days} days: no rows",)
    return Result(
        data=data,
        facts=workplace.facts(
            as_of_ms=as_of_ms,
            samples_seen=int(np.sum(counts.seen, dtype=np.float64)),
            samples_expected=int(np.sum(counts.expected, dtype=np.float64)),
            notes=notes,
        ),
        numbers=_numbers(parts, len(entities)),
    )


def _numbers(parts: Sequence[Mapping[str, Any]], entities: int) -> dict[str, int | float]:
    def count(name: str, value: str) -> int:
        return sum(int(np.count_nonzero(part[name] == value)) for part in parts)

    return {
        "entities": entities,
        "rising": count("direction", "rising"),
        "falling": count("direction", "falling"),
        "change_points": int(sum(np.nansum(part["change_point_count"]) for part in parts)),
        "without_answer": sum(len(part["status"]) for part in parts) - count("status", "ok"),
    }


COMPONENT = Component(
    name="metric_trends",
    stage="analyzers",
    title="Metric trends",
    description=(
        "Which metrics of which VMs or nodes rise, fall or jumped, how fast and how surely, and what to expect of the "
        "next hour, day and week. Theil-Sen slope with Sen's interval and a Mann-Kendall test that allows for "
        "autocorrelation, on daily means and on hours (seasonal Kendall); changes of level by optimal partitioning; "
        "forecasts repeat the recent level, with intervals from their own past errors."
    ),
    parameters=MetricTrendsParameters,
    inputs=(
        Input(
            "samples",
            ("vm_resources_hourly", "system_load", "vm_resources"),
            "what is measured; the hourly table is the one for long windows",
        ),
    ),
    table=TABLE,
    compute=compute,
)
