import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.kernels.forecast.weighted_median import (
    ascending,
    interpolated_median,
    median_of_few,
    quantile_of_sorted,
    weighted_median,
    weighted_quartile_range,
)

VALUES = st.lists(st.one_of(st.integers(-4, 4).map(float), st.just(np.nan)), min_size=1, max_size=12)


def sorted_positions(values):
    order = np.empty(len(values), np.int64)
    return order, ascending(np.array(values), order)


def median_of(values, weights):
    order, count = sorted_positions(values)
    return weighted_median(np.array(values), np.array(weights, float), order, count)


def by_repeating(values, weights):
    """The oracle: a weight of 3 is three of that value."""
    repeated = [value for value, weight in zip(values, weights, strict=True) for _ in range(weight)]
    known = [value for value in repeated if not np.isnan(value)]
    return float(np.median(known)) if known else np.nan


@given(VALUES)
def test_order_is_that_of_a_stable_sort_without_nan(values):
    """A sort that is not stable would let ties depend on the machine."""
    order, count = sorted_positions(values)
    known = [position for position, value in enumerate(values) if not np.isnan(value)]
    assert order[:count].tolist() == sorted(known, key=lambda position: values[position])


@given(VALUES, st.data())
def test_weighted_median_is_the_median_of_repeated_values(values, data):
    weights = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
    assert median_of(values, weights) == pytest.approx(by_repeating(values, weights), nan_ok=True)


@given(VALUES)
def test_plain_median_of_few(values):
    known = np.array([value for value in values if not np.isnan(value)] or [1.0])
    assert median_of_few(known, np.empty(len(known), np.int64)) == np.median(known)


@given(VALUES, st.data())
def test_interpolated_median_is_numpys_interpolation_between_the_middles_of_the_weights(values, data):
    weights = data.draw(st.lists(st.floats(0.01, 3), min_size=len(values), max_size=len(values)))
    found = interpolated_median(np.array(values), np.array(weights), np.empty(len(values), np.int64))
    order, count = sorted_positions(values)
    if count == 0:
        assert np.isnan(found)
        return
    at = order[:count]
    share = np.array(weights)[at] / np.array(weights)[at].sum()
    assert found == pytest.approx(np.interp(0.5, np.cumsum(share) - share / 2, np.array(values)[at]))


def test_equal_candidates_give_exactly_their_value():
    """Interpolating between equal values must not leave a rounding error: a perfect forecast stays perfect."""
    value = 0.1 + 0.2
    assert interpolated_median(np.full(5, value), np.array([0.3, 0.1, 0.7, 0.2, 0.9]), np.empty(5, np.int64)) == value


def test_quartile_range_counts_weights():
    order, count = sorted_positions([0.0, 1.0, 2.0, 3.0])
    assert weighted_quartile_range(np.arange(4.0), np.ones(4), order, count) == 2
    assert weighted_quartile_range(np.arange(4.0), np.array([9.0, 1, 1, 1]), order, count) == 0


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9), st.floats(0, 1))
def test_quantiles_are_numpys(values, share):
    ordered = np.sort(np.array(values))
    assert quantile_of_sorted(ordered, len(ordered), share) == pytest.approx(np.quantile(ordered, share))
