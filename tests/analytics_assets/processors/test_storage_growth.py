"""Space that volumes use, how it grows, and how much there is."""

import pytest

from resources.partition import DAY_MS
from tests.analytics_assets.processors.storage_scenario import HOUR, MINUTE, START, STEP, VM_USED, Planted, made, over

GIB = 2**30


def test_what_comes_and_goes_within_a_day_is_no_growth(tmp_path):
    """Stops temporary files that are removed every midnight from filling a disk for ever."""
    source = Planted()
    source.vm(VM_USED, over(lambda ms: 50 * GIB + 5 * GIB * (ms % DAY_MS) / DAY_MS))
    _, rows = made(tmp_path, source, [("vm-1", 0, 100 * GIB)])
    assert rows["vm-1", 200]["growth_bytes_per_day"] == 0
    assert rows["vm-1", 200]["growth_bytes"] == pytest.approx(5 * GIB / 288)


def test_a_few_odd_hours_are_no_growth(tmp_path):
    """Stops a snapshot that is kept for three hours from moving the fill rate."""
    source = Planted()
    source.vm(VM_USED, over(lambda ms: (50 + ms / DAY_MS + (30 if 3 * HOUR <= ms < 6 * HOUR else 0)) * GIB))
    _, rows = made(tmp_path, source)
    assert rows["vm-1", 0]["growth_bytes_per_day"] == pytest.approx(GIB, rel=0.01)


@pytest.mark.parametrize(("hours", "known"), [(6, True), (5, False)])
def test_growth_per_day_needs_hours_on_both_days(tmp_path, hours, known):
    """Stops a fill rate from an hour of a new VM."""
    source = Planted()
    source.now_ms = START + hours * HOUR
    source.vm(VM_USED, over(lambda ms: GIB + ms, START - DAY_MS, START + hours * HOUR))
    result, rows = made(tmp_path, source)
    assert (rows["vm-1", 0]["growth_bytes_per_day"] is not None) == known
    assert result.facts.as_of_ms == START + hours * HOUR
    assert ("growth_gb_per_day" in result.numbers) == known


def test_the_first_bucket_ever_has_no_growth(tmp_path):
    """Stops a new volume from growing by all it holds."""
    source = Planted()
    source.vm(VM_USED, over(lambda ms: 7e9, START + 2 * HOUR))
    _, rows = made(tmp_path, source)
    assert min(rows) == ("vm-1", 24)
    assert (rows["vm-1", 24]["growth_bytes"], rows["vm-1", 25]["growth_bytes"]) == (None, 0)
    assert rows["vm-1", 24]["growth_bytes_per_day"] is None


def test_growth_over_a_gap_is_against_the_last_value(tmp_path):
    """Stops growth from being lost where samples are missing."""
    source = Planted()
    source.vm(VM_USED, [s for s in over(lambda ms: 1e9 + ms) if not START + HOUR <= s[0] < START + 2 * HOUR])
    _, rows = made(tmp_path, source)
    assert ("vm-1", 12) not in rows
    assert rows["vm-1", 24]["growth_bytes"] == 13 * STEP


def test_growth_is_not_against_a_value_of_nearly_two_days_before(tmp_path):
    """Stops the growth of two days from passing as that of a day at most."""
    source = Planted()
    source.vm(VM_USED, [(START - DAY_MS, 100.0), (START + DAY_MS - MINUTE, 500.0)])
    source.vm(VM_USED, [(START - DAY_MS + 2 * STEP, 100.0), (START + 2 * STEP, 500.0)], vm="a day")
    _, rows = made(tmp_path, source)
    assert rows["vm-1", 287]["growth_bytes"] is None
    assert rows["a day", 2]["growth_bytes"] == 400


def test_a_constant_is_kept_and_exact_to_the_byte(tmp_path):
    """Stops an idle volume from being dropped, and 24 bits of precision from looking like growth."""
    source = Planted()
    source.vm(VM_USED, over(lambda ms: 10**12 + 65_537))
    _, rows = made(tmp_path, source)
    assert len(rows) == 288
    assert {row["used_bytes_mean"] for row in rows.values()} == {10**12 + 65_537}
    assert {row["used_bytes_max"] for row in rows.values()} == {10**12 + 65_537}
    assert {row["growth_bytes"] for row in rows.values()} == {0}


def test_a_resize_counts_from_its_moment(tmp_path):
    """Stops a size from being applied before its resize, or after a row that no longer knows it."""
    source = Planted()
    source.vm(VM_USED, over(lambda ms: 50.0))
    source.vm(VM_USED, over(lambda ms: 50.0), vm="new")
    source.vm(VM_USED, over(lambda ms: 50.0), vm="unknown")
    inventory = [("vm-1", -DAY_MS, 25), ("vm-1", 12 * HOUR, 100), ("vm-1", 18 * HOUR, None), ("new", HOUR, 200)]
    result, rows = made(tmp_path, source, [*inventory, ("unknown", 0, None), ("other", 0, 7)])
    assert [rows["vm-1", bucket]["used_share"] for bucket in (0, 143, 144, 215)] == [2.0, 2.0, 0.5, 0.5]
    assert {rows["vm-1", bucket]["capacity_bytes"] for bucket in range(216, 288)} == {None}
    assert [rows["new", bucket]["capacity_bytes"] for bucket in (0, 287)] == [200, 200]
    assert (rows["unknown", 0]["capacity_bytes"], rows["unknown", 0]["used_share"]) == (None, None)
    assert any("capacity of 1 of 3 volumes is unknown" in note for note in result.facts.notes)


def test_a_disk_of_size_zero_has_no_share(tmp_path):
    """Stops a division by zero from becoming infinitely full."""
    source = Planted()
    source.vm(VM_USED, over(lambda ms: 50.0))
    _, rows = made(tmp_path, source, [("vm-1", 0, 0)])
    assert (rows["vm-1", 0]["capacity_bytes"], rows["vm-1", 0]["used_share"]) == (0, None)
