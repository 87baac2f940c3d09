"""Times in all the ways that files write them."""

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.analyze.times import NO_TIME, PER_SECOND, TimeReader
from resources.monitoring.traces.rows import END_MS, FIRST_MS

NOON = 1_772_366_400_000
"""2026-03-01 12:00 UTC."""


def read(*values, unit="auto", kind=None):
    return TimeReader(unit).to_ms(pa.array(values, kind)).tolist()


@pytest.mark.parametrize("unit", PER_SECOND)
@pytest.mark.parametrize("kind", [pa.int64(), pa.string(), pa.float64()])
def test_the_unit_of_numbers_is_found(unit, kind):
    """Stops milliseconds from being read as seconds, in any of the ways a number may be stored."""
    numbers = [moment * PER_SECOND[unit] // 1000 for moment in (NOON, NOON + 60_000)]
    written = np.array(numbers).astype({pa.int64(): int, pa.string(): str, pa.float64(): float}[kind])
    reader = TimeReader()
    assert reader.to_ms(pa.array(written, kind)).tolist() == [NOON, NOON + 60_000]
    assert reader.unit == unit


@given(st.integers(FIRST_MS, END_MS - 1), st.sampled_from(list(PER_SECOND)))
def test_no_plausible_time_fits_two_units(moment, unit):
    """Stops the detection from depending on which unit is tried first."""
    number = moment * PER_SECOND[unit] // 1000
    reader = TimeReader()
    found = reader.to_ms(pa.array([number], pa.int64()))[0]
    assert (reader.unit, abs(int(found) - moment) < 1000) == (unit, True)


def test_seconds_with_decimals():
    assert read("1772366400.25", "1772366401") == [NOON + 250, NOON + 1000]


def test_one_file_has_one_unit():
    """Stops a file that changes its unit half-way from becoming times a thousand years apart."""
    assert read(NOON // 1000, NOON) == [NOON, NO_TIME]


def test_a_number_of_no_year_is_no_time():
    """Stops 20260301 and row numbers from becoming moments of 1970."""
    assert read("20260301") == [NO_TIME]
    assert read(0, 1, 2) == [NO_TIME] * 3
    assert read(0, 60, unit="s") == [0, 60_000]
    assert read(-5, 2**62, unit="s") == [NO_TIME, NO_TIME]


def test_texts_with_and_without_a_zone():
    texts = ("2026-03-01T12:00:00Z", "2026-03-01 14:00+02:00", "2026-03-01T12:00:00", "2026-03-01", "soon", "")
    midnight = NOON - 12 * 3_600_000
    assert read(*texts) == [NOON, NOON, NOON, midnight, NO_TIME, NO_TIME]


def test_parquet_types():
    naive = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - a Parquet file may have times without a zone
    assert read(naive, None, kind=pa.timestamp("ns")) == [NOON, NO_TIME]
    assert read(naive.replace(tzinfo=UTC), kind=pa.timestamp("s", "Europe/Amsterdam")) == [NOON]
    assert read(date(2026, 3, 1), kind=pa.date32()) == [NOON - 12 * 3_600_000]
    assert TimeReader().to_ms(pa.array([f"{NOON}"]).dictionary_encode()).tolist() == [NOON]
    assert read(NOON // 1000, kind=pa.uint32()) == [NOON]


@pytest.mark.parametrize(
    ("given_times", "expected"),
    [
        (pa.array(["2026-03-01T10:00:00Z"]), ["2026-03-01T12:00:00Z"]),
        (pa.array(["2026-03-01 10:00:00"]), ["2026-03-01T12:00:00"]),
        (pa.array(["2026-03-01"]), ["2026-03-01T12:00:00"]),
        (pa.array(["2026-03-01 10:00+01:00"]), ["2026-03-01T12:00:00Z"]),
        (pa.array(["20260301T100000-0500"]), ["2026-03-01T12:00:00Z"]),
        (pa.array(["1772359200"]), [NOON // 1000]),
        (pa.array([1772359200000000], pa.int64()), [NOON * 1000]),
        (
            pa.array([datetime(2026, 3, 1, 10, tzinfo=UTC)], pa.timestamp("us", "UTC")),
            [datetime(2026, 3, 1, 12, tzinfo=UTC)],
        ),
    ],
)
def test_new_times_are_written_as_the_file_writes_its_own(given_times, expected):
    """Stops a forecast whose times cannot be joined with those of the history."""
    reader = TimeReader()
    reader.to_ms(given_times)
    assert reader.from_ms(np.array([NOON])).to_pylist() == expected
