import os
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from analytics_assets.analyzers.metric_trends import COMPONENT, TABLE, compute, measured_metrics, trends_table
from analytics_assets.analyzers.trend_figures import MetricTrendsParameters, Samples, trend_columns
from analytics_assets.kernels.coverage import SampleCounts
from analytics_assets.kernels.matrix import Grid, entity_ids, locate, place, row_mean
from analytics_assets.processors.system_load import SYSTEM_LOAD
from analytics_assets.processors.vm_resources_hourly import VM_RESOURCES_HOURLY
from resources.errors import InvalidInput
from resources.lake.lake import Lake
from resources.lake.partition_file import MissingPartition
from resources.monitoring.metrics import VM_COLUMNS
from resources.partition import day_start_ms
from tests.analytics_assets.analyzers.fleet import (
    LAST_DAY,
    NODES,
    SAMPLES,
    hours_of,
    rows_by,
    workplace,
    write_nodes,
    write_samples,
)

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


def test_all_measured_metrics_are_found_and_unknown_ones_refused():
    assert tuple(measured_metrics(VM_RESOURCES_HOURLY)) == VM_COLUMNS
    assert measured_metrics(SYSTEM_LOAD)["cpu_cores"] == "cores"
    assert measured_metrics(SYSTEM_LOAD, ["cpu_percent"]) == {"cpu_percent": "percent"}
    with pytest.raises(InvalidInput, match=r"cpu_persent.*cpu_percent"):
        measured_metrics(SYSTEM_LOAD, ["cpu_persent"])


def made(lake, parameters=None, source=SAMPLES, **where):
    parameters = parameters or MetricTrendsParameters()
    result = compute(workplace(lake, COMPONENT, parameters, {"samples": source}, **where), parameters)
    return result, TABLE.conform(result.data)


def test_every_vm_and_metric_of_the_window_has_a_row(tmp_path):
    """Stages that did not join gave an empty answer that looked like 'no trends'."""
    lake = Lake(tmp_path)
    vanished = np.full(672, np.nan)
    vanished[:48] = 5
    write_samples(
        lake,
        {
            "up": {"cpu_percent": hours_of(28, 10 + np.arange(28), noise=1)},
            "gone": {"cpu_percent": vanished},
        },
    )
    result, table = made(lake)
    rows = rows_by(table, "entity_id", "metric")
    assert len(rows) == 2 * len(VM_COLUMNS)
    assert rows["up", "cpu_percent"]["direction"] == "rising"
    assert rows["up", "memory_bytes"]["status"] == "no_data"
    assert rows["gone", "cpu_percent"]["status"] == "insufficient_data"
    assert rows["gone", "cpu_percent"]["coverage"] == pytest.approx(48 / 672)
    assert result.numbers["rising"] == 1
    assert result.facts.samples_seen == 720 * 12
    assert len(result.facts.days_read) == 28


def test_row_order_and_other_tenants_change_nothing(tmp_path):
    vms = {f"vm-{n}": {"cpu_percent": hours_of(28, 20 + n * np.arange(28), noise=2, seed=n)} for n in range(3)}
    tables = []
    for number, shuffle in enumerate((None, 5)):
        lake = Lake(tmp_path / str(number))
        write_samples(lake, vms, shuffle=shuffle)
        if number:
            write_samples(lake, {"vm-0": {"cpu_percent": hours_of(28, 99)}}, tenant="other")
        tables.append(made(lake)[1])
    assert tables[0].equals(tables[1])


def test_the_window_ends_with_the_data_not_with_the_clock(tmp_path):
    """A day of last year is computed as if it were its own evening, and today up to its last whole hour."""
    lake = Lake(tmp_path)
    values = hours_of(28, 30, cycle=20)
    values[-13:] = np.nan
    as_of = END_MS - 13 * 3_600_000 + 60_000
    old = date(2019, 5, 4)
    write_samples(lake, {"vm-1": {"cpu_percent": values}}, as_of_ms=as_of)
    write_samples(lake, {"vm-1": {"cpu_percent": hours_of(28, 30, cycle=20)}}, last=old)
    result, table = made(lake, MetricTrendsParameters(metrics=("cpu_percent",)))
    row = table.to_pylist()[0]
    assert result.facts.as_of_ms == as_of
    assert (row["status"], row["direction"], row["coverage"]) == ("ok", "stable", 1)
    # The hour after 11:00 is the twelfth of the day.
    assert row["next_hour"] == pytest.approx(30 + 20 * np.sin(11 / 24 * 2 * np.pi), abs=1e-4)
    assert made(lake, day=old)[1].num_rows == len(VM_COLUMNS)


def test_missing_days_are_recorded_and_the_days_own_absence_fails(tmp_path):
    lake = Lake(tmp_path)
    write_samples(lake, {"vm-1": {"cpu_percent": hours_of(10, 30)}}, days=10)
    result, table = made(lake)
    assert len(result.facts.days_missing) == 18
    assert rows_by(table, "metric")[("cpu_percent",)]["days_used"] == 10
    with pytest.raises(MissingPartition, match="2026-03-29"):
        made(lake, day=LAST_DAY + timedelta(1))


def test_an_empty_input_is_said(tmp_path):
    lake = Lake(tmp_path)
    write_samples(lake, {}, days=1)
    parameters = MetricTrendsParameters()
    result = compute(workplace(lake, COMPONENT, parameters, {"samples": SAMPLES}), parameters)
    assert result.data.num_rows == 0
    assert result.data.schema.equals(TABLE.schema())
    assert "no row" in result.facts.notes[0]


def test_five_minute_rows_of_nodes_give_the_trends_of_nodes(tmp_path):
    lake = Lake(tmp_path)
    write_nodes(lake, {"node-1": (2 + 0.5 * np.arange(8), 16, np.full(8, 4.0), 64)}, days=8)
    parameters = MetricTrendsParameters(window_days=8, metrics=("cpu_percent", "cpu_cores", "memory_bytes"))
    _, table = made(lake, parameters, NODES, tenant="platform")
    rows = rows_by(table, "entity_kind", "entity_id", "metric")
    assert rows["node", "node-1", "cpu_cores"]["direction"] == "rising"
    assert rows["node", "node-1", "cpu_cores"]["slope_per_day"] == pytest.approx(0.5)
    assert rows["node", "node-1", "memory_bytes"]["direction"] == "stable"
    assert rows["node", "node-1", "cpu_percent"]["coverage"] == 1


def shared_data():
    root = Path(os.environ.get("NOVACRON_SHARED_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
    return root / "bitbrains_5min.parquet"


@pytest.mark.skipif(not shared_data().exists(), reason=f"no trace file {shared_data()}")
def test_real_vms_are_answered_and_their_intervals_hold():
    """On a production trace: answers for nearly all, few trends, and 80 % intervals near 80 %."""
    trace = pq.read_table(shared_data(), columns=["ts", "vm_id", "cpu_usage_pct"])
    instants = np.asarray(trace["ts"].cast(pa.int64())) // 300_000 * 300_000
    vms = entity_ids(trace["vm_id"])
    held, status, directions = [], [], []
    for weeks in range(4, 12):
        first = int(instants.min()) // 86_400_000 * 86_400_000 + (weeks - 4) * 7 * 86_400_000
        grid = Grid(first, 300_000, 29 * 288)
        cells = locate(trace["vm_id"], pa.chunked_array([pa.array(instants).cast(pa.timestamp("ms"))]), grid, vms)
        hours = row_mean(place(cells, trace["cpu_usage_pct"]).reshape(len(vms), -1, 12)).astype(np.float32)
        history, future = hours[:, :672], row_mean(hours[:, 672:], 18)
        ones = np.ones(history.shape, np.float32)
        counts = SampleCounts(np.where(np.isnan(history), 0, ones).astype(np.float32), ones)
        window = Grid(first, 3_600_000, 672)
        found = trend_columns(Samples("cpu_percent", "percent", history, counts), window, MetricTrendsParameters(), 0.7)
        TABLE.conform(trends_table("vm", vms, [found]))
        known = ~np.isnan(found["next_day_low"]) & ~np.isnan(future)
        held += list(((found["next_day_low"] <= future) & (future <= found["next_day_high"]))[known])
        status += list(found["status"])
        directions += list(found["direction"][found["status"] == "ok"])
    assert np.mean(np.array(status) == "ok") > 0.8
    assert 0.72 < np.mean(held) < 0.92
    assert np.mean(np.array(directions) == "stable") > 0.7
