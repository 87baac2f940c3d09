import numpy as np
import pyarrow as pa
import pytest

from analytics_assets.kernels.sizing.outlook import (
    MEASURED_SHARE,
    SURPRISE,
    expected_share_above,
    held_level,
    risk_of_saturation,
)
from analytics_assets.kernels.sizing.series import SCHEMA, series_sizes

STEP = 300_000
DAY = 288


def stamps(samples, step=STEP):
    return np.arange(samples, dtype=np.int64) * step


def sizes(parts, days=30, shuffle=None):
    """Return the rows by series; `parts` is name -> (values, capacity)."""
    names = np.concatenate([np.full(len(values), name, dtype=object) for name, (values, _) in parts.items()])
    ts = np.concatenate([stamps(len(values)) for values, _ in parts.values()])
    values = np.concatenate([np.asarray(values, float) for values, _ in parts.values()])
    capacity = np.concatenate([np.broadcast_to(np.asarray(c, float), len(v)) for v, c in parts.values()])
    if shuffle is not None:
        order = np.random.default_rng(shuffle).permutation(len(names))
        names, ts, values, capacity = names[order], ts[order], values[order], capacity[order]
    table = series_sizes(pa.chunked_array([pa.array(names, pa.string())]), ts, values, capacity, days)
    assert table.schema == SCHEMA
    return {row["series"]: row for row in table.to_pylist()}


def busy(level, days=20, seed=0):
    return np.maximum(np.random.default_rng(seed).normal(level, level / 10, days * DAY), 0)


def test_each_class_is_found_with_its_figures():
    rows = sizes(
        {
            "big": (busy(10), 100),
            "full": (np.minimum(busy(120), 100), 100),
            "fits": (busy(60), 100),
            "still": (np.zeros(20 * DAY), 100),
        }
    )
    assert {name: row["class"] for name, row in rows.items()} == {
        "big": "oversized", "full": "undersized", "fits": "optimal", "still": "idle",
    }  # fmt: skip
    assert rows["big"]["size"] == pytest.approx(12.3 * 1.2, rel=0.05)
    assert rows["big"]["share_above"] < 0.001
    assert rows["full"]["risk"] > 0.7 > 0.1 > rows["fits"]["risk"]
    assert "99 % of 5760 samples of 20.0 days" in rows["big"]["evidence"]
    assert rows["full"]["evidence"].endswith("the size is the least that can be told")
    assert rows["still"]["evidence"].endswith("give it back, or keep this, the least size")


@pytest.mark.parametrize(("days", "above"), [(7, True), (3, False)])
def test_growth_that_is_not_foreseen_is_said(days, above):
    """Stops a series that will have passed its size in days from being called optimal without a word of it."""
    row = sizes({"a": (20 + 70 * np.arange(28 * DAY) / (28 * DAY), 100)}, days=days)["a"]
    assert (row["class"], row["size"]) == ("optimal", pytest.approx(100))
    told = "; it grows by 2.5 a day, which is not carried on: if it goes on, it is above the size in about 4.07 days"
    assert (told in row["evidence"]) == above


def test_what_does_not_grow_is_not_said_to():
    """Stops a step, or growth that has ended, from being told as growth."""
    step, ended = busy(40, days=28), np.minimum(20 + np.arange(28 * DAY) / DAY * 4, 60) + busy(1, days=28)
    step[14 * DAY :] += 30
    for row in sizes({"still": (busy(70, days=28), 80), "step": (step, 80), "ended": (ended, 80)}, days=90).values():
        assert "grows" not in row["evidence"]


def test_more_days_than_the_record_can_tell_of_are_said():
    """Stops 30 and 90 days from having the same share of a record of 28 days, without a word of it."""
    for record, days, told in (
        (28, 21, ""),
        (28, 30, "; 30 days are asked for, and the record is long enough to try the size on only the first 21 of them"),
        (10, 5, "; 5 days are asked for, and the record is long enough to try the size on none of them"),
    ):
        evidence = sizes({"a": (busy(60, days=record), 100)}, days=days)["a"]["evidence"]
        assert evidence.partition("lie above the size")[2] == told


def test_bad_input_is_a_row_with_a_reason():
    gappy = busy(50)
    gappy[100:2000] = np.nan
    infinite = busy(50)
    infinite[7] = np.inf
    rows = sizes(
        {
            "one": ([1.0], 10), "short": (busy(5, days=2), 10), "none": (np.full(500, np.nan), 10),
            "infinite": (infinite, 100), "gappy": (gappy, 100), "unknown": (busy(50), np.nan),
        }
    )  # fmt: skip
    assert rows["one"]["evidence"] == "1 samples; needs 100"
    assert rows["short"]["evidence"] == "samples of 2.0 days; needs 5"
    assert rows["none"]["evidence"] == "0 samples; needs 100"
    assert rows["infinite"]["evidence"] == "infinite values: the use has no size"
    for name in ("one", "short", "none", "infinite"):
        assert (rows[name]["class"], rows[name]["size"], rows[name]["risk"]) == ("insufficient_data", None, None)
    assert (rows["gappy"]["class"], rows["gappy"]["samples"]) == ("optimal", 20 * DAY - 1900)
    assert rows["unknown"]["class"] == "insufficient_data"
    assert rows["unknown"]["size"] == pytest.approx(rows["gappy"]["size"], rel=0.1)
    assert rows["unknown"]["risk"] is None


def test_order_other_series_and_duplicates_change_nothing():
    alone = sizes({"a": (busy(20), 100)})["a"]
    assert sizes({"a": (busy(20), 100), "b": (busy(99), 100)}, shuffle=3)["a"] == alone
    ts = np.r_[stamps(20 * DAY), stamps(20 * DAY)]
    values = np.r_[busy(20), busy(20) - 1]  # a second, lower sample at each instant
    names = pa.chunked_array([pa.array(["a"] * len(ts) + [None], pa.string())])
    twice = series_sizes(names, np.r_[ts, 0], np.r_[values, 1e9], np.full(len(ts) + 1, 100.0), 30)
    assert twice.to_pylist() == [alone]
    assert series_sizes(pa.chunked_array([], pa.string()), *(np.empty(0) for _ in range(3)), 30).num_rows == 0


def test_a_resize_counts_with_the_last_capacity():
    assert sizes({"a": (busy(30), np.r_[np.full(10 * DAY, 500.0), np.full(10 * DAY, 50.0)])})["a"]["capacity"] == 50


def test_the_expected_share_is_that_of_earlier_days():
    """A series that keeps growing was above each of its earlier sizes, one that stays never."""
    ts = stamps(42 * DAY)
    still = expected_share_above(ts, np.full(len(ts), 10.0), 100, 30)
    growing = expected_share_above(ts, np.linspace(1, 60, len(ts)), 100, 30)
    assert still < MEASURED_SHARE < 0.2 < growing
    short = expected_share_above(ts[: 10 * DAY], np.full(10 * DAY, 10.0), 100, 30)
    assert short == MEASURED_SHARE


def test_the_risk_is_one_half_at_the_limit_and_needs_a_whole_hour():
    ts = stamps(14 * DAY)
    values = np.full(len(ts), 10.0)
    values[500:512] = 90.0
    assert risk_of_saturation(ts, values, 100) == pytest.approx(0.5, abs=0.01)
    values[505] = 10.0
    assert held_level(ts, values) == 10
    assert risk_of_saturation(ts, values, 100) == pytest.approx(SURPRISE)
    assert risk_of_saturation(ts, np.full(len(ts), 1e9), 100) == pytest.approx(1)
    assert risk_of_saturation(ts, np.zeros(len(ts)), 100) == SURPRISE
    assert np.isnan(risk_of_saturation(ts, values, np.nan))
    assert held_level(stamps(30, 3_600_000), np.arange(30.0)) == 29  # hourly samples: one is an hour


def test_five_days_of_samples_are_five_days():
    """Stops 1,440 samples of five minutes from being a little less than the five days that they are."""
    rows = sizes({"five days": (busy(60, days=5), 100), "one sample less": (busy(60, days=5)[:-1], 100)})
    assert rows["five days"]["days"] == 5
    assert rows["five days"]["class"] == "optimal"
    assert rows["one sample less"]["class"] == "insufficient_data"
