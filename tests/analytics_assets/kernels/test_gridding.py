"""Gridding against a slow oracle, and each way in which real samples are untidy."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.gridding import averaged_over_series, grid
from resources.monitoring.source import SeriesBatch

START = 1_767_225_600_000  # 2026-01-01
MINUTE = 60_000
END = START + 60 * MINUTE
STEP = 5 * MINUTE


def batch(*series: tuple[dict[str, str], list[tuple[int, float]]]) -> SeriesBatch:
    samples = [sample for _, samples in series for sample in samples]
    return SeriesBatch(
        "metric",
        tuple(labels for labels, _ in series),
        np.r_[0, np.cumsum([len(samples) for _, samples in series])].astype(np.int64),
        np.array([ts for ts, _ in samples], np.int64),
        np.array([value for _, value in samples], np.float64),
    )


def cells(gridded) -> dict[tuple[str, int], tuple[float, float, int]]:
    return {
        (gridded.entities[entity], int(bucket)): (float(mean), float(maximum), int(samples))
        for entity, bucket, mean, maximum, samples in zip(
            gridded.entity, gridded.bucket, gridded.mean, gridded.maximum, gridded.samples, strict=True
        )
    }


def oracle(series: list[tuple[str, list[tuple[int, float]]]], kind: str) -> dict[tuple[str, int], tuple[float, float]]:
    """One series per VM, sample by sample in plain Python."""
    found: dict[tuple[str, int], list[tuple[float, float, float]]] = defaultdict(list)
    for vm, samples in series:
        latest = {ts: value for ts, value in samples if math.isfinite(value) and ts < END}
        before: tuple[int, float] | None = None
        for ts, value in sorted(latest.items()):
            if kind == "gauge":
                if ts >= START:
                    found[vm, (ts - START) // STEP].append((value, 1.0, value))
            else:
                if before is not None and ts >= START:
                    rise = value if value < before[1] else value - before[1]
                    seconds = (ts - before[0]) / 1000
                    found[vm, (ts - START) // STEP].append((rise, seconds, rise / seconds))
                before = (ts, value)
    return {
        cell: (sum(part[0] for part in parts) / sum(part[1] for part in parts), max(part[2] for part in parts))
        for cell, parts in found.items()
    }


times = st.integers(START - 10 * MINUTE, END + 10 * MINUTE)
values = st.one_of(st.floats(0, 1e6), st.sampled_from([math.nan, math.inf]))


@settings(max_examples=200)
@given(
    st.lists(st.lists(st.tuples(times, values), max_size=30), min_size=1, max_size=4),
    st.sampled_from(["gauge", "counter"]),
)
def test_equals_the_sample_by_sample_oracle(many, kind):
    """Stops any loss or double count: late, repeated, non-finite samples, resets, gaps, window edges."""
    series = [(f"vm-{number}", samples) for number, samples in enumerate(many)]
    gridded = grid(batch(*(({"vm_id": vm}, samples) for vm, samples in series)), kind, START, END, STEP)
    expected = oracle(series, kind)
    found = cells(gridded)
    assert found.keys() == expected.keys()
    for cell, (mean, peak) in expected.items():
        assert found[cell][0] == pytest.approx(mean, rel=1e-5, abs=1e-6)
        assert found[cell][1] == pytest.approx(max(mean, peak), rel=1e-5, abs=1e-6)


def test_the_window_is_closed_at_its_start_and_open_at_its_end():
    """Stops the sample at midnight from counting in two days."""
    gridded = grid(
        batch(({"vm_id": "a"}, [(START - 1, 1.0), (START, 2.0), (END - 1, 3.0), (END, 4.0)])), "gauge", START, END, STEP
    )
    assert cells(gridded) == {("a", 0): (2.0, 2.0, 1), ("a", 11): (3.0, 3.0, 1)}


def test_a_counter_reset_counts_from_zero_and_the_lead_in_gives_the_first_rate():
    """Stops the 60 % loss of last-minus-first, and a day that begins without a rate."""
    samples = [(START - MINUTE, 100.0), (START, 160.0), (START + MINUTE, 30.0)]
    gridded = grid(batch(({"vm_id": "a"}, samples)), "counter", START, END, STEP)
    assert cells(gridded)["a", 0] == (pytest.approx(90 / 120), 1.0, 2)


def test_a_frozen_twin_is_cut_off_where_it_stopped_changing():
    """Stops a migrated VM from being counted twice: its old series stays exposed with its last value."""
    old = [(START + i * MINUTE, 50.0 + min(i, 20)) for i in range(60)]
    new = [(START + i * MINUTE, 10.0 + i) for i in range(20, 60)]
    gridded = grid(
        batch(({"vm_id": "a", "node_id": "n1"}, old), ({"vm_id": "a", "node_id": "n2"}, new)), "gauge", START, END, STEP
    )
    found = cells(gridded)
    assert found["a", 11] == (pytest.approx(np.mean([value for ts, value in new[-5:]])), 69.0, 5)
    assert gridded.frozen == 40  # the old series after its last change, and the new one at that instant
    assert [gridded.places[code] for code in gridded.place[[0, 11]]] == ["n1", "n2"]


def test_a_twin_frozen_all_day_adds_nothing():
    """Stops the old series from counting on the days after the migration."""
    old = [(START + i * MINUTE, 70.0) for i in range(60)]
    new = [(START + i * MINUTE, 10.0 + i % 3) for i in range(60)]
    gridded = grid(batch(({"vm_id": "a"}, old), ({"vm_id": "a"}, new)), "gauge", START, END, STEP)
    assert gridded.frozen == 60
    assert max(gridded.maximum) == 12.0


def test_series_without_the_entity_label_are_left_out():
    gridded = grid(batch(({"other": "x"}, [(START, 1.0)]), ({"vm_id": "a"}, [(START, 2.0)])), "gauge", START, END, STEP)
    assert gridded.entities == ("a",)
    assert cells(gridded) == {("a", 0): (2.0, 2.0, 1)}


def test_an_empty_batch_has_no_buckets():
    assert cells(grid(batch(), "gauge", START, END, STEP)) == {}


def test_node_cpus_are_averaged_at_each_instant():
    """Stops a node with 2 CPUs at 100 % and 0 % from showing a maximum of 100 %."""
    first = ({"node_id": "n", "cpu": "0"}, [(START, 100.0), (START + MINUTE, 80.0)])
    second = ({"node_id": "n", "cpu": "1"}, [(START, 0.0), (START + MINUTE, math.nan)])
    merged = averaged_over_series(batch(first, second), "node_id")
    assert merged.labels == ({"node_id": "n"},)
    assert merged.values.tolist() == [50.0, 80.0]
