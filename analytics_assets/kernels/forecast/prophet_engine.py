"""Prophet as a second engine for a few long series, used only where it proved better on that very series.

For totals (a tenant, a cluster) and nodes a trend with seasons can beat the rules that suit single
VMs. It costs more than a hundred times as much, so it is asked for by name, and published only where its mean
absolute error at earlier origins was lower than ours at the same ones. Prophet's own intervals come
from random draws; ours are kept around its forecast, as its errors were not larger.

Source: Taylor and Letham (2018), "Forecasting at scale", The American Statistician 72.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from analytics_assets.kernels.forecast.backtest import Floats
from analytics_assets.kernels.forecast.forecasts import Forecasts, forecast
from analytics_assets.kernels.forecast.plan import Plan
from resources.partition import DAY_MS

NAME = "prophet"
SEED = 0
ORIGIN_DAYS = (7, 14, 21)
"""Days before the last one at which both engines are compared."""

SHORTEST_DAYS = 21
"""Days with values before the earliest origin that a comparison needs: three weeks of the weekly season."""

CHANGED = ("mean", "lo80", "hi80", "lo95", "hi95", "model", "backtest_mase", "backtest_mae")
LOGGERS = ("prophet", "prophet.plot", "cmdstanpy")


@dataclass(frozen=True)
class Choice:
    """Whether prophet was chosen for a series, and why or why not."""

    chosen: bool
    reason: str


def with_prophet(
    ours: Forecasts,
    history: Floats,
    end_ms: int,
    plan: Plan,
    horizon: int,
    rows: Sequence[int],
    capacity: Floats | None = None,
) -> tuple[Forecasts, dict[int, Choice]]:
    """Return `ours` with prophet's forecast in those `rows` where it was better, and the choice for each row.

    `history` [series, step] and `capacity` [series] (NaN or None: no bound) are what `ours` were made
    of; the history ends at `end_ms`. A fit that fails is a reason, not an error.
    """
    found = replace(ours, **{name: getattr(ours, name).copy() for name in CHANGED})
    choices = {}
    for row in rows:
        if ours.status[row] != "ok":
            choices[row] = Choice(False, f"not tried: {ours.reason[row]}")
            continue
        try:
            most = np.nan if capacity is None else float(capacity[row])
            choices[row] = _try(found, row, np.asarray(history[row], np.float64), end_ms, plan, horizon, most)
        except (RuntimeError, ValueError) as error:
            # What cmdstan's optimiser and prophet's checks of its input raise.
            choices[row] = Choice(False, f"its fit failed: {' '.join(str(error).split())[:200]}")
    return found, choices


def _try(
    found: Forecasts, row: int, series: Floats, end_ms: int, plan: Plan, horizon: int, capacity: float
) -> Choice:  # fmt: skip
    low = -np.inf if np.nanmin(series) < 0 else 0.0
    most = np.inf if np.isnan(capacity) else capacity
    per_day = plan.steps_per_day
    start = len(series) - max(ORIGIN_DAYS) * per_day
    if np.count_nonzero(~np.isnan(series[: max(start, 0)])) < SHORTEST_DAYS * per_day:
        return Choice(False, f"not tried: fewer than {SHORTEST_DAYS} days before the earliest origin")
    its_error, our_error = [], []
    for day in ORIGIN_DAYS:
        end = len(series) - day * per_day
        steps = min(horizon, day * per_day)
        truth = series[end : end + steps]
        known = ~np.isnan(truth)
        its = np.clip(prophet_forecast(series[:end], end_ms - day * DAY_MS, plan, steps), low, most)
        rival = forecast(series[None, :end], plan, steps, capacity=np.array([capacity])).mean[0]
        its_error.append(np.abs(its - truth)[known])
        our_error.append(np.abs(rival - truth)[known])
    its_mean, our_mean = np.concatenate(its_error).mean(), np.concatenate(our_error).mean()
    told = f"mean absolute error {its_mean:.4g} against {our_mean:.4g} at the same origins"
    if not its_mean < our_mean:
        return Choice(False, told)
    mean = np.clip(prophet_forecast(series, end_ms, plan, horizon), low, most)
    moved = mean - found.mean[row]
    for name in ("mean", "lo80", "hi80", "lo95", "hi95"):
        getattr(found, name)[row] = np.clip(getattr(found, name)[row] + moved, low, most)
    found.model[row] = NAME
    found.backtest_mase[row] *= its_mean / our_mean
    found.backtest_mae[row] *= its_mean / our_mean
    return Choice(True, told)


def prophet_forecast(series: Floats, end_ms: int, plan: Plan, horizon: int) -> Floats:
    """Return prophet's forecast of the `horizon` steps after `series`, which ends at `end_ms`.

    Daily (hourly values only) and weekly seasons, no yearly one. Deterministic: a maximum a
    posteriori fit from a fixed seed, without draws.

    Raises:
        RuntimeError: the optimiser failed.
        ValueError: there are too few values.
    """
    import pandas as pd

    step_ms = DAY_MS // plan.steps_per_day
    times = pd.to_datetime(end_ms + step_ms * np.arange(-len(series), horizon), unit="ms")
    past = pd.DataFrame({"ds": times[: len(series)], "y": series}).dropna()
    with _quiet():
        from prophet import Prophet

        model = Prophet(
            daily_seasonality=plan.steps_per_day > 1,
            weekly_seasonality=True,
            yearly_seasonality=False,
            uncertainty_samples=0,
        )
        model.fit(past, seed=SEED)
        predicted = model.predict(pd.DataFrame({"ds": times[len(series) :]}))
    mean: Floats = predicted["yhat"].to_numpy(np.float64)
    return mean


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep prophet's and cmdstan's progress and their libraries' deprecations out of the logs.

    By filters, which stay when the libraries set their loggers' levels at first use.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(_nothing)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False
