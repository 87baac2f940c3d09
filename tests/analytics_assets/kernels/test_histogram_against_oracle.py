"""Histograms held against an oracle that goes sample by sample, instance by instance, in plain Python."""

import math
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels import counter_cells as cells_module
from analytics_assets.kernels.histogram import histogram
from analytics_assets.kernels.samples import median_steps
from tests.analytics_assets.kernels.histogram_series import (
    END,
    MINUTE,
    QUANTILES,
    STALE,
    START,
    STEP,
    Samples,
    Series,
    batch_of,
    exposed,
    read,
    rows,
)


def oracle(series: list[Series], quantiles=QUANTILES):
    per_instance: dict[tuple, dict[object, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    steps: dict[tuple, list[int]] = defaultdict(list)
    seen: dict[tuple, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    ordered_of: dict[tuple, dict[object, list[tuple[int, float]]]] = defaultdict(dict)
    for part, labels, samples in series:
        key = tuple(sorted((label, value) for label, value in labels.items() if label != "le"))
        name: object = part if part != "bucket" else float(labels["le"])
        kept = {ts: value for ts, value in samples if math.isfinite(value) and value >= 0 and ts < END}
        ordered = ordered_of[key][name] = sorted(kept.items())
        times = np.array([ts for ts, _ in ordered], np.int64)
        steps[key].append(int(median_steps(times, np.array([0, len(times)]))[0]))
        own_seen: dict[int, int] = defaultdict(int)
        for ts in kept:
            if ts >= START:
                own_seen[(ts - START) // STEP] += 1
        for bucket, number in own_seen.items():
            seen[labels["a"], labels["b"]][bucket].append(number)
    for key, names in ordered_of.items():
        of_buckets = {fall for name, ordered in names.items() if isinstance(name, float) for fall in falls_of(ordered)}
        of_count = falls_of(names.get("count", []))
        unseen = {(ts - START) // STEP for _, ts in of_count - of_buckets}
        for name, ordered in names.items():
            known = of_buckets | (set() if isinstance(name, float) else of_count | falls_of(ordered))
            for (began, old), (ts, value) in pairwise(ordered):
                bucket = (ts - START) // STEP
                if ts >= START and not (isinstance(name, float) and bucket in unseen):
                    again = any(began <= before and after <= ts for before, after in known)
                    per_instance[key][name].append((bucket, value if again else value - old, ts - began))
    result = {}
    for entity in sorted({(dict(key)["a"], dict(key)["b"]) for key in per_instance}):
        own = [key for key in per_instance if (dict(key)["a"], dict(key)["b"]) == entity]
        knots = sorted(
            {name for key in own for name in per_instance[key] if isinstance(name, float) and name < math.inf}
        )
        if knots and knots[0] < 0:
            knots = sorted({*knots, 0.0})
        for bucket in range(4):
            tells = [told(per_instance[key], bucket, max(steps[key]) / 2) for key in own]
            if not any(tell["any"] for tell in tells):
                continue
            counts = [tell["count"] for tell in tells if tell["count"] is not None]
            means = [tell["mean"] for tell in tells if tell["mean"] is not None]
            mean_count = sum(number for number, _ in means)
            curves = [tell["curve"] for tell in tells if tell["curve"] is not None]
            merged = [sum(at(curve, knot) for curve in curves) for knot in knots]
            total = sum(curve[1] for curve in curves)
            highest = max((curve[0][-1][0] for curve in curves), default=math.nan)
            lowest = min((curve[0][0][0] for curve in curves), default=math.nan)
            result[entity, bucket] = {
                "count": sum(counts) if counts else math.nan,
                "mean": sum(amount for _, amount in means) / mean_count if mean_count > 0 else math.nan,
                "quantiles": [plain_quantile(q, knots, merged, total, lowest, highest) for q in quantiles],
                "samples": max(seen[entity][bucket]),
            }
    return result


def falls_of(ordered: list[tuple[int, float]]) -> set[tuple[int, int]]:
    """When a counter fell: the times of the samples before and after."""
    return {(before, after) for (before, old), (after, new) in pairwise(ordered) if new < old}


def told(parts, bucket: int, tolerance: float):
    def of(name):
        own = [(rise, step) for at, rise, step in parts.get(name, []) if at == bucket]
        return (sum(rise for rise, _ in own), sum(step for _, step in own)) if own else None

    count, overflow, summed = of("count"), of(math.inf), of("sum")
    reference = count or overflow
    bounds = []
    for name in sorted(name for name in parts if isinstance(name, float) and name < math.inf):
        own = of(name)
        if own and reference and abs(own[1] - reference[1]) <= tolerance:
            bounds.append((name, max([own[0], *[value for _, value in bounds]])))
    curve = None
    if bounds:
        top = overflow if overflow and abs(overflow[1] - reference[1]) <= tolerance else reference
        curve = (bounds, max(top[0], bounds[-1][1]))
    paired = summed and reference and abs(summed[1] - reference[1]) <= tolerance
    return {
        "any": any(of(name) for name in parts),
        "count": reference[0] if reference else None,
        "mean": (reference[0], summed[0]) if paired else None,
        "curve": curve,
    }


def at(curve, x: float) -> float:
    """Observations of at most `x`: straight lines between the bounds, from 0 on."""
    points, _ = curve
    if x >= points[-1][0]:
        return points[-1][1]
    line = [(0.0, 0.0), *points] if points[0][0] > 0 else points
    if x < line[0][0]:
        return 0.0
    for (low, before), (high, after) in pairwise(line):
        if low <= x < high:
            return before + (after - before) * (x - low) / (high - low)
    raise AssertionError(x)


def plain_quantile(q: float, bounds, counts, total: float, lowest: float, highest: float) -> float:
    if not bounds or not total > 0:
        return math.nan
    rank = q * total
    for number, (bound, count) in enumerate(zip(bounds, counts, strict=True)):
        if count >= rank:
            if bound <= lowest <= 0:
                return lowest
            start, below = (bounds[number - 1], counts[number - 1]) if number else (0.0, 0.0)
            return start + (bound - start) * (rank - below) / (count - below)
    return highest


LAYOUTS = [["0.1", "0.5", "1", "+Inf"], ["0.25", "0.5", "2", "+Inf"], ["-1", "0", "1", "+Inf"], ["0.5", "1"], ["+Inf"]]
rises = st.lists(st.integers(0, 9), min_size=5, max_size=5)


@st.composite
def instances(draw) -> list[Series]:
    made: list[Series] = []
    for number in range(draw(st.integers(1, 4))):
        labels = {"a": "x", "b": draw(st.sampled_from(["y", "z"])), "instance": str(number)}
        layout = draw(st.sampled_from(LAYOUTS))
        keys = [*layout, *draw(st.sampled_from([["sum", "count"], ["count"], ["sum"], []]))]
        times = sorted(draw(st.sets(st.integers(-3, 24), min_size=2, max_size=14)))
        value: dict[str, float] = dict.fromkeys(keys, 0.0)
        samples: dict[str, Samples] = {key: [] for key in keys}
        for time in times:
            if draw(st.integers(0, 9)) == 0:
                value = dict.fromkeys(keys, 0.0)  # the exporter began again
            rise = draw(rises)
            for place, key in enumerate(layout):
                value[key] += sum(rise[: place + 1]) if key != "+Inf" else sum(rise)
            for key in ("sum", "count"):
                if key in value:
                    value[key] += sum(rise) * (0.25 if key == "sum" else 1)
            for key in keys:
                fault = draw(st.integers(0, 40))
                if fault == 0:
                    continue
                if fault == 1:
                    samples[key].append(
                        (START + time * MINUTE, draw(st.sampled_from([math.nan, STALE, math.inf, -5.0])))
                    )
                    continue
                samples[key].append(
                    (START + time * MINUTE, value[key] + (draw(st.integers(-3, 3)) if fault == 2 else 0))
                )
                if fault == 3:
                    samples[key].append(samples[key][-1])
        for key in keys:
            order = draw(st.permutations(samples[key])) if draw(st.integers(0, 9)) == 0 else samples[key]
            own = {**labels} if key in ("sum", "count") else {**labels, "le": key}
            made.append((key if key in ("sum", "count") else "bucket", own, list(order)))
    return made


@settings(max_examples=400)
@given(instances())
def test_equals_the_sample_by_sample_oracle(series):
    """Stops any loss, double count, wrong interpolation: resets, lost samples, several instances and layouts."""
    found, expected = rows(read(series)), oracle(series)
    assert found.keys() == expected.keys()
    for cell, row in expected.items():
        for name in ("count", "mean", "samples"):
            assert found[cell][name] == pytest.approx(row[name], nan_ok=True), (cell, name)
        assert found[cell]["quantiles"] == pytest.approx(row["quantiles"], nan_ok=True, abs=1e-9), cell


def test_the_answer_does_not_hang_on_how_the_source_cut_its_batches(monkeypatch):
    """Stops one server's answer from differing from another's for the same samples."""
    scrapes = [
        {"0.1": n * n, "1": n * n + n, "+Inf": n * n + 2 * n, "sum": float(n), "count": n * n + 2 * n}
        for n in range(18)
    ]
    series = exposed(scrapes) + exposed(scrapes[3:], {"a": "x", "b": "z"})
    whole = read(series)
    monkeypatch.setattr(cells_module, "SAMPLES_AT_ONCE", 20)
    one_by_one = [batch_of(series[0], [series]) for series in series]
    apart = histogram(reversed(one_by_one), "h", ("a", "b"), START, END, STEP, QUANTILES)
    assert rows(whole) == rows(apart)
    assert whole.flaws == apart.flaws
