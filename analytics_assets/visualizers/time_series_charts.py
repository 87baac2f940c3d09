"""Answers: how did use develop over the last weeks, in total and where it is highest or moves most?

For each metric three charts: an overview (all VMs together, or the nodes side by side); the
entities with the highest demand, a panel each, with their trends; and, where trends are given, the
entities whose significant trend is steepest. Demand is the 95th percentile of the means in the
window. Rows of charts whose data are missing say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from string import Template

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from analytics_assets.charts.describe import each_in_words, highest_in_words
from analytics_assets.charts.frame import Heading
from analytics_assets.charts.result import charts_result
from analytics_assets.charts.samples import HOUR_MS, Samples, between, identifier, literal, samples_of
from analytics_assets.charts.scale import format_days, format_slope, format_value
from analytics_assets.charts.table import CHART, Chart, result_sha256
from analytics_assets.charts.time_series import MOST_LINES, MOST_PANELS, Series, Span, Words, line_chart, panel_chart
from analytics_assets.charts.trend_line import Trend
from analytics_assets.charts.wording import ADDITIVE_UNITS, metric_words, top_title
from analytics_assets.components import Component, Input, Parameters, Result, Workplace
from resources.partition import day_start_ms

DEFAULT_METRICS = ("cpu_percent", "memory_bytes", "network_receive_bytes_per_second")

RAW_DAYS, HOURLY_DAYS = 2, 31
"""Up to so many days a chart has a point for each stored bucket, or for each hour; beyond, for every 6 hours."""


class TimeSeriesParameters(Parameters):
    """What is drawn, and over which time."""

    metrics: tuple[str, ...] = Field(
        (), max_length=16,
        description="Metrics by the stem of their columns, such as cpu_percent. "
        "Empty: CPU, memory and received data, as far as the samples have them.",
    )  # fmt: skip
    days: int = Field(14, ge=1, le=92, description="Length of the window in days, ending with the partition's day.")
    top: int = Field(6, ge=1, le=MOST_PANELS, description="Entities in a chart of panels, a count.")


@dataclass(frozen=True)
class Scope:
    """What all charts of one partition share."""

    workplace: Workplace
    samples: Samples
    days: Sequence[date]
    bucket_ms: int
    top: int

    @property
    def span(self) -> Span:
        return Span(day_start_ms(self.days[0]), day_start_ms(self.days[-1]) + 24 * HOUR_MS, self.bucket_ms)

    @property
    def days_in_words(self) -> str:
        return format_days(self.span.start_ms, self.span.end_ms)

    @property
    def bucket_in_words(self) -> str:
        minutes = self.bucket_ms // 60_000
        return {60: "Hourly", 360: "6-hour"}.get(minutes, f"{minutes}-minute")

    def select(self, stem: str) -> str:
        return self.samples.select(stem, self.days[0], self.days[-1], self.bucket_ms)


OVERVIEW_SQL = Template("""WITH _sample AS (
  $sample
), _reporting AS (
  SELECT CAST(ts AS DATE) AS on_day, count(DISTINCT entity) AS entities
  FROM _sample WHERE mean IS NOT NULL GROUP BY on_day
), _bucket AS (
  SELECT ts, count(mean) AS seen, $combined AS mean, max(mean) AS highest
  FROM _sample GROUP BY ts
)
SELECT ts, seen, entities AS expected,
  CASE WHEN seen >= $share * entities THEN mean END AS mean,
  CASE WHEN seen >= $share * entities THEN highest END AS highest
FROM _bucket JOIN _reporting ON CAST(ts AS DATE) = on_day
ORDER BY ts""")

PANEL_SQL = Template("""WITH _sample AS (
  $sample
)$trend, _ranked AS (
  $ranked
  QUALIFY position <= $top
)
SELECT position, entities, entity, ts, mean, peak, capacity$trend_columns
FROM _ranked JOIN _sample USING (entity)$trend_join
ORDER BY position, ts""")

HIGHEST = """SELECT entity, count(*) OVER () AS entities,
    row_number() OVER (ORDER BY quantile_cont(mean, 0.95) DESC, entity) AS position
  FROM _sample WHERE mean IS NOT NULL GROUP BY entity"""

STEEPEST = """SELECT entity, count(*) OVER () AS entities,
    row_number() OVER (ORDER BY abs(slope_per_day) DESC, entity) AS position
  FROM _trend
  WHERE direction IN ('rising', 'falling') AND entity IN (SELECT entity FROM _sample WHERE mean IS NOT NULL)"""

WITH_TREND = Template(""", _trend AS (
  SELECT * FROM (
    $union
  ) QUALIFY row_number() OVER (PARTITION BY entity ORDER BY place) = 1
)""")

TREND_SQL = Template("""SELECT CAST(entity_id AS VARCHAR) AS entity, slope_per_day, slope_low_per_day,
      slope_high_per_day, CAST(direction AS VARCHAR) AS direction, left_out_step_day, window_days, $place AS place
    FROM $table
    WHERE $day AND entity_kind = $kind AND metric = $metric AND status = 'ok'""")

TREND_COLUMNS = ", slope_per_day, slope_low_per_day, slope_high_per_day, direction, left_out_step_day, window_days"


def compute(workplace: Workplace, parameters: TimeSeriesParameters) -> Result:
    """Draw the charts of one partition."""
    source = workplace.instance.inputs["samples"][0]
    samples = samples_of(source.component.name, source.table, workplace.resolution_seconds)
    days = workplace.partition.trailing_days(parameters.days)
    coarse = HOUR_MS if parameters.days <= HOURLY_DAYS else 6 * HOUR_MS
    bucket_ms = samples.step_ms if parameters.days <= RAW_DAYS else max(samples.step_ms, coarse)
    scope = Scope(workplace, samples, days, bucket_ms, parameters.top)
    charts = []
    for stem in samples.chosen(parameters.metrics, DEFAULT_METRICS):
        charts.append(vm_overview(scope, stem) if samples.entity_kind == "vm" else node_overview(scope, stem))
        charts.append(highest_chart(scope, stem))
        if workplace.tables("trends"):
            charts.append(steepest_chart(scope, stem))
    return charts_result(workplace, charts)


def vm_overview(scope: Scope, stem: str) -> Chart:
    """Draw all VMs as one line: their total, or their mean where values cannot be added."""
    unit = scope.samples.unit(stem)
    total = unit in ADDITIVE_UNITS
    share = scope.workplace.minimum_coverage
    number = "sum(CAST(mean AS DECIMAL(30, 6)))" if total else "avg(CAST(mean AS DECIMAL(30, 6)))"
    sql = OVERVIEW_SQL.substitute(sample=scope.select(stem), combined=f"CAST({number} AS DOUBLE)", share=f"{share:g}")
    title = f"{metric_words(stem).noun}, {'total of' if total else 'mean over'} all VMs, {scope.days_in_words}"
    data = scope.workplace.query(sql, days=scope.days)
    mean = _floats(data, "mean")
    if not np.isfinite(mean).any():
        return _nothing(scope, f"{stem}-overview", title, stem, sql, data, _no_value(scope, stem))
    incomplete = np.isfinite(mean) & (_floats(data, "seen") < _floats(data, "expected"))
    peak = None if total else _floats(data, "highest")
    series = Series("all", _instants(data), mean, peak, partial=incomplete)
    rule = f"Where fewer than {share * 100:g} % of the day's VMs reported, the line has a gap."
    if incomplete.any():
        rule += f" {np.count_nonzero(incomplete):,} points lack some VM."
    subtitle = f"{scope.bucket_in_words} means. {rule}"
    words = Words(
        "Total of all VMs" if total else "Mean over all VMs", "Up to the busiest VM", partial="Some VM missing"
    )
    alt = (
        f"Line chart. {title}. The highest value is {highest_in_words(series, unit)}. {_gap_words(series, scope)}{rule}"
    )
    svg = line_chart(Heading(title, subtitle, alt), [series], unit, scope.span, words)
    return _drawn(f"{stem}-overview", title, alt, unit, sql, data, svg)


def node_overview(scope: Scope, stem: str) -> Chart:
    """Draw the nodes with the highest demand as lines of one chart."""
    unit = scope.samples.unit(stem)
    sql = _panel_sql(scope, stem, HIGHEST, MOST_LINES, with_trend=False)
    data = scope.workplace.query(sql, days=scope.days)
    title = f"{metric_words(stem).noun} by node, {scope.days_in_words}"
    if not data.num_rows:
        return _nothing(scope, f"{stem}-overview", title, stem, sql, data, _no_value(scope, stem))
    series, entities = read_series(data, unit, scope.span.step_ms)
    subtitle = f"{scope.bucket_in_words} means."
    if entities > len(series):
        subtitle += f" The {len(series)} nodes with the highest demand out of {entities}."
    alt = f"Line chart. {title}. {subtitle} {each_in_words(series, unit)}"
    svg = line_chart(Heading(title, subtitle, alt), [_bare(each) for each in series], unit, scope.span)
    return _drawn(f"{stem}-overview", title, alt, unit, sql, data, svg)


def highest_chart(scope: Scope, stem: str) -> Chart:
    """Draw a panel for each of the entities with the highest demand, on one scale."""
    unit, who = scope.samples.unit(stem), scope.samples.who
    sql = _panel_sql(scope, stem, HIGHEST, scope.top, with_trend=bool(scope.workplace.tables("trends")))
    data = scope.workplace.query(sql, days=scope.days)
    series, entities = read_series(data, unit, scope.span.step_ms)
    title = f"{top_title(stem, len(series) or scope.top, entities or scope.top + 1, who)}, {scope.days_in_words}"
    if not series:
        return _nothing(scope, f"{stem}-highest", title, stem, sql, data, _no_value(scope, stem))
    subtitle = (
        f"{scope.bucket_in_words} means, all panels on one scale, ordered by demand: "
        f"the 95th percentile of these means. {len(series)} of {entities} {_plural(who, entities)}."
    )
    return _panels(scope, f"{stem}-highest", title, subtitle, stem, sql, data, series, same_scale=True)


def steepest_chart(scope: Scope, stem: str) -> Chart:
    """Draw a panel for each of the entities whose significant trend is steepest, each on its own scale."""
    unit, who = scope.samples.unit(stem), scope.samples.who
    sql = _panel_sql(scope, stem, STEEPEST, scope.top, with_trend=True)
    data = scope.workplace.query(sql, days=scope.days)
    series, entities = read_series(data, unit, scope.span.step_ms)
    count = f"{len(series)} {who}s" if len(series) > 1 else _plural(who, 2 - len(series))
    title = f"{metric_words(stem).noun}: the {count} with the steepest trend, {scope.days_in_words}"
    if not series:
        reason = f"no {who} with samples in these days has a significant trend of {stem} on {scope.days[-1]}"
        return _nothing(scope, f"{stem}-steepest", title, stem, sql, data, reason)
    subtitle = (
        f"{scope.bucket_in_words} means, each panel on its own scale, ordered by change per day. "
        f"{len(series)} of {entities} {_plural(who, entities)} with a significant trend."
    )
    return _panels(scope, f"{stem}-steepest", title, subtitle, stem, sql, data, series, same_scale=False)


def read_series(data: pa.Table, unit: str, step_ms: int) -> tuple[list[Series], int]:
    """Return the series in a panel query's result, by position, and how many entities there were to choose from."""
    if not data.num_rows:
        return [], 0
    position = data.column("position").to_numpy()
    starts = np.flatnonzero(np.r_[True, position[1:] != position[:-1]])
    series = []
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(position)], strict=True):
        part = data.slice(start, end - start)
        row = part.slice(0, 1).to_pylist()[0]
        capacity = _floats(part, "capacity")
        capacity = capacity[np.isfinite(capacity)]
        largest = float(capacity.max()) if len(capacity) else None
        trend, notes = None, [] if largest is None or unit == "percent" else [f"of {format_value(largest, unit)}"]
        if row.get("slope_per_day") is not None:
            low, high = row["slope_low_per_day"], row["slope_high_per_day"]
            slope = row["slope_per_day"]
            left_out = row["left_out_step_day"]
            from_ms = None if left_out is None else day_start_ms(left_out)
            trend = Trend(slope, slope if low is None else low, slope if high is None else high, from_ms)
            significant = row["direction"] in ("rising", "falling")
            notes.append(format_slope(slope, unit) if significant else "no significant trend")
        series.append(
            Series(row["entity"], _instants(part), _floats(part, "mean"), _floats(part, "peak"), trend, largest,
                   ", ".join(notes))
        )  # fmt: skip
    return series, int(data.column("entities")[0].as_py())


def _panels(
    scope: Scope, chart_id: str, title: str, subtitle: str, stem: str, sql: str, data: pa.Table,
    series: Sequence[Series], same_scale: bool,
) -> Chart:  # fmt: skip
    unit = scope.samples.unit(stem)
    windows = sorted({days for days in data.column("window_days").to_pylist() if days}) if _has_trend(data) else []
    over = f"Trend over {windows[-1]} days, " if len(windows) == 1 else "Trend, "
    words = Words(trend=f"{over}95 % interval of its slope")
    alt = f"Chart of {len(series)} {_plural('panel', len(series))}. {title}. {subtitle} {each_in_words(series, unit)}"
    svg = panel_chart(Heading(title, subtitle, alt), series, unit, scope.span, words, same_scale)
    return _drawn(chart_id, title, alt, unit, sql, data, svg)


def _panel_sql(scope: Scope, stem: str, ranked: str, top: int, with_trend: bool) -> str:
    trend = ""
    if with_trend:
        parts = [
            TREND_SQL.substitute(
                table=identifier(table.name), day=between(scope.days[-1], scope.days[-1]), place=place,
                kind=literal(scope.samples.entity_kind), metric=literal(stem),
            )
            for place, table in enumerate(scope.workplace.tables("trends"))
        ]  # fmt: skip
        trend = WITH_TREND.substitute(union="\n    UNION ALL\n    ".join(parts))
    return PANEL_SQL.substitute(
        sample=scope.select(stem), trend=trend, ranked=ranked, top=top,
        trend_columns=TREND_COLUMNS if with_trend else "",
        trend_join=" LEFT JOIN _trend USING (entity)" if with_trend else "",
    )  # fmt: skip


def _drawn(chart_id: str, title: str, alt: str, unit: str, sql: str, data: pa.Table, svg: str) -> Chart:
    return Chart(chart_id, title, alt, unit, sql, data.num_rows, result_sha256(data), svg)


def _nothing(scope: Scope, chart_id: str, title: str, stem: str, sql: str, data: pa.Table, reason: str) -> Chart:
    unit = scope.samples.unit(stem)
    return Chart(
        chart_id, title, f"{title}. Nothing to draw: {reason}.", unit, sql, data.num_rows, result_sha256(data),
        reason=reason,
    )  # fmt: skip


def _no_value(scope: Scope, stem: str) -> str:
    return f"{scope.samples.table.name} holds no value of {stem} from {scope.days[0]} to {scope.days[-1]}"


def _bare(series: Series) -> Series:
    return Series(series.name, series.ts_ms, series.mean, series.peak, capacity=series.capacity)


def _has_trend(data: pa.Table) -> bool:
    return "window_days" in data.column_names


def _instants(data: pa.Table) -> NDArray[np.int64]:
    instants: NDArray[np.int64] = data.column("ts").cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
    return instants


def _floats(data: pa.Table, name: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = data.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _gap_words(series: Series, scope: Scope) -> str:
    expected = (scope.span.end_ms - scope.span.start_ms) // scope.bucket_ms
    missing = expected - int(np.isfinite(series.mean).sum())
    return f"{missing:,} of {expected:,} points are missing. " if missing else ""


COMPONENT = Component(
    name="time_series_charts",
    stage="visualizers",
    title="Time series charts",
    description="Line charts of each metric: an overview, the entities with the highest demand, and those with the "
    "steepest significant trend, as SVG with the query and fingerprint of their data.",
    parameters=TimeSeriesParameters,
    inputs=(
        Input("trends", ("metric_trends",), "trends to draw over the samples", many=True, optional=True),
        Input("samples", ("system_load", "vm_resources_hourly", "vm_resources"), "the values over time"),
    ),
    table=CHART.named("time_series_charts"),
    compute=compute,
    formats=("parquet", "svg"),
)
