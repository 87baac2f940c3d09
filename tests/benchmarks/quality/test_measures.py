"""How the quality runner counts, and how it reads what the scorers print."""

import json
from itertools import islice

import numpy as np
import pandas as pd
import pytest

from benchmarks.quality import forecast_tasks, page, size_tasks
from benchmarks.quality.anomaly_sets import SETS, different
from benchmarks.quality.explaining_metrics import by_contribution, explaining_measures
from benchmarks.quality.measures import Measure, SetReport, as_text
from benchmarks.quality.root_cause_cases import nezha_cases, petshop_cases
from benchmarks.quality.synthetic import alarm_events


@pytest.mark.parametrize(
    ("low", "high", "reached", "asked", "met"),
    [
        (0.5, None, 0.5, ">= 0.5", True),
        (0.5, None, 0.499, ">= 0.5", False),
        (None, 0.1, 0.11, "<= 0.1", False),
        (0.77, 0.83, 0.8, "0.77 to 0.83", True),
        (0.77, 0.83, 0.84, "0.77 to 0.83", False),
        (0.5, None, float("nan"), ">= 0.5", False),
        (None, None, 0.3, "", None),
    ],
)
def test_a_figure_is_held_against_what_is_asked(low, high, reached, asked, met):
    """Stops a figure that could not be had from counting as reached."""
    measure = Measure("x", reached, low, high)
    assert (measure.asked, measure.met) == (asked, met)


def test_runs_of_alarm_rows_are_one_alarm():
    assert alarm_events(np.array([0, 0, 0])) == 0
    assert alarm_events(np.array([0, 1, 1, 0, 1])) == 1
    assert alarm_events(np.array([1, *[0] * 6, 1])) == 1
    assert alarm_events(np.array([1, *[0] * 7, 1])) == 2


def test_scores_that_changed_are_counted_and_missing_ones_are_equal():
    """Stops a comparison that never finds a difference."""
    whole = pd.DataFrame({"score": [0.1, np.nan, 0.3, 0.4], "alarm": [0, 0, 1, 0]})
    part = pd.Series([True, True, True, False])
    cut = whole.head(3)
    assert different(whole, cut, part) == 0
    assert different(whole, cut.assign(score=[0.1, np.nan, 0.31]), part) == 1
    assert different(whole, cut.assign(alarm=[1, 0, 1]), part) == 1
    assert different(whole, cut.assign(score=[0.1, 0.0, 0.3]), part) == 1


def test_explanations_are_added_up_over_the_event_and_no_other_row():
    start, step = pd.Timestamp("2026-01-05", tz="UTC"), pd.Timedelta("1min")
    texts = [{"m03": 9.0}, {"m01": 2.0, "m02": 1.0}, {"m02": 1.5}, {"m03": 9.0}]
    scored = pd.DataFrame(
        {
            "series": "a",
            "ts": start + np.arange(4) * step,
            "explains": [json.dumps(text) for text in texts],
        }
    )
    assert by_contribution(scored["explains"][1:3]) == ["m02", "m01"]
    labels = pd.DataFrame({"machine": ["a"], "start": [1], "end": [2], "metrics": [[2, 4]]})
    found, first = explaining_measures(scored, labels, start, step, (0.5, 0.5))
    assert (found.reached, first.reached) == (0.5, 1.0)
    unexplained = scored.assign(explains=None)
    found, first = explaining_measures(unexplained, labels, start, step, (0.5, 0.5))
    assert (found.reached, first.reached) == (0, 0)


FORECAST_LINE = (
    "{metric:14s} {freq} H={horizon:<4d} {model:14s} n=  62 MASE mean 1.689 median 1.193 relMAE {mae} sMAPE 36.8 "
    "cov80 0.680 cov95 0.828 width80 3.14 wql {wql}\n"
)


def test_the_forecast_scorers_lines_are_read():
    """Stops a figure of one task from being reported as another's."""
    ours = "tasks without a prediction: 0 of 9\n"
    simple = ""
    for number, (metric, horizon) in enumerate(forecast_tasks.ASKED):
        freq = "d" if horizon == 28 else "h"
        line = {"metric": metric, "freq": freq, "horizon": horizon}
        ours += FORECAST_LINE.format(**line, model="submitted", mae=f"0.{number + 10}0", wql="0.30")
        ours += FORECAST_LINE.format(**line, model="snaive", mae="1.000", wql="0.60")
        simple += FORECAST_LINE.format(**line, model="naive", mae="0.9", wql="0.20")
        simple += FORECAST_LINE.format(**line, model="snaive", mae="1.0", wql="0.60")
    found = {each.what: each for each in forecast_tasks.measures(ours, simple)}
    assert found["tasks without a forecast"].reached == 0
    error = found["mem_usage_kb, 168 hours: error relative to the seasonal naive"]
    assert (error.reached, error.high) == (0.14, 0.76)
    assert found["mem_usage_kb, 168 hours: quantile loss, times the best simple"].reached == pytest.approx(1.5)
    assert found["28 days, all metrics: truth inside 95 %"].reached == 0.828


def test_the_capacity_scorers_lines_are_read():
    printed = (
        "size cpu submitted                n=168 viol 0.0040 ok1 0.958 waste 1.294 current 3.70\nrisk cpu submitted\n"
    )
    assert [each.reached for each in size_tasks.measures(printed)] == [0.004, 0.958, 1.294]


def test_the_page_has_every_figure(tmp_path):
    report = SetReport("About.", [Measure("good", 1, low=1), Measure("bad", 0.25, low=1)], ["command"], "printed")
    page.write_page(tmp_path / "quality.md", {"nab": report})
    text = (tmp_path / "quality.md").read_text()
    assert "Of 2 figures that are asked for, 1 are reached." in text
    assert "The 1 that are missed:" in text
    assert "| [nab](#nab) | bad | >= 1 | 0.25 |" in text
    assert "| bad | >= 1 | 0.25 | **missed** |" in text
    assert "bad: 0.25  (asked >= 1: MISSED)" in as_text(report)


def test_the_cases_of_the_real_data(shared_data):
    """Stops a case without its window, its alarm or its graph."""
    for case in islice(petshop_cases(shared_data), 3):
        inside = case.samples[(case.samples["ts"] >= case.start) & (case.samples["ts"] <= case.end)]
        assert inside["ts"].nunique() == 5
        assert case.target[3] in set(inside["metric"])
        assert case.graph is not None
        assert case.target[1] in set(case.graph["source"])
    case = next(nezha_cases(shared_data))
    front = case.samples[case.samples["entity"] == case.target[1]]
    alarm = front[(front["metric"] == case.target[3]) & front["ts"].between(case.start, case.end)]
    assert len(alarm) == 5
    assert all((shared_data / f"{name}.parquet").exists() for name in SETS)
