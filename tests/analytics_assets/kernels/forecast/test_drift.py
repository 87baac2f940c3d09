from itertools import combinations

import numpy as np
import pytest

from analytics_assets.kernels.forecast.drift import is_shorter, slope_per_day


def slope(days, by_days=False):
    """The slope of `days`, oldest first."""
    return slope_per_day(np.asarray(days, float)[::-1].copy(), by_days)


def test_it_is_the_median_slope_of_pairs_that_are_weeks_apart():
    days = 3 * np.arange(56) + np.random.default_rng(0).normal(0, 0.5, 56)
    days[[4, 20, 41]] = np.nan
    pairs = [
        (days[late] - days[early]) / (late - early)
        for early, late in combinations(range(56), 2)
        if (late - early) % 7 == 0 and np.isfinite(days[late] - days[early])
    ]
    assert slope(days) == pytest.approx(np.median(pairs), rel=0.01)


@pytest.mark.parametrize("per_day", [-2.0, 1e-6, 1e200, 1e-200])
def test_a_line_keeps_its_slope_in_any_unit(per_day):
    assert slope(per_day * np.arange(56)) == pytest.approx(per_day, rel=1e-6)


def test_weekdays_do_not_tilt_it():
    """A history that begins with low days and ends with high ones looks like growth to an ordinary fit."""
    assert slope(np.tile([0, 0, 50, 50, 50, 50, 50], 4)) == 0


def test_neither_noise_nor_one_jump_is_a_trend():
    rng = np.random.default_rng(1)
    assert np.mean([abs(slope(rng.normal(0, 1, 56))) for _ in range(50)]) < 0.003
    jump = np.r_[np.zeros(28), np.full(28, 56.0)]
    assert abs(slope(jump)) < 0.4  # the line through it rises by 1.5 a day


@pytest.mark.parametrize("days", [7, 14, 18, 20])
def test_a_history_too_short_for_weeks_is_told_by_days(days):
    """Stops a clear leak from having no slope until it is three weeks old, and what only wanders from having one."""
    rng = np.random.default_rng(days)
    leak = 3.0 * np.arange(days)
    assert slope(leak, by_days=True) == pytest.approx(3)
    assert slope(leak + rng.normal(0, 0.1, days), by_days=True) == pytest.approx(3, rel=0.1)
    walks = rng.normal(0, 1, (200, days)).cumsum(axis=1)
    assert np.median([abs(slope(walk, by_days=True)) for walk in walks]) < 0.03
    jump = np.r_[np.zeros(days // 2), np.full(days - days // 2, 7.0)]
    assert abs(slope(jump, by_days=True)) < 0.15
    weekend = np.tile([50.0, 50, 50, 50, 50, 42, 42], 3)[-days:]
    assert abs(slope(weekend + rng.normal(0, 0.1, days), by_days=True)) < 0.05


def test_a_history_begins_with_its_first_value():
    """Stops a VM made last week from counting as old, because the window is long."""
    assert is_shorter(np.arange(48.0), 49)
    assert not is_shorter(np.arange(49.0), 49)
    assert is_shorter(np.r_[np.full(30, np.nan), np.arange(48.0)], 49)
    assert not is_shorter(np.r_[0.0, np.full(48, np.nan)], 49)
    assert is_shorter(np.full(100, np.nan), 49)


def test_too_few_days_have_none():
    assert slope(np.arange(20.0)) == 0
    assert slope(np.full(56, np.nan)) == 0
    assert slope(np.full(56, 3.0)) == 0
    assert slope([]) == 0
    assert slope(np.arange(5.0), by_days=True) == 0
    assert slope(np.full(14, 3.0), by_days=True) == 0
