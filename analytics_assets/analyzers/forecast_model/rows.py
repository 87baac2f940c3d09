"""The rows of the forecasts: one metric of many entities, from hourly history to the table's columns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.forecast_model.histories import History
from analytics_assets.analyzers.forecast_model.parameters import ForecastsParameters
from analytics_assets.kernels.coverage import coverage_of
from analytics_assets.kernels.daily import daily_levels
from analytics_assets.kernels.forecast.plan import DAILY, HOURLY, Plan
from analytics_assets.kernels.matrix import HOUR_MS, HOURS_PER_DAY

if TYPE_CHECKING:
    from analytics_assets.kernels.forecast.forecasts import Forecasts
    from analytics_assets.kernels.forecast.prophet_engine import Choice

STEPS = ("mean", "lo80", "hi80", "lo95", "hi95", "backtest_mae")


@dataclass(frozen=True)
class Rows:
    """Columns of the table by name, all of one length, and what prophet was chosen or refused for."""

    columns: dict[str, NDArray[Any]]
    answered: int
    without_answer: int
    prophet: "dict[str, Choice]"


def forecast_rows(history: History, parameters: ForecastsParameters, minimum_coverage: float) -> tuple[Rows, Rows]:
    """Return the hourly and the daily rows of `history`.

    A series whose coverage is below `minimum_coverage`, or that has been silent for `silent_days`, has
    no answer, and teaches the others nothing.
    """
    from analytics_assets.kernels.forecast.forecasts import forecast  # needs numba, as the next does
    from analytics_assets.kernels.forecast.prophet_engine import with_prophet

    coverage = coverage_of(history.seen, history.expected)
    refused = _refused(history.hours, coverage, parameters.silent_days, minimum_coverage)
    hours, days = history.hours.copy(), daily_levels(history.hours, parameters.minimum_hours)
    measured_days = np.count_nonzero(~np.isnan(days), axis=1)  # of refused rows, too
    hours[list(refused)] = days[list(refused)] = np.nan
    capacity = history.capacity
    made = []
    for plan, values, horizon in ((HOURLY, hours, parameters.hourly_hours), (DAILY, days, parameters.daily_days)):
        found = forecast(values, plan, horizon, capacity=capacity, threads=parameters.threads)
        choices: dict[int, Choice] = {}
        if parameters.prophet and history.kind != "vm":
            found, choices = with_prophet(
                found,
                values.astype(np.float64),
                history.end_ms,
                plan,
                horizon,
                range(len(history.entities)),
                capacity,
            )
        for row, reason in refused.items():
            found.status[row], found.reason[row] = "insufficient_data", reason
        columns = _columns(history, found, plan, horizon, measured_days, coverage)
        answered = int(np.count_nonzero(found.status == "ok"))
        named = {f"{history.entities[row]} {history.metric} ({plan.name})": choice for row, choice in choices.items()}
        made.append(Rows(columns, answered, len(found.status) - answered, named))
    return made[0], made[1]


def _refused(
    hours: NDArray[np.float32], coverage: NDArray[np.float64], silent_days: int, minimum_coverage: float
) -> dict[int, str]:
    """Return the rows with values that are not to be forecast all the same, and why."""
    known = ~np.isnan(hours)
    silent = known.any(axis=1) & ~known[:, -silent_days * HOURS_PER_DAY :].any(axis=1)
    thin = known.any(axis=1) & ~(coverage >= minimum_coverage)
    found = {int(row): f"coverage {coverage[row]:.2f} is below {minimum_coverage:.2f}" for row in np.flatnonzero(thin)}
    for row in np.flatnonzero(silent):
        hours_ago = np.argmax(known[row, ::-1])
        found[int(row)] = f"no value in the last {hours_ago} hours: whether it goes on is not known"
    return found


def _columns(
    history: History, found: "Forecasts", plan: Plan, horizon: int, measured_days: NDArray[np.int64], coverage: Any
) -> dict[str, NDArray[Any]]:
    """Return one row per step of an answered series, and one of lead 0 for each without an answer."""
    answered = found.status == "ok"
    counts = np.where(answered, horizon, 1)
    series = np.repeat(np.arange(len(counts)), counts)
    lead = np.where(answered[series], np.arange(len(series)) - np.repeat(np.cumsum(counts) - counts, counts) + 1, 0)
    step_ms = HOUR_MS * HOURS_PER_DAY // plan.steps_per_day
    start = (history.end_ms + (lead - 1) * step_ms).astype("datetime64[ms]")

    def of_series(values: Any) -> NDArray[Any]:
        whole: NDArray[Any] = np.asarray(values)[series]
        return whole

    steps = {
        name: np.where(lead > 0, getattr(found, name)[series, np.maximum(lead - 1, 0)], np.nan).astype(np.float32)
        for name in STEPS
    }
    return {
        "entity_kind": np.full(len(series), history.kind, object),
        "entity_id": of_series(np.array(history.entities, object)),
        "metric": np.full(len(series), history.metric, object),
        "unit": np.full(len(series), history.unit, object),
        "freq": np.full(len(series), plan.name, object),
        "lead": lead.astype(np.int32),
        "step_start": np.where(lead > 0, start, np.datetime64("NaT")),
        **steps,
        "model": of_series(found.model),
        "backtest_mase": of_series(found.backtest_mase),
        "status": of_series(found.status),
        "reason": of_series(found.reason),
        "history_days": of_series(measured_days.astype(np.int32)),
        "samples_seen": of_series(history.seen),
        "samples_expected": of_series(history.expected),
        "coverage": of_series(coverage),
    }
