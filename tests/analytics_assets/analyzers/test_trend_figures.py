"""Figures of a trend from the hourly values of one series: direction, slopes, changes of level and forecasts."""

import json
import os
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from analytics_assets.analyzers.metric_trends import TABLE, trends_table
from analytics_assets.analyzers.trend_figures import MetricTrendsParameters, Samples, trend_columns
from analytics_assets.kernels.coverage import SampleCounts
from analytics_assets.kernels.matrix import Grid, entity_ids, locate, place, row_mean
from resources.partition import day_start_ms
from tests.analytics_assets.analyzers.fleet import LAST_DAY, hours_of

END_MS = day_start_ms(LAST_DAY + timedelta(1))


def trend(values, unit="percent", parameters=None, minimum_coverage=0.7, first_hours=0):
    """Return the row of one VM's hourly values, checked against the table."""
    parameters = parameters or MetricTrendsParameters()
    matrix = np.asarray(values, np.float32)[None, :]
    expected = np.full(matrix.shape, 12, np.float32)
    expected[:, :first_hours] = 0
    counts = SampleCounts(np.where(np.isnan(matrix), 0, 12).astype(np.float32), expected)
    grid = Grid.ending(END_MS, parameters.window_days)
    columns = trend_columns(Samples("cpu_percent", unit, matrix, counts), grid, parameters, minimum_coverage)
    return TABLE.conform(trends_table("vm", ["vm-1"], [columns])).to_pylist()[0]


def change_days(row):
    return [date.fromisoformat(change["day"]) for change in json.loads(row["change_points"])]


@pytest.mark.parametrize("unit", ["percent", "bytes", "bytes/s", "cores", "", "furlongs"])
def test_a_ramp_from_0_to_80_is_rising_in_any_unit(unit):
    """A fixed threshold on the slope per second called this stable."""
    scale = {"bytes": 1e8, "bytes/s": 1e4}.get(unit, 1)
    over_the_window = trend(np.linspace(0, 80, 672) * scale, unit)
    assert over_the_window["direction"] == "rising"
    assert over_the_window["change_over_window"] == pytest.approx(80 * scale, rel=0.02)
    in_a_day = MetricTrendsParameters(window_days=1, minimum_days=1)
    row = trend(np.linspace(0, 80, 24) * scale, unit, in_a_day)
    assert row["status"] == "ok"
    assert row["direction"] == "rising"
    assert row["slope_per_day"] == pytest.approx(80 * scale, rel=0.05)


def test_the_same_series_in_another_unit_has_the_same_direction_and_p():
    values = hours_of(28, 1e9 * (5 + 0.05 * np.arange(28)), cycle=1e8, noise=1e7)
    plain, scaled = trend(values, ""), trend(values / 1024, "")
    assert plain["direction"] == scaled["direction"] == "rising"
    assert plain["p_value"] == pytest.approx(scaled["p_value"], rel=1e-3)


def test_a_daily_cycle_is_not_a_trend():
    row = trend(hours_of(28, 40, cycle=30, noise=1))
    assert row["direction"] == "stable"
    assert row["level"] == pytest.approx(40, abs=0.5)


def test_a_significant_change_below_the_floor_is_stable():
    """A tenth of a percentage point a month is not news, however clean the series."""
    row = trend(hours_of(28, 40 + 0.03 * np.arange(28)))
    assert row["p_value"] < 0.001
    assert row["direction"] == "stable"
    assert trend(hours_of(28, 40 + 0.3 * np.arange(28)))["direction"] == "rising"


def test_falling_is_told_from_rising():
    row = trend(hours_of(28, 80 - 2 * np.arange(28), noise=1))
    assert row["direction"] == "falling"
    assert row["slope_low_per_day"] <= -2 <= row["slope_high_per_day"] + 0.05
    assert row["change_over_window"] < 0


def test_the_day_of_a_step_that_the_slope_leaves_out_is_told():
    """Stops a slope that fits neither the window nor the chart, with nothing in its row to say why."""
    days = np.arange(28)
    row = trend(hours_of(28, 20 + 0.8 * days + 9.0 * (days >= 12), noise=0.2))
    assert (row["direction"], row["slope_per_day"]) == ("rising", pytest.approx(0.8, abs=0.05))
    assert row["left_out_step_day"] == row["change_point_day"] is not None
    assert trend(hours_of(28, 20 + 0.8 * days, noise=0.2))["left_out_step_day"] is None


def test_a_constant_series_is_a_stable_answer_not_a_missing_one():
    for value in (0.0, 37.5):
        row = trend(hours_of(28, value))
        assert (row["status"], row["reason"], row["direction"]) == ("ok", None, "stable")
        assert (row["slope_per_day"], row["noise"], row["p_value"], row["level"]) == (0, 0, 1, value)
        assert (row["next_day"], row["next_day_low"], row["next_day_high"]) == (value, value, value)
        assert row["change_point_day"] is None


def test_infinite_values_are_degenerate():
    values = hours_of(28, 5)
    values[100] = np.inf
    row = trend(values)
    assert (row["status"], row["direction"], row["slope_per_day"]) == ("degenerate", "unknown", None)


def test_one_day_is_insufficient_and_says_why():
    values = np.full(672, np.nan)
    values[-24:] = 10
    row = trend(values, first_hours=648)
    assert row["status"] == "insufficient_data"
    assert row["reason"] == "1 days with at least 12 hours of samples; needs 5"
    assert (row["direction"], row["level"], row["slope_per_day"], row["next_day"]) == ("unknown", None, None, None)
    assert (row["hourly_slope_per_day"], row["hourly_days"], row["change_points"], row["change_point_count"]) == (
        None,
    ) * 4
    assert row["days_used"] == 1


def test_no_sample_is_no_data_and_never_zero_or_stable():
    row = trend(np.full(672, np.nan), first_hours=672)
    assert (row["status"], row["direction"], row["coverage"]) == ("no_data", "unknown", None)
    assert row["reason"]
    assert row["next_hour"] is None


def test_low_coverage_is_insufficient():
    values = hours_of(28, 10)
    values[np.arange(672) % 24 >= 14] = np.nan
    row = trend(values)
    assert row["status"] == "insufficient_data"
    assert row["reason"] == "coverage 0.58 is below 0.70"
    assert trend(values, minimum_coverage=0.5)["status"] == "ok"


def test_a_vm_silent_for_a_day_keeps_its_trend_but_gets_no_forecast():
    values = hours_of(28, 10 + np.arange(28), noise=0.1)
    values[-30:] = np.nan
    row = trend(values)
    assert (row["status"], row["direction"]) == ("ok", "rising")
    assert "no forecast" in row["reason"]
    assert [row[name] for name in ("next_hour", "next_day_low", "next_week")] == [None] * 3


def test_a_half_seen_last_day_is_not_a_fall():
    values = hours_of(28, 40, cycle=25, noise=0.5)
    values[-12:] = np.nan  # the busy or the quiet half is missing
    row = trend(values)
    assert row["direction"] == "stable"
    assert row["change_point_day"] is None


def test_a_level_shift_is_dated():
    row = trend(hours_of(28, np.where(np.arange(28) >= 20, 70, 20), noise=1))
    assert row["change_point_day"] == LAST_DAY - timedelta(7)
    assert trend(hours_of(28, 20 + np.arange(28), noise=1))["change_point_day"] is None


def test_every_change_of_level_is_dated_and_the_largest_named():
    """A single change cannot tell up and down again, and a mean of both sides hides it."""
    daily = np.select([np.arange(28) < 8, np.arange(28) < 18], [20, 70], 30)
    row = trend(hours_of(28, daily, cycle=10, noise=1))
    assert change_days(row) == [LAST_DAY - timedelta(19), LAST_DAY - timedelta(9)]
    assert [change["height"] for change in json.loads(row["change_points"])] == pytest.approx([50, -40], abs=1)
    assert row["change_point_count"] == 2
    assert row["change_point_day"] == LAST_DAY - timedelta(19)
    assert row["change_point_height"] == pytest.approx(50, abs=1)
    ramp = trend(hours_of(28, 20 + np.arange(28), noise=1))
    assert (ramp["change_points"], ramp["change_point_count"], ramp["change_point_height"]) == ("[]", 0, None)


def test_a_change_of_level_below_the_floor_is_none():
    """On a machine at rest a change by a tenth of a point is as clear as it is meaningless."""
    values = hours_of(28, np.where(np.arange(28) >= 20, 1.5, 1.0), noise=0.01)
    assert trend(values)["change_point_count"] == 0
    assert trend(values, parameters=MetricTrendsParameters(minimum_change_percent=0.1))["change_point_count"] == 1


def test_the_restarts_of_a_leak_are_changes_on_its_slope():
    """It has no lasting trend, and must not look like a series in which nothing happens."""
    hour = np.arange(672)
    row = trend(hours_of(28, 30, cycle=5, noise=1) + (hour % 216) / 216 * 40)
    assert [(day - LAST_DAY).days for day in change_days(row)] == [-18, -9]
    assert row["direction"] == "stable"


def test_the_slope_of_the_hours_agrees_with_that_of_the_days():
    values = hours_of(28, 40, cycle=25, noise=2) + np.arange(672) / 24 * 0.5
    row = trend(values)
    assert row["hourly_days"] == 28
    assert row["hourly_slope_per_day"] == pytest.approx(0.5, abs=0.02)
    assert row["hourly_slope_low_per_day"] < 0.5 < row["hourly_slope_high_per_day"]
    assert row["hourly_p_value"] < 0.001
    recent = trend(values, parameters=MetricTrendsParameters(hourly_days=7))
    assert recent["hourly_days"] == 7
    assert recent["slope_per_day"] == row["slope_per_day"]
    assert recent["hourly_slope_per_day"] == pytest.approx(0.5, abs=0.1)


def test_a_quiet_weekend_at_the_end_is_no_fall_of_the_hours():
    weekend = np.arange(28) % 7 >= 5
    row = trend(hours_of(28, np.where(weekend, 20, 60), noise=1), parameters=MetricTrendsParameters(hourly_days=7))
    assert row["hourly_slope_per_day"] == pytest.approx(0, abs=0.3)
    assert row["direction"] == "stable"


@pytest.mark.parametrize("days", [2, 3, 4])
def test_of_a_few_days_the_daily_cycle_is_removed(days):
    """A cycle of 30 points hides a growth of 12, and half of a cycle looks like one."""
    parameters = MetricTrendsParameters(window_days=days, minimum_days=1)
    ramp = np.arange(days * 24) / (days * 24) * 12
    cycle = hours_of(days, 40, cycle=30, noise=1)
    assert trend(cycle, parameters=parameters)["direction"] == "stable"
    row = trend(cycle + ramp, parameters=parameters)
    assert row["direction"] == "rising"
    assert row["change_over_window"] == pytest.approx(12, rel=0.15)
    assert row["hourly_slope_per_day"] == pytest.approx(12 / days, rel=0.15)


def test_a_year_of_days_is_answered():
    """Pairs grow with the square of the days: the hours of a year would need two million for a series."""
    parameters = MetricTrendsParameters(window_days=400)
    row = trend(hours_of(400, 30 + 0.05 * np.arange(400), cycle=10, noise=2), parameters=parameters)
    assert (row["status"], row["direction"], row["days_used"], row["hourly_days"]) == ("ok", "rising", 400, 28)
    assert row["slope_per_day"] == pytest.approx(0.05, rel=0.05)


def test_garbage_is_answered_row_by_row_and_without_a_warning():
    """One bad series must not cost the others their answer; the suite makes every warning an error."""
    rng = np.random.default_rng(7)
    good = hours_of(28, 30 + np.arange(28), cycle=10, noise=1)
    alternating = np.where(np.arange(672) % 2, np.nan, good)
    sparse = np.where(rng.random(672) < 0.3, good, np.nan)
    huge, tiny = np.full(672, 3e38), np.full(672, 1e-38)
    rows = [good, np.full(672, np.nan), np.full(672, np.inf), -good, huge, tiny, alternating, sparse, good]
    rows += [np.where(np.arange(672) == 671, good, np.nan), np.where(np.arange(672) < 300, 0, rng.pareto(1, 672))]
    matrix = np.array(rows, np.float32)
    counts = SampleCounts(np.where(np.isnan(matrix), 0, 12).astype(np.float32), np.full(matrix.shape, 12, np.float32))
    grid = Grid.ending(END_MS, 28)

    def columns(part):
        one = SampleCounts(counts.seen[part], counts.expected[part])
        return trend_columns(Samples("x", "", matrix[part], one), grid, MetricTrendsParameters(), 0.4)

    together = columns(slice(None))
    names = [f"vm-{number:02}" for number in range(len(rows))]
    table = pa.Table.from_pylist(trends_table("vm", names, [together]).to_pylist())
    for number in range(len(rows)):
        alone = trends_table("vm", names[number : number + 1], [columns(slice(number, number + 1))])
        assert alone.to_pylist() == table.slice(number, 1).to_pylist()
    assert list(together["status"][[0, 1, 2, 6, 8, 9]]) == [
        "ok",
        "no_data",
        "degenerate",
        "ok",
        "ok",
        "insufficient_data",
    ]
    assert together["direction"][0] == together["direction"][6] == "rising"
    empty = columns(slice(0, 0))
    assert trends_table("vm", [], [empty]).num_rows == 0


def test_next_hour_follows_the_cycle_and_next_day_the_level():
    """A forecast for midnight is that of a night hour, not the mean of the day."""
    values = hours_of(28, 50, noise=0.5) + np.where(np.arange(672) % 24 < 6, -30, 10)
    row = trend(values)
    assert row["next_hour"] == pytest.approx(20, abs=2)
    assert row["next_day"] == pytest.approx(50, abs=1)
    assert row["next_week"] == pytest.approx(50, abs=1)
    for name in ("next_hour", "next_day", "next_week"):
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]


def test_parameters_refuse_what_cannot_be():
    with pytest.raises(ValidationError, match="minimum_days"):
        MetricTrendsParameters(window_days=3)
    with pytest.raises(ValidationError):
        MetricTrendsParameters(significance=0)
    for name, field in MetricTrendsParameters.model_fields.items():
        assert field.description, name


def shared_data():
    root = Path(os.environ.get("NOVACRON_SHARED_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
    return root / "bitbrains_5min.parquet"


@pytest.mark.skipif(not shared_data().exists(), reason=f"no trace file {shared_data()}")
def test_real_vms_are_answered_and_their_intervals_hold():
    """On a production trace: answers for nearly all, few trends, and 80 % intervals near 80 %."""
    trace = pq.read_table(shared_data(), columns=["ts", "vm_id", "cpu_usage_pct"])
    instants = np.asarray(trace["ts"].cast(pa.int64())) // 300_000 * 300_000
    vms = entity_ids(trace["vm_id"])
    held = {"next_hour": [], "next_day": [], "next_week": []}
    status, directions, changes = [], [], []
    for weeks in range(4, 12):
        first = int(instants.min()) // 86_400_000 * 86_400_000 + (weeks - 4) * 7 * 86_400_000
        grid = Grid(first, 300_000, 35 * 288)
        cells = locate(trace["vm_id"], pa.chunked_array([pa.array(instants).cast(pa.timestamp("ms"))]), grid, vms)
        hours = row_mean(place(cells, trace["cpu_usage_pct"]).reshape(len(vms), -1, 12)).astype(np.float32)
        history = hours[:, :672]
        ones = np.ones(history.shape, np.float32)
        counts = SampleCounts(np.where(np.isnan(history), 0, ones).astype(np.float32), ones)
        window = Grid(first, 3_600_000, 672)
        found = trend_columns(Samples("cpu_percent", "percent", history, counts), window, MetricTrendsParameters(), 0.7)
        TABLE.conform(trends_table("vm", vms, [found]))
        for name, ahead in (("next_hour", 1), ("next_day", 24), ("next_week", 168)):
            future = row_mean(hours[:, 672 : 672 + ahead], (3 * ahead + 3) // 4)
            known = ~np.isnan(found[f"{name}_low"]) & ~np.isnan(future)
            held[name] += list(((found[f"{name}_low"] <= future) & (future <= found[f"{name}_high"]))[known])
        changes += list(found["change_point_count"][found["status"] == "ok"] > 0)
        status += list(found["status"])
        directions += list(found["direction"][found["status"] == "ok"])
    assert np.mean(np.array(status) == "ok") > 0.8
    for name, values in held.items():
        assert 0.75 < np.mean(values) < 0.85, name
    assert np.mean(changes) < 0.15
    assert np.mean(np.array(directions) == "stable") > 0.7
