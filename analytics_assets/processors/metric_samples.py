"""Answers: which samples of these metrics arrived on this day, raw or summed up by buckets?

For metrics that no other table holds, and for looking at what the exporter really said. Samples of
any metric by name or PromQL series selector are stored in long form, series by series, under their
own labels: no series speaks for another here. Values that are not finite are no samples; of several
samples at one instant the last to arrive counts.

With a resolution, a bucket holds one value of each series: mean, minimum, maximum, sum, last or
count of its samples, or, for counters, their increase and rate (`kernels/counters.py`).
"""

import json
from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator

from analytics_assets.components import Component, Parameters, Result, SelectorText, Workplace
from analytics_assets.kernels.counters import increases
from analytics_assets.kernels.gridding import LEAD_IN_MS
from analytics_assets.kernels.samples import FloatArray, IntArray, OrderedSamples, in_order
from analytics_assets.processors.entity_id import entity_id
from resources.errors import PermanentFailure
from resources.lake.lake import Facts
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.monitoring.selector import parse_selector
from resources.monitoring.source import SeriesBatch
from resources.partition import DAY_MS, Partition

Aggregation = Literal["auto", "mean", "min", "max", "sum", "last", "count", "increase", "rate"]

COUNTER_SUFFIXES = ("_total", "_bucket", "_count", "_sum")
"""Names of counters end like this, by Prometheus's convention."""

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
        description="What a bucket holds; auto: the rate of a counter (by the end of its name), the mean of another.",
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


def compute(workplace: Workplace, parameters: MetricSamplesParameters) -> Result:
    """Collect the day's samples of the metrics asked for."""
    partition = workplace.partition
    known = workplace.metrics.sample_interval_seconds(partition.tenant)
    parts: list[pa.Table] = []
    asked_twice: set[tuple[str, str]] = set()
    read = seen = expected = not_finite = 0
    last_ts_ms = -1
    batches = workplace.metrics.samples(
        partition.tenant, list(dict.fromkeys(parameters.metrics)), partition.start_ms - LEAD_IN_MS, partition.end_ms
    )
    for batch in batches:
        samples = series_in_order(_new_series(batch, asked_twice), partition)
        inside = samples.ts_ms >= partition.start_ms
        read += int(np.count_nonzero(inside))
        if read > parameters.maximum_samples:
            raise PermanentFailure(
                f"{workplace.instance.id}, {partition.key}: more than maximum_samples = {parameters.maximum_samples} "
                f"samples of {', '.join(parameters.metrics)[:200]}. Select fewer series, or raise it."
            )
        not_finite += samples.not_finite
        if inside.any():
            last_ts_ms = max(last_ts_ms, int(samples.ts_ms[inside].max()))
        seen_here, expected_here = _counted(samples, inside, partition, known)
        seen, expected = seen + seen_here, expected + expected_here
        parts.append(to_rows(batch.metric, samples, partition, parameters))
    data = pa.concat_tables(parts).unify_dictionaries() if parts else METRIC_SAMPLES.empty()
    found = set(data.column("metric").unique().to_pylist())
    absent = [text for text in parameters.metrics if not any(parse_selector(text).matches_name(name) for name in found)]
    notes = [f"The source has no sample of {text} on this day." for text in absent]
    facts = Facts(
        as_of_ms=partition.end_ms if last_ts_ms < 0 else min(partition.end_ms, last_ts_ms + 1),
        samples_seen=seen,
        samples_expected=expected,
        notes=tuple(notes),
    )
    numbers = {"metrics": len(found), "metrics_absent": len(absent), "not_finite_samples": not_finite}
    return Result(data, facts, numbers=numbers)


def series_in_order(batch: SeriesBatch, partition: Partition) -> OrderedSamples:
    """Return the samples of `batch` with every series an entity of its own, named by its labels as JSON."""
    labels = tuple({"series": json.dumps(one, sort_keys=True, ensure_ascii=False)} for one in batch.labels)
    return in_order(replace(batch, labels=labels), partition.start_ms, partition.end_ms, "series", "")


def to_rows(
    metric: str, samples: OrderedSamples, partition: Partition, parameters: MetricSamplesParameters
) -> pa.Table:
    """Return the rows of one metric's series."""
    if parameters.resolution_seconds:
        aggregation = parameters.aggregation
        if aggregation == "auto":
            aggregation = "rate" if metric.endswith(COUNTER_SUFFIXES) else "mean"
        series, ts_ms, values, counts = by_bucket(samples, partition, parameters.resolution_seconds, aggregation)
    else:
        inside = np.flatnonzero(samples.ts_ms >= partition.start_ms)
        series, ts_ms, values = samples.series[inside], samples.ts_ms[inside], samples.values[inside]
        counts = np.ones(len(inside), np.int64)
    named = [entity_of(json.loads(name)) for name in samples.entities]
    code = samples.entity[series] if len(series) else np.zeros(0, np.int64)

    def text(values_by_entity: list[str | None]) -> pa.Array:
        distinct = sorted({value for value in values_by_entity if value is not None})
        position = {value: number for number, value in enumerate(distinct)}
        codes = np.array([position.get(value or "", -1) for value in values_by_entity] or [-1], np.int32)[code]
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(distinct, pa.string()))

    return pa.table(
        {
            "metric": pa.array([metric], pa.string()).dictionary_encode().take(pa.array(np.zeros(len(code), np.int32))),
            "labels": text(list(samples.entities)),
            "ts": pa.array(ts_ms, pa.int64()).cast(TIMESTAMP),
            "entity_kind": text([kind for kind, _ in named]),
            "entity_id": text([name for _, name in named]),
            "value": pa.array(values, pa.float64()),
            "samples_seen": pa.array(counts.astype(np.int32)),
        }
    )


def by_bucket(
    samples: OrderedSamples, partition: Partition, resolution_seconds: int, aggregation: Aggregation
) -> tuple[IntArray, IntArray, FloatArray, IntArray]:
    """Return series, start, value and number of samples of each bucket that has any."""
    resolution_ms = resolution_seconds * 1000
    use = samples.ts_ms >= partition.start_ms
    amount, seconds = samples.values, np.ones(len(samples.values))
    if aggregation in ("increase", "rate"):
        moved = increases(samples)
        amount, seconds, use = moved.amount, moved.seconds, use & moved.valid
    chosen = np.flatnonzero(use)
    series, amount, seconds = samples.series[chosen], amount[chosen], seconds[chosen]
    bucket = (samples.ts_ms[chosen] - partition.start_ms) // resolution_ms
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


def _counted(
    samples: OrderedSamples, inside: NDArray[np.bool_], partition: Partition, known_seconds: int | None
) -> tuple[int, int]:
    """Return how many samples the series have in the day and how many they would have, by their own intervals.

    A series is expected from its first sample of the day to its last: that of a VM which was made at
    noon misses nothing.
    """
    seen = expected = 0
    for number in range(len(samples.entity)):
        span = slice(int(samples.bounds[number]), int(samples.bounds[number + 1]))
        own = samples.ts_ms[span][inside[span]]
        if not len(own):
            continue
        interval_ms = known_seconds * 1000 if known_seconds else int(samples.interval_ms[number])
        seen += len(own)
        expected += 1 + round(int(own[-1] - own[0]) / interval_ms) if interval_ms else len(own)
    return seen, expected


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
