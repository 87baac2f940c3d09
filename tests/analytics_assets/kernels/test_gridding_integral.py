"""What a gauge that is a rate adds up to, and when each entity was first and last sampled, against plain loops."""

import math
from collections import defaultdict
from itertools import pairwise
from statistics import median_low

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.gridding import grid
from tests.analytics_assets.kernels.test_gridding import END, MINUTE, START, STEP, batch

times = st.integers(START - 20 * MINUTE, END + MINUTE)
vm_samples = st.lists(st.tuples(times, st.floats(0, 1e6) | st.just(math.nan)), max_size=30)
"""Fewer than the steps that an interval is looked for in, so that a plain median is the same."""


def by_bucket(samples: list[tuple[int, float]]) -> dict[int, float]:
    """Return the sum of value times seconds by bucket, sample by sample."""
    usable = sorted({ts: value for ts, value in samples if math.isfinite(value) and ts < END}.items())
    steps = [after - before for (before, _), (after, _) in pairwise(usable)]
    interval = median_low(steps) if steps else STEP
    found: dict[int, float] = defaultdict(float)
    previous = None
    for ts, value in usable:
        since = interval if previous is None else min(ts - previous, 2 * interval)
        previous = ts
        if ts >= START:
            found[(ts - START) // STEP] += value * since / 1000
    return found


@settings(max_examples=200)
@given(st.lists(vm_samples, max_size=4))
def test_the_integral_is_that_of_a_plain_loop(vms):
    """Stops a rate's bytes from hanging on other VMs' intervals, on bucket edges, or on a gap."""
    series = [({"vm_id": f"vm-{number}"}, samples) for number, samples in enumerate(vms)]
    found = grid(batch(*series), "gauge", START, END, STEP)
    integral = {
        (found.entities[entity], int(bucket)): float(value)
        for entity, bucket, value in zip(found.entity, found.bucket, found.integral, strict=True)
    }
    expected = {
        (labels["vm_id"], bucket): value for labels, samples in series for bucket, value in by_bucket(samples).items()
    }
    assert integral.keys() == expected.keys()
    for cell, value in expected.items():
        assert integral[cell] == pytest.approx(value, rel=1e-9, abs=1e-9)
    for code, name in enumerate(found.entities):
        (samples,) = [samples for labels, samples in series if labels["vm_id"] == name]
        inside = [ts for ts, value in samples if START <= ts < END and math.isfinite(value)]
        assert found.first_ms[code] == (min(inside) if inside else -1)
        assert found.last_ms[code] == (max(inside) if inside else -1)


@pytest.mark.parametrize("interval_seconds", [15, 60, 300, 600, 900])
@pytest.mark.parametrize("jitter_ms", [0, 500])
def test_a_constant_rate_adds_up_whatever_the_interval(interval_seconds, jitter_ms):
    """Stops scrapes that fall to either side of a bucket's edge, or are rarer than buckets, from losing bytes."""
    rng = np.random.default_rng(1)
    ts_ms = np.arange(START - 2_000_000, END, interval_seconds * 1000)
    ts_ms = ts_ms + rng.integers(-jitter_ms, jitter_ms + 1, len(ts_ms))
    found = grid(batch(({"vm_id": "a"}, [(int(ts), 100.0) for ts in ts_ms])), "gauge", START, END, STEP)
    inside = ts_ms[(ts_ms >= START) & (ts_ms < END)]
    before = ts_ms[ts_ms < START]
    assert float(found.integral.sum()) == pytest.approx(100 * (inside[-1] - before[-1]) / 1000, rel=1e-9)


def test_twins_that_take_turns_are_integrated_once():
    """Stops a migrated VM's rate from counting twice, or from standing for the time before its turn."""
    moved = START + 30 * MINUTE
    old = [(START + n * MINUTE, 10.0 + n % 2) for n in range(30)] + [(moved + n * MINUTE, 11.0) for n in range(30)]
    new = [(moved + n * MINUTE, 20.0 + n % 2) for n in range(30)]
    found = grid(
        batch(({"vm_id": "a", "node_id": "n1"}, old), ({"vm_id": "a", "node_id": "n2"}, new)),
        "gauge", START, END, STEP,
    )  # fmt: skip
    assert float(found.integral.sum()) == pytest.approx(30 * 60 * 10.5 + 30 * 60 * 20.5)
    assert (found.first_ms[0], found.last_ms[0]) == (START, END - MINUTE)
    assert found.interval_ms[0] == MINUTE
