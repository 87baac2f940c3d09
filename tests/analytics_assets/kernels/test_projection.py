import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.projection import first_above, project

RULES = {"minimum_days": 5, "significance": 0.05, "minimum_change_share": 0.02, "bound_share": 0.9}


def test_a_clear_trend_is_followed_and_noise_is_not():
    """Extrapolating a slope that is not there makes every noisy VM run out."""
    rng = np.random.default_rng(30)
    days = np.arange(28)
    rows = np.concatenate([10 + 2.0 * days[None, :], np.full((500, 28), 40.0)])
    found = project(rows + rng.normal(0, 1, rows.shape), **RULES)
    assert found.direction[0] == "rising"
    assert found.slope[0] == pytest.approx(2, abs=0.15)
    assert found.level[0] == pytest.approx(64, abs=1.5)
    flat = found.direction[1:] == "stable"
    assert flat.mean() > 0.94
    assert (found.slope[1:][flat] == 0).all()
    assert (np.ptp(found.expected(np.arange(366))[1:][flat], axis=1) == 0).all()


def test_the_bound_holds_what_it_says_on_noise():
    rng = np.random.default_rng(31)
    history, future = rng.normal(50, 5, (1500, 28)), rng.normal(50, 5, (1500, 14))
    upper = project(history, **RULES).upper(np.arange(1, 15))
    for day in (0, 6, 13):
        assert 0.87 < np.mean(future[:, day] <= upper[:, day]) < 0.99


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(5, 28))
def test_the_bound_is_never_below_the_expected_value(seed, days):
    """Else the conservative time would be longer than the expected one."""
    rng = np.random.default_rng(seed)
    values = np.abs(rng.normal(0, 3, (4, 1)) * np.arange(days) + rng.normal(20, 4, (4, days)))
    found = project(values, **RULES)
    ahead = np.arange(366)
    assert (found.upper(ahead) >= found.expected(ahead)).all()
    assert (found.expected(ahead) >= 0).all()


def test_a_trends_bound_widens_with_the_days_ahead():
    values = (10 + 2.0 * np.arange(28) + np.random.default_rng(32).normal(0, 2, 28))[None, :]
    found = project(values, **RULES)
    ahead = np.array([1, 14, 100, 300])
    margin = (found.upper(ahead) - found.expected(ahead))[0]
    assert margin[0] <= margin[1] < margin[2] < margin[3]


def test_first_above_is_the_day_0_if_already_and_nan_if_never():
    values = np.array([[5.0, 6, 7], [1, 2, 3], [1, 1, 1]])
    np.testing.assert_array_equal(first_above(values, np.array([4.0, 2, 9])), [0, 2, np.nan])
    np.testing.assert_array_equal(first_above(np.array([[2.0, 2]]), np.array([2.0])), [np.nan])


def test_without_data_there_is_no_projection():
    found = project(np.full((1, 28), np.nan), **RULES)
    assert np.isnan(found.level[0])
    assert found.direction[0] == "unknown"
