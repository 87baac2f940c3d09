"""Numbers, names and lists in sentences."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.reports import words

GIB = 2.0**30


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (317.4 * GIB, "bytes", "317 GiB"),
        (1.25 * 1024 * GIB, "bytes", "1.25 TiB"),
        (0.12 * GIB, "bytes", "123 MiB"),
        (0.0, "bytes", "0 B"),
        (2.5e6, "bytes/s", "2.5 MB/s"),
        (84.34, "percent", "84.3 %"),
        (1.0, "cores", "1 core"),
        (0.0233, "cores", "0.0233 cores"),
        (-3.2, "cores", "-3.2 cores"),
        (1204.4, "", "1,204"),
        (None, "bytes", "unknown"),
        (float("inf"), "bytes", "unknown"),
    ],
)
def test_quantities_read_as_a_person_writes_them(value, unit, said):
    assert words.quantity(value, unit) == said


@given(st.floats(1e-5, 1e14, allow_nan=False))
def test_a_number_keeps_three_digits(value):
    assert float(words.number(value).replace(",", "")) == pytest.approx(value, rel=6e-3, abs=6e-7)


def test_the_unit_is_said_once_where_both_share_it():
    assert words.used_of(31.2 * GIB, 36 * GIB, "bytes") == "31.2 of 36 GiB"
    assert words.used_of(0.5 * GIB, 36 * GIB, "bytes") == "512 MiB of 36 GiB"
    assert words.used_of(None, 36 * GIB, "bytes") == "unknown of 36 GiB"


def test_days_left_are_rounded_down_and_never_flatter():
    assert [words.days(value) for value in (0.9, 1.0, 1.99, 2.0)] == ["less than a day", "1 day", "1 day", "2 days"]


def test_lists_and_ranges():
    assert words.listing(["a"]) == "a"
    assert words.listing(["a", "b", "c"]) == "a, b and c"
    assert words.listing(["a", "b"], 4) == "a, b and 4 more"
    found = [date(2026, 3, 7), date(2026, 3, 3), date(2026, 3, 5), date(2026, 3, 6)]
    assert words.day_ranges(found) == "2026-03-03, 2026-03-05 to 2026-03-07"


def test_a_node_is_called_so_once():
    assert [words.node(name) for name in ("n1", "node-2", "Node3")] == ["node n1", "node-2", "Node3"]


@given(st.text(max_size=400))
def test_no_name_breaks_a_line_turns_the_text_or_fills_the_page(text):
    """Control characters, direction marks and long names stay harmless, and isolates are closed."""
    shown = words.name(text)
    inner = shown.removeprefix("\u2068").removesuffix("\u2069")
    assert 0 < len(inner) <= words.NAME_LIMIT
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in inner)
    assert not set(inner) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")
    assert shown.startswith("\u2068") == shown.endswith("\u2069")


def test_a_reason_stands_inside_a_sentence():
    assert words.clause(" two\nlines. ") == "two lines"
    assert words.clause(None) == "no reason was stored"
