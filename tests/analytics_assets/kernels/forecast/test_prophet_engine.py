import subprocess
import sys

import numpy as np
import pytest

from analytics_assets.kernels.forecast import prophet_engine
from analytics_assets.kernels.forecast.forecasts import forecast
from analytics_assets.kernels.forecast.plan import DAILY
from analytics_assets.kernels.forecast.prophet_engine import prophet_forecast, with_prophet

END_MS = 1_774_656_000_000  # 2026-03-28 00:00 UTC
DAYS = 70


def growth():
    """Growth that began after a third of the history: the slope of all of it is too small."""
    days = np.arange(DAYS)
    return 100 + 5.0 * np.maximum(days - 23, 0) + np.random.default_rng(0).normal(0, 1, DAYS)


def test_it_is_chosen_where_it_was_better_and_kept_out_where_not():
    noise = np.random.default_rng(1).standard_t(2, DAYS) * 5 + np.where(np.arange(DAYS) > 45, 400, 100)
    history = np.array([growth(), noise])
    ours = forecast(history, DAILY, 14, ["a", "b"])
    found, choices = with_prophet(ours, history, END_MS, DAILY, 14, [0, 1])
    assert choices[0].chosen
    assert found.model[0] == "prophet"
    assert found.mean[0] == pytest.approx(100 + 5.0 * (DAYS - 23 + np.arange(14)), rel=0.05)
    assert (found.lo95[0] <= found.lo80[0]).all()
    assert (found.lo80[0] <= found.mean[0]).all()
    assert (found.mean[0] <= found.hi80[0]).all()
    assert found.backtest_mase[0] < ours.backtest_mase[0]
    assert not choices[1].chosen
    assert "against" in choices[1].reason
    assert np.array_equal(found.mean[1], ours.mean[1])
    assert ours.model[0] != "prophet"  # what was given is not changed


def test_the_same_input_gives_the_same_bytes():
    """Prophet draws its intervals and its start from random numbers unless told otherwise."""
    once, again = (prophet_forecast(growth(), END_MS, DAILY, 30) for _ in range(2))
    assert once.tobytes() == again.tobytes()


def test_a_failing_optimiser_is_a_reason(monkeypatch):
    def failing(*_):
        raise RuntimeError("Optimization\n terminated abnormally.")

    monkeypatch.setattr(prophet_engine, "prophet_forecast", failing)
    history = growth()[None]
    ours = forecast(history, DAILY, 14)
    found, choices = with_prophet(ours, history, END_MS, DAILY, 14, [0])
    assert choices[0].reason == "its fit failed: Optimization terminated abnormally."
    assert np.array_equal(found.mean, ours.mean)


def test_short_or_unanswered_series_are_not_tried():
    history = np.full((2, 40), np.nan)
    history[0, -30:] = 1.0
    choices = with_prophet(forecast(history, DAILY, 7), history, END_MS, DAILY, 7, [0, 1])[1]
    assert choices[0].reason.startswith("not tried: fewer than 21 days")
    assert choices[1].reason == "not tried: no value in the history"


def test_it_says_nothing_even_at_first_use():
    """cmdstan sets its logger up when it is first used, whatever was set before; hence a fresh process."""
    code = (
        "import logging, numpy as np\n"
        "from analytics_assets.kernels.forecast.plan import HOURLY\n"
        "from analytics_assets.kernels.forecast.prophet_engine import prophet_forecast\n"
        "hours = np.tile(50 + 10 * np.sin(np.arange(24) / 24 * 2 * np.pi), 28)\n"
        "assert abs(prophet_forecast(hours, 1774656000000, HOURLY, 24) - hours[:24]).max() < 3\n"
        "assert not logging.getLogger('cmdstanpy').filters\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_both_engines_keep_to_the_capacity():
    history = np.minimum(growth() / 350 * 99, 100)[None]
    capacity = np.array([100.0])
    ours = forecast(history, DAILY, 90, capacity=capacity)
    found, choices = with_prophet(ours, history, END_MS, DAILY, 90, [0], capacity)
    assert choices[0].chosen
    assert found.mean.max() == 100
    assert max(getattr(found, name).max() for name in ("lo95", "lo80", "hi80", "hi95")) <= 100
