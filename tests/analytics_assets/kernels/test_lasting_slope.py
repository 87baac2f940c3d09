"""Which trends are carried on into the days to come."""

import numpy as np
import pytest

from analytics_assets.kernels.lasting_slope import lasting_trends
from analytics_assets.kernels.slope import directions, robust_slopes

DAYS, SERIES = 28, 400


def directions_of(values, scale=1.0):
    values = np.atleast_2d(values) * scale
    spent = np.zeros(len(values), np.int64)
    found = lasting_trends(values, robust_slopes(values, spent), spent, values.shape[1], np.zeros(len(values)), 0.01)
    return found.slopes, found.direction


def alone(values):
    """Return the directions of the slopes as they are."""
    slopes = robust_slopes(values)
    return directions(slopes, slopes.slope * values.shape[1], np.zeros(len(values)), 0.01)


def noise(days=DAYS, series=SERIES):
    return np.random.default_rng(7).standard_normal((series, days))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_line_goes_on(sign):
    """Stops the exceptions below from eating trends: of lines of 8 deviations at most one in a hundred."""
    _, direction = directions_of(noise() + sign * 8 * np.arange(DAYS) / DAYS)
    assert np.mean(direction == ("rising" if sign > 0 else "falling")) >= 0.99


@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_is_a_level(sign):
    """Stops a metric that once went up from running out: a line along a step passes any limit."""
    at = np.random.default_rng(3).integers(4, DAYS - 4, SERIES)[:, None]
    values = 50 + noise() + sign * 5 * (np.arange(DAYS) >= at)
    _, direction = directions_of(values)
    assert np.mean(direction != "stable") <= 0.02
    assert np.mean(alone(values) != "stable") > 0.03


def test_growth_on_a_step_goes_on_at_its_own_rate():
    """Stops a step from adding to the rate of the leak that goes on, and from making it look like noise."""
    values = noise() + 0.8 * np.arange(DAYS) + 6 * (np.arange(DAYS) >= 12)
    slopes, direction = directions_of(values)
    assert np.mean(direction == "rising") >= 0.8
    assert np.mean(alone(values) == "rising") <= 0.65
    assert np.median(slopes.slope) == pytest.approx(0.8, rel=0.1)
    assert np.median(robust_slopes(values).slope) > 0.95


def test_a_staircase_is_a_trend():
    """Stops a disk that fills by the week from being called stable four times."""
    values = 0.2 * noise() + 8 * (np.arange(DAYS) // 7)
    _, direction = directions_of(values)
    assert np.mean(direction == "rising") >= 0.95


@pytest.mark.parametrize("young", [False, True])
def test_growth_that_has_stopped_is_over(young):
    """Stops a plateau from running out, also where a series begins late and its last half is later still."""
    days = 60
    begin = 20 if young else 0
    grown = np.clip(np.arange(days) - begin, 0, (days - begin) // 2) / ((days - begin) // 2)
    values = noise(days) + 8 * grown
    values[:, :begin] = np.nan
    _, direction = directions_of(values)
    assert np.mean(alone(values) == "rising") > 0.5
    assert np.mean(direction == "rising") <= 0.15


def test_the_slopes_of_what_is_stable_are_of_the_values_as_they_came():
    """Stops a row that says stable from telling the slope of values that nobody has."""
    values = noise() + 8 * (np.arange(DAYS) >= 14)
    slopes, direction = directions_of(values)
    plain = robust_slopes(values)
    stable = direction == "stable"
    assert np.count_nonzero(stable) > 300
    assert (slopes.slope[stable] == plain.slope[stable]).all()
    assert (slopes.p_value[stable] == plain.p_value[stable]).all()


def test_a_restarting_leak_is_what_it_was():
    """A sawtooth has no lasting slope, and its drops are no steps along one."""
    values = 0.3 * noise() + np.arange(DAYS) % 7
    _, direction = directions_of(values)
    assert np.mean(direction == "stable") >= 0.95


def test_the_unit_does_not_matter_and_missing_days_neither():
    values = noise() + 0.3 * np.arange(DAYS) + 6 * (np.arange(DAYS) >= 20)
    values[:, [3, 9, 21]] = np.nan
    values[0] = np.nan
    _, direction = directions_of(values)
    _, in_bytes = directions_of(values, 2.0**30)
    assert (direction == in_bytes).all()
    assert direction[0] == "unknown"


@pytest.mark.parametrize("days", [0, 1, 3, 13])
def test_few_days_are_answered(days):
    _, direction = directions_of(noise(days, 5))
    assert set(direction.tolist()) <= {"unknown", "stable", "rising", "falling"}


def test_step_that_is_left_out_is_named():
    """Stops a slope that does not fit the values it is said to be of, without a word of why."""
    spent = np.zeros(2, np.int64)
    values = 0.01 * noise(series=2) + 0.8 * np.arange(DAYS) + np.array([[6.0], [0.0]]) * (np.arange(DAYS) >= 12)
    found = lasting_trends(values, robust_slopes(values), spent, DAYS, np.zeros(2), 0.01)
    assert found.after_step.tolist() == [12, -1]
    assert found.direction.tolist() == ["rising", "rising"]


def test_step_of_what_is_stable_leaves_nothing_out():
    """The slope of what is stable is that of all values, as they came."""
    values = np.atleast_2d(0.01 * noise(series=1) + 6.0 * (np.arange(DAYS) >= 12))
    found = lasting_trends(values, robust_slopes(values), np.zeros(1, np.int64), DAYS, np.zeros(1), 0.01)
    assert found.after_step.tolist() == [-1]
    assert found.slopes.slope[0] == robust_slopes(values).slope[0]
