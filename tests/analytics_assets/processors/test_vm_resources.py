"""What each VM used by bucket, and what its samples are counted against."""

import math
from dataclasses import replace
from datetime import date

import pytest

from analytics_assets.processors.vm_resources import COMPONENT
from resources.partition import Partition
from tests.analytics_assets.processors.planted_source import PlantedSource, Samples, compute

DAY = Partition("acme", date(2026, 1, 2))
MINUTE, HOUR = 60_000, 3_600_000
CPU, MEMORY = "novacron_vm_cpu_usage_percent", "novacron_vm_memory_usage_bytes"
RECEIVED = "novacron_vm_network_receive_bytes_total"


def restless(begin: float, end: float, step_ms: int = MINUTE) -> Samples:
    """Samples from one hour of the day to another that always change."""
    span = range(DAY.start_ms + round(begin * HOUR), DAY.start_ms + round(end * HOUR), step_ms)
    return [(ts, 20 + 10 * math.sin(number)) for number, ts in enumerate(span)]


def steady(begin: float, end: float, value: float, step_ms: int = MINUTE) -> Samples:
    return [(ts, value) for ts, _ in restless(begin, end, step_ms)]


def growing(begin: float, end: float, step_ms: int = MINUTE) -> Samples:
    return [(ts, 1e6 + (ts - DAY.start_ms) / 1000 + 3600) for ts, _ in restless(begin, end, step_ms)]


def planted(*series: tuple[str, str, Samples], node: str = "n1", **source) -> PlantedSource:
    """Series of (VM, metric, samples), on one node unless the VM is named `vm@node`."""
    found = PlantedSource(**source)
    for vm, metric, samples in series:
        vm_id, _, place = vm.partition("@")
        found.add("acme", metric, {"tenant_id": "acme", "vm_id": vm_id, "node_id": place or node}, samples)
    return found


@pytest.fixture
def computed(tmp_path):
    return lambda source: compute(COMPONENT, source, DAY, tmp_path)


def test_a_day_that_is_over_counts_whole(computed):
    """Stops monitoring that was down from six in the morning on from looking like a complete day."""
    source = planted(*((f"v{n}", CPU, restless(0, 6)) for n in range(3)))
    result = computed(source)
    assert (result.facts.coverage, result.facts.as_of_ms) == (0.25, DAY.end_ms)
    today = computed(replace(source, now_ms=DAY.start_ms + 6 * HOUR))
    assert (today.facts.coverage, today.facts.as_of_ms) == (1.0, DAY.start_ms + 6 * HOUR)


def test_today_is_not_short_of_what_its_last_bucket_still_gets(computed):
    """Stops the first minutes of a day from having a coverage of a half."""
    source = planted(("a", CPU, restless(0, 0.12, 15_000)), now_ms=DAY.start_ms + HOUR)
    facts = computed(source).facts
    assert (facts.coverage, facts.as_of_ms) == (1.0, DAY.start_ms + 2 * 300_000)


def test_a_dense_vm_hides_no_holes_of_others(computed):
    """Stops one VM sampled every 15 seconds from making up for four that miss half of the day."""
    holes = [(ts, value) for ts, value in restless(0, 24, 300_000) if not 6 <= (ts - DAY.start_ms) / HOUR < 18]
    result = computed(planted(("dense", CPU, restless(0, 24, 15_000)), *((f"v{n}", CPU, holes) for n in range(4))))
    assert (result.facts.samples_seen, result.facts.samples_expected) == (5760 + 4 * 144, 5760 + 4 * 288)


def test_vms_of_different_intervals_are_each_complete(computed):
    """Stops a VM of another exporter from lacking four of five samples, in the facts and in its rows."""
    result = computed(planted(("quick", CPU, restless(0, 24)), ("slow", CPU, restless(0, 24, 300_000))))
    assert result.facts.coverage == 1.0
    rows = result.data.to_pylist()
    assert {(row["vm_id"], row["samples_seen"], row["samples_expected"]) for row in rows} == {
        ("quick", 5, 5),
        ("slow", 1, 1),
    }


def test_a_bucket_expects_every_metric_at_its_own_interval(computed):
    """Stops a row from being complete without one of the VM's metrics."""
    result = computed(
        planted(("a", CPU, restless(0, 24)), ("a", MEMORY, restless(0, 24, 100_000)), ("b", CPU, restless(0, 24)))
    )
    assert {(row["vm_id"], row["samples_expected"]) for row in result.data.to_pylist()} == {("a", 8), ("b", 5)}


@pytest.mark.parametrize("metric", [CPU, RECEIVED])
def test_vms_that_live_for_an_hour_are_complete(computed, metric):
    """Stops autoscaling, with every sample there, from having a coverage of 4 %."""
    made = growing if metric == RECEIVED else restless
    source = planted(*((f"v{n}", metric, made(n / 2, min(24, n / 2 + 1))) for n in range(48)))
    facts = computed(source).facts
    # No counter begins before the first VM's.
    assert facts.samples_expected - facts.samples_seen <= 1
    assert facts.samples_seen > 47 * 59


def test_what_a_vm_no_longer_sends_is_missing_while_it_lives(computed):
    """Stops CPU use that ends at six from going unseen because memory goes on."""
    source = planted(("a", MEMORY, restless(0, 24)), ("a", CPU, restless(0, 6)), ("b", CPU, restless(0, 24)))
    assert computed(source).facts.samples_expected == 3 * 1440


def test_a_node_that_falls_silent_is_an_outage(computed):
    """Stops the exporter of one of two nodes from dying without a trace in the coverage."""
    lost = [("a@n1", CPU, restless(0, 6)), ("b@n1", CPU, restless(0, 6))]
    result = computed(planted(*lost, ("c@n2", CPU, restless(0, 24)), ("d@n2", CPU, restless(0, 12))))
    assert result.facts.samples_expected == 2 * 1440 + 1440 + 720


def test_the_interval_that_the_source_knows_counts(computed):
    """Stops a VM that always misses every second sample from being complete."""
    source = planted(("a", CPU, restless(0, 24, 2 * MINUTE)), interval=60)
    result = computed(source)
    assert result.facts.coverage == 0.5
    assert set(result.data.column("samples_expected").to_pylist()) == {5}


def test_a_vm_of_which_nothing_is_known_has_no_row(computed):
    """Stops a single sample of a counter from making a row, or from being expected."""
    result = computed(planted(("a", CPU, restless(0, 24)), ("b", RECEIVED, growing(12, 12.01))))
    assert set(result.data.column("vm_id").to_pylist()) == {"a"}
    assert (result.facts.samples_expected, result.numbers["vms"]) == (1440, 1)


def still(vm: str, begin: float = -1, end: float = 24, step_ms: int = MINUTE) -> list[tuple[str, str, Samples]]:
    values = ((CPU, 77.1), (MEMORY, 8e9 / 7), (RECEIVED, 1e12))
    return [(vm, metric, steady(begin, end, value, step_ms)) for metric, value in values]


def test_a_vm_that_is_gone_and_still_exported_is_named(computed):
    """Stops a VM that was deleted weeks ago from being load without a word; it stays in the table."""
    alive = [(ts, 8e9 / 7 + 4096 * (ts == DAY.start_ms + 5 * HOUR)) for ts, _ in restless(-1, 24)]
    idle = [*still("idle")[:1], ("idle", MEMORY, alive), *still("idle")[2:]]
    result = computed(planted(*still("dead"), *idle, ("busy", CPU, restless(0, 24)), *still("busy")[1:]))
    assert result.numbers["frozen_vms"] == 1
    (note,) = result.facts.notes
    assert note.startswith("1 VM(s) always sent the same")
    assert note.endswith("They are counted as load: 'dead'.")
    assert set(result.data.column("vm_id").to_pylist()) == {"dead", "idle", "busy"}


@pytest.mark.parametrize(
    "series",
    [
        still("few", 0, 1.9, 300_000),
        still("short", 0, 1.5),
        still("cpu-only")[:1],
        still("without-cpu")[1:],
        [*still("counter")[:2], ("counter", RECEIVED, growing(-1, 24))],
        [*still("twice")[1:], ("twice", CPU, [*steady(0, 12, 5.0), *steady(12, 24, 5.001)])],
    ],
    ids=lambda series: series[0][0],
)
def test_what_may_only_be_quiet_is_not_called_gone(computed, series):
    """Stops a VM that had too little time to change, or of which something does change, from being listed."""
    result = computed(planted(*series, ("live", CPU, restless(0, 24))))
    assert (result.numbers["frozen_vms"], result.facts.notes) == (0, ())


def test_rates_over_a_gap_are_told_of(computed):
    """Stops the mean over an outage from passing for the bucket's own rate without a word."""
    counted = [(ts, value) for ts, value in growing(-1, 24) if not 3 <= (ts - DAY.start_ms) / HOUR < 5]
    result = computed(planted(("a", RECEIVED, counted), ("b", RECEIVED, growing(-1, 24))))
    assert result.numbers["doubtful_buckets"] == 1
    (note,) = result.facts.notes
    assert note.startswith("1 rate(s) of a bucket are doubtful: the counter had no sample for more than two intervals")


def test_a_day_without_samples_says_so(computed):
    result = computed(PlantedSource())
    assert result.data.num_rows == 0
    assert (result.facts.coverage, result.facts.notes) == (None, ("No VM of this tenant sent a sample on this day.",))


@pytest.mark.parametrize("offset_ms", [-30_000, 30_000])
def test_memory_that_never_changes_is_that_of_where_the_vm_runs(computed, offset_ms):
    """Stops a VM that moved days ago from having its old node's memory, by which of both was scraped first."""
    left = [(ts + offset_ms, value) for ts, value in steady(-1, 24, 2e9)]
    source = planted(
        ("a@n1", CPU, [(ts, 5.0) for ts, _ in left]),
        ("a@n2", CPU, restless(-1, 24)),
        ("a@n1", MEMORY, left),
        ("a@n2", MEMORY, steady(-1, 24, 8e9)),
    )
    rows = computed(source).data.to_pylist()
    assert {(row["node_id"], row["memory_bytes_mean"]) for row in rows} == {("n2", 8e9)}
