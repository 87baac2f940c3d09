"""`novacron-analytics analyze forecasts`: what is to come of every series, with intervals."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import pyarrow as pa

from portal.analyze.columns import FloatArray, Kind, Rows, Wanted
from portal.analyze.options import file_options, needed_output, parse_columns
from portal.analyze.ordering import Ordered, by_series, duplicates
from portal.analyze.progress import announce
from portal.analyze.reading import read_rows
from portal.analyze.steps import STEP_MS, Steps, step_means
from portal.analyze.summary import Summary, notes_on, shown, tell
from portal.analyze.writing import check_output, number_column, write_table
from resources.errors import InvalidInput

if TYPE_CHECKING:
    from analytics_assets.kernels.forecast.forecasts import Forecasts

REQUIRED = {"series": Kind.TEXT, "ts": Kind.TIME, "value": Kind.NUMBER}
OPTIONAL = {"capacity": Kind.NUMBER, "metric": Kind.TEXT}

VALUES = ("mean", "lo80", "hi80", "lo95", "hi95")

HISTORY_STEPS = {"h": 24 * 7 * 26, "d": 730}
"""Last hours (half a year) or days (two years) of a series that are looked at; the methods need less."""


@click.command("forecasts")
@file_options
@click.option("--horizon", type=click.IntRange(1), required=True, metavar="N", help="How many steps to forecast.")
@click.option("--freq", type=click.Choice(list(STEP_MS)), required=True, help="A step: an hour (h) or a day (d), UTC.")
def command(
    path: Path,
    output: Path | None,
    columns: tuple[str, ...],
    time_unit: str,
    dry_run: bool,
    as_json: bool,
    horizon: int,
    freq: str,
) -> None:
    """Forecast the hourly or daily means of every series, with intervals for 80 and 95 %.

    IN has the columns series, ts and value, and may have capacity (no forecast is above it) and metric (series of one
    metric learn from each other which method works). OUT has N rows for each series: series, ts, mean, lo80, hi80,
    lo95, hi95, model, backtest_mase, status and reason. The first step is the one after the last sample.
    """
    target = needed_output(output, dry_run)
    if target is not None:
        check_output(target, [path])
    check_horizon(horizon, freq)
    rows = read_rows(path, Wanted(REQUIRED, OPTIONAL, named=parse_columns(columns)), time_unit)
    names, codes = rows.names("series"), rows.codes("series")
    ordered = by_series(codes, rows.ts_ms, len(names))
    groups = groups_of(rows, ordered)
    summary = Summary(path, target, rows.count, {"series": len(names)})
    summary.notes = notes_on(rows, duplicates(codes, rows.ts_ms, ordered))
    if target is not None:
        announce("forecasting", rows.count, quiet=as_json)
        steps = step_means(codes, rows.ts_ms, rows.numbers["value"], len(names), freq)
        found = forecast_series(steps, freq, horizon, groups, capacities(rows, ordered))
        answered = found.status == "ok"
        summary.figures["forecast"] = int(answered.sum())
        summary.unanswered = {names[place]: str(found.reason[place]) for place in np.flatnonzero(~answered)}
        write_table(target, as_table(rows, steps, found, horizon))
    tell(summary, as_json)


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
    groups = []
    for name, places in zip(rows.names("series"), ordered, strict=True):
        own = codes[places]
        if (own != own[0]).any():
            other = metrics[own[np.argmax(own != own[0])]]
            raise InvalidInput(
                f"{rows.path}: series {shown(name)} has the metrics {shown(metrics[own[0]])} and {shown(other)}. "
                "Give each series one metric: make the metric a part of its name."
            )
        groups.append(metrics[own[0]])
    return groups


def capacities(rows: Rows, ordered: Ordered) -> FloatArray | None:
    """Return the last capacity that each series tells, NaN for none; None where the file has no such column."""
    if "capacity" not in rows.numbers:
        return None
    found = []
    for places in ordered:
        told = rows.numbers["capacity"][places]
        told = told[~np.isnan(told)]
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


def as_matrix(steps: Steps, longest: int) -> FloatArray:
    """Return the last `longest` means [series, step], each row up to where its series' forecast begins."""
    lengths = steps.next_step - steps.first_step
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
