import itertools
import math

import numpy as np
import pytest

from analytics_assets.kernels.change_points import MOST_CHANGES, ChangePoints, change_points
from analytics_assets.kernels.slope import robust_slopes

DAYS = np.arange(28)


def noise(series, days, rho=0.0, seed=0, heavy=None):
    rng = np.random.default_rng(seed)
    shape = (series, days + 60)
    shocks = rng.standard_normal(shape) if heavy is None else rng.standard_t(heavy, shape)
    values = np.zeros_like(shocks)
    for day in range(1, shape[1]):
        values[:, day] = rho * values[:, day - 1] + math.sqrt(1 - rho**2) * shocks[:, day]
    return values[:, -days:]


def found_in(values):
    return change_points(values, robust_slopes(values).slope)


def share_with_exactly(values, steps):
    """Return the share of the rows whose changes are those at `steps`, to a step, and no others."""
    found = found_in(values)
    near = (np.abs(found.steps[:, : len(steps)] - steps) <= 1).all(axis=1)
    return np.mean(near & (found.counts == len(steps)))


@pytest.mark.parametrize(
    ("days", "rho", "highest"),
    [(14, 0, 0.04), (14, 0.5, 0.09), (28, 0, 0.01), (28, 0.5, 0.03), (28, 0.8, 0.08), (90, 0.8, 0.02)],
)
def test_noise_has_no_changes_of_level(days, rho, highest):
    """Autocorrelated noise wanders: a penalty made for white noise finds levels in a quarter of such series."""
    assert np.mean(found_in(noise(600, days, rho)).counts > 0) < highest


def test_heavy_tails_trends_and_curves_are_no_changes_of_level():
    share = DAYS / 28
    assert np.mean(found_in(noise(600, 28, heavy=2.5)).counts > 0) < 0.02
    assert np.mean(found_in(noise(600, 28, 0.3) + 10 * share).counts > 0) < 0.03
    assert np.mean(found_in(noise(600, 28, 0.3) + 10 * share**2).counts > 0) < 0.08


@pytest.mark.parametrize("rho", [0, 0.5])
def test_planted_changes_are_all_found_to_a_day(rho):
    """A detector of one change sees two that cancel out, as up and down again, as none."""
    stairs = 1.0 * (DAYS >= 6) + 1.0 * (DAYS >= 14) + 1.0 * (DAYS >= 22)
    assert share_with_exactly(noise(300, 28, rho) + 5.0 * (DAYS >= 17), [17]) > 0.8
    assert share_with_exactly(noise(300, 28, rho) + 5.0 * ((DAYS >= 8) & (DAYS < 18)), [8, 18]) > 0.7
    assert share_with_exactly(noise(300, 28, rho) + 8.0 * stairs, [6, 14, 22]) > 0.85


def test_the_falls_of_a_sawtooth_are_changes_on_a_common_slope():
    """A leak that a weekly restart puts right has no levels, and three falls."""
    saw = 20.0 * (DAYS % 7) / 6
    values = noise(200, 28) + saw
    assert share_with_exactly(values, [7, 14, 21]) > 0.9
    found = found_in(values)
    assert np.nanmedian(found.heights) == pytest.approx(-20 - 20 / 6, rel=0.1)


def test_a_change_on_a_trend_is_found_and_the_trend_is_none():
    values = noise(200, 28) + 1.0 * DAYS - 15.0 * (DAYS >= 15)
    assert share_with_exactly(values, [15]) > 0.9


def test_one_or_two_odd_days_are_no_change_of_level():
    values = noise(50, 28, seed=3)
    values[:, 20] += 500
    values[:, 8:10] += 300
    assert (found_in(values).counts == 0).mean() > 0.95


def test_a_change_of_a_constant_series_is_found_exactly():
    values = np.where(DAYS >= 12, 4.0, 1.0)[None, :]
    found = found_in(values)
    assert list(found.steps[0]) == [12] + [-1] * (MOST_CHANGES - 1)
    assert found.heights[0, 0] == 3
    assert np.isnan(found.heights[0, 1:]).all()
    assert found_in(np.full((1, 28), 0.1)).counts[0] == 0


def test_a_missing_first_day_moves_the_change_to_the_first_that_is_there():
    values = noise(1, 28, seed=4) + 40.0 * (DAYS >= 17)
    values[0, [3, 17]] = np.nan
    assert found_in(values).steps[0, 0] == 18


def test_places_leave_the_least_squares_of_all_places():
    """The oracle tries every pair of places; the noise is small, so the best pair is also the chosen one."""
    values = noise(5, 16, seed=5) * 0.2 + np.select([np.arange(16) < 5, np.arange(16) < 11], [0, 7.0], -4)
    found = found_in(values)
    for row, steps in zip(values, found.steps[:, :2], strict=True):

        def squares(places, row=row):
            return sum(((part - part.mean()) ** 2).sum() for part in np.split(row, places))

        choices = [(a, b) for a, b in itertools.combinations(range(3, 14), 2) if b - a >= 3]
        assert tuple(steps) == min(choices, key=squares)


def test_unit_origin_and_neighbours_do_not_matter():
    values = noise(40, 28, 0.3, seed=6) + 6.0 * (DAYS >= 10)
    plain = found_in(values)
    moved = found_in(values * 1024 - 7e4)
    np.testing.assert_array_equal(moved.steps, plain.steps)
    np.testing.assert_allclose(moved.heights, plain.heights * 1024, rtol=1e-6)
    backwards = found_in(values[::-1])
    np.testing.assert_array_equal(backwards.steps[::-1], plain.steps)


@pytest.mark.parametrize("values", [np.empty((0, 28)), np.empty((2, 0)), np.full((2, 28), np.nan), np.ones((2, 13))])
def test_nothing_and_too_little_have_no_changes(values):
    found = found_in(values)
    assert found.steps.shape == (len(values), MOST_CHANGES)
    assert (found.counts == 0).all()


def test_small_changes_are_left_out_in_place():
    steps = np.full((2, MOST_CHANGES), -1)
    heights = np.full((2, MOST_CHANGES), np.nan)
    steps[0, :3], heights[0, :3] = [4, 9, 20], [5.0, -1.0, -8.0]
    kept = ChangePoints(steps, heights).of_at_least(np.array([2.0, 2.0]))
    assert list(kept.steps[0, :3]) == [4, 20, -1]
    assert list(kept.heights[0, :2]) == [5, -8]
    assert np.isnan(kept.heights[0, 2:]).all()
    assert list(kept.counts) == [2, 0]
    assert list(kept.largest) == [1, 0]


def test_infinite_values_end_nothing():
    """A search that compares with NaN must come to its end, and the other rows keep their answer."""
    values = noise(3, 28, seed=8) + 8.0 * (DAYS >= 12)
    spoilt = values.copy()
    spoilt[1, ::5] = np.inf
    spoilt[1, 3] = -np.inf
    found = change_points(spoilt, np.array([0.0, np.inf, 0.0]))
    np.testing.assert_array_equal(found.steps[[0, 2]], change_points(values, np.zeros(3)).steps[[0, 2]])
