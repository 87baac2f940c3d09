from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analytics_assets.kernels.matrix import (
    Grid,
    days_of,
    entity_ids,
    locate,
    place,
    row_max,
    row_mean,
    row_quantile,
    within,
)
from resources.partition import Partition

HOUR = 3_600_000
TS = pa.timestamp("ms", tz="UTC")


def column(values, kind):
    return pa.chunked_array([pa.array(values, kind)])


def test_rows_in_any_order_make_the_same_matrix():
    """Stops 'latest' from being whichever row came last."""
    rng = np.random.default_rng(1)
    names, hours = ["b", "a", "b", "a", "b"], np.array([0, 1, 2, 2, 1])
    values = np.arange(5, dtype=np.float32)
    grid = Grid(0, HOUR, 3)
    made = []
    for order in (np.arange(5), rng.permutation(5), rng.permutation(5)):
        keys = column([names[row] for row in order], pa.string())
        cells = locate(keys, column(hours[order] * HOUR, pa.int64()).cast(TS), grid, entity_ids(keys))
        made.append(place(cells, column(values[order], pa.float32())))
    expected = np.array([[np.nan, 1, 3], [0, 4, 2]], dtype=np.float32)
    for matrix in made:
        np.testing.assert_array_equal(matrix, expected)


def test_rows_outside_the_grid_and_unknown_entities_lie_nowhere():
    keys = column(["a", "a", "a", "x", None], pa.dictionary(pa.int32(), pa.string()))
    cells = locate(keys, column([-HOUR, 0, 2 * HOUR, 0, 0], TS), Grid(0, HOUR, 2), ["a"])
    matrix = place(cells, column([1, None, 3, 4, 5], pa.float32()))
    assert np.isnan(matrix).all()
    assert matrix.shape == (1, 2)


def test_dictionaries_of_two_files_are_told_apart():
    """Code 0 of one file is another VM than code 0 of the next."""
    kind = pa.dictionary(pa.int32(), pa.string())
    keys = pa.chunked_array([pa.array(["b"], kind), pa.array(["a"], kind)])
    cells = locate(keys, column([0, 0], TS), Grid(0, HOUR, 1), ["a", "b"])
    np.testing.assert_array_equal(place(cells, column([10, 20], pa.float32())), [[20], [10]])


def test_a_grid_ends_with_the_last_whole_hour_and_holds_whole_days():
    grid = Grid.ending(10 * 24 * HOUR + 5 * HOUR + 1_800_000, 2)
    assert grid.end_ms == 10 * 24 * HOUR + 5 * HOUR
    assert grid.count == 48
    assert Grid.ending(grid.end_ms, 2, 300_000).count == 576


@pytest.mark.parametrize(("hour", "days"), [(24, 2), (23, 3), (1, 3), (0, 3)])
def test_the_days_of_a_grid_hold_the_whole_of_it(hour, days):
    """Stops the window of an unfinished day from being read a day short, so that its first hours are gaps."""
    partition = Partition("acme", date(2026, 3, 28))
    grid = Grid.ending(partition.start_ms + hour * HOUR, 2)
    assert days_of(grid, partition) == days
    assert partition.end_ms - days * 24 * HOUR <= grid.start_ms


def test_what_the_days_of_a_grid_hold_besides_is_left_out():
    """Stops a VM that ended before the window from having rows that say it has no samples."""
    grid = Grid(HOUR, HOUR, 2)
    rows = pa.table({"vm": ["gone", "a", "b", "new"], "ts": column(np.arange(4) * HOUR, pa.int64()).cast(TS)})
    assert within(rows, grid)["vm"].to_pylist() == ["a", "b"]
    assert within(rows.slice(1, 2), grid).num_rows == 2
    assert within(rows.slice(0, 0), grid).num_rows == 0


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.floats(-1e6, 1e6) | st.just(np.nan),
    ),
    st.floats(0, 1),
)
def test_row_statistics_are_those_of_each_row_without_its_gaps(values, share):
    for row, quantile, mean, highest in zip(
        values, row_quantile(values, share), row_mean(values), row_max(values), strict=True
    ):
        there = row[~np.isnan(row)]
        if len(there):
            assert quantile == pytest.approx(np.quantile(there, share), rel=1e-9, abs=1e-6)
            assert mean == pytest.approx(there.mean(), rel=1e-9, abs=1e-6)
            assert highest == there.max()
        else:
            assert np.isnan([quantile, mean, highest]).all()


def test_a_flat_row_has_exactly_its_value_as_quantile():
    """Rounding in the interpolation would turn a constant series into a noisy one."""
    values = np.full((1, 7), 0.1)
    assert row_quantile(values, 0.77)[0] == 0.1


def test_a_quantile_outside_of_0_to_1_is_refused():
    with pytest.raises(ValueError, match="share"):
        row_quantile(np.zeros((1, 2)), 1.5)
