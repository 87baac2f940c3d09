"""What counts as missing of volumes and tiers, and which of two metrics tells what was moved."""

from datetime import timedelta

import pytest

from resources.partition import DAY_MS, PLATFORM
from tests.analytics_assets.processors.storage_scenario import (
    DAY,
    HOUR,
    MINUTE,
    START,
    VM_READ,
    VM_READ_RATE,
    VM_USED,
    Planted,
    made,
    over,
    total,
)

IOPS = "novacron_storage_iops"
USED = "novacron_storage_usage_bytes"


def test_a_day_that_is_over_counts_whole_though_its_samples_end_early(tmp_path):
    """Stops monitoring that failed at 06:00 from being full coverage of a short day."""
    source = Planted()
    for vm in ("a", "b"):
        source.vm(VM_USED, over(lambda ms: 1.0, end_ms=START + 6 * HOUR), vm=vm)
    result, _ = made(tmp_path, source)
    assert (result.facts.coverage, result.facts.as_of_ms) == (0.25, START + DAY_MS)
    source.now_ms = START + 6 * HOUR
    result, _ = made(tmp_path, source)
    assert (result.facts.coverage, result.facts.as_of_ms) == (1.0, START + 6 * HOUR)


def test_a_metric_that_ends_is_missing_while_its_tier_is_there(tmp_path):
    """Stops used space, sampled to the end, from hiding that operations were not."""
    source = Planted(interval_seconds=None)
    source.tier(USED, over(lambda ms: 1.0, every_ms=15_000))
    source.tier(IOPS, over(lambda ms: 5.0, end_ms=START + 12 * HOUR), operation="read")
    source.tier(IOPS, over(lambda ms: 5.0), operation="flush")
    source.tier(IOPS, over(lambda ms: 5.0), operation="trim")
    result, rows = made(tmp_path, source, tenant=PLATFORM)
    assert (result.facts.samples_seen, result.facts.samples_expected) == (5760 + 720 + 1440, 5760 + 2 * 1440)
    assert {row["samples_expected"] for row in rows.values()} == {20 + 5 + 5}


def test_a_volume_that_was_deleted_at_noon_misses_nothing(tmp_path):
    """Stops the afternoon of a VM that is gone from counting as not measured; the samples of others do not help."""
    source = Planted()
    source.vm(VM_USED, over(lambda ms: 1.0, end_ms=START + 12 * HOUR), vm="gone")
    source.vm(VM_USED, over(lambda ms: 1.0, START + 12 * HOUR), vm="new")
    gap = [s for s in over(lambda ms: 1.0) if not START + 6 * HOUR <= s[0] < START + 12 * HOUR]
    source.vm(VM_USED, gap, vm="stays")
    result, _ = made(tmp_path, source)
    assert result.facts.coverage == pytest.approx((720 + 720 + 1080) / (720 + 720 + 1440), abs=0.001)


def test_a_rate_counts_until_a_counter_appears(tmp_path):
    """Stops a counter that appears in the evening from throwing away the rates before it, and both from counting."""
    source = Planted()
    evening = START + 18 * HOUR
    source.vm(VM_READ_RATE, over(lambda ms: 1000.0))
    source.vm(VM_READ, over(lambda ms: 7.0 * ms / 1000, evening))
    source.vm(VM_READ_RATE, over(lambda ms: 10.0), vm="b")
    result, rows = made(tmp_path, source)
    own = {key: row for key, row in rows.items() if key[0] == "vm-1"}
    assert total(own, "read_bytes") == 1000 * 18 * 3600 + 7 * (6 * 3600 - 60)
    assert [rows["vm-1", bucket]["read_bytes_per_second_mean"] for bucket in (215, 216)] == [1000, 7]
    assert {row["samples_expected"] for row in rows.values()} == {5}
    assert result.facts.coverage == 1.0
    assert result.numbers["counters_without_start"] == 1
    assert sum("1 counter(s) have no sample in the hour before midnight" in note for note in result.facts.notes) == 1


def test_what_an_outage_across_midnight_loses_is_told(tmp_path):
    """Stops an increase that began more than an hour before midnight from vanishing without a word."""
    source = Planted()
    outage = range(START + DAY_MS - 70 * MINUTE, START + DAY_MS + 20 * MINUTE)
    whole = over(lambda ms: ms + DAY_MS, end_ms=START + 2 * DAY_MS)
    source.vm(VM_READ, [sample for sample in whole if sample[0] not in outage])
    days = [made(tmp_path, source, day=day) for day in (DAY, DAY + timedelta(1))]
    assert sum(total(rows, "read_bytes") for _, rows in days) == 2 * DAY_MS - 91 * MINUTE
    assert [result.numbers["counters_without_start"] for result, _ in days] == [0, 1]
