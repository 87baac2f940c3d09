"""Answers: which samples of these metrics arrived on this day, raw or summed up by buckets?

For metrics that no other table holds, and for looking at what the exporter really said. Samples of
any metric by name or PromQL series selector are stored in long form, series by series, under their
own labels: no series speaks for another here. Values that are not finite are no samples; of several
samples at one instant the last to arrive counts.

With a resolution, a bucket holds one value of each series: mean, minimum, maximum, sum, last or
count of its samples, or, for counters, their increase and rate (`kernels/counters.py`). Whether a
metric is a counter, `auto` takes from NovaCron's own metrics where it is one of them, and else from
its name and what else was collected: `CounterNames`.

Coverage counts a series at its own interval from its first sample of the day to its last; where that
is the first or the last of all, from the beginning or to the end of the day (`kernels/coverage.py`).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from analytics_assets.components import Component, Parameters, Result, SelectorText, Workplace
from analytics_assets.kernels.counters import increases
from analytics_assets.kernels.coverage import Presence, expected_samples, own_or_known
from analytics_assets.kernels.gridding import LEAD_IN_MS
from analytics_assets.kernels.samples import FloatArray, IntArray, OrderedSamples, in_order
from analytics_assets.processors.entity_id import entity_id
from analytics_assets.processors.vm_inventory import named
from resources.errors import PermanentFailure
from resources.lake.lake import Facts
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.monitoring.metrics import METRICS
from resources.monitoring.selector import parse_selector
from resources.monitoring.source import SeriesBatch
from resources.partition import DAY_MS, Partition

Aggregation = Literal["auto", "mean", "min", "max", "sum", "last", "count", "increase", "rate"]

FAMILY_SUFFIXES = ("_bucket", "_count", "_sum")
"""What follows a histogram's name in those of its counters; of a summary's the last two. Gauges end like this, too."""

ENTITY_LABELS = (
    ("vm", ("vm_id",), "/"),
    ("link", ("source_node", "target_node"), "->"),
    ("tier", ("tier", "node_id"), "/"),
    ("interface", ("node_id", "interface"), "/"),
    ("node", ("node_id",), "/"),
)
"""Kind of entity, the labels that name it and what goes between them; the first whose labels a series has."""

METRIC_SAMPLES = Table(
    "metric_samples",
    "a sample of a metric that was asked for by name, or one bucket of a series",
    (
        Column("metric", ENTITY, "Metric, as it is exported"),
        Column("labels", ENTITY, "The series' labels as JSON, in order of their names"),
        Column("ts", TIMESTAMP, "When it was sampled; with a resolution, the start of the bucket, UTC"),
        Column("entity_kind", ENTITY, "What is measured", values=(*(kind for kind, *_ in ENTITY_LABELS), "other")),
        Column("entity_id", ENTITY, "Its id, as other tables have it; none of kind other", nullable=True),
        Column("value", pa.float64(), "The value, in the metric's own unit (a rate: per second)"),
        Column("samples_seen", pa.int32(), "Samples that the value was made of", minimum=1),
    ),
    primary_key=("metric", "labels", "ts"),
    measured=True,
)


class MetricSamplesParameters(Parameters):
    """What is collected."""

    metrics: tuple[SelectorText, ...] = Field(
        ("novacron_vm_count", "novacron_vm_migrations_total"),
        min_length=1,
        description='Metrics by name, or series selectors such as novacron_storage_iops{operation="read"}.',
    )
    resolution_seconds: int = Field(
        0, ge=0, le=86_400, description="Width of a bucket in seconds, dividing a day; 0 stores every sample."
    )
    aggregation: Aggregation = Field(
        "auto",
        description="What a bucket holds; auto: the rate of a counter, the mean of another. What is no metric of "
        "NovaCron's is a counter by its name: ..._total; ..._bucket, ..._count and ..._sum of a collected histogram.",
    )
    maximum_samples: int = Field(
        20_000_000, ge=1, le=1_000_000_000, description="Samples of one tenant and day beyond which it is refused."
    )

    @field_validator("resolution_seconds")
    @classmethod
    def _divides_a_day(cls, value: int) -> int:
        if value and 86_400 % value:
            raise ValueError("a day must be a whole number of buckets")
        return value


@dataclass
class CounterNames:
    """What the names and labels of the metrics that were collected tell of their families."""

    histograms: set[str] = field(default_factory=set)
    summaries: set[str] = field(default_factory=set)

    def add(self, metric: str, labels: Sequence[dict[str, str]]) -> None:
        if metric.endswith("_bucket") and any("le" in one for one in labels):
            self.histograms.add(metric.removesuffix("_bucket"))
        elif any("quantile" in one for one in labels):
            self.summaries.add(metric)

    def is_counter(self, metric: str) -> bool | None:
        """Return whether `metric` is a counter; None where it may be one of a histogram that was not collected."""
        if metric in METRICS:
            return METRICS[metric].kind == "counter"
        family, suffix = next(
            ((metric.removesuffix(end), end) for end in FAMILY_SUFFIXES if metric.endswith(end)), (metric, "")
        )
        if not suffix:
            return metric.endswith("_total")
        if family in self.histograms or (family in METRICS and METRICS[family].kind == "histogram"):
            return True
        return True if suffix != "_bucket" and family in self.summaries else None


@dataclass
class Collected:
    """What was collected of a day: rows, and by series what coverage counts; `waiting` is not made into rows yet."""

    families: CounterNames = field(default_factory=CounterNames)
    rows: list[pa.Table] = field(default_factory=list)
    waiting: list[tuple[str, OrderedSamples]] = field(default_factory=list)
    samples: dict[str, int] = field(default_factory=dict)
    present: list[Presence] = field(default_factory=list)
    not_finite: int = 0
    suspect: int = 0
    doubted: set[str] = field(default_factory=set)

    def add(
        self, metric: str, samples: OrderedSamples, partition: Partition, parameters: "MetricSamplesParameters"
    ) -> None:
        """Make rows of one metric's series."""
        aggregation = parameters.aggregation
        if aggregation == "auto":
            counter = self.families.is_counter(metric)
            aggregation = "rate" if counter else "mean"
            if counter is None and parameters.resolution_seconds:
                self.doubted.add(metric)
        rows, suspect = to_rows(metric, samples, partition, parameters.resolution_seconds, aggregation)
        self.rows.append(rows)
        self.suspect += suspect


def compute(workplace: Workplace, parameters: MetricSamplesParameters) -> Result:
    """Collect the day's samples of the metrics asked for."""
    partition = workplace.partition
    known = workplace.metrics.sample_interval_seconds(partition.tenant)
    found = Collected()
    asked_twice: set[tuple[str, str]] = set()
    batches = workplace.metrics.samples(
        partition.tenant, list(dict.fromkeys(parameters.metrics)), partition.start_ms - LEAD_IN_MS, partition.end_ms
    )
    for batch in batches:
        samples = series_in_order(_new_series(batch, asked_twice), partition)
        present = presence_of(samples, partition, known)
        seen = int(present.seen.sum())
        found.samples[batch.metric] = found.samples.get(batch.metric, 0) + seen
        if sum(found.samples.values()) > parameters.maximum_samples:
            raise PermanentFailure(
                f"{workplace.instance.id}, {partition.key}: more than maximum_samples = {parameters.maximum_samples} "
                f"samples of {', '.join(parameters.metrics)[:200]}. Select fewer series, or raise it."
            )
        found.present.append(present)
        found.not_finite += samples.not_finite
        found.families.add(batch.metric, batch.labels)
        if parameters.resolution_seconds and found.families.is_counter(batch.metric) is None:
            # The metric that tells may be still to come.
            found.waiting.append((batch.metric, samples))
        else:
            found.add(batch.metric, samples, partition, parameters)
    for metric, samples in found.waiting:
        found.add(metric, samples, partition, parameters)
    data = pa.concat_tables(found.rows).unify_dictionaries() if found.rows else METRIC_SAMPLES.empty()
    is_over = workplace.metrics.has_passed(partition.tenant, partition.end_ms)
    absent = [
        text
        for text in parameters.metrics
        if not any(count and parse_selector(text).matches_name(name) for name, count in found.samples.items())
    ]
    facts = replace(
        counted(found.present, partition, is_over),
        notes=tuple(_notes(found, absent, set(data.column("metric").unique().to_pylist()))),
    )
    numbers = {
        "metrics": sum(count > 0 for count in found.samples.values()),
        "metrics_absent": len(absent),
        "not_finite_samples": found.not_finite,
        "suspect_counters": found.suspect,
    }
    return Result(data, facts, numbers=numbers)


def series_in_order(batch: SeriesBatch, partition: Partition) -> OrderedSamples:
    """Return the samples of `batch` with every series an entity of its own, named by its labels as JSON."""
    labels = tuple({"series": json.dumps(one, sort_keys=True, ensure_ascii=False)} for one in batch.labels)
    return in_order(replace(batch, labels=labels), partition.start_ms, partition.end_ms, "series", "")


def presence_of(samples: OrderedSamples, partition: Partition, known_seconds: int | None) -> Presence:
    """Return what the series have in the day."""
    inside = np.r_[0, np.cumsum(samples.ts_ms >= partition.start_ms)]
    seen = np.diff(inside[samples.bounds])
    # The samples of the day are the last ones of a series.
    first = np.minimum(samples.bounds[1:] - seen, samples.bounds[1:] - 1)
    return Presence(
        seen=seen,
        first_ms=samples.ts_ms[first],
        last_ms=samples.ts_ms[samples.bounds[1:] - 1],
        interval_ms=own_or_known(samples.interval_ms, known_seconds),
    )


def counted(parts: Sequence[Presence], partition: Partition, is_over: bool) -> Facts:
    """Return as_of, samples seen and expected; while the day is not over it ends with its last sample."""
    first_ms = min((int(part.first_ms[part.seen > 0].min()) for part in parts if part.seen.any()), default=-1)
    last_ms = max((int(part.last_ms[part.seen > 0].max()) for part in parts if part.seen.any()), default=-1)
    end_ms = partition.end_ms if is_over or last_ms < 0 else last_ms + 1
    window_ms, all_ms = (partition.start_ms, end_ms), (first_ms, last_ms)
    expected = (
        expected_samples(part.seen, part.first_ms, part.last_ms, part.interval_ms, window_ms, all_ms) for part in parts
    )
    return Facts(
        as_of_ms=end_ms,
        samples_seen=sum(int(part.seen.sum()) for part in parts),
        samples_expected=sum(int(count.sum()) for count in expected),
    )


def _notes(found: Collected, absent: Sequence[str], stored: set[str]) -> Iterator[str]:
    for text in absent:
        yield f"The source has no sample of {text} on this day."
    for name, count in sorted(found.samples.items()):
        if count and name not in stored:
            yield (
                f"{name} has {count} sample(s) on this day, but no series has two, as an increase takes: "
                "there are no rows."
            )
    if found.suspect:
        yield (
            f"{found.suspect} counter(s) are running sums of totals, as NovaCron's exporter makes of a hypervisor's "
            "own totals; their increases are those of the totals."
        )
    if found.doubted:
        yield (
            f"{named(sorted(found.doubted))} was taken for a gauge and averaged, as nothing that was collected tells "
            "of a histogram or summary of that name. If it is a counter, set aggregation to rate or increase."
        )


def to_rows(
    metric: str, samples: OrderedSamples, partition: Partition, resolution_seconds: int, aggregation: Aggregation
) -> tuple[pa.Table, int]:
    """Return the rows of one metric's series, and how many of its series were running sums of totals."""
    suspect = 0
    if resolution_seconds:
        amounts = amounts_of(samples, partition, aggregation)
        suspect = amounts.suspect
        series, ts_ms, values, counts = by_bucket(samples, amounts, partition, resolution_seconds, aggregation)
    else:
        inside = np.flatnonzero(samples.ts_ms >= partition.start_ms)
        series, ts_ms, values = samples.series[inside], samples.ts_ms[inside], samples.values[inside]
        counts = np.ones(len(inside), np.int64)
    entities = [entity_of(json.loads(name)) for name in samples.entities]
    code = samples.entity[series] if len(series) else np.zeros(0, np.int64)

    def text(values_by_entity: list[str | None]) -> pa.Array:
        distinct = sorted({value for value in values_by_entity if value is not None})
        position = {value: number for number, value in enumerate(distinct)}
        codes = np.array([position.get(value or "", -1) for value in values_by_entity] or [-1], np.int32)[code]
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(distinct, pa.string()))

    rows = pa.table(
        {
            "metric": pa.array([metric], pa.string()).dictionary_encode().take(pa.array(np.zeros(len(code), np.int32))),
            "labels": text(list(samples.entities)),
            "ts": pa.array(ts_ms, pa.int64()).cast(TIMESTAMP),
            "entity_kind": text([kind for kind, _ in entities]),
            "entity_id": text([name for _, name in entities]),
            "value": pa.array(values, pa.float64()),
            "samples_seen": pa.array(counts.astype(np.int32)),
        }
    )
    return rows, suspect


@dataclass(frozen=True)
class Amounts:
    """What the samples `chosen` amount to, over how many seconds; `suspect` counts running sums of totals."""

    chosen: IntArray
    amount: FloatArray
    seconds: FloatArray
    suspect: int = 0


def amounts_of(samples: OrderedSamples, partition: Partition, aggregation: Aggregation) -> Amounts:
    """Return the day's samples themselves, or for counters what they increased by."""
    use = samples.ts_ms >= partition.start_ms
    if aggregation in ("increase", "rate"):
        moved = increases(samples)
        chosen = np.flatnonzero(use & moved.valid)
        return Amounts(chosen, moved.amount[chosen], moved.seconds[chosen], len(moved.suspect))
    chosen = np.flatnonzero(use)
    return Amounts(chosen, samples.values[chosen], np.ones(len(chosen)))


def by_bucket(
    samples: OrderedSamples, amounts: Amounts, partition: Partition, resolution_seconds: int, aggregation: Aggregation
) -> tuple[IntArray, IntArray, FloatArray, IntArray]:
    """Return series, start, value and number of samples of each bucket that has any."""
    resolution_ms = resolution_seconds * 1000
    amount, seconds = amounts.amount, amounts.seconds
    series = samples.series[amounts.chosen]
    bucket = (samples.ts_ms[amounts.chosen] - partition.start_ms) // resolution_ms
    cell = series * (DAY_MS // resolution_ms) + bucket
    starts = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]]) if len(cell) else np.zeros(0, np.int64)
    counts = np.diff(np.r_[starts, len(cell)]).astype(np.int64)
    if not len(starts):
        values = np.zeros(0)
    elif aggregation in ("mean", "sum", "increase", "rate"):
        values = np.add.reduceat(amount, starts)
        if aggregation == "mean":
            values = values / counts
        elif aggregation == "rate":
            values = values / np.add.reduceat(seconds, starts)
    elif aggregation == "last":
        values = amount[starts + counts - 1]
    elif aggregation == "count":
        values = counts.astype(np.float64)
    else:
        values = (np.minimum if aggregation == "min" else np.maximum).reduceat(amount, starts)
    return series[starts], partition.start_ms + bucket[starts] * resolution_ms, values, counts


def entity_of(labels: dict[str, str]) -> tuple[str, str | None]:
    """Return the kind and id of what a series measures."""
    for kind, names, separator in ENTITY_LABELS:
        values = [labels.get(name, "") for name in names]
        if all(values):
            return kind, values[0] if len(values) == 1 else entity_id(values, separator)
    return "other", None


def _new_series(batch: SeriesBatch, known: set[tuple[str, str]]) -> SeriesBatch:
    """Return the series of `batch` that no earlier selector brought, and remember them."""

    def is_new(labels: dict[str, str]) -> bool:
        identity = (batch.metric, json.dumps(labels, sort_keys=True))
        if identity in known:
            return False
        known.add(identity)
        return True

    return batch.where(is_new)


COMPONENT = Component(
    name="metric_samples",
    stage="processors",
    title="Metric collector",
    description="Collects samples of any metrics by name or series selector, raw or by buckets, in long form.",
    parameters=MetricSamplesParameters,
    inputs=(),
    table=METRIC_SAMPLES,
    compute=compute,
    reads=("metrics",),
)
