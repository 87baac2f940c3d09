"""How long something lasted, by the values at half of its height."""

import numpy as np
import pytest

from analytics_assets.kernels.anomaly.extent import extent


def flat(**out):
    values = np.full(50, 10.0)
    for step, value in out.items():
        values[int(step[1:])] = value
    return values


@pytest.mark.parametrize("sign", [1, -1])
def test_an_event_is_as_long_as_its_values_are_out(sign):
    """Stops the hour after an event, in which a baseline returns, from counting as part of it."""
    values = np.full(50, 10.0)
    values[20:32] += sign * 40
    values[32:40] += sign * 5
    assert extent(values, 22, 10.0, 3) == (20, 31, False)


def test_a_short_return_does_not_split_it_and_a_long_one_ends_it():
    values = np.full(50, 10.0)
    values[20:24] = values[26:30] = values[34:36] = 60
    assert extent(values, 21, 10.0, 3) == (20, 29, False)


def test_missing_values_neither_end_nor_lengthen_it():
    values = np.full(50, 10.0)
    values[20:24] = values[34:36] = 60
    values[24:34] = np.nan
    assert extent(values, 21, 10.0, 3) == (20, 35, False)
    values[34:] = np.nan
    assert extent(values, 21, 10.0, 3) == (20, 23, True)


def test_a_new_level_goes_on():
    values = np.full(50, 10.0)
    values[20:] = 60
    assert extent(values, 21, 10.0, 3) == (20, 49, True)
    assert extent(values[:21], 20, 10.0, 3) == (20, 20, True)


def test_a_single_point_is_one_step():
    assert extent(flat(_30=90.0), 30, 10.0, 3) == (30, 30, False)
