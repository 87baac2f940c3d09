"""Trends of the measured metrics of planted VMs and nodes, read from a lake as in production."""

from datetime import date, timedelta

import numpy as np
import pytest

from analytics_assets.analyzers.metric_trends import COMPONENT, TABLE, compute
from analytics_assets.analyzers.trend_figures import MetricTrendsParameters
from analytics_assets.measured_metrics import measured_metrics
from analytics_assets.processors.system_load import SYSTEM_LOAD
from analytics_assets.processors.vm_resources_hourly import VM_RESOURCES_HOURLY
from resources.errors import InvalidInput
from resources.lake.lake import Lake
from resources.lake.partition_file import MissingPartition
from resources.monitoring.metrics import VM_COLUMNS
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
from tests.analytics_assets.analyzers.test_trend_figures import END_MS


def made(lake, parameters=None, source=SAMPLES, **where):
    parameters = parameters or MetricTrendsParameters()
    result = compute(workplace(lake, COMPONENT, parameters, {"samples": source}, **where), parameters)
    return result, TABLE.conform(result.data)


def test_all_measured_metrics_are_found_and_unknown_ones_refused():
    assert tuple(measured_metrics(VM_RESOURCES_HOURLY)) == VM_COLUMNS
    assert measured_metrics(SYSTEM_LOAD)["cpu_cores"] == "cores"
    assert measured_metrics(SYSTEM_LOAD, ["cpu_percent"]) == {"cpu_percent": "percent"}
    with pytest.raises(InvalidInput, match=r"cpu_persent.*cpu_percent"):
        measured_metrics(SYSTEM_LOAD, ["cpu_persent"])


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
