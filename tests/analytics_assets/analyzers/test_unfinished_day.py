"""A day that is not over: its windows are whole all the same, so answers do not depend on the hour."""

from datetime import timedelta

import numpy as np
import pytest

from analytics_assets.analyzers import capacity, forecasts, metric_trends, recommendations
from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.forecast_model.parameters import ForecastsParameters
from analytics_assets.analyzers.recommendation_model.parameters import RecommendationsParameters
from analytics_assets.components import Instance
from resources.lake.lake import Lake
from resources.partition import Partition
from tests.analytics_assets.analyzers.fleet import (
    GIB,
    HOUR_MS,
    INVENTORY,
    LAST_DAY,
    SAMPLES,
    hours_of,
    workplace,
    write_inventory,
    write_samples,
)

DAYS = 31
TODAY = Partition("acme", LAST_DAY)
STEMS = ("cpu_percent", "network_receive_bytes_per_second", "network_transmit_bytes_per_second")


@pytest.fixture(params=[1, 6, 20])
def lake(request, tmp_path):
    """A VM that does nothing, at some hour of the last day."""
    lake = Lake(tmp_path)
    until = (DAYS - 1) * 24 + request.param
    quiet = {**{stem: hours_of(DAYS, 0.2) for stem in STEMS}, "memory_bytes": hours_of(DAYS, 1) * GIB}
    for values in quiet.values():
        values[until:] = np.nan
    write_samples(lake, {"quiet": quiet}, days=DAYS, as_of_ms=TODAY.start_ms + request.param * HOUR_MS)
    for back in range(DAYS):
        write_inventory(lake, [("quiet", 90, 4, 16, 100, "running")], day=LAST_DAY - timedelta(back))
    return lake


def made(lake, module, parameters, **inputs):
    place = workplace(lake, module.COMPONENT, parameters, {"samples": SAMPLES, **inputs})
    with place:
        result = module.compute(place, parameters)
    return result, module.TABLE.conform(result.data).to_pylist()


def test_a_trend_has_the_days_it_needs(lake):
    """Stops five days from being four in the morning, which is one too few."""
    parameters = metric_trends.MetricTrendsParameters(window_days=5, metrics=("cpu_percent",))
    result, (row,) = made(lake, metric_trends, parameters)
    assert (row["status"], row["days_used"], row["coverage"]) == ("ok", 5, 1)
    assert len(result.facts.days_read) == 6


def test_an_idle_vm_is_a_zombie_at_every_hour(lake):
    """Stops the class and the urgency of a VM from changing with the hour of the run."""
    limits, parameters = CapacityParameters(), RecommendationsParameters()
    found, rows = made(lake, capacity, limits, inventory=INVENTORY)
    assert {row["days_used"] for row in rows if row["resource"] == "cpu"} == {limits.window_days}
    lake.write(capacity.TABLE, TODAY, found.data, found.facts)
    source = Instance("capacity", capacity.COMPONENT, limits)
    _, rows = made(lake, recommendations, parameters, inventory=INVENTORY, capacity=source)
    (row,) = (row for row in rows if row["entity_kind"] == "vm")
    assert (row["size_class"], row["severity"]) == ("zombie", "medium")
    assert row["replay_hours"] == limits.window_days * 24


def test_a_forecast_has_the_history_it_needs(lake):
    """Stops the first day of the history from being a day of gaps."""
    parameters = ForecastsParameters(window_days=28, metrics=("cpu_percent",))
    _, rows = made(lake, forecasts, parameters)
    assert {(row["status"], row["history_days"], row["coverage"]) for row in rows} == {("ok", 28, 1)}


def test_a_vm_that_ended_before_the_window_has_no_row(tmp_path):
    """Stops the hours that are read beyond the window from giving rows that say only that they are beyond it."""
    lake = Lake(tmp_path)
    goes_on, ended = hours_of(7, 20), hours_of(7, 20)
    goes_on[-12:] = np.nan
    ended[30:] = np.nan  # the window of five days begins at hour 36
    write_samples(
        lake, {"a": {"cpu_percent": goes_on}, "ended": {"cpu_percent": ended}}, days=7,
        as_of_ms=TODAY.start_ms + 12 * HOUR_MS,
    )  # fmt: skip
    parameters = metric_trends.MetricTrendsParameters(window_days=5, metrics=("cpu_percent",))
    assert [row["entity_id"] for row in made(lake, metric_trends, parameters)[1]] == ["a"]
