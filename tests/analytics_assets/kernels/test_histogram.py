"""Histograms against PromQL worked out by hand, and against untidy series."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from analytics_assets.kernels.histogram import Flaws, histogram, parse_bound
from analytics_assets.kernels.histogram_quantile import quantile
from resources.errors import InvalidInput
from tests.analytics_assets.kernels.histogram_series import (
    END,
    MINUTE,
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


def test_a_restart_is_seen_from_any_count_of_the_instance():
    """Stops a bound that is beyond its old value already from counting only the difference: 20 instead of 80."""
    scrapes = [
        {"0.1": 50, "1": 55, "+Inf": 60, "sum": 20.0, "count": 60},
        {"0.1": 10, "1": 70, "+Inf": 80, "sum": 40.0, "count": 80},
    ]
    found = read(exposed(scrapes), quantiles=(0.125, 0.5))
    row = rows(found)[("x", "y"), 0]
    assert (row["count"], row["mean"]) == (80, 0.5)
    assert row["quantiles"] == pytest.approx([0.1, 0.55])
    assert (found.flaws.repaired, found.flaws.partial) == (0, 0)


def test_a_restart_of_one_instance_is_none_of_another():
    """Stops one node's restart from adding another node's whole life to the link."""
    steady = exposed([{"1": 1000, "+Inf": 1000}, {"1": 1010, "+Inf": 1010}], {"a": "x", "b": "y", "i": "1"})
    restarted = exposed([{"1": 50, "+Inf": 50}, {"1": 7, "+Inf": 7}], {"a": "x", "b": "y", "i": "2"})
    assert rows(read(steady + restarted))[("x", "y"), 0]["count"] == 17


def test_a_restart_counts_for_a_bound_whose_sample_was_lost_then():
    """Stops the increase over a lost sample from missing the restart within it."""
    labels = {"a": "x", "b": "y"}
    total = [(START, 100.0), (START + MINUTE, 4.0), (START + 2 * MINUTE, 130.0)]
    bound = [(START, 90.0), (START + 2 * MINUTE, 120.0)]
    series: list[Series] = [("bucket", {**labels, "le": "+Inf"}, total), ("bucket", {**labels, "le": "1"}, bound)]
    row = rows(read(series, quantiles=(12 / 26,)))[("x", "y"), 0]
    assert (row["count"], row["quantiles"]) == (130, [pytest.approx(0.5)])


def test_a_sum_that_falls_does_not_spoil_the_counts():
    """Stops one negative observation from counting an exporter's whole life again."""
    scrapes = [
        {"1": 1000, "+Inf": 1000, "sum": 500.0, "count": 1000},
        {"1": 1010, "+Inf": 1010, "sum": 499.0, "count": 1010},
    ]
    assert rows(read(exposed(scrapes)))[("x", "y"), 0]["count"] == 10


def test_bounds_read_before_the_restart_was_known_are_left_out():
    """Stops bounds that hide a restart, which only the count shows, from being told as a distribution."""
    scrapes = [{"0.1": 10, "1": 20, "count": 100}, {"0.1": 15, "1": 40, "count": 50}]
    found = read(exposed(scrapes))
    row = rows(found)[("x", "y"), 0]
    assert row["count"] == 50
    assert all(math.isnan(value) for value in row["quantiles"])
    assert found.flaws.partial == 2


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


LONG = START + 24 * STEP


def scraped(counts: list[dict[str, float]], instance: str, offset: int = 0, missing=range(0)) -> list[Series]:
    """The series of one link as a server shows them that scrapes `offset` ms late and sees none of `missing`."""
    whole = exposed(counts, {"a": "x", "b": "y", "i": instance}, begin=START + offset)
    return [
        (part, labels, [sample for sample in samples if (sample[0] - START) // MINUTE not in missing])
        for part, labels, samples in whole
    ]


def test_one_exporter_scraped_by_two_servers_counts_once():
    """Stops a pair of servers from doubling the observations, also where one was away or the exporter restarted."""
    scrapes = [{"0.1": 5 * n, "1": 8 * n, "+Inf": 10 * n, "sum": n / 3, "count": 10 * n} for n in range(100, 180)]
    scrapes += [{"0.1": 5 * n, "1": 8 * n, "+Inf": 10 * n, "sum": n / 3, "count": 10 * n} for n in range(40)]
    one = scraped(scrapes, "1")
    for missing in (range(0), range(22, 34), range(95, 120)):
        other = scraped(scrapes, "2", 20_000, missing)
        for series in (one + other, other + one):
            found = read(series, end=LONG)
            alone = rows(read(one, end=LONG))
            assert {cell: row["count"] for cell, row in rows(found).items()} == {
                cell: pytest.approx(row["count"], abs=10) for cell, row in alone.items()
            }
            assert found.flaws.replicas == 1
            assert not any(row["doubtful"] for row in rows(found).values())


def test_probers_that_only_count_alike_are_added():
    """Stops two probers of one rate, which began together and never are slow, from being taken for one."""
    fast = [{"1": 10 * n, "+Inf": 10 * n, "count": 10 * n} for n in range(120)]
    found = read(scraped(fast, "1") + scraped(fast, "2"), end=LONG)
    assert found.count.tolist() == [80.0] + [100.0] * 23
    timed = [[{**scrape, "sum": scrape["count"] * mean} for scrape in fast] for mean in (0.1, 0.12)]
    found = read(scraped(timed[0], "1") + scraped(timed[1], "2"), end=LONG)
    assert found.count.tolist() == [80.0] + [100.0] * 23
    assert found.flaws.replicas == 0


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
    expected = Flaws(late=1, repeated=1, not_finite=1, stale=1, refused=1, bad_bounds=2, unlabelled=2)
    assert asdict(found.flaws) == asdict(expected)


def test_nothing_at_all_is_no_rows():
    found = histogram([], "h", ("a", "b"), START, END, STEP)
    assert (len(found.entity), found.last_ts_ms, len(found.interval_ms)) == (0, -1, 0)
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
