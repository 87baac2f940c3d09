import numpy as np
import pytest

from analytics_assets.kernels.recent_level import next_days, next_hour, recent_levels, with_errors


def weighted_median(values, half_life):
    pairs = sorted((v, 0.5 ** (age / half_life)) for age, v in enumerate(reversed(values)) if not np.isnan(v))
    total, reached = sum(w for _, w in pairs), 0.0
    for value, weight in pairs:
        reached += weight
        if reached >= 0.5 * total:
            return value
    return np.nan


def test_levels_are_weighted_medians_of_the_days_before():
    values = np.random.default_rng(20).normal(0, 1, (5, 20))
    values[1, 4:9] = np.nan
    levels = recent_levels(values, 3)
    for series, origin in [(0, 20), (0, 10), (1, 12), (1, 9)]:
        before = values[series, max(0, origin - 10) : origin]
        assert levels[series, origin] == weighted_median(before, 3)


def test_a_level_never_sees_the_day_it_forecasts():
    """A backtest that peeks gives intervals that are too narrow."""
    values = np.random.default_rng(21).normal(0, 1, (1, 20))
    changed = values.copy()
    changed[0, 12:] += 1000
    np.testing.assert_array_equal(recent_levels(values, 3)[0, :13], recent_levels(changed, 3)[0, :13])


def test_intervals_of_days_and_weeks_hold_what_they_say():
    rng = np.random.default_rng(22)
    history, future = rng.normal(100, 10, (2000, 28)), rng.normal(100, 10, (2000, 7))
    levels = recent_levels(history, 3)
    day, week = next_days(history, levels, 1, 0.8), next_days(history, levels, 7, 0.8)
    assert 0.76 < np.mean((day.low <= future[:, 0]) & (future[:, 0] <= day.high)) < 0.88
    mean = future.mean(axis=1)
    assert np.mean((week.low <= mean) & (mean <= week.high)) > 0.75


def test_short_histories_have_no_interval_and_shorter_ones_no_forecast():
    values = np.full((1, 28), np.nan)
    values[0, -7:] = 5
    day = next_days(values, recent_levels(values, 3), 1, 0.8)
    assert day.expected[0] == 5
    assert np.isnan([day.low[0], day.high[0]]).all()
    values[0, :-2] = np.nan
    assert np.isnan(next_days(values, recent_levels(values, 3), 1, 0.8).expected[0])
    short = next_days(values[:, -4:], recent_levels(values[:, -4:], 3), 7, 0.8)
    assert np.isnan(short.low[0])


def test_a_series_that_keeps_growing_is_not_forecast_below_its_interval():
    values = np.arange(28.0)[None, :] * 5
    for days in (1, 7):
        found = next_days(values, recent_levels(values, 3), days, 0.8)
        actual = np.mean(5 * np.arange(28, 28 + days))
        assert found.low[0] <= found.expected[0] <= found.high[0]
        assert found.expected[0] == pytest.approx(actual, abs=1)


def test_the_next_hour_keeps_most_of_the_last_hours_deviation():
    first, last = np.full((1, 28), 10.0), np.full((1, 28), 20.0)
    assert next_hour(first, last, 3, 0.8).expected[0] == 10
    last[0, -1] = 30  # 10 above its usual level
    assert next_hour(first, last, 3, 0.8).expected[0] == pytest.approx(18)
    last[0, -1] = np.nan
    assert next_hour(first, last, 3, 0.8).expected[0] == 10


def test_the_interval_is_made_of_order_statistics():
    errors = np.arange(-4.0, 6)[None, :]
    nine = with_errors(np.array([100.0]), errors[:, 1:], 0.8)  # the first and the last
    assert (nine.low[0], nine.high[0]) == (97, 105)
    ten = with_errors(np.array([100.0]), errors, 0.8)  # a tenth of the way from the first to the second
    assert (ten.low[0], ten.high[0]) == pytest.approx((96.1, 104.9))
    few = with_errors(np.array([100.0]), errors[:, :8], 0.8)
    assert np.isnan(few.low[0])


def test_nothing_is_forecast_below_zero():
    found = with_errors(np.array([1.0]), np.linspace(-50, 50, 21)[None, :], 0.8)
    assert found.low[0] == 0
