"""`novacron-analytics analyze forecasts`: what is to come of every series, with intervals."""

import os
from typing import TYPE_CHECKING

import click
import numpy as np
import pyarrow as pa

from portal.analyze.columns import SERIES_PARTS, FloatArray, Kind, Rows, Wanted
from portal.analyze.options import Files, file_options
from portal.analyze.ordering import Ordered, by_series, duplicates, refuse_mixed
from portal.analyze.progress import announce
from portal.analyze.steps import STEP_MS, Steps, step_means
from portal.analyze.summary import Summary, notes_on, print_summary
from portal.analyze.times import LAST_MS, LAST_TIME, iso_of, parse_time
from portal.analyze.writing import number_column, write_table
from resources.errors import InvalidInput

if TYPE_CHECKING:
    from analytics_assets.kernels.forecast.forecasts import Forecasts

REQUIRED = {"series": Kind.TEXT, "ts": Kind.TIME, "value": Kind.NUMBER}
OPTIONAL = {"capacity": Kind.NUMBER, **SERIES_PARTS}

VALUES = ("mean", "lo80", "hi80", "lo95", "hi95")

HISTORY_STEPS = {"h": 24 * 7 * 26, "d": 730}
"""Last hours (half a year) or days (two years) of a series that are looked at; the methods need less."""


@click.command("forecasts")
@file_options
@click.option("--horizon", type=click.IntRange(1), required=True, metavar="N", help="How many steps to forecast.")
@click.option("--freq", type=click.Choice(list(STEP_MS)), required=True, help="A step: an hour (h) or a day (d), UTC.")
@click.option(
    "--from",
    "begin",
    metavar="T",
    help="The first step to forecast is the one with this time, and samples from its begin on are not used. "
    "Default: after the step of the last sample.",
)
def command(files: Files, horizon: int, freq: str, begin: str | None) -> None:
    """Forecast the hourly or daily means of every series, with intervals for 80 and 95 %.

    IN has the columns series, ts and value, and may have capacity (no forecast is above it) and metric (series of one
    metric learn from each other which method works). OUT has N rows for each series: series, ts, mean, lo80, hi80,
    lo95, hi95, model, backtest_mase, status and reason. The first step is the one after that of the last sample.
    """
    check_horizon(horizon, freq)
    from_ms = None if begin is None else parse_time(begin, "--from", files.time_unit)
    if from_ms is not None and from_ms + horizon * STEP_MS[freq] >= LAST_MS:
        raise InvalidInput(f"--from {begin!r} and --horizon {horizon} go beyond {LAST_TIME}. Give an earlier time.")
    rows = files.read(Wanted(REQUIRED, OPTIONAL))
    for part in SERIES_PARTS:
        refuse_mixed(rows, ("series",), part)
    names, codes = rows.names("series"), rows.codes("series")
    ordered = by_series(codes, rows.ts_ms, len(names))
    groups = groups_of(rows, ordered)
    summary = Summary(files.path, files.target, rows.count, {"series": len(names)})
    summary.notes = notes_on(rows, duplicates(codes, rows.ts_ms, ordered))
    if files.target is not None:
        announce("forecasting", rows.count, quiet=files.as_json)
        steps = step_means(codes, rows.ts_ms, rows.numbers["value"], len(names), freq, from_ms)
        found = forecast_series(steps, freq, horizon, groups, capacities(rows, ordered))
        say_where_values_are(found, steps, rows, ordered)
        answered = found.status == "ok"
        summary.figures["forecast"] = int(answered.sum())
        summary.unanswered = {names[place]: str(found.reason[place]) for place in np.flatnonzero(~answered)}
        write_table(files.target, as_table(rows, steps, found, horizon))
    print_summary(summary, files.as_json)


def check_horizon(horizon: int, freq: str) -> None:
    """Refuse more steps than the methods were made for."""
    from analytics_assets.kernels.forecast.plan import PLANS

    most = PLANS[freq].maximum_horizon
    if horizon > most:
        way_out = f", or --freq d for up to {PLANS['d'].maximum_horizon} days" if freq == "h" else ""
        raise InvalidInput(
            f"--horizon {horizon} is too far: with --freq {freq} it may be at most {most}. Ask for less{way_out}."
        )


def groups_of(rows: Rows, ordered: Ordered) -> list[str] | None:
    """Return the metric of each series; None where the file has no such column."""
    if "metric" not in rows.texts:
        return None
    metrics, codes = rows.names("metric"), rows.codes("metric")
    return [metrics[codes[places[0]]] for places in ordered]


def capacities(rows: Rows, ordered: Ordered) -> FloatArray | None:
    """Return the last capacity above 0 that each series tells, NaN for none; None without such a column."""
    if "capacity" not in rows.numbers:
        return None
    found = []
    for places in ordered:
        told = rows.numbers["capacity"][places]
        told = told[told > 0]
        found.append(told[-1] if len(told) else np.nan)
    return np.array(found)


def forecast_series(
    steps: Steps, freq: str, horizon: int, groups: list[str] | None, capacity: FloatArray | None
) -> "Forecasts":
    """Return the forecasts of all series, each from its own next step on."""
    from analytics_assets.kernels.forecast.forecasts import forecast
    from analytics_assets.kernels.forecast.plan import PLANS

    history = as_matrix(steps, HISTORY_STEPS[freq])
    return forecast(history, PLANS[freq], horizon, groups, capacity, os.cpu_count() or 1)


def say_where_values_are(found: "Forecasts", steps: Steps, rows: Rows, ordered: Ordered) -> None:
    """Put into `found`, for series without a value in the history that is looked at, where they have some."""
    for row, places in enumerate(ordered):
        times_ms = rows.ts_ms[places][~np.isnan(rows.numbers["value"][places])]
        if found.status[row] != "no_data" or not len(times_ms):
            continue
        earlier = times_ms[times_ms < steps.next_step[row] * steps.step_ms]
        found.reason[row] = (
            f"its last value before the forecast is of {iso_of(earlier[-1])}, too long before it begins"
            if len(earlier)
            else f"no value before the forecast begins: its first is of {iso_of(times_ms[0])}"
        )


def as_matrix(steps: Steps, longest: int) -> FloatArray:
    """Return the last `longest` means [series, step], each row up to where its series' forecast begins."""
    known = np.array([len(values) > 0 for values in steps.values], dtype=bool)
    lengths = (steps.next_step - steps.first_step)[known]
    width = int(min(lengths.max(initial=1), longest))
    history = np.full((len(steps.values), max(width, 1)), np.nan)
    for row, values in enumerate(steps.values):
        if not len(values):
            continue
        missing = int(steps.next_step[row] - steps.first_step[row]) - len(values)
        own = values[max(0, len(values) + missing - width) :]
        history[row, width - missing - len(own) : width - missing] = own
    return history


def as_table(rows: Rows, steps: Steps, found: "Forecasts", horizon: int) -> pa.Table:
    """Return the forecasts as they are written: `horizon` rows for each series."""
    series = len(found.mean)
    last = steps.next_step.max(initial=-1)
    begin = np.where(steps.next_step >= 0, steps.next_step, last if last >= 0 else 0)
    times = (begin[:, None] + np.arange(horizon)) * steps.step_ms
    columns = {
        "series": rows.ids("series", np.repeat(np.arange(series), horizon)),
        "ts": rows.times.from_ms(times.ravel()),
    }
    for name in VALUES:
        columns[name] = number_column(getattr(found, name).ravel())
    columns["model"] = pa.array(np.repeat(found.model, horizon), pa.string())
    columns["backtest_mase"] = number_column(np.repeat(found.backtest_mase, horizon))
    columns["status"] = pa.array(np.repeat(found.status, horizon), pa.string())
    columns["reason"] = pa.array(np.repeat(found.reason, horizon), pa.string())
    return pa.table(columns)
