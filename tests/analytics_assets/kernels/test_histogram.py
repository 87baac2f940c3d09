"""Histograms against a slow oracle, against PromQL worked out by hand, and against untidy series."""

import math
from collections import defaultdict
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels import counter_cells as cells_module
from analytics_assets.kernels.histogram import Flaws, histogram, parse_bound, quantile
from analytics_assets.kernels.samples import median_steps
from resources.errors import InvalidInput
from resources.monitoring.source import SeriesBatch

START = 1_767_225_600_000  # 2026-01-01
MINUTE = 60_000
STEP = 5 * MINUTE
END = START + 4 * STEP
QUANTILES = (0.5, 0.95, 0.99)
STALE = np.uint64(0x7FF0000000000002).view(np.float64)

Samples = list[tuple[int, float]]
Series = tuple[str, dict[str, str], Samples]
"""Which part (`bucket`, `sum`, `count`), labels and samples in order of arrival."""


def batch_of(part: str, series: list[Series]) -> SeriesBatch:
    samples = [sample for _, _, samples in series for sample in samples]
    return SeriesBatch(
        f"h_{part}",
        tuple(labels for _, labels, _ in series),
        np.r_[0, np.cumsum([len(samples) for _, _, samples in series])].astype(np.int64),
        np.array([ts for ts, _ in samples], np.int64),
        np.array([value for _, value in samples], np.float64),
    )


def read(series: list[Series], quantiles=QUANTILES, interval=None, end=END):
    batches = [
        batch_of(part, own) for part in ("bucket", "sum", "count") if (own := [s for s in series if s[0] == part])
    ]
    return histogram(batches, "h", ("a", "b"), START, end, STEP, quantiles, interval)


def rows(found) -> dict[tuple[tuple[str, ...], int], dict[str, object]]:
    return {
        (found.entities[entity], int(bucket)): {
            "count": float(count), "mean": float(mean), "quantiles": [float(value) for value in values],
            "doubtful": bool(doubtful), "samples": int(samples),
        }
        for entity, bucket, count, mean, values, doubtful, samples in zip(
            found.entity, found.bucket, found.count, found.mean, found.quantiles, found.doubtful, found.samples,
            strict=True,
        )
    }  # fmt: skip


def exposed(
    counts: list[dict[str, float]], labels: dict[str, str] | None = None, begin: int = START, every: int = MINUTE
) -> list[Series]:
    """Series of cumulative values scraped one after another; keys are `le` texts, `sum` and `count`."""
    labels = labels or {"a": "x", "b": "y"}
    made: list[Series] = []
    for key in counts[0]:
        own = [(begin + number * every, scrape[key]) for number, scrape in enumerate(counts) if key in scrape]
        made.append((key, labels, own) if key in ("sum", "count") else ("bucket", {**labels, "le": key}, own))
    return made


# The oracle: sample by sample, instance by instance, in plain Python.


def oracle(series: list[Series], quantiles=QUANTILES):
    per_instance: dict[tuple, dict[object, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    steps: dict[tuple, list[int]] = defaultdict(list)
    seen: dict[tuple, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for part, labels, samples in series:
        key = tuple(sorted((label, value) for label, value in labels.items() if label != "le"))
        name: object = part if part != "bucket" else float(labels["le"])
        kept = {ts: value for ts, value in samples if math.isfinite(value) and value >= 0 and ts < END}
        ordered = sorted(kept.items())
        times = np.array([ts for ts, _ in ordered], np.int64)
        steps[key].append(int(median_steps(times, np.array([0, len(times)]))[0]))
        own_seen: dict[int, int] = defaultdict(int)
        for before, (ts, value) in zip([None, *ordered], ordered, strict=False):
            if ts < START:
                continue
            own_seen[(ts - START) // STEP] += 1
            if before is not None:
                rise = value if value < before[1] else value - before[1]
                per_instance[key][name].append(((ts - START) // STEP, rise, ts - before[0]))
        for bucket, number in own_seen.items():
            seen[labels["a"], labels["b"]][bucket].append(number)
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


@settings(max_examples=400, deadline=None)
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


# By hand, as the documentation of histogram_quantile says it.


def one(q: float, bounds: list[float], cumulative: list[float], total: float) -> float:
    column = np.array(cumulative, np.float64)[:, None]
    return float(quantile(q, np.array(bounds, np.float64), column, np.array([total], np.float64))[0])


@pytest.mark.parametrize(
    ("q", "bounds", "cumulative", "total", "expected"),
    [
        (0.5, [0.1, 0.5, 1.0], [10, 30, 40], 40, 0.3),  # rank 20: half of the way from 0.1 to 0.5
        (0.125, [0.1, 0.5, 1.0], [10, 30, 40], 40, 0.05),  # the lowest bucket begins at 0
        (0.25, [0.1, 0.5, 1.0], [10, 30, 40], 40, 0.1),  # just at a bound
        (0.9, [0.1, 0.5], [10, 20], 40, 0.5),  # beyond all bounds: the highest finite one
        (0.5, [-2.0, 1.0], [10, 10], 10, -2.0),  # a lowest bucket that cannot begin at 0
        (0.5, [0.0, 1.0], [10, 10], 10, 0.0),
        (1.0, [0.1, 0.5, 1.0], [10, 10, 10], 10, 0.1),
        (0.5, [0.1, 0.5], [0, 0], 0, math.nan),  # nothing observed
        (0.5, [0.5], [3], 3, 0.25),
    ],
)
def test_a_quantile_is_the_one_promql_documents(q, bounds, cumulative, total, expected):
    """Stops an off-by-one bucket, a lowest bucket that begins at its bound, and an infinite latency."""
    assert one(q, bounds, cumulative, total) == pytest.approx(expected, nan_ok=True)


def test_the_figures_of_one_bucket_by_hand():
    """Stops a mean over the exporter's whole life, and the increase that ends in the window from being lost."""
    scrapes = [
        {"0.1": 100, "0.5": 200, "+Inf": 300, "sum": 90.0, "count": 300},
        {"0.1": 110, "0.5": 230, "+Inf": 340, "sum": 106.0, "count": 340},
    ]
    found = rows(read(exposed(scrapes, begin=START - MINUTE), quantiles=(0.25, 0.5, 0.99)))
    assert found == {
        (("x", "y"), 0): {
            "count": 40.0, "mean": 0.4, "quantiles": [pytest.approx(0.1), pytest.approx(0.3), 0.5],
            "doubtful": False, "samples": 1,
        }
    }  # fmt: skip


def test_no_observation_is_a_count_of_zero_and_no_latency():
    """Stops a quiet link from having a latency of 0."""
    scrapes = [{"0.1": 5, "+Inf": 5, "sum": 1.0, "count": 5}] * 3
    row = rows(read(exposed(scrapes)))[("x", "y"), 0]
    assert row["count"] == 0
    assert math.isnan(row["mean"])
    assert all(math.isnan(value) for value in row["quantiles"])


def test_a_restart_begins_again_at_zero():
    """Stops a negative number of observations when the exporter restarts."""
    scrapes = [
        {"0.1": 1000, "+Inf": 2000, "sum": 500.0, "count": 2000},
        {"0.1": 4, "+Inf": 8, "sum": 2.0, "count": 8},
        {"0.1": 5, "+Inf": 10, "sum": 2.5, "count": 10},
    ]
    row = rows(read(exposed(scrapes)))[("x", "y"), 0]
    assert (row["count"], row["mean"], row["quantiles"][0]) == (10, 0.25, pytest.approx(0.1))


def test_an_increase_over_a_gap_is_counted_and_marked():
    """Stops an hour's observations from vanishing, or from passing as those of five minutes."""
    times = [0, 1, 2, 3, 11, 12]
    series = [
        ("count", {"a": "x", "b": "y"}, [(START + time * MINUTE, 10.0 * time) for time in times]),
        ("bucket", {"a": "x", "b": "y", "le": "1"}, [(START + time * MINUTE, 10.0 * time) for time in times]),
    ]
    found = rows(read(series))
    assert [(bucket, row["count"], row["doubtful"]) for (_, bucket), row in found.items()] == [
        (0, 30, False),
        (2, 90, True),
    ]
    assert not any(row["doubtful"] for row in rows(read(series, interval=300)).values())


def test_several_instances_of_one_link_are_added():
    """Stops one of two probes from hiding the other's slow observations."""
    fast = exposed([{"0.1": 0, "1": 0, "+Inf": 0}, {"0.1": 60, "1": 60, "+Inf": 60}], {"a": "x", "b": "y", "i": "1"})
    slow = exposed([{"0.1": 0, "1": 0, "+Inf": 0}, {"0.1": 0, "1": 20, "+Inf": 20}], {"a": "x", "b": "y", "i": "2"})
    row = rows(read(fast + slow, quantiles=(0.75, 0.875)))[("x", "y"), 0]
    assert row["count"] == 80
    assert row["quantiles"] == pytest.approx([0.1, 0.55])
    assert row["samples"] == 2  # a second instance is no better coverage


def test_instances_with_other_bounds_are_read_along_the_same_lines():
    """Stops a sum by `le` that falls from bound to bound, and a new layout that blunts the old one."""
    old = exposed([{"1": 0, "+Inf": 0}, {"1": 100, "+Inf": 100}], {"a": "x", "b": "y", "i": "1"})
    new = exposed([{"0.5": 0, "1": 0, "+Inf": 0}, {"0.5": 100, "1": 100, "+Inf": 100}], {"a": "x", "b": "y", "i": "2"})
    found = read(old + new, quantiles=(0.75, 0.875))
    # Up to 0.5: half of the old one's and all of the new one's, 150 of 200.
    assert rows(found)[("x", "y"), 0]["quantiles"] == pytest.approx([0.5, 0.75])
    assert found.flaws.repaired == 0


def test_a_layout_that_changes_at_a_restart_leaves_out_what_covers_a_part_only():
    """Stops a bound that was there for one minute of five from looking like a gap in the distribution."""
    before = [{"0.1": 10 * n, "1": 20 * n, "+Inf": 20 * n} for n in range(3)]
    after = [{"0.5": 15 * n, "1": 20 * n, "+Inf": 20 * n} for n in range(8)]
    labels = {"a": "x", "b": "y"}
    series: list[Series] = []
    for key in ("0.1", "0.5", "1", "+Inf"):
        own = [(START + n * MINUTE, float(scrape[key])) for n, scrape in enumerate([*before, *after]) if key in scrape]
        series.append(("bucket", {**labels, "le": key}, own))
    found = read(series, quantiles=(0.5, 0.75))
    first, second = rows(found)[("x", "y"), 0], rows(found)[("x", "y"), 1]
    assert first["count"] == 60  # 40 before; at the restart the counters stand at 0; 20 after
    assert first["quantiles"] == pytest.approx([0.5, 0.75])  # of the shared bounds, 1 and +Inf
    assert second["quantiles"] == pytest.approx([1 / 3, 0.5])
    assert found.flaws.partial == 2


@pytest.mark.parametrize("total", ["count", "+Inf"])
def test_either_total_will_do(total):
    """Stops a histogram without `+Inf` (or without `_count`) from having no quantiles."""
    scrapes = [{"0.1": 0, "1": 0, total: 0}, {"0.1": 10, "1": 20, total: 40}]
    row = rows(read(exposed(scrapes), quantiles=(0.25, 0.9)))[("x", "y"), 0]
    assert (row["count"], row["quantiles"]) == (40, [pytest.approx(0.1), 1.0])


def test_without_any_total_there_is_no_answer():
    """Stops observations above the highest bound from being left out of a quantile unseen."""
    found = read(exposed([{"0.1": 0, "1": 0}, {"0.1": 10, "1": 20}]))
    row = rows(found)[("x", "y"), 0]
    assert math.isnan(row["count"])
    assert all(math.isnan(value) for value in row["quantiles"])
    assert found.flaws.without_total == 1


def test_counts_that_fall_from_bound_to_bound_are_raised_and_counted():
    """Stops nonsense from buckets that were scraped while they changed."""
    scrapes = [{"0.1": 0, "0.5": 0, "1": 0, "+Inf": 0}, {"0.1": 10, "0.5": 8, "1": 20, "+Inf": 19}]
    found = read(exposed(scrapes), quantiles=(0.5, 0.75))
    assert rows(found)[("x", "y"), 0]["quantiles"] == pytest.approx([0.1, 0.75])
    assert found.flaws.repaired == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5), ("5e-1", 0.5), (".5", 0.5), ("1.", 1.0), ("1", 1.0), ("-2", -2.0), ("+3", 3.0), ("1E3", 1000.0),
        ("+Inf", math.inf), ("Inf", math.inf), ("inf", math.inf), ("+infinity", math.inf),
        ("-Inf", None), ("NaN", None), ("", None), ("1_000", None), (" 1", None), ("1\n", None), ("0x10", None),
        ("1e999", None), ("\u0661", None), ("1;drop", None), ("e5", None), (".", None),
    ],
)  # fmt: skip
def test_bounds_are_numbers_however_they_are_written(text, value):
    """Stops `0.5` and `5e-1` from being two bounds, and garbage from being one."""
    assert parse_bound(text) == value


def test_two_writings_of_one_bound_are_one_bound():
    """Stops a server that begins to write `1.0` for `1` from making two half-empty buckets."""
    labels = {"a": "x", "b": "y"}
    old, new = range(5), range(5, 10)
    series = [
        ("bucket", {**labels, "le": "1"}, [(START + n * MINUTE, 5.0 * n) for n in old]),
        ("bucket", {**labels, "le": "1.0"}, [(START + n * MINUTE, 5.0 * n) for n in new]),
        ("count", labels, [(START + n * MINUTE, 10.0 * n) for n in range(10)]),
    ]
    found = read(series, quantiles=(0.25,))
    assert [row["quantiles"] for row in rows(found).values()] == [
        [pytest.approx(0.5)],
        [pytest.approx(math.nan, nan_ok=True)],
    ]
    assert found.flaws.partial == 1  # the increase between the two series is in neither


def test_garbage_is_left_out_and_counted():
    """Stops hostile or broken series from spoiling the rest, and from going unseen."""
    labels = {"a": "x", "b": "y"}
    good = exposed([{"0.1": 0, "+Inf": 0, "sum": 0.0, "count": 0}, {"0.1": 10, "+Inf": 10, "sum": 0.5, "count": 10}])
    bad: list[Series] = [
        ("bucket", {**labels, "le": "wide"}, [(START, 0.0), (START + MINUTE, 1e9)]),
        ("bucket", labels, [(START, 0.0), (START + MINUTE, 1e9)]),
        ("count", {"a": "x"}, [(START, 0.0), (START + MINUTE, 1e9)]),
        ("count", {"a": "", "b": "y"}, [(START, 0.0), (START + MINUTE, 1e9)]),
    ]
    untidy: Samples = [(START + 2 * MINUTE, -1.0), (START + 2 * MINUTE, math.nan), (START + 3 * MINUTE, float(STALE))]
    good[3] = ("count", labels, [good[3][2][1], good[3][2][0], good[3][2][1], *untidy])
    found = read(good + bad)
    assert rows(found) == rows(read(exposed([{"0.1": 0, "+Inf": 0, "sum": 0.0, "count": 0},
                                             {"0.1": 10, "+Inf": 10, "sum": 0.5, "count": 10}])))  # fmt: skip
    expected = Flaws(late=1, repeated=1, not_finite=1, stale=1, negative=1, bad_bounds=2, unlabelled=2)
    assert asdict(found.flaws) == asdict(expected)


def test_nothing_at_all_is_no_rows():
    found = histogram([], "h", ("a", "b"), START, END, STEP)
    assert (len(found.entity), found.last_ts_ms, found.interval_seconds) == (0, -1, 0)
    assert found.quantiles.shape == (0, 3)
    assert read([("bucket", {"a": "x", "b": "y", "le": "1"}, [])]).entities == (("x", "y"),)


@pytest.mark.parametrize("q", [0, -0.1, 1.01, math.nan])
def test_an_impossible_quantile_is_refused(q):
    with pytest.raises(InvalidInput, match="not a quantile"):
        histogram([], "h", ("a",), START, END, STEP, [q])


def test_a_batch_of_something_else_is_refused():
    """Stops the samples of another metric from counting as observations."""
    with pytest.raises(ValueError, match="no part of"):
        histogram([batch_of("bukket", [])], "h", ("a",), START, END, STEP)


def test_entities_with_a_separator_in_their_labels_stay_apart():
    """Stops two links from becoming one because of what a label holds."""
    scrapes = [{"1": 0, "+Inf": 0}, {"1": 10, "+Inf": 10}]
    found = read(exposed(scrapes, {"a": "x\x1f", "b": "y"}) + exposed(scrapes, {"a": "x", "b": "\x1fy"}))
    assert found.entities == (("x", "\x1fy"), ("x\x1f", "y"))
    assert found.count.tolist() == [10, 10]
