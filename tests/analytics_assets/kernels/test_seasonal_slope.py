import itertools
import math
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.daily import daily_levels
from analytics_assets.kernels.seasonal_slope import seasonal_slopes
from analytics_assets.kernels.slope import robust_slopes


def hourly(series, days, rho, seed, cycle=0.0, change=0.0):
    """Return autocorrelated hours with a daily cycle and a change over the window, in deviations of an hour."""
    rng = np.random.default_rng(seed)
    shocks = rng.standard_normal((series, days * 24 + 200))
    values = np.zeros_like(shocks)
    for hour in range(1, shocks.shape[1]):
        values[:, hour] = rho * values[:, hour - 1] + math.sqrt(1 - rho**2) * shocks[:, hour]
    hours = np.arange(days * 24)
    wave = cycle * np.sin(hours / 24 * 2 * np.pi) + change * hours / len(hours)
    return (values[:, -days * 24 :] + wave).astype(np.float32)


def pairs_of(hours):
    """Return (days apart, difference) of all pairs of present values at the same hour, from the definition."""
    for hour in range(24):
        values = [(day, v) for day, v in enumerate(hours[hour::24].astype(float)) if not math.isnan(v)]
        yield from ((b[0] - a[0], b[1] - a[1]) for a, b in itertools.combinations(values, 2))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(0, 0.6))
def test_the_slope_is_the_median_of_all_pairs_of_the_same_hour(seed, days, gaps):
    """Gaps and ties are where a batched version goes wrong."""
    rng = np.random.default_rng(seed)
    hours = rng.integers(0, 6, days * 24).astype(np.float32)
    hours[rng.random(days * 24) < gaps] = np.nan
    pairs = list(pairs_of(hours))
    found = seasonal_slopes(hours[None, :], np.ones(1))
    if not pairs:
        assert np.isnan([found.slope[0], found.low[0], found.high[0], found.p_value[0]]).all()
        return
    assert found.slope[0] == pytest.approx(median(difference / apart for apart, difference in pairs), abs=1e-6)
    assert found.low[0] <= found.slope[0] <= found.high[0]
    assert 0 <= found.p_value[0] <= 1


def test_p_is_that_of_all_orders_of_the_days():
    """The oracle: the deviation of S over shuffled days, ties, gaps and dependence within a day included."""
    hours = np.round(hourly(1, 8, 0.9, seed=1), 1)[0]
    hours[[5, 30, 31, 90]] = np.nan
    days = hours.reshape(8, 24).astype(float)

    def kendall(order):
        first, second = np.triu_indices(8, 1)
        return np.nansum(np.sign(days[order][second] - days[order][first]))

    rng = np.random.default_rng(2)
    shuffled = np.array([kendall(rng.permutation(8)) for _ in range(20000)])
    z = max(abs(kendall(np.arange(8))) - 1, 0) / shuffled.std()
    found = seasonal_slopes(hours[None, :], np.ones(1))
    assert found.p_value[0] == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.03)


def test_a_daily_cycle_of_any_size_changes_nothing():
    """A cycle in the residuals widens the interval of a plain Theil-Sen slope by as much as it is high."""
    plain, wavy = hourly(20, 14, 0.5, 3, 0, 2), hourly(20, 14, 0.5, 3, 30, 2)
    flat, cyclic = seasonal_slopes(plain, np.ones(20)), seasonal_slopes(wavy, np.ones(20))
    np.testing.assert_allclose(cyclic.slope, flat.slope, atol=1e-4)
    np.testing.assert_allclose(cyclic.high - cyclic.low, flat.high - flat.low, rtol=0.02)


@pytest.mark.parametrize("rho", [0, 0.8, 0.95])
def test_noise_without_a_trend_gets_a_small_p_as_often_as_p_says(rho):
    """Taken as independent, hours of autocorrelation 0.95 'rise' or 'fall' in a fifth of the series."""
    hours = hourly(500, 28, rho, seed=4, cycle=5)
    daily = robust_slopes(daily_levels(hours, 12))
    found = seasonal_slopes(hours, daily.effective_points / daily.points)
    assert 0.01 < np.mean(found.p_value < 0.05) < 0.08
    assert 0.92 < np.mean((found.low <= 0) & (found.high >= 0)) < 0.99


def test_a_planted_slope_is_found():
    hours = hourly(200, 28, 0.5, seed=5, cycle=5, change=2.8)
    found = seasonal_slopes(hours, np.ones(200))
    assert np.median(found.slope) == pytest.approx(0.1, rel=0.05)
    assert np.mean(found.p_value < 0.01) > 0.95


def test_a_constant_series_has_slope_0_and_one_day_has_none():
    found = seasonal_slopes(np.full((1, 72), 0.1, np.float32), np.ones(1))
    assert (found.slope[0], found.low[0], found.high[0], found.p_value[0]) == (0, 0, 0, 1)
    assert np.isnan(seasonal_slopes(np.ones((1, 24), np.float32), np.ones(1)).slope[0])
    assert seasonal_slopes(np.ones((0, 72), np.float32), np.ones(0)).slope.shape == (0,)


def test_each_row_is_judged_alone():
    hours = hourly(300, 28, 0.5, seed=6)
    together = seasonal_slopes(hours, np.full(300, 0.5))
    alone = seasonal_slopes(hours[299:], np.full(1, 0.5))
    assert (alone.slope[0], alone.low[0], alone.p_value[0]) == (
        together.slope[299],
        together.low[299],
        together.p_value[299],
    )
