from itertools import combinations

import numpy as np
import pytest

from analytics_assets.kernels.forecast.drift import slope_per_day


def slope(days):
    """The slope of `days`, oldest first."""
    return slope_per_day(np.asarray(days, float)[::-1].copy())


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


def test_too_few_days_have_none():
    assert slope(np.arange(20.0)) == 0
    assert slope(np.full(56, np.nan)) == 0
    assert slope(np.full(56, 3.0)) == 0
    assert slope([]) == 0
