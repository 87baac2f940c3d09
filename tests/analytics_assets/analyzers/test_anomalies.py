"""Anomalies of planted days, read from a lake as in production."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from analytics_assets.analyzers.anomalies import TABLE
from analytics_assets.analyzers.anomaly_model import history
from analytics_assets.analyzers.anomaly_model.parameters import AnomaliesParameters
from analytics_assets.processors.vm_resources import VM_RESOURCES
from resources.partition import Partition
from tests.analytics_assets.analyzers.anomaly_lake import (
    DAYS,
    GIVEN,
    PER_DAY,
    START_MS,
    TODAY,
    answers,
    day_and_night,
    found,
    store,
)
from tests.analytics_assets.analyzers.fleet import LAST_DAY

TOGETHER = GIVEN.model_copy(update={"together": True})
SCALES = {"cpu_percent": 1.0, "memory_bytes": 1e9, "disk_bytes": 1e9}


def at(step):
    """Return the instant of a step of the judged day."""
    return datetime.fromtimestamp((START_MS + (TODAY + step) * 300_000) / 1000, UTC)


def test_an_hour_at_full_cpu_is_one_interval_with_its_evidence(lake):
    """Stops an event from being missed, told twice, or told without what was expected."""
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 99
    store(lake, {"vm-1": {"cpu_percent": values}, "vm-2": {"cpu_percent": day_and_night(2)}})
    _, rows = found(lake)
    (row,) = answers(rows)
    assert (row["kind"], row["entity_id"], row["metric"], row["direction"]) == ("metric", "vm-1", "cpu_percent", "up")
    assert (row["start"].hour, row["start"].minute) == (16, 40)
    assert (row["end"] - row["start"]).total_seconds() == 3600
    assert row["score"] >= 1
    assert row["low"] < row["expected"] < row["high"] < row["value"] == 99
    assert row["severity"] in ("medium", "high")
    assert row["history_days"] == pytest.approx(14)
    assert (row["samples_seen"], row["coverage"], row["days_alike"]) == (1440, 1.0, 0)
    assert row["why"].startswith("99 % at ")


def test_a_nightly_job_and_the_return_from_an_event_are_no_news(lake):
    """Stops a backup that begins at another minute each night from calling somebody every night."""
    values = day_and_night()
    for day, begin in enumerate([30, 34, 27, 31, 36, 29, 33, 25, 30, 37, 28, 32, 35, 26, 38]):
        values[day * PER_DAY + begin : day * PER_DAY + begin + 6] = 90
    store(lake, {"vm-1": {"cpu_percent": values}})
    _, rows = found(lake)
    assert answers(rows) == []


def test_a_change_too_small_to_matter_is_none(lake):
    """Stops a twitch of a hair from alarming on a metric that never moved."""
    values = np.full(DAYS * PER_DAY, 3.0)
    values[TODAY + 100 : TODAY + 110] = 6.0
    store(lake, {"vm-1": {"cpu_percent": values}})
    assert answers(found(lake)[1]) == []
    small = AnomaliesParameters(window_days=DAYS - 1, together=False, minimum_change_percent=1)
    assert len(answers(found(lake, small)[1])) == 1


@pytest.mark.parametrize(("hour", "value"), [(5, 21.0), (17, 59.0)])
def test_an_outage_by_day_and_load_by_night_are_told(lake, hour, value):
    """Stops the daily cycle, between 20 and 60 %, from excusing at its height what is usual at its depth."""
    values = day_and_night()
    first = TODAY + hour * 12
    values[first : first + 24] = value + np.random.default_rng(5).normal(0, 0.5, 24)
    store(lake, {"vm-1": {"cpu_percent": values}})
    rows = answers(found(lake)[1])
    assert [(row["direction"], row["start"].hour) for row in rows] == [("up" if value > 50 else "down", hour)]


def test_a_new_level_on_a_cycle_is_told_on_the_day_it_comes(lake):
    values = day_and_night()
    values[TODAY + 120 :] += 60
    store(lake, {"vm-1": {"cpu_percent": values}})
    assert len(answers(found(lake)[1])) == 1


def test_infinite_values_hide_nothing_else(lake):
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 99
    values[37::PER_DAY] = np.inf
    store(lake, {"vm-1": {"cpu_percent": values}})
    assert len(answers(found(lake)[1])) == 1


def test_hours_without_a_row_cost_coverage(lake):
    """Stops a VM that was measured for six of 24 hours from looking complete."""
    values = day_and_night()
    values[TODAY + 72 :] = np.nan
    values[TODAY + 40 : TODAY + 50] = 99
    store(lake, {"vm-1": {"cpu_percent": values}, "vm-2": {"cpu_percent": day_and_night(2)}})
    (row,) = answers(found(lake)[1])
    assert (row["samples_seen"], row["samples_expected"], row["coverage"]) == (360, 1440, 0.25)


def test_a_vm_that_is_silent_all_day_lacks_all_of_its_samples(lake):
    """Stops half a fleet that fell silent at midnight from leaving a day with a coverage of one."""
    silent = day_and_night()
    silent[TODAY:] = np.nan
    store(lake, {"vm-1": {"cpu_percent": silent}, "vm-2": {"cpu_percent": day_and_night(2)}})
    result, rows = found(lake)
    row = next(row for row in rows if row["entity_id"] == "vm-1" and row["metric"] == "cpu_percent")
    assert (row["status"], row["samples_seen"], row["samples_expected"], row["coverage"]) == ("no_data", 0, 1440, 0)
    assert (result.facts.samples_seen, result.facts.samples_expected) == (1440, 2880)


@pytest.mark.parametrize("age_days", [5, 8.5, 10, 12])
def test_a_young_vm_is_no_joint_anomaly(lake, age_days):
    """Stops the time before a VM existed from teaching that nothing ever moves."""
    metrics = ("cpu_percent", "memory_bytes", "disk_bytes", "network_receive_bytes_per_second")
    values = {stem: day_and_night(seed) * (1 if not seed else 1e8) for seed, stem in enumerate(metrics)}
    for series in values.values():
        series[: int(TODAY - age_days * PER_DAY)] = np.nan
    store(lake, {"vm-1": values})
    assert [
        row for row in answers(found(lake, GIVEN.model_copy(update={"together": True}))[1]) if row["kind"] == "together"
    ] == []


def test_the_direction_that_is_asked_for_counts(lake):
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 2
    store(lake, {"vm-1": {"cpu_percent": values}})
    assert [row["direction"] for row in answers(found(lake)[1])] == ["down"]
    assert answers(found(lake, GIVEN.model_copy(update={"direction": "up"}))[1]) == []


def test_what_cannot_be_judged_says_why(lake):
    """Stops a silent metric, or a VM of yesterday, from passing for a normal one."""
    young, silent, endless = day_and_night(), day_and_night(), day_and_night()
    young[: TODAY - 100] = np.nan
    silent[TODAY:] = np.nan
    endless[TODAY:] = np.inf
    vms = {"vm-1": {"cpu_percent": young}, "vm-2": {"cpu_percent": silent}, "vm-3": {"cpu_percent": endless}}
    store(lake, vms)
    _, rows = found(lake, GIVEN.model_copy(update={"metrics": ("cpu_percent",)}))
    said = {row["entity_id"]: (row["status"], row["reason"], row["score"]) for row in rows}
    assert said == {
        "vm-1": ("insufficient_data", "0.3 days' worth of samples before the day; needs 3", None),
        "vm-2": ("no_data", "no sample of this metric on the day", None),
        "vm-3": ("degenerate", "only infinite values on the day: the metric has no scale", None),
    }


def test_an_interval_over_midnight_is_told_on_both_days(lake):
    """Stops an event that began before midnight from being lost, or from growing with each day it is told."""
    values = day_and_night()
    values[TODAY - 20 : TODAY + 30] = 99
    store(lake, {"vm-1": {"cpu_percent": values}})
    (row,) = answers(found(lake)[1])
    assert row["start"].isoformat() == f"{LAST_DAY}T00:00:00+00:00"
    assert row["began"] == row["start"] - timedelta(minutes=100)
    assert row["points"] == 30
    assert not row["ongoing"]


def test_a_day_that_is_not_over_is_judged_as_far_as_it_goes(lake):
    """Stops the hours to come from counting as missing, and an event that goes on from looking closed."""
    values = day_and_night()
    values[TODAY + 90 : TODAY + 100] = 99
    values[TODAY + 100 :] = np.nan
    as_of_ms = START_MS + (TODAY + 100) * 300_000
    store(lake, {"vm-1": {"cpu_percent": values}}, as_of_ms=as_of_ms)
    result, rows = found(lake)
    (row,) = answers(rows)
    assert row["ongoing"]
    assert row["end"].timestamp() * 1000 == as_of_ms == result.facts.as_of_ms


def test_all_metrics_together_name_what_explains_them(lake):
    values = {stem: day_and_night(seed) for seed, stem in enumerate(("cpu_percent", "memory_bytes", "disk_bytes"))}
    for stem in ("memory_bytes", "disk_bytes"):
        values[stem] *= 1e9
    values["cpu_percent"][TODAY + 200 : TODAY + 230] += 30
    values["memory_bytes"][TODAY + 200 : TODAY + 230] += 30e9
    store(lake, {"vm-1": values})
    _, rows = found(lake, GIVEN.model_copy(update={"together": True}))
    joint = [row for row in answers(rows) if row["kind"] == "together"]
    assert joint
    assert joint[0]["metric"] == "*"
    assert {part.split()[0] for part in joint[0]["metrics"].split(", ")[:2]} == {"cpu_percent", "memory_bytes"}


def test_a_joint_anomaly_lasts_as_long_as_its_metrics_are_off(lake):
    """Stops a burst of ten minutes from being an hour, and so of high severity, because its score falls slowly."""
    values = {stem: day_and_night(seed) * scale for seed, (stem, scale) in enumerate(SCALES.items())}
    for stem, scale in SCALES.items():
        values[stem][TODAY + 200 : TODAY + 202] += 60 * scale
    store(lake, {"vm-1": values})
    [row] = [row for row in answers(found(lake, TOGETHER)[1]) if row["kind"] == "together"]
    assert row["start"] == at(200)
    assert at(202) <= row["end"] <= at(208)


@pytest.mark.parametrize(("direction", "rows"), [("up", 0), ("down", 1), ("both", 1)])
def test_metrics_that_fall_together_are_none_where_only_rises_count(lake, direction, rows):
    """Stops a rule for overload from calling because a service was drained."""
    values = {stem: day_and_night(seed) * scale for seed, (stem, scale) in enumerate(SCALES.items())}
    for stem, scale in SCALES.items():
        values[stem][TODAY + 50 : TODAY + 62] = 3 * scale
    store(lake, {"vm-1": values})
    judged = answers(found(lake, TOGETHER.model_copy(update={"direction": direction}))[1])
    assert [row["kind"] for row in judged].count("together") == rows


@pytest.mark.parametrize("other", ["quiet", "at a new level"])
def test_a_metric_that_has_no_part_in_it_says_nothing_of_how_long_it_lasts(lake, other):
    """Stops the noise, or the new level, of the memory from making an hour of a burst of CPU and disk."""
    values = {"cpu_percent": day_and_night(1), "disk_bytes": day_and_night(2) * 1e9}
    values["memory_bytes"] = 40e9 + 1e9 * np.random.default_rng(3).standard_normal(DAYS * PER_DAY)
    if other == "at a new level":
        values["memory_bytes"][TODAY - 3 * PER_DAY :] += 10e9
    values["cpu_percent"][TODAY + 200 : TODAY + 202] += 50
    values["disk_bytes"][TODAY + 200 : TODAY + 202] += 60e9
    store(lake, {"vm-1": values})
    [row] = [row for row in answers(found(lake, TOGETHER)[1]) if row["kind"] == "together" and row["end"] > at(200)]
    assert row["start"] == at(200)
    assert row["end"] <= at(206)


def test_a_vm_that_was_off_for_a_week_is_judged_by_what_was_before(lake):
    """Stops an event of a VM that has just come back from being dropped, as nothing is known of these hours."""
    values = {stem: day_and_night(seed) * scale for seed, (stem, scale) in enumerate(SCALES.items())}
    for stem, scale in SCALES.items():
        values[stem][TODAY - 7 * PER_DAY - 13 : TODAY] = np.nan
        values[stem][TODAY + 200 : TODAY + 212] += 60 * scale
    store(lake, {"vm-1": values})
    rows = [row for row in answers(found(lake, TOGETHER)[1]) if row["kind"] == "together"]
    assert [row for row in rows if row["start"] <= at(203) and row["end"] >= at(206)]


def test_what_becomes_large_after_midnight_is_told_then(lake):
    """Stops an event from being told on no day: too small to matter yesterday, alarmed already for today."""
    quiet = {stem: (10 + 0.01 * day_and_night(seed)) * scale for seed, (stem, scale) in enumerate(SCALES.items())}
    for stem, scale in SCALES.items():
        quiet[stem][TODAY - 6 : TODAY + 6] += 2 * scale
        quiet[stem][TODAY + 6 : TODAY + 24] += 40 * scale
        quiet[stem][TODAY + 24 :] = np.nan
    store(lake, {"vm-1": quiet})
    coarse = TOGETHER.model_copy(update={"minimum_change_bytes": 3e9})
    rows = [row for row in answers(found(lake, coarse)[1]) if row["kind"] == "together"]
    assert [row for row in rows if row["start"] <= at(7)]


def test_what_is_too_small_of_each_metric_is_none_of_all_together(lake):
    """Stops an idle VM, whose metrics never move, from being abnormal as a whole when all of them move a little."""
    random = np.random.default_rng(5)
    idle = {"cpu_percent": 0.2, "network_receive_bytes_per_second": 100.0, "disk_write_bytes_per_second": 300.0}
    values = {stem: level * (1 + 0.01 * random.standard_normal(DAYS * PER_DAY)) for stem, level in idle.items()}
    for stem in idle:
        values[stem][TODAY + 200 : TODAY + 230] *= 10
    store(lake, {"vm-1": values})
    finer = TOGETHER.model_copy(update={"minimum_change_percent": 1, "minimum_change_bytes_per_second": 100})
    joint = [[row["kind"] for row in answers(found(lake, given)[1])].count("together") for given in (TOGETHER, finer)]
    assert joint[0] == 0
    assert joint[1] > 0


def test_blocks_of_entities_give_the_same_as_all_at_once(lake, monkeypatch):
    """Stops the size of a block from changing an answer, or an entity at its edge from being lost."""
    vms = {f"vm-{number}": {"cpu_percent": day_and_night(number)} for number in range(5)}
    for number in range(5):
        vms[f"vm-{number}"]["cpu_percent"][TODAY + 200 : TODAY + 210] = 99
    store(lake, vms)
    whole = found(lake)[1]
    monkeypatch.setattr(history, "VALUES_AT_ONCE", 2 * DAYS * PER_DAY * 7)
    assert found(lake)[1] == whole
    assert [row["entity_id"] for row in answers(whole)] == sorted(vms)


def test_the_order_of_days_computed_does_not_matter(lake):
    """Stops an answer from depending on whether earlier days were ever judged, and on other tenants' data."""
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 99
    store(lake, {"vm-1": {"cpu_percent": values}})
    alone = found(lake)[0].data
    lake.write(TABLE, Partition("acme", LAST_DAY - timedelta(1)), TABLE.empty())
    store(lake, {"vm-1": {"cpu_percent": day_and_night(9)}}, tenant="globex")
    assert found(lake)[0].data.equals(alone)


def test_threads_do_not_change_the_answer(lake):
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 99
    store(lake, {f"vm-{number}": {"cpu_percent": values + number} for number in range(3)})
    one = found(lake, GIVEN.model_copy(update={"threads": 1}))[0].data
    assert one.equals(found(lake, GIVEN.model_copy(update={"threads": 3}))[0].data)


def test_missing_days_are_recorded(lake):
    store(lake, {"vm-1": {"cpu_percent": day_and_night()}}, days=[*range(9), *range(10, DAYS)])
    result, _ = found(lake)
    assert result.facts.days_missing == ((LAST_DAY - timedelta(5)).isoformat(),)


def test_no_vm_at_all_is_said(lake):
    lake.write(VM_RESOURCES, Partition("acme", LAST_DAY), VM_RESOURCES.empty())
    result, rows = found(lake)
    assert rows == []
    assert "no row on the day" in result.facts.notes[0]


def test_parameters_that_cannot_open_an_interval_are_refused():
    with pytest.raises(ValidationError, match="outside_points 4 is more than of_points 3"):
        AnomaliesParameters(outside_points=4, of_points=3)
