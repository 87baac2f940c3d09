from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.analyzers.forecast_model.parameters import ForecastsParameters
from analytics_assets.analyzers.forecast_model.scoring import Made, Steps, figures, scored
from analytics_assets.analyzers.forecast_quality import COMPONENT, TABLE, ForecastQualityParameters, compute
from analytics_assets.analyzers.forecasts import COMPONENT as FORECASTS
from analytics_assets.analyzers.forecasts import compute as make_forecasts
from analytics_assets.catalogue import components
from analytics_assets.components import Instance
from analytics_assets.kernels.forecast.plan import DAILY, HOURLY
from analytics_assets.pipelines.loader import load_pipelines
from resources.errors import InvalidInput
from resources.lake.lake import Lake
from tests.analytics_assets.analyzers.fleet import (
    LAST_DAY,
    SAMPLES,
    hours_of,
    rows_by,
    workplace,
    write_samples,
)

DAYS = 42
MADE = ForecastsParameters(window_days=28, hourly_hours=72, daily_days=14, metrics=("cpu_percent",))
FORECASTS_INSTANCE = Instance("forecasts", FORECASTS, MADE, {"samples": (SAMPLES,)})
PARAMETERS = ForecastQualityParameters(daily_days_back=14, metrics=("cpu_percent",))


def store_forecasts(lake, days_back, parameters=MADE):
    """Make and store the forecasts of the day that is `days_back` before the last one."""
    day = LAST_DAY - timedelta(days_back)
    place = workplace(lake, FORECASTS, parameters, {"samples": SAMPLES}, day=day)
    result = make_forecasts(place, parameters)
    lake.write(FORECASTS.table, place.partition, result.data, result.facts)


def quality(lake, parameters=PARAMETERS, samples=SAMPLES):
    place = workplace(lake, COMPONENT, parameters, {"samples": samples, "forecasts": FORECASTS_INSTANCE})
    result = compute(place, parameters)
    table = TABLE.conform(result.data)
    return result, rows_by(table, "scope", "entity_id", "metric", "freq", "lead_first")


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Two VMs for six weeks, one of which jumps on the last day, and forecasts of yesterday and a week ago."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    jump = hours_of(DAYS, 30, cycle=10, noise=1, seed=2)
    jump[-24:] += 40
    vms = {"vm-calm": hours_of(DAYS, 50, cycle=10, noise=1, seed=1), "vm-jump": jump}
    write_samples(lake, {vm: {"cpu_percent": values} for vm, values in vms.items()}, DAYS)
    for back in (1, 3, 8):
        store_forecasts(lake, back)
    return lake


def test_a_forecast_that_came_true_is_told_from_one_that_did_not(lake):
    rows = quality(lake)[1]
    calm, jump = (rows["entity", vm, "cpu_percent", "h", 1] for vm in ("vm-calm", "vm-jump"))
    assert (calm["steps"], jump["steps"]) == (24, 24)
    assert calm["mae"] < 2
    assert calm["coverage95"] > 0.8
    assert calm["mae"] == pytest.approx(calm["promised_mae"], rel=0.4)
    assert calm["relative_to_promise"] == pytest.approx(calm["mae"] / calm["promised_mae"])
    assert jump["mae"] == pytest.approx(40, abs=2)
    assert jump["coverage95"] == 0
    assert jump["relative_to_promise"] > 10


def test_leads_are_told_apart_by_when_the_forecast_was_made(lake):
    rows = quality(lake)[1]
    assert rows["group", "all", "cpu_percent", "h", 25]["steps"] == 48  # made three days ago, two VMs
    assert rows["group", "all", "cpu_percent", "h", 25]["forecast_days"] == 1
    beyond = rows["group", "all", "cpu_percent", "h", 73]
    assert (beyond["status"], beyond["steps"], beyond["mae"]) == ("no_data", 0, None)
    assert beyond["reason"] == "no forecast that reaches this day was stored on the days before"
    daily = rows["group", "all", "cpu_percent", "d", 1]
    assert (daily["steps"], daily["forecast_days"]) == (4, 2)
    assert rows["group", "all", "cpu_percent", "d", 8]["steps"] == 2


def test_the_group_is_its_entities_together(lake):
    rows = quality(lake)[1]
    of_each = [rows["entity", vm, "cpu_percent", "h", 1] for vm in ("vm-calm", "vm-jump")]
    whole = rows["group", "all", "cpu_percent", "h", 1]
    assert whole["mae"] == pytest.approx(np.mean([row["mae"] for row in of_each]))
    assert whole["coverage80"] == pytest.approx(np.mean([row["coverage80"] for row in of_each]))


def test_days_read_and_missing_are_remembered(lake):
    facts = quality(lake)[0].facts
    missing = {(LAST_DAY - timedelta(back)).isoformat() for back in (2, 4, 5, 6, 7)}
    assert missing <= set(facts.days_missing)


def test_without_any_forecast_there_is_a_reason_not_an_empty_table(tmp_path):
    lake = Lake(tmp_path)
    write_samples(lake, {"vm-1": {"cpu_percent": hours_of(20, 30)}}, 20)
    result, rows = quality(lake)
    assert {row["status"] for row in rows.values()} == {"no_data"}
    assert {key[3] for key in rows} == {"h", "d"}
    assert result.numbers == {"scored": 0, "without_answer": len(rows)}


def test_every_daily_lead_that_is_stored_is_scored_unless_asked_otherwise(tmp_path):
    """Leads that nobody scores are promises that nobody keeps."""
    lake = Lake(tmp_path)
    write_samples(lake, {"vm-1": {"cpu_percent": hours_of(DAYS + 60, 30, noise=1)}}, DAYS + 60)
    far = ForecastsParameters(window_days=28, hourly_hours=1, daily_days=90, metrics=("cpu_percent",))
    for back in (30, 60):
        store_forecasts(lake, back, far)
    rows = quality(lake, ForecastQualityParameters(metrics=("cpu_percent",)))[1]
    blocks = {key[4]: row["lead_last"] for key, row in rows.items() if key[0] == "group" and key[3] == "d"}
    assert blocks == {1: 7, 8: 14, 15: 28, 29: 56, 57: 90}
    for first in (29, 57):
        row = rows["group", "all", "cpu_percent", "d", first]
        assert (row["status"], row["steps"], row["promised_mae"]) == ("ok", 1, None)
    rows = quality(lake, ForecastQualityParameters(metrics=("cpu_percent",), daily_days_back=30))[1]
    assert rows["group", "all", "cpu_percent", "d", 29]["lead_last"] == 30


def test_a_vm_that_went_away_is_counted(tmp_path):
    """Only those that are left: whoever asks how good the forecasts were must know how many nobody can tell of."""
    lake = Lake(tmp_path)
    gone = hours_of(DAYS, 30, noise=1, seed=2)
    gone[-24:] = np.nan
    vms = {"vm-here": hours_of(DAYS, 30, noise=1), "vm-gone": gone}
    write_samples(lake, {vm: {"cpu_percent": values} for vm, values in vms.items()}, DAYS)
    store_forecasts(lake, 1)
    rows = quality(lake)[1]
    whole = rows["group", "all", "cpu_percent", "h", 1]
    assert (whole["steps_forecast"], whole["steps"]) == (48, 24)
    row = rows["entity", "vm-gone", "cpu_percent", "h", 1]
    assert (row["status"], row["steps_forecast"], row["steps"], row["mae"]) == ("no_data", 24, 0, None)
    assert row["reason"] == "nothing was measured at the steps that were forecast"


def test_forecasts_of_other_parameters_are_told(tmp_path):
    lake = Lake(tmp_path)
    write_samples(lake, {"vm-1": {"cpu_percent": hours_of(DAYS, 30, noise=1)}}, DAYS)
    store_forecasts(lake, 1)
    store_forecasts(lake, 2, MADE.model_copy(update={"window_days": 21}))
    store_forecasts(lake, 3, MADE.model_copy(update={"threads": 1}))
    result, rows = quality(lake)
    near, far = (rows["group", "all", "cpu_percent", "h", first] for first in (1, 25))
    assert (near["forecast_days"], near["other_parameters_days"]) == (1, 0)
    assert (far["forecast_days"], far["other_parameters_days"]) == (2, 1)
    (note,) = result.facts.notes
    assert note.endswith(f"among the scored ones: of {LAST_DAY - timedelta(2)}")


def test_other_samples_than_the_forecasts_were_made_of_are_refused(lake):
    with pytest.raises(InvalidInput, match=f"Name {SAMPLES.id} as its samples"):
        quality(lake, samples=replace(SAMPLES, id="other-hours"))


def test_rows_of_entities_can_be_left_out(lake):
    rows = quality(lake, ForecastQualityParameters(metrics=("cpu_percent",), per_entity=False))[1]
    assert {key[0] for key in rows} == {"group"}


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_figures_are_those_of_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    hours = rng.gamma(2, 10, (3, 24 * 20))
    hours[rng.random(hours.shape) < 0.2] = np.nan
    size = 30
    centre = rng.gamma(2, 10, size)
    reach = rng.gamma(2, 5, size)
    values = {"lo95": centre - 2 * reach, "lo80": centre - reach, "mean": centre, "hi80": centre + reach}
    values["hi95"] = centre + 2 * reach
    made = Made(
        rng.integers(0, 3, size), rng.integers(200, 480, size), rng.integers(1, 169, size), values,
        np.where(rng.random(size) < 0.3, np.nan, rng.random(size)),
    )  # fmt: skip
    found = figures(made, scored(made, hours, HOURLY, 12), np.zeros(size, np.int64), 1)
    error, naive_error, own_error, inside, loss, total, scaled = [], [], [], [], 0.0, 0.0, []
    promised, kept = [], []
    for at in range(size):
        row, hour = hours[made.entity[at]], made.hour[at]
        truth = row[hour]
        if np.isnan(truth):
            continue
        error.append(abs(truth - centre[at]))
        before = hour - 24 * int(np.ceil(made.lead[at] / 24))
        if before >= 0 and not np.isnan(row[before]):
            naive_error.append(abs(truth - row[before]))
            own_error.append(error[-1])
        scaled.append(error[-1] / np.nanmean(np.abs(row[24:] - row[:-24])))
        inside.append(values["lo80"][at] <= truth <= values["hi80"][at])
        for name, share in (("lo95", 0.025), ("lo80", 0.1), ("mean", 0.5), ("hi80", 0.9), ("hi95", 0.975)):
            off = truth - values[name][at]
            loss += max(share * off, (share - 1) * off) * 2 / 5
        total += abs(truth)
        if not np.isnan(made.promise[at]):
            promised.append(made.promise[at])
            kept.append(error[-1])
    assert found["steps"][0] == len(error)
    assert found["steps_forecast"][0] == size
    assert found["promised_mae"][0] == pytest.approx(np.mean(promised))
    assert found["relative_to_promise"][0] == pytest.approx(np.sum(kept) / np.sum(promised))
    assert found["mae"][0] == pytest.approx(np.mean(error))
    assert found["mase"][0] == pytest.approx(np.mean(scaled))
    assert found["relative_to_naive"][0] == pytest.approx(np.sum(own_error) / np.sum(naive_error))
    assert found["coverage80"][0] == pytest.approx(np.mean(inside))
    assert found["weighted_quantile_loss"][0] == pytest.approx(loss / total)


def test_a_day_is_24_hours_from_any_hour_and_needs_enough_of_them():
    hours = np.arange(72.0)[None]
    hours[0, 30:45] = np.nan
    steps = Steps(hours, DAILY, 12)
    at = np.array([0, 1, 24, 48, 49, -1])
    found = steps.at(np.zeros(6, np.int64), at)
    assert found[:2].tolist() == [11.5, 12.5]
    assert np.isnan(found[[2, 4, 5]]).all()  # nine hours; beyond the end; before the start
    assert found[3] == np.mean(np.arange(48, 72))


def test_missing_and_infinite_samples_are_no_error_of_the_total_nor_of_all_together(tmp_path):
    """Stops the truth from being another sum than was forecast, and one infinite sample from being all the error."""
    lake = Lake(tmp_path)
    fleet = {f"vm-{at}": {"network_receive_bytes_per_second": hours_of(DAYS, 1e6, 0, 1e3, at)} for at in range(10)}
    for number, broken in ((0, np.nan), (1, np.nan), (2, np.nan), (3, np.inf)):
        fleet[f"vm-{number}"]["network_receive_bytes_per_second"][-6:] = broken
    write_samples(lake, fleet, DAYS)
    metrics = ("network_receive_bytes_per_second",)
    store_forecasts(lake, 1, MADE.model_copy(update={"metrics": metrics}))
    rows = quality(lake, PARAMETERS.model_copy(update={"metrics": metrics}))[1]
    total = rows["entity", "acme", metrics[0], "h", 1]
    assert total["steps"] == 24 - 6  # of ten four are missing: no truth
    assert total["mae"] < 1e4
    every = rows["entity", "vm-3", metrics[0], "h", 1]
    assert (every["steps"], every["steps_forecast"]) == (18, 24)
    assert every["mae"] < 1e4


def test_no_ratio_has_a_denominator_of_nothing():
    values = dict.fromkeys(("lo95", "lo80", "mean", "hi80", "hi95"), np.zeros(1))
    made = Made(np.zeros(1, np.int64), np.array([30]), np.array([1]), values, np.array([np.nan]))
    found = figures(made, scored(made, np.zeros((1, 48)), HOURLY, 1), np.zeros(1, np.int64), 1)
    assert found["mae"][0] == 0
    for name in ("mase", "relative_to_naive", "weighted_quantile_loss", "promised_mae", "relative_to_promise"):
        assert np.isnan(found[name][0]), name


def test_a_pipeline_may_let_it_read_the_forecasts_of_its_own_stage(tmp_path):
    (tmp_path / "forecasts.yaml").write_text(
        "pipeline: forecasts\n"
        "description: Forecasts and how they did.\n"
        "processors:\n"
        "  - {id: vm-resources, component: vm_resources}\n"
        "  - {id: vm-inventory, component: vm_inventory}\n"
        "  - {id: vm-resources-hourly, component: vm_resources_hourly}\n"
        "analyzers:\n"
        "  - {id: vm-forecasts, component: forecasts, inputs: {samples: vm-resources-hourly}}\n"
        "  - {id: quality, component: forecast_quality, inputs: {samples: vm-resources-hourly}}\n"
    )
    (pipeline,) = load_pipelines([tmp_path], components())
    made = {instance.id: instance for instance in pipeline.instances}
    assert [instance.id for instance in made["quality"].upstream] == ["vm_forecasts", "vm_resources_hourly"]
    assert [instance.id for instance in made["vm_forecasts"].upstream] == ["vm_inventory", "vm_resources_hourly"]
