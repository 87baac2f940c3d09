"""Volumes of VMs: used space, growth, bytes moved, and each way in which real samples are untidy."""

import math
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from analytics_assets.processors.storage_utilization import COMPONENT, StorageUtilizationParameters
from resources.lake.partition_file import MissingPartition
from resources.partition import DAY_MS, Partition
from tests.analytics_assets.processors.storage_scenario import (
    DAY,
    HOUR,
    MINUTE,
    START,
    STEP,
    VM_READ,
    VM_READ_RATE,
    VM_USED,
    VM_WRITE,
    VM_WRITE_RATE,
    Planted,
    made,
    over,
    total,
)

GIB = 2**30


def increases(samples, start_ms=START, end_ms=START + DAY_MS) -> float:
    """The oracle: what a counter counted up to each sample of the day, one sample after another."""
    found, ordered = 0.0, sorted(samples)
    for (_, before), (ts, value) in pairwise(ordered):
        if start_ms <= ts < end_ms:
            found += value if value < before else value - before
    return found


def growing(gib_per_day: float):
    return over(lambda ms: 50 * GIB + gib_per_day * GIB * ms / DAY_MS)


def test_planted_totals_growth_and_fill_rate(tmp_path):
    """Stops bytes of a day that are not those of the counters, and growth of another unit than bytes a day."""
    source = Planted()
    source.vm(VM_USED, growing(2.0))
    source.vm(VM_READ, over(lambda ms: (ms + DAY_MS) / 1000 * 300))
    source.vm(VM_WRITE, over(lambda ms: (ms + DAY_MS) / 1000 * 100))
    result, rows = made(tmp_path, source, [("vm-1", 0, 100 * GIB)])
    assert len(rows) == 288
    row = rows["vm-1", 100]
    assert (row["entity_kind"], row["tier"], row["node_id"]) == ("volume", None, "n1")
    assert row["read_bytes"] == 300 * 300
    assert row["read_bytes_per_second_mean"] == row["read_bytes_per_second_max"] == 300
    assert row["read_share"] == pytest.approx(0.75)
    assert (total(rows, "read_bytes"), total(rows, "written_bytes")) == (300 * 86_400, 100 * 86_400)
    assert row["growth_bytes"] == pytest.approx(2 * GIB / 288)
    assert row["growth_bytes_per_day"] == pytest.approx(2 * GIB)
    assert row["fill_share_per_day"] == pytest.approx(0.02)
    assert row["used_share"] == pytest.approx((50 + 2 * 100 / 288) / 100, rel=1e-3)
    assert row["used_bytes_max"] > row["used_bytes_mean"]
    assert (row["read_iops_mean"], row["read_latency_seconds_p95"], row["dedup_ratio"]) == (None, None, None)
    assert (row["samples_seen"], row["samples_expected"], row["doubtful"]) == (15, 15, False)
    assert result.facts.coverage == 1.0
    assert result.facts.as_of_ms == START + DAY_MS
    assert result.numbers["entities"] == 1
    assert result.numbers["used_tb"] == pytest.approx(52 * GIB / 1e12, rel=1e-3)
    assert result.numbers["growth_gb_per_day"] == pytest.approx(2 * GIB / 1e9)
    assert len(result.facts.notes) == 1
    assert "storage tiers only" in result.facts.notes[0]


def test_resets_count_what_was_counted_since(tmp_path):
    """Stops the loss of last minus first: a VM that restarts every few hours."""
    source = Planted()
    samples = over(lambda ms: (ms % (5 * HOUR)) / 1000 * 10 + 7)
    source.vm(VM_READ, samples)
    _, rows = made(tmp_path, source)
    assert total(rows, "read_bytes") == increases(samples)
    assert all(row["read_bytes"] >= 0 for row in rows.values())


def test_random_counters_sum_to_the_oracle(tmp_path):
    """Stops any loss or double count: resets, gaps, late and repeated samples, in two directions at once."""
    source, random = Planted(), np.random.default_rng(5)
    planted = {}
    for name in (VM_READ, VM_WRITE):
        for vm in ("a", "b", "c"):
            ts = START - HOUR + np.sort(random.choice(25 * 60, 900, replace=False)) * MINUTE
            steps = random.integers(0, 10**9, len(ts))
            values = np.cumsum(np.where(random.random(len(ts)) < 0.02, -(10**10), steps)).clip(0)
            samples = list(zip(ts.tolist(), values.astype(float).tolist(), strict=True))
            planted[name, vm] = increases(samples)
            random.shuffle(samples)
            source.vm(name, samples + samples[:20], vm=vm)
    _, rows = made(tmp_path, source)
    for vm in ("a", "b", "c"):
        own = {key: row for key, row in rows.items() if key[0] == vm}
        assert total(own, "read_bytes") == planted[VM_READ, vm]
        assert total(own, "written_bytes") == planted[VM_WRITE, vm]


def test_bytes_over_a_gap_are_kept_and_marked(tmp_path):
    """Stops two silent hours from losing their bytes, and from looking like one busy bucket."""
    source = Planted()
    samples = [s for s in over(lambda ms: ms + DAY_MS) if not START + HOUR <= s[0] < START + 3 * HOUR]
    source.vm(VM_READ, samples)
    source.vm(VM_WRITE, over(lambda ms: ms + DAY_MS))
    result, rows = made(tmp_path, source)
    assert total(rows, "read_bytes") == DAY_MS
    assert [key[1] for key, row in rows.items() if row["doubtful"]] == [36]
    assert rows["vm-1", 36]["read_bytes"] == 2 * HOUR + STEP
    assert (rows["vm-1", 20]["read_bytes"], rows["vm-1", 20]["read_share"]) == (None, None)
    assert (rows["vm-1", 20]["samples_seen"], rows["vm-1", 20]["samples_expected"]) == (5, 10)
    assert result.facts.coverage == pytest.approx(1 - 120 / 2880)
    assert result.numbers["doubtful_buckets"] == 1


def test_days_join_at_midnight(tmp_path):
    """Stops bytes or growth around midnight from being lost, or counted on both days."""
    source = Planted()
    reads = over(lambda ms: ms + 10**9 + int(3e6 * math.sin(ms / HOUR)), START - DAY_MS + 17_000, START + 2 * DAY_MS)
    source.vm(VM_READ, reads)
    used = over(lambda ms: 1e10 + ms // 7, START - DAY_MS + 17_000, START + 2 * DAY_MS)
    source.vm(VM_USED, used)
    _, first = made(tmp_path, source, day=DAY)
    _, second = made(tmp_path, source, day=DAY + timedelta(1))
    assert total(first, "read_bytes") == increases(reads)
    assert total(second, "read_bytes") == increases(reads, START + DAY_MS, START + 2 * DAY_MS)
    assert second["vm-1", 0]["growth_bytes"] == pytest.approx(
        second["vm-1", 0]["used_bytes_mean"] - first["vm-1", 287]["used_bytes_mean"]
    )
    assert total(first, "growth_bytes") + total(second, "growth_bytes") == pytest.approx((2 * DAY_MS) / 7, rel=1e-6)


def test_a_frozen_twin_adds_nothing_after_a_migration(tmp_path):
    """Stops a migrated volume from being counted twice, and a constant one from losing its morning."""
    source = Planted()
    noon = START + 12 * HOUR
    source.vm(VM_USED, over(lambda ms: 40e9), node="n1")
    source.vm(VM_USED, over(lambda ms: 40e9, noon), node="n2")
    source.vm(VM_READ, over(lambda ms: min(ms, 12 * HOUR) + DAY_MS), node="n1")
    source.vm(VM_READ, over(lambda ms: ms - 12 * HOUR, noon), node="n2")
    result, rows = made(tmp_path, source)
    assert len(rows) == 288
    assert {row["used_bytes_mean"] for row in rows.values()} == {40e9}
    assert [rows["vm-1", bucket]["node_id"] for bucket in (0, 143, 145, 287)] == ["n1", "n1", "n2", "n2"]
    assert total(rows, "read_bytes") == pytest.approx(DAY_MS, rel=0.001)
    assert {row["samples_seen"] for row in rows.values()} <= {9, 10}
    assert result.numbers["frozen_twin_samples"] >= 1400
    assert result.numbers["used_tb"] == pytest.approx(0.04)


def test_share_of_reads(tmp_path):
    """Stops no traffic from being a share of 0, and one unknown direction from being all writes."""
    source = Planted()
    source.vm(VM_READ, over(lambda ms: ms + DAY_MS), vm="reads")
    source.vm(VM_WRITE, over(lambda ms: 5.0), vm="reads")
    source.vm(VM_READ, over(lambda ms: 5.0), vm="idle")
    source.vm(VM_WRITE, over(lambda ms: 5.0), vm="idle")
    source.vm(VM_READ, over(lambda ms: ms + DAY_MS), vm="half")
    _, rows = made(tmp_path, source)
    assert [rows[vm, 50]["read_share"] for vm in ("reads", "idle", "half")] == [1.0, None, None]
    assert (rows["idle", 50]["read_bytes"], rows["half", 50]["written_bytes"]) == (0, None)


def test_rates_stand_for_the_time_between_samples(tmp_path):
    """Stops imported traces, which have rates and no counters, from having no bytes or those of one second."""
    source = Planted(interval_seconds=300)
    source.vm(VM_READ_RATE, over(lambda ms: 10.0, every_ms=STEP))
    source.vm(VM_WRITE_RATE, over(lambda ms: 30.0, every_ms=STEP))
    _, rows = made(tmp_path, source)
    assert total(rows, "read_bytes") == 10 * 86_400
    assert rows["vm-1", 3]["read_share"] == 0.25
    assert (rows["vm-1", 3]["write_bytes_per_second_max"], rows["vm-1", 3]["samples_expected"]) == (30, 2)


def test_a_counter_wins_over_a_rate(tmp_path):
    """Stops bytes from being counted once by the counter and again by the gauge, also where the counter has a gap."""
    source = Planted()
    source.vm(VM_READ, [s for s in over(lambda ms: ms + DAY_MS) if not START + HOUR <= s[0] < START + 2 * HOUR])
    source.vm(VM_READ_RATE, over(lambda ms: 1000.0))
    source.vm(VM_READ_RATE, over(lambda ms: 2000.0), vm="rates")
    _, rows = made(tmp_path, source)
    assert total({key: row for key, row in rows.items() if key[0] == "vm-1"}, "read_bytes") == DAY_MS
    assert ("vm-1", 15) not in rows
    assert total({key: row for key, row in rows.items() if key[0] == "rates"}, "read_bytes") == 2000 * 86_400


def test_the_interval_is_measured_where_the_source_does_not_know_it(tmp_path):
    """Stops a server, whose scrape interval is unknown, from being held to another source's."""
    source = Planted(interval_seconds=None)
    source.vm(VM_USED, over(lambda ms: 1.0, every_ms=30_000))
    source.vm(VM_READ_RATE, over(lambda ms: 4.0, every_ms=150_000))
    result, rows = made(tmp_path, source)
    assert (rows["vm-1", 9]["samples_seen"], rows["vm-1", 9]["samples_expected"]) == (12, 12)
    assert total(rows, "read_bytes") == 4 * 86_400
    assert result.facts.coverage == 1.0


def test_one_sample_of_a_rate_tells_no_bytes(tmp_path):
    """Stops an interval from being invented where a single sample was seen."""
    source = Planted(interval_seconds=None)
    source.vm(VM_READ_RATE, [(START + HOUR, 4.0)])
    result, rows = made(tmp_path, source)
    assert list(rows) == [("vm-1", 12)]
    row = rows["vm-1", 12]
    assert (row["read_bytes_per_second_mean"], row["read_bytes"], row["samples_expected"]) == (4.0, None, 1)
    assert result.facts.coverage == 1.0


def test_what_is_not_measured_is_null_and_said(tmp_path):
    """Stops a metric that the source lacks from being zero."""
    source = Planted()
    source.vm(VM_WRITE, over(lambda ms: ms + DAY_MS))
    result, rows = made(tmp_path, source)
    row = rows["vm-1", 7]
    empty = ("used_bytes_mean", "used_share", "growth_bytes", "growth_bytes_per_day", "read_bytes", "read_share")
    assert all(row[name] is None for name in empty)
    assert row["written_bytes"] == STEP
    for missing in (VM_USED, VM_READ, "capacity of 1 of 1"):
        assert sum(missing in note for note in result.facts.notes) == 1
    assert "used_tb" not in result.numbers


def test_impossible_samples_are_left_out_and_counted(tmp_path):
    """Stops a negative, infinite, absurd or missing number from becoming used space, and from going unsaid."""
    source = Planted()
    bad = [-1.0, math.nan, math.inf, -math.inf, 1e300]
    midnight = [(START + STEP + i * MINUTE, value) for i, value in enumerate(bad)]
    yesterday = [(START - STEP + i * MINUTE, value) for i, value in enumerate(bad)]
    rest = [s for s in over(lambda ms: 9.0) if s[0] not in {ts for ts, _ in midnight + yesterday}]
    source.vm(VM_USED, rest + midnight + yesterday)
    result, rows = made(tmp_path, source)
    assert ("vm-1", 1) not in rows
    assert {row["used_bytes_max"] for row in rows.values()} == {9.0}
    assert result.numbers["impossible_samples"] == 5
    assert any(note.startswith("5 sample(s) were no amount") for note in result.facts.notes)


def test_hostile_names_are_only_names(tmp_path):
    """Stops a VM's name from joining it with another, or from breaking the rows."""
    source = Planted()
    names = ["a/b", "a", "'; DROP TABLE x; --", "\x1f", "ü\n%2F", "x" * 5000]
    for number, name in enumerate(names):
        source.vm(VM_USED, over(lambda ms, number=number: number + 1.0), vm=name, node="../..\x00")
    source.add("acme", VM_USED, {"tenant_id": "acme"}, over(lambda ms: 99.0))
    source.vm(VM_USED, over(lambda ms: 99.0), vm="")
    _, rows = made(tmp_path, source, [(name, 0, 100) for name in names])
    assert {name: rows[name, 0]["used_bytes_mean"] for name in names} == {n: i + 1.0 for i, n in enumerate(names)}
    assert len(rows) == 288 * len(names)
    assert all(row["capacity_bytes"] == 100 for row in rows.values())


def test_a_day_without_samples_is_empty_and_says_so(tmp_path):
    """Stops yesterday's samples, which growth looks at, from making rows of today."""
    source = Planted()
    source.vm(VM_USED, over(lambda ms: 1.0, START - DAY_MS, START))
    source.vm(VM_READ, over(lambda ms: ms + DAY_MS, START - DAY_MS, START))
    result, rows = made(tmp_path, source, [("vm-1", 0, 10)])
    assert rows == {}
    assert result.facts.notes == ("No volume of this tenant sent a sample on this day.",)
    assert (result.facts.coverage, result.facts.as_of_ms) == (None, START + DAY_MS)
    assert result.numbers["entities"] == 0


def test_a_tenant_reads_only_its_own_volumes(tmp_path):
    """Stops another tenant's series, or the platform's tiers, from being asked for."""
    source = Planted()
    source.vm(VM_USED, over(lambda ms: 1.0))
    source.add("other", VM_USED, {"vm_id": "theirs", "tenant_id": "other"}, over(lambda ms: 1.0))
    source.tier("novacron_storage_usage_bytes", over(lambda ms: 1.0))
    _, rows = made(
        tmp_path, source, capacity_metric="pool_size", dedup_metric="pool_dedup", tier_capacity_bytes={"ssd": 1}
    )
    assert {key[0] for key in rows} == {"vm-1"}
    assert {call[0] for call in source.calls} == {"acme"}
    names = {name for asked in source.asked for name in asked[1]}
    assert names == {VM_USED, VM_READ, VM_READ_RATE, VM_WRITE, VM_WRITE_RATE}
    assert all(start >= START - DAY_MS and end == START + DAY_MS for _, _, start, end in source.asked)


def test_an_inventory_that_was_not_made_is_named(tmp_path):
    """Stops shares from being null in silence because a step was forgotten."""
    source = Planted()
    with pytest.raises(MissingPartition, match="vm_inventory"):
        made(tmp_path, source, day=DAY, tenant="nobody")


@pytest.mark.parametrize("resolution", [60, 300, 3600])
def test_the_day_sums_to_the_same_at_any_resolution(tmp_path, resolution):
    """Stops a grid of another width from losing the edges of the day."""
    source = Planted()
    samples = over(lambda ms: (ms + DAY_MS) // 3)
    source.vm(VM_READ, samples)
    source.vm(VM_USED, growing(1.0))
    _, rows = made(tmp_path, source, resolution=resolution)
    assert len(rows) == 86_400 // resolution
    assert total(rows, "read_bytes") == increases(samples)
    assert rows["vm-1", 0]["growth_bytes_per_day"] == pytest.approx(GIB)


def test_order_of_series_and_arrival_changes_nothing(tmp_path):
    """Stops a re-run against a server that answers in another order from giving other bytes."""
    results = []
    for turn in (1, -1):
        source = Planted()
        for vm in ("b", "a", "c")[::turn]:
            samples = over(lambda ms, vm=vm: ord(vm) + ms % 977)
            source.vm(VM_USED, samples[::turn], vm=vm)
            source.vm(VM_READ, over(lambda ms: ms + DAY_MS)[::turn], vm=vm)
        results.append(made(tmp_path, source)[1])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "given",
    [
        {"dedup_metric": "rate(x[5m])"},
        {"capacity_metric": "{}"},
        {"capacity_metric": '{__name__=~"a|b"}'},
        {"tier_capacity_bytes": {"ssd": -1}},
        {"tier_capacity_bytes": {"ssd": math.inf}},
        {"growth_minimum_hours": 25},
        {"unknown": 1},
    ],
)
def test_parameters_out_of_range_are_refused(given):
    """Stops a pipeline file from asking for what cannot be read."""
    with pytest.raises(ValidationError):
        StorageUtilizationParameters(**given)


def test_the_component_is_declared_for_what_it_reads():
    """Stops the component from being assembled without its source or inventory."""
    assert COMPONENT.reads == ("metrics",)
    assert COMPONENT.table.measured
    assert [(entry.role, entry.accepts) for entry in COMPONENT.inputs] == [("inventory", ("vm_inventory",))]
    assert Partition("acme", DAY).start_ms == START
