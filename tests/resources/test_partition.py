"""Cells of the grid: tenant ids, days, keys."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import InvalidInput
from resources.partition import (
    TENANT_PATTERN,
    Partition,
    check_tenant,
    day_of_ms,
    day_start,
    day_start_ms,
    days_between,
    parse_day,
)

DAY = date(2026, 3, 1)


@pytest.mark.parametrize("tenant", ["a", "0", "acme", "a.b-c_d", "a..b", "x" * 63])
def test_legal_tenant_ids(tenant):
    assert check_tenant(tenant) == tenant


@pytest.mark.parametrize(
    "tenant",
    ["", "A", "..", ".a", "-a", "_a", "a/b", "a\\b", "a b", "a\n", "a\0", "a|b", "a=b", "ä", "\u0430", "x" * 64],
)
def test_illegal_tenant_ids_are_refused_by_name(tenant):
    """Stops an id that is a path, a second key or a look-alike letter."""
    with pytest.raises(InvalidInput, match="is not a tenant id"):
        check_tenant(tenant)


def test_a_huge_id_is_not_shown_whole():
    with pytest.raises(InvalidInput) as caught:
        check_tenant("x" * 10_000)
    assert "(10000 characters)" in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30",
        "2026-3-1",
        "20260301",
        "2026-03-01T00:00",
        "",
        " 2026-03-01",
        "\u0662\u0660\u0662\u0666-03-01",
        "0000-01-01",
    ],
)
def test_what_is_no_day_is_refused(text):
    with pytest.raises(InvalidInput, match="is not a day"):
        parse_day(text)


@given(st.dates())
def test_a_day_holds_its_first_and_last_millisecond(day):
    start = day_start_ms(day)
    assert day_of_ms(start) == day_of_ms(start + 86_399_999) == day == parse_day(day.isoformat())
    assert day_start(day) == datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert start == day_start(day).timestamp() * 1000


def test_the_edges_of_a_partition():
    cell = Partition("acme", DAY)
    assert (cell.start_ms, cell.end_ms) == (1_772_323_200_000, 1_772_409_600_000)
    assert day_of_ms(cell.end_ms) == date(2026, 3, 2)
    assert cell.trailing_days(3) == [date(2026, 2, 27), date(2026, 2, 28), DAY]
    assert cell.trailing_days(1) == [DAY]


@given(st.dates(), st.from_regex(TENANT_PATTERN, fullmatch=True))
def test_a_key_names_its_partition(day, tenant):
    cell = Partition(tenant, day)
    assert Partition.from_key(cell.key) == cell


@pytest.mark.parametrize("key", ["2026-03-01", "acme", "2026-03-01|", "2026-03-01|a|b", "acme|2026-03-01", "|acme"])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(InvalidInput):
        Partition.from_key(key)


def test_days_between_holds_both_ends():
    assert days_between(DAY, DAY) == [DAY]
    assert days_between(date(2026, 2, 28), DAY) == [date(2026, 2, 28), DAY]
    assert days_between(DAY, date(2026, 2, 28)) == []
