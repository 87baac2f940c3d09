"""Values that were as far out on earlier days, counted by day and by time of day."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.kernels.anomaly.recurrence import AROUND_MS, REACH, days_alike

STEP_MS, PER_DAY = 300_000, 288


def series(days=10):
    return np.full(days * PER_DAY, 10.0)


def at(day, hour):
    return int(day * PER_DAY + hour * PER_DAY / 24)


def test_a_nightly_job_that_moves_a_little_recurs_at_that_time():
    """Stops a backup that begins 40 minutes later than last night from being news."""
    values = series()
    for day, hour in enumerate([2, 2.5, 1.7, 2.2, 2.9, 2.1, 2.4, 1.9, 2.0, 2.6]):
        values[at(day, hour) : at(day, hour) + 6] = 60.0
    found = days_alike(values, STEP_MS, at(9, 2.6), 10.0)
    assert (found.same_time, found.days) == (9, 9)


def test_the_same_value_at_another_time_of_the_day_is_told_apart():
    """Stops a full CPU at noon from passing for the batch job of every night."""
    values = series()
    for day in range(10):
        values[at(day, 2) : at(day, 3)] = 99.0
    values[at(9, 14)] = 99.0
    found = days_alike(values, STEP_MS, at(9, 14), 10.0)
    assert (found.any_time, found.same_time) == (0, 0)


def test_jobs_at_no_fixed_hour_recur_at_any_time():
    """Stops a job that runs at another hour each day from calling somebody each time."""
    values = series()
    for day, hour in enumerate([3, 17, 9, 22, 5, 13, 19, 1, 11, 7]):
        values[at(day, hour) : at(day, hour) + 6] = 60.0
    assert days_alike(values, STEP_MS, at(9, 7), 10.0).any_time >= 6


@pytest.mark.parametrize(("hour", "value"), [(3, 70.0), (11, 5.0)])
def test_the_daily_cycle_excuses_nothing_at_other_hours(hour, value):
    """Stops an outage at noon, or load at night, from passing for usual because night and day reach such values."""
    steps = np.arange(10 * PER_DAY) % PER_DAY
    values = np.where((steps >= at(0, 8)) & (steps < at(0, 18)), 70.0, 5.0)
    usual = values[at(9, hour)]
    values[at(9, hour) : at(9, hour) + 24] = value
    assert days_alike(values, STEP_MS, at(9, hour) + 2, float(usual)).any_time == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_much_larger_one_and_the_other_side_are_not_alike(sign):
    values = series()
    values[at(3, 5)] += sign * 20
    values[at(4, 5)] -= sign * 90
    values[at(9, 5)] += sign * 60
    assert days_alike(values, STEP_MS, at(9, 5), 10.0).any_time == 0
    values[at(3, 5)] = 10.0 + sign * 60 * REACH
    assert days_alike(values, STEP_MS, at(9, 5), 10.0).any_time == 1


def test_missing_days_do_not_count_as_days():
    values = series()
    values[at(2, 0) : at(5, 0)] = np.nan
    values[at(9, 12)] = 50.0
    found = days_alike(values, STEP_MS, at(9, 12), 10.0)
    assert (found.any_time, found.days) == (0, 6)


def test_without_a_day_before_there_is_nothing_to_compare_with():
    assert days_alike(series(1), STEP_MS, 0, 10.0).days == 0
    assert days_alike(series(1), STEP_MS, at(0, 12), 10.0).days == 0


@given(st.integers(0, 10 * PER_DAY - 1), st.integers(0, 10 * PER_DAY - 1))
def test_each_day_is_counted_once_and_only_before_the_peak(earlier, peak):
    """Holds the count against a loop over the points; stops a value after the peak from being used."""
    values = series()
    values[earlier] = values[peak] = 40.0
    found = days_alike(values, STEP_MS, peak, 10.0)
    back_ms = (peak - earlier) * STEP_MS
    assert found.any_time == (back_ms > 43_200_000)
    if found.same_time:
        assert abs(back_ms - round(back_ms / 86_400_000) * 86_400_000) <= AROUND_MS
