import itertools
import math
from collections import Counter
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.daily import without_weekdays
from analytics_assets.kernels.slope import directions, robust_slopes


def oracle(values):
    """Theil-Sen slope, Kendall's S and its variance with ties, straight from the definitions."""
    points = [(x, y) for x, y in enumerate(values) if not math.isnan(y)]
    pairs = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(points, 2)]
    s = sum(int(p > 0) - int(p < 0) for p in pairs)
    n = len(points)
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(y for _, y in points).values())
    return median(pairs), s, (n * (n - 1) * (2 * n + 5) - ties) / 18


def ar1(rng, series, days, rho):
    shocks = rng.standard_normal((series, days + 60))
    values = np.zeros_like(shocks)
    for day in range(1, shocks.shape[1]):
        values[:, day] = rho * values[:, day - 1] + math.sqrt(1 - rho**2) * shocks[:, day]
    return values[:, -days:]


@settings(max_examples=60)
@given(st.lists(st.sampled_from([0.0, 1, 2, 2.5, 7, math.nan]), min_size=4, max_size=14))
def test_slope_and_test_are_those_of_the_definition(values):
    """Ties and gaps are where a batched version goes wrong."""
    if sum(not math.isnan(value) for value in values) < 3:
        return
    found = robust_slopes(np.array([values]))
    slope, s, variance = oracle(values)
    assert found.slope[0] == pytest.approx(slope)
    # The variance is corrected upwards only, so p is never below the uncorrected one.
    z = max(abs(s) - 1, 0) / math.sqrt(variance) if variance > 0 else 0
    assert found.p_value[0] >= math.erfc(z / math.sqrt(2)) - 1e-12
    assert found.low[0] <= found.slope[0] <= found.high[0]


def test_without_autocorrelation_p_is_mann_kendalls():
    values = np.array([[3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9]])
    _, s, variance = oracle(values[0])
    plain = math.erfc((s - 1) / math.sqrt(variance) / math.sqrt(2))
    assert robust_slopes(values).p_value[0] == pytest.approx(plain)  # its residuals alternate


def test_planted_slopes_lie_in_the_interval_as_often_as_it_says():
    rng = np.random.default_rng(10)
    planted = rng.normal(0, 2, 3000)
    values = planted[:, None] * np.arange(28) + rng.normal(0, 3, (3000, 28))
    found = robust_slopes(values)
    held = np.mean((found.low <= planted) & (planted <= found.high))
    assert 0.94 < held < 0.985
    assert np.median(np.abs(found.slope - planted)) < 0.1


@pytest.mark.parametrize(("rho", "days"), [(0, 14), (0, 28), (0.5, 14), (0.5, 28), (0.5, 90), (0.8, 28), (0.8, 90)])
def test_noise_without_a_trend_gets_a_small_p_as_often_as_p_says(rho, days):
    """Without the correction for autocorrelation a quarter to a half of such series 'rise' or 'fall'."""
    found = robust_slopes(ar1(np.random.default_rng(11), 2000, days, rho))
    assert 0.01 < np.mean(found.p_value < 0.05) < 0.09
    assert np.mean(found.p_value < 0.01) < 0.035
    held = np.mean((found.low <= 0) & (found.high >= 0))
    assert 0.91 < held < 0.99


def test_p_is_that_of_all_orders_of_the_values():
    """The oracle: of shuffled values, the share whose order is at least as much of a trend."""
    rng = np.random.default_rng(18)
    values = np.arange(16) * 0.1 + rng.normal(0, 1, 16)
    shuffled = rng.permuted(np.tile(values, (20000, 1)), axis=1)
    first, second = np.triu_indices(16, 1)
    kendall = np.abs(np.sign(shuffled[:, second] - shuffled[:, first]).sum(axis=1))
    own = abs(np.sign(values[second] - values[first]).sum())
    found = robust_slopes(values[None, :])
    assert found.effective_points[0] == 16  # its residuals happen not to be autocorrelated
    assert found.p_value[0] == pytest.approx(np.mean(kendall >= own), rel=0.25)


def test_a_trend_of_three_deviations_is_found_in_most_series_and_one_of_ten_in_all():
    """A test that never fires would have the right size, too."""
    for change, least in ((3, 0.7), (10, 0.99)):
        values = ar1(np.random.default_rng(19), 500, 28, 0) + change * np.arange(28) / 28
        assert np.mean(robust_slopes(values).p_value < 0.01) > least
    values = ar1(np.random.default_rng(19), 500, 28, 0.5) + 10 * np.arange(28) / 28
    assert np.mean(robust_slopes(values).p_value < 0.01) > 0.7


def test_noise_after_a_weekday_effect_was_taken_off_is_rarely_called_a_trend():
    rng = np.random.default_rng(12)
    values, spent = without_weekdays(rng.standard_normal((1500, 28)) + 10.0 * (np.arange(28) % 7 >= 5))
    assert (spent > 0).all()
    assert np.mean(robust_slopes(values, spent).p_value < 0.05) < 0.08


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(-1e3, 1e3), st.sampled_from([-8.0, -0.5, 0.25, 4.0, 1024.0]))
def test_slopes_follow_a_change_of_unit_and_origin(seed, shift, scale):
    """A trend must not depend on whether memory is in bytes or in MB."""
    values = np.random.default_rng(seed).normal(0, 1, (4, 15))
    plain, moved = robust_slopes(values), robust_slopes(values * scale + shift)
    np.testing.assert_allclose(moved.slope, plain.slope * scale, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(moved.noise, plain.noise * abs(scale), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(moved.p_value, plain.p_value, rtol=1e-6)
    ends = (moved.low, moved.high) if scale > 0 else (moved.high, moved.low)
    np.testing.assert_allclose(ends[0], plain.low * scale, rtol=1e-6, atol=1e-9)


def test_each_row_is_judged_alone():
    """Batches and the size of a batch must not change a result."""
    values = np.random.default_rng(13).normal(0, 1, (50, 20))
    together = robust_slopes(values)
    for row in (0, 17, 49):
        alone = robust_slopes(values[row : row + 1])
        assert (alone.slope[0], alone.low[0], alone.p_value[0]) == (
            together.slope[row],
            together.low[row],
            together.p_value[row],
        )


def test_a_constant_series_has_slope_0_and_no_trend():
    found = robust_slopes(np.full((1, 28), 0.1))
    assert (found.slope[0], found.low[0], found.high[0], found.noise[0], found.p_value[0]) == (0, 0, 0, 0, 1)
    assert directions(found, found.slope * 28, np.zeros(1), 0.05)[0] == "stable"


def test_a_perfect_ramp_is_a_trend_even_over_five_days():
    """The rounding of a ramp's residuals must not pass for autocorrelation."""
    for days in (5, 28):
        found = robust_slopes((0.1 * np.arange(days))[None, :])
        assert found.p_value[0] < 0.05
        assert directions(found, found.slope * days, np.zeros(1), 0.05)[0] == "rising"


def test_fewer_than_three_points_have_no_slope():
    found = robust_slopes(np.array([[1.0, 2, np.nan, np.nan], [np.nan] * 4]))
    assert np.isnan(found.slope).all()
    assert np.isnan(found.p_value).all()
    assert list(directions(found, found.slope, np.zeros(2), 0.05)) == ["unknown", "unknown"]
    assert np.isnan(robust_slopes(np.ones((2, 2))).slope).all()
