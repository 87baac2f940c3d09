"""Metrics by name or selector, raw and by buckets."""

import json
import math

import numpy as np
import pytest
from pydantic import ValidationError

from analytics_assets.components import Instance, Workplace
from analytics_assets.processors.metric_samples import (
    COMPONENT,
    METRIC_SAMPLES,
    MetricSamplesParameters,
    compute,
)
from resources.errors import PermanentFailure
from resources.lake.lake import Lake
from resources.lake.warehouse import QueryLimits
from resources.monitoring.selector import parse_selector
from resources.monitoring.source import SeriesBatch
from resources.partition import Partition, parse_day

DAY = Partition("acme", parse_day("2026-01-01"))
MINUTE = 60_000
HOSTILE = 'a"b\\c\n{}|d'


class Source:
    """Series by (metric, labels) -> samples; answers selectors as a server does."""

    kind = "test"

    def __init__(self, series, interval=None, is_over=False):
        self.series = series
        self.interval = interval
        self.is_over = is_over
        self.asked = []

    def has_passed(self, tenant, ts_ms):
        return self.is_over

    def sample_interval_seconds(self, tenant):
        return self.interval

    def samples(self, tenant, selectors, start_ms, end_ms):
        self.asked.append((tenant, start_ms, end_ms))
        for text in selectors:
            for name, labels, samples in self.series:
                if parse_selector(text).matches(name, labels):
                    inside = [(ts, value) for ts, value in samples if start_ms <= ts < end_ms]
                    yield SeriesBatch(
                        name, (labels,), np.array([0, len(inside)], np.int64),
                        np.array([ts for ts, _ in inside], np.int64), np.array([value for _, value in inside], float),
                    )  # fmt: skip


def collect(tmp_path, source, **parameters):
    workplace = Workplace(
        partition=DAY,
        instance=Instance("metric_samples", COMPONENT, MetricSamplesParameters(**parameters)),
        lake=Lake(tmp_path),
        metrics=source,
        inventory=None,
        limits=QueryLimits(1000, 10, 100, 1),
        resolution_seconds=300,
        minimum_coverage=0.7,
    )
    result = compute(workplace, workplace.instance.parameters)
    return METRIC_SAMPLES.conform(result.data).to_pylist(), result


def minutes(values, start=0):
    return [(DAY.start_ms + (start + n) * MINUTE, float(value)) for n, value in enumerate(values)]


def test_every_sample_is_stored_with_its_labels_and_entity(tmp_path):
    """Stops labels from being lost or mixed up, whatever is in them."""
    series = [
        ("up", {"vm_id": HOSTILE, "tenant_id": "acme"}, minutes([1, 2])),
        ("up", {"node_id": "n1", "tier": "ssd"}, minutes([3])),
        ("up", {"job": "x"}, minutes([4])),
        ("other", {"job": "x"}, minutes([5])),
    ]
    rows, result = collect(tmp_path, Source(series), metrics=("up",))
    assert {(row["entity_kind"], row["entity_id"]): row["value"] for row in rows if row["value"] != 1} == {
        ("vm", HOSTILE): 2.0,
        ("tier", "ssd/n1"): 3.0,
        ("other", None): 4.0,
    }
    assert json.loads(next(row["labels"] for row in rows if row["entity_kind"] == "vm"))["vm_id"] == HOSTILE
    assert result.facts.samples_seen == 4


def test_only_the_day_is_stored_and_repeated_samples_once(tmp_path):
    """Stops the lead-in from being stored, values that are none, and a primary key that occurs twice."""
    samples = [
        (DAY.start_ms - 1, 9.0), *minutes([1, 2, math.nan, math.inf]), (DAY.start_ms + MINUTE, 7.0), (DAY.end_ms, 9.0)
    ]  # fmt: skip
    rows, result = collect(tmp_path, Source([("up", {"a": "b"}, samples)]), metrics=("up",))
    assert [row["value"] for row in rows] == [1.0, 7.0]
    assert result.numbers["not_finite_samples"] == 2


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [("mean", 2.0), ("min", 1.0), ("max", 3.0), ("sum", 6.0), ("last", 2.0), ("count", 3.0), ("auto", 2.0)],
)
def test_a_bucket_holds_what_was_asked_for(tmp_path, aggregation, expected):
    rows, _ = collect(
        tmp_path, Source([("up", {}, minutes([1, 3, 2]))]), metrics=("up",), resolution_seconds=600,
        aggregation=aggregation,
    )  # fmt: skip
    assert [(row["value"], row["samples_seen"], row["ts"].minute) for row in rows] == [(expected, 3, 0)]


def test_a_counter_becomes_a_rate_with_the_sample_before_midnight(tmp_path):
    """Stops a counter's mean value from being stored as if it meant something, and the day's first minute lost."""
    series = [("x_total", {}, minutes([0, 60, 180, 30], start=-1))]
    rows, _ = collect(tmp_path, Source(series), metrics=("x_total",), resolution_seconds=300)
    assert [row["value"] for row in rows] == [pytest.approx((60 + 120 + 30) / 180)]
    rows, _ = collect(tmp_path, Source(series), metrics=("x_total",), resolution_seconds=300, aggregation="increase")
    assert [row["value"] for row in rows] == [210.0]


def test_selectors_that_overlap_store_a_series_once(tmp_path):
    """Stops a primary key that occurs twice because two selectors mean the same series."""
    source = Source([("up", {"a": "1"}, minutes([1])), ("up", {"a": "2"}, minutes([2]))])
    rows, _ = collect(tmp_path, source, metrics=("up", 'up{a="1"}', '{a=~"1|2"}'))
    assert [row["value"] for row in rows] == [1.0, 2.0]


def test_a_metric_that_is_not_there_is_named(tmp_path):
    """Stops a misspelt metric from looking like a quiet one."""
    rows, result = collect(tmp_path, Source([("up", {}, minutes([1]))]), metrics=("up", "upp"))
    assert len(rows) == 1
    assert result.facts.notes == ("The source has no sample of upp on this day.",)


def test_coverage_is_by_each_series_own_interval(tmp_path):
    """Stops a slow exporter beside a quick one from looking like an outage."""
    quick, slow = minutes(range(60)), minutes(range(60))[::10]
    _, result = collect(tmp_path, Source([("up", {"a": "1"}, quick), ("up", {"a": "2"}, slow)]), metrics=("up",))
    assert result.facts.coverage == 1.0
    gappy = [sample for n, sample in enumerate(quick) if not 20 <= n < 50]
    _, result = collect(tmp_path, Source([("up", {"a": "1"}, gappy)]), metrics=("up",))
    assert result.facts.coverage == 0.5


def test_a_series_is_expected_while_it_lived(tmp_path):
    """Stops a series that ends from lacking the rest of the day; only where all end it may be an outage."""
    long, short = minutes(range(1440)), minutes(range(360))
    _, result = collect(
        tmp_path, Source([("up", {"a": "1"}, long), ("up", {"a": "2"}, short)], is_over=True), metrics=("up",)
    )
    assert (result.facts.samples_seen, result.facts.samples_expected) == (1800, 1800)
    both = Source([("up", {"a": "1"}, short), ("up", {"a": "2"}, short)], is_over=True)
    _, result = collect(tmp_path, both, metrics=("up",))
    assert (result.facts.coverage, result.facts.as_of_ms) == (0.25, DAY.end_ms)
    both.is_over = False
    _, result = collect(tmp_path, both, metrics=("up",))
    assert (result.facts.coverage, result.facts.as_of_ms) == (1.0, short[-1][0] + 1)


def test_an_interval_that_is_known_hides_no_denser_series(tmp_path):
    """Stops a known interval of 5 minutes from expecting a fifth of what a series sends."""
    gappy = [sample for n, sample in enumerate(minutes(range(1440))) if not 100 <= n < 1000]
    _, result = collect(tmp_path, Source([("up", {}, gappy)], interval=300), metrics=("up",))
    assert (result.facts.samples_seen, result.facts.samples_expected) == (540, 1440)


LE, QUANTILE = {"le": "0.1"}, {"quantile": "0.5"}


@pytest.mark.parametrize(
    ("series", "counters"),
    [
        ([("novacron_vm_count", {})], set()),
        (
            [("novacron_vm_migrations_total", {}), ("novacron_vm_cpu_usage_percent", {})],
            {"novacron_vm_migrations_total"},
        ),
        ([("novacron_storage_latency_seconds_count", {})], {"novacron_storage_latency_seconds_count"}),
        ([("jobs_count", {}), ("jobs_sum", {}), ("jobs_total", {})], {"jobs_total"}),
        ([("x_count", {}), ("x_sum", {}), ("x_bucket", LE)], {"x_count", "x_sum", "x_bucket"}),
        ([("x_count", {}), ("y_bucket", LE)], {"y_bucket"}),
        ([("gc_count", {}), ("gc", QUANTILE)], {"gc_count"}),
        ([("leaky_bucket", {}), ("leaky_count", {})], set()),
    ],
)
def test_auto_tells_counters_from_gauges(tmp_path, series, counters):
    """Stops the number of VMs from becoming a rate, and a histogram's counts from being averaged, in whatever order."""
    for order in (series, series[::-1]):
        source = Source([(name, labels, minutes(range(0, 600, 60))) for name, labels in order])
        names = tuple(name for name, _ in order)
        rows, result = collect(tmp_path, source, metrics=names, resolution_seconds=600)
        assert {row["metric"] for row in rows if row["value"] == 1.0} == counters
        assert {row["metric"] for row in rows if row["value"] == 270.0} == set(names) - counters
        doubted = [name for name in names if name not in counters and name.endswith(("_count", "_sum", "_bucket"))]
        told = [note for note in result.facts.notes if "was taken for a gauge" in note]
        assert len(told) == (doubted not in ([], ["novacron_vm_count"]))


def test_raw_samples_need_no_kind(tmp_path):
    """Stops a note about averages where every sample is stored as it came."""
    _, result = collect(tmp_path, Source([("jobs_count", {}, minutes([1, 2]))]), metrics=("jobs_count",))
    assert result.facts.notes == ()


def test_a_sample_without_an_increase_is_not_absent(tmp_path):
    """Stops a counter of which there is a sample from being called absent."""
    rows, result = collect(
        tmp_path, Source([("x_total", {}, minutes([1])), ("y_total", {}, minutes([1, 2]))]),
        metrics=("x_total", "y_total", "z_total"), resolution_seconds=300,
    )  # fmt: skip
    assert {row["metric"] for row in rows} == {"y_total"}
    assert result.facts.notes == (
        "The source has no sample of z_total on this day.",
        "x_total has 1 sample(s) on this day, but no series has two, as an increase takes: there are no rows.",
    )
    assert (result.numbers["metrics"], result.numbers["metrics_absent"]) == (2, 1)


def test_a_running_sum_that_was_undone_is_told_of(tmp_path):
    """Stops increases from being other than the samples tell without a word."""
    totals = np.cumsum(np.random.default_rng(1).gamma(1, 1e6, 1440).round())
    series = [("x_total", {}, minutes(np.cumsum(totals)))]
    rows, result = collect(
        tmp_path, Source(series), metrics=("x_total",), resolution_seconds=300, aggregation="increase"
    )
    assert sum(row["value"] for row in rows) == pytest.approx(totals[-1], rel=0.01)
    assert result.numbers["suspect_counters"] == 1
    assert result.facts.notes[0].startswith("1 counter(s) are running sums of totals")


def test_an_empty_day_is_an_empty_table(tmp_path):
    rows, result = collect(tmp_path, Source([]), metrics=("up",))
    assert rows == []
    assert result.facts.as_of_ms == DAY.end_ms


def test_more_samples_than_allowed_are_refused(tmp_path):
    """Stops a selector of everything from filling the memory."""
    with pytest.raises(PermanentFailure, match="maximum_samples = 10 "):
        collect(tmp_path, Source([("up", {}, minutes(range(20)))]), metrics=("up",), maximum_samples=10)


@pytest.mark.parametrize("wrong", ["rate(up[5m])", "", "{}", 'up{a="', '{a=~".*"}'])
def test_what_is_no_selector_is_refused_when_the_pipeline_loads(wrong):
    """Stops a typing error from showing up at midnight, and a selector of the whole server."""
    with pytest.raises(ValidationError, match="not a series selector"):
        MetricSamplesParameters(metrics=(wrong,))


def test_a_bucket_must_divide_the_day():
    with pytest.raises(ValidationError, match="whole number of buckets"):
        MetricSamplesParameters(resolution_seconds=7000)
