import numpy as np

from analytics_assets.kernels.totals import total_of


def test_a_gap_is_no_drop_wherever_it_is():
    """Stops VMs that lack the last hours from counting as ended, and the total from falling by them."""
    values = np.full((10, 72), 100, np.float32)
    values[:3, 30:36] = values[:3, -6:] = np.nan
    assert total_of(values, 0.7).tolist() == [1000] * 72


def test_a_missing_hour_counts_with_the_entitys_own_mean():
    """Stops the largest VM from being counted with the mean of the small ones where it lacks samples."""
    values = np.full((11, 72), 10, np.float32)
    values[0] = 1000
    values[0, 40:43] = np.nan
    assert total_of(values, 0.7).tolist() == [1100] * 72


def test_infinite_values_are_missing_ones():
    """Stops one sample without a size from making the total of all infinite."""
    values = np.full((5, 48), 2, np.float32)
    values[0, 7], values[1, 9] = np.inf, -np.inf
    assert total_of(values, 0.7).tolist() == [10] * 48


def test_only_entities_that_are_there_count():
    """Stops those that ended, are not made yet or are switched off from being gaps, and many gaps from being a dip."""
    values = np.ones((20, 96), np.float32)
    values[1:, :10] = np.nan  # all but one are not there yet
    values[5:12, 20] = np.nan  # seven are silent
    values[:5, -25:] = np.nan  # five ended a day ago
    off = np.zeros(values.shape, np.float32)
    values[:8, 30], off[:8, 30] = np.nan, 1
    found = total_of(values, 0.7, off)
    assert found[[0, 15, 30, 60, 95]].tolist() == [1, 20, 12, 20, 15]
    assert np.isnan(found[20])
    assert np.isnan(total_of(values, 0.7)[30])


def test_no_values_have_no_total():
    assert np.isnan(total_of(np.full((2, 30), np.nan, np.float32), 0.7)).all()
    assert np.isnan(total_of(np.empty((0, 30), np.float32), 0.7)).all()
