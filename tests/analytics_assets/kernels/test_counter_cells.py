"""Counters series by series: what is no sample of one, and what is known of each series beside its increases."""

import math

import numpy as np
import pytest

from analytics_assets.kernels.counter_cells import counter_cells
from analytics_assets.kernels.gridding import LARGEST
from tests.analytics_assets.kernels.histogram_series import END, MINUTE, START, STEP, batch_of


def cells(*series):
    return counter_cells(
        batch_of("count", [("count", {"n": str(number)}, samples) for number, samples in enumerate(series)]),
        range(len(series)), START, END, STEP,
    )  # fmt: skip


@pytest.mark.parametrize("value", [1e35, 1e300, -1.0, 10 * LARGEST])
def test_what_no_counter_can_have_counted_is_no_sample(value):
    """Stops one absurd value from becoming an increase, and a second one when the counter is right again."""
    samples = [(START + n * MINUTE, value if n == 7 else 10.0 * n) for n in range(20)]
    found = cells(samples)
    assert found.increase.tolist() == [[40.0, 50.0, 50.0, 50.0]]
    assert found.flaws["refused"] == 1
    assert len(found.falls.family) == 0


def test_first_and_last_samples_and_values_are_those_of_the_window():
    """Stops the lead-in from making a series begin before the day, and an empty one from having been there."""
    early = [(START - MINUTE, 1.0)]
    late = [(START - MINUTE, 1.0), (START + 6 * MINUTE, 5.0), (START + 8 * MINUTE, 9.0), (START + 7 * MINUTE, 7.0)]
    found = cells(early, late, [])
    assert found.first_ms.tolist() == [-1, START + 6 * MINUTE, -1]
    assert found.last_ms.tolist() == [-1, START + 8 * MINUTE, -1]
    assert found.last_ts_ms == START + 8 * MINUTE
    expected = np.full((3, 4), math.nan)
    expected[1, 1] = 9.0
    np.testing.assert_array_equal(found.last, expected)
