"""Merging a day: against a slow and simple count of rows."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.monitoring.traces.merging import FILE, merge
from resources.monitoring.traces.rows import ROWS

Sample = tuple[str, int, float | None, str | None]

SAMPLES = st.lists(
    st.tuples(
        st.sampled_from(["b", "a"]),
        st.integers(0, 3),
        st.sampled_from([None, 0.0, 1.0]),
        st.sampled_from([None, "n"]),
    ),
    max_size=8,
)


def arrived(files: list[list[Sample]]) -> pa.Table:
    rows = [(*row, number) for number, file in enumerate(files) for row in file]
    given_columns = dict(zip(("vm_id", "ts", "cpu_percent", "node_id", FILE), zip(*rows, strict=True), strict=True))
    columns = {}
    for field in ROWS:
        if field.name in given_columns:
            kind = pa.string() if field.name.endswith("_id") else field.type
            columns[field.name] = pa.array(given_columns[field.name], kind).cast(field.type)
        else:
            columns[field.name] = pa.nulls(len(rows), field.type)
    return pa.table({**columns, FILE: pa.array(np.array(given_columns[FILE], np.int32))})


def samples(table: pa.Table) -> list[tuple[Sample, int]]:
    names = ("vm_id", "ts", "cpu_percent", "node_id")
    ts = table["ts"].cast(pa.int64())
    columns = [(ts if name == "ts" else table[name]).to_pylist() for name in names]
    return list(zip(zip(*columns, strict=True), table["copy"].to_pylist(), strict=True))


@settings(max_examples=150)
@given(batches=st.lists(st.lists(SAMPLES, min_size=1, max_size=3), min_size=1, max_size=3))
def test_a_row_is_kept_as_often_as_the_file_that_has_most_of_it(batches: list[list[list[Sample]]]) -> None:
    """Stops rows from being dropped that differ in one column, or doubled where files overlap."""
    stored: pa.Table | None = None
    expected: Counter[Sample] = Counter()
    for files in batches:
        if not any(files):
            continue
        before = expected.total()
        for file in files:
            expected |= Counter(file)
        stored, added = merge(stored, arrived(files))
        assert Counter(row for row, _ in samples(stored)) == expected
        assert added == expected.total() - before
        again, nothing = merge(stored, arrived(files))
        assert (samples(again), nothing) == (samples(stored), 0)
        for (row, copy), (after, next_copy) in zip(samples(stored), samples(stored)[1:], strict=False):
            assert (row[:2] < after[:2] and next_copy == 0) or (row[:2] == after[:2] and next_copy == copy + 1)


def test_copies_stay_in_order_of_arrival() -> None:
    files: list[list[Sample]] = [[("a", 1, 1.0, None), ("a", 1, 0.0, None)], [("a", 1, None, "n"), ("a", 1, 1.0, None)]]
    first, _ = merge(None, arrived(files))
    assert [row[2:] for row, _ in samples(first)] == [(1.0, None), (0.0, None), (None, "n")]
