"""Sizes and steps over days, against a slow and simple walk over the rows."""

from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.monitoring.traces.source import TraceFiles
from tests.resources.monitoring.traces.files import START_S, run

DAY = 86_400

ROWS = st.lists(
    st.tuples(
        st.integers(0, 4 * DAY // 100).map(lambda step: START_S + step * 100),
        st.sampled_from("ab"),
        st.sampled_from([None, 0, 2]),
        st.sampled_from([None, 1024, 2048]),
        st.sampled_from([None, "n1", "n2"]),
    ),
    min_size=1,
    max_size=25,
)


def imported(folder: Path, rows: list[tuple[Any, ...]]) -> TraceFiles:
    lines = [",".join("" if value is None else str(value) for value in row) for row in rows]
    (folder / "x.csv").write_text("\n".join(["ts,vm_id,vcpus,memory_capacity_bytes,node_id", *lines]))
    run(folder / "store", folder / "x.csv")
    return TraceFiles(folder / "store")


@settings(max_examples=60)
@given(rows=ROWS)
def test_sizes_and_steps_are_those_of_the_rows(
    rows: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Stops a change at midnight from being missed or invented, and a missing size from being a change."""
    source = imported(tmp_path_factory.mktemp("history"), rows)
    expected, steps = [], []
    for vm in "ab":
        known: list[Any] = [None, None, None]
        moments: dict[int, list[Any]] = {}
        for row in sorted((row for row in rows if row[1] == vm), key=lambda row: row[0]):
            known = [old if new is None else new for old, new in zip(known, row[2:], strict=True)]
            moments[row[0]] = known
        steps += [after - before for before, after in pairwise(moments)]
        previous = None
        for ts, state in moments.items():
            if state != previous:
                expected.append((vm, ts * 1000, *state, "stopped" if state[0] == 0 else "running"))
            previous = state
    found = source.inventory("acme", 0, 2**42).to_pylist()
    names = ("vm_id", "valid_from_ms", "vcpus", "memory_bytes", "node_id", "state")
    # Rows without any size are the VM's all the same: it was seen.
    assert [tuple(row[name] for name in names) for row in found] == expected
    assert source.sample_interval_seconds("acme") == (max(1, round(median(steps))) if steps else DAY)


def test_inventory_of_a_day_is_what_held_then(tmp_path: Path) -> None:
    """Stops an older row from being cut to the day, and a VM from living on after its last sample."""
    rows = [
        (START_S, "a", 2, 1024, None),
        (START_S + DAY + 3600, "a", 4, 1024, None),
        (START_S + 3 * DAY, "a", 4, 1024, None),
        (START_S, "b", 1, 1024, None),
        (START_S, "c", 1, 1024, None),
        (START_S + DAY, "c", 8, 1024, None),
    ]
    source = imported(tmp_path, rows)

    def day(number: int) -> list[tuple[str, int, float]]:
        start = (START_S + number * DAY) * 1000
        found = source.inventory("acme", start, start + DAY * 1000).to_pylist()
        return [(row["vm_id"], row["valid_from_ms"] // 1000 - START_S, row["vcpus"]) for row in found]

    assert day(-1) == []
    assert day(0) == [("a", 0, 2.0), ("b", 0, 1.0), ("c", 0, 1.0)]
    assert day(1) == [("a", 0, 2.0), ("a", DAY + 3600, 4.0), ("c", DAY, 8.0)]
    assert day(2) == [("a", DAY + 3600, 4.0)]
    assert day(3) == [("a", DAY + 3600, 4.0)]
    assert day(4) == []
