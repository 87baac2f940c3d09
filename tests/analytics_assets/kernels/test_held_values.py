import numpy as np

from analytics_assets.kernels.held_values import held_values, latest_values
from analytics_assets.kernels.matrix import Grid

GRID = Grid(0, 10, 4)


def test_a_value_holds_from_its_instant_until_the_next():
    entity = np.array([0, 1, 0])
    since = np.array([20, -500, -5])
    found = held_values(entity, since, np.array([8.0, 3, 2]), (3, GRID))
    np.testing.assert_array_equal(found, np.array([[2, 2, 8, 8], [3, 3, 3, 3], [np.nan] * 4], np.float32))


def test_order_of_the_rows_is_irrelevant_and_the_future_is_not_looked_at():
    entity, since, values = np.array([0, 0, 0, 0]), np.array([0, 10, 30, 400]), np.array([1.0, 2, 3, 4])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        found = held_values(entity[order], since[order], values[order], (1, GRID))
        np.testing.assert_array_equal(found, [[1, 2, 2, 3]])


def test_nan_replaces_the_value_before_it():
    """An old size held on where a later row says that none is known."""
    found = held_values(np.array([0, 0]), np.array([0, 20]), np.array([5.0, np.nan]), (1, GRID))
    np.testing.assert_array_equal(found, [[5, 5, np.nan, np.nan]])


def test_the_latest_row_counts_even_if_it_says_nothing():
    latest = latest_values(np.array([0, 1, 0]), np.array([9, 1, 3]), np.array([np.nan, 4.0, 7.0]), 3)
    np.testing.assert_array_equal(latest, [np.nan, 4, np.nan])
    assert latest_values(np.array([0, 0]), np.array([9, 3]), np.array([1.0, 2.0]), 1)[0] == 1
