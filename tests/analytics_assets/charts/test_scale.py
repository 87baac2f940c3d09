import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.charts.scale import (
    format_days,
    format_instant,
    format_slope,
    format_value,
    time_axis,
    value_axis,
)
from resources.errors import InvalidInput
from resources.partition import DAY_MS

MARCH = 1_772_323_200_000  # 2026-03-01
GIB = 2**30


@pytest.mark.parametrize(
    ("values", "unit", "labels"),
    [
        ([0, 93], "percent", ["0", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        ([3.2 * GIB], "bytes", ["0", "1 GiB", "2 GiB", "3 GiB", "4 GiB"]),
        ([1000 * 2**20], "bytes", ["0", "200 MiB", "400 MiB", "600 MiB", "800 MiB", "1,000 MiB"]),
        ([1500], "bytes/s", ["0", "0.5 KiB/s", "1.0 KiB/s", "1.5 KiB/s"]),
        ([2.5], "cores", ["0", "0.5 cores", "1.0 cores", "1.5 cores", "2.0 cores", "2.5 cores"]),
        ([], "percent", ["0", "0.2 %", "0.4 %", "0.6 %", "0.8 %", "1.0 %"]),
        ([0.0], "", ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([math.nan, math.inf, 5], "widgets", ["0", "1 widgets", "2 widgets", "3 widgets", "4 widgets", "5 widgets"]),
    ],
)
def test_ticks_are_round_in_the_unit_people_use(values: list[float], unit: str, labels: list[str]) -> None:
    assert value_axis(values, unit).labels == labels


def test_without_zero_the_axis_fits_the_data() -> None:
    axis = value_axis([60 * GIB, 60.5 * GIB], "bytes", from_zero=False)
    assert axis.labels[0] == "60.0 GiB"
    assert axis.labels[-1] == "60.5 GiB"


@given(
    st.lists(st.floats(-1e15, 1e15), max_size=6),
    st.sampled_from(["percent", "bytes", "bytes/s", "cores", ""]),
    st.integers(1, 10),
    st.booleans(),
)
def test_an_axis_covers_its_values_with_few_ascending_ticks(
    values: list[float], unit: str, intervals: int, from_zero: bool
) -> None:
    """Stops data drawn outside the frame, endless ticks, and a division by a range of zero."""
    axis = value_axis(values, unit, intervals, from_zero)
    slack = 1e-6 * (axis.high - axis.low)
    assert all(axis.low - slack <= value <= axis.high + slack for value in values)
    places = [tick.at for tick in axis.ticks]
    assert places == sorted(set(places))
    assert 2 <= len(places) <= intervals + 3
    assert axis.low < axis.high


def test_an_axis_without_intervals_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 intervals"):
        value_axis([1], "percent", intervals=0)


@pytest.mark.parametrize(
    ("hours", "most", "labels"),
    [
        (24, 8, ["1 Mar", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]),
        (48, 8, ["1 Mar", "06:00", "12:00", "18:00", "2 Mar", "06:00", "12:00", "18:00"]),
        (7 * 24, 8, ["1 Mar", "2 Mar", "3 Mar", "4 Mar", "5 Mar", "6 Mar", "7 Mar"]),
        (14 * 24, 8, ["1 Mar", "3 Mar", "5 Mar", "7 Mar", "9 Mar", "11 Mar", "13 Mar"]),
        (40 * 24, 6, ["1 Mar", "8 Mar", "15 Mar", "22 Mar", "29 Mar", "5 Apr"]),
    ],
)
def test_time_ticks_are_whole_hours_and_days(hours: int, most: int, labels: list[str]) -> None:
    assert time_axis(MARCH, MARCH + hours * 3_600_000, most).labels == labels


def test_time_ticks_stay_inside_and_begin_on_the_hour() -> None:
    """A tick at the excluded end would name a day that the chart does not cover."""
    axis = time_axis(MARCH + 90_000, MARCH + DAY_MS)
    assert axis.labels[0] == "03:00"
    assert all(axis.low <= tick.at < axis.high for tick in axis.ticks)


def test_an_empty_time_axis_is_refused() -> None:
    with pytest.raises(InvalidInput, match="empty"):
        time_axis(MARCH, MARCH)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (83.24, "percent", "83.2 %"),
        (4.25 * GIB, "bytes", "4.25 GiB"),
        (0, "bytes", "0 B"),
        (1536, "bytes/s", "1.50 KiB/s"),
        (12345.6, "", "12,346"),
        (0.00042, "percent", "0.00042 %"),
        (-2.0 * GIB, "bytes", "-2.00 GiB"),
    ],
)
def test_a_number_is_written_with_three_digits_and_its_unit(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


def test_a_slope_has_a_sign_and_percent_becomes_points() -> None:
    """`+0.8 %` a day would read as growth by a share of itself."""
    assert format_slope(0.82, "percent") == "+0.82 points a day"
    assert format_slope(-120 * 2**20, "bytes") == "-120 MiB a day"


def test_instants_and_days_are_utc() -> None:
    assert format_instant(MARCH + 14 * 3_600_000) == "2026-03-01 14:00 UTC"
    assert format_days(MARCH, MARCH + 14 * DAY_MS) == "2026-03-01 to 2026-03-14 (UTC)"
    assert format_days(MARCH, MARCH + DAY_MS) == "2026-03-01 (UTC)"
