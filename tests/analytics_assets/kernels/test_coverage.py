import numpy as np
import pyarrow as pa

from analytics_assets.kernels.coverage import coverage_of, has_recent, sample_counts
from analytics_assets.kernels.matrix import Cells


def counts_of(cells, seen):
    column = pa.chunked_array([pa.array(seen, pa.int32())])
    expected = pa.chunked_array([pa.array([12] * len(seen), pa.int32())])
    return sample_counts(Cells(("a", "b", "c"), 4, np.array(cells)), column, expected)


def test_hours_without_a_row_count_as_missing_but_not_before_the_first():
    """A gap has no row, so a sum over rows would call it covered."""
    counts = counts_of([0, 3, 6, 7], [12, 6, 12, 12])  # a: hours 0 and 3; b: begins at hour 2
    np.testing.assert_array_equal(counts.expected_per_entity, [48, 24, 0])
    seen = counts.seen_where(np.ones((3, 4), bool))
    np.testing.assert_array_equal(seen, [18, 24, 0])
    np.testing.assert_array_equal(coverage_of(seen, counts.expected_per_entity), [18 / 48, 1, np.nan])


def test_a_metric_is_covered_only_where_it_has_values():
    counts = counts_of([0, 1, 2, 3], [12, 12, 12, 12])
    present = np.zeros((3, 4), bool)
    present[0, :2] = True
    assert counts.seen_where(present)[0] == 24


def test_recent_means_the_last_steps():
    values = np.array([[1, np.nan, np.nan], [np.nan, np.nan, 1]])
    np.testing.assert_array_equal(has_recent(values, 2), [False, True])
