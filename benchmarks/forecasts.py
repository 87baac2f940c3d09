"""Forecasts of 60,000 series to 7 days with intervals and selection, beside Prophet and AutoETS on some of them.

Hourly series of 56 days of the kinds that VMs have (jobs at fixed hours, office hours, level shifts,
spikes, noise), of five metrics. The peers forecast the same windows of a few of them; errors are the
mean absolute error over the truth of the next 7 days, relative to the seasonal naive forecast, as a
geometric mean over series. Ours runs on both cores, the peers on one each: seconds per series.

A tenant's metric is a group of its own, and what its series have in common is learned anew: so the
cost per series is told of one large tenant and of many with 90 VMs.

AutoETS (statsforecast) needs an older pandas, hence another environment: name its interpreter in
NOVACRON_STATSFORECAST_PYTHON, else that part is left out.
"""

import os
import resource
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.forecast.forecasts import forecast
from analytics_assets.kernels.forecast.plan import DAILY, HOURLY
from analytics_assets.kernels.forecast.prophet_engine import prophet_forecast
from benchmarks.report import Outcome

METRICS = 5
HISTORY_HOURS, HORIZON_HOURS = 56 * 24, 168
END_MS = 1_772_323_200_000
SERIES_AT_ONCE = 12_000
SMALL_TENANT_VMS = 90
SMALL_TENANTS = 6
THREADS = 2

AUTO_ETS = """
import sys, time
import numpy as np
from statsforecast.models import AutoETS
history, horizon = np.load(sys.argv[1]), int(sys.argv[2])
AutoETS(season_length=24).forecast(y=history[0], h=horizon, level=[80, 95])
started = time.perf_counter()
made = [AutoETS(season_length=24).forecast(y=row, h=horizon, level=[80, 95])["mean"] for row in history]
np.savez(sys.argv[3], mean=np.array(made), seconds=time.perf_counter() - started)
"""


def run(quick: bool) -> list[Outcome]:
    """Return the milliseconds and errors of all three."""
    count, few = (2_000, 4) if quick else (60_000, 24)
    forecast(_series(8, 0)[:, :HISTORY_HOURS], HOURLY, HORIZON_HOURS)  # compiles
    seconds = cpu_seconds = 0.0
    for first in range(0, count, SERIES_AT_ONCE):
        part = _series(min(SERIES_AT_ONCE, count - first), first)[:, :HISTORY_HOURS]
        started, cpu_started = perf_counter(), process_time()
        forecast(part, HOURLY, HORIZON_HOURS, threads=THREADS)
        seconds, cpu_seconds = seconds + perf_counter() - started, cpu_seconds + process_time() - cpu_started
    ours_ms = 1000 * seconds / count
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    outcomes = [
        Outcome(f"{count:,} series, 7 days ahead", ours_ms, "ms/series", aim="<= 1", note=f"{seconds:.0f} s in all"),
        Outcome(
            "the same in CPU time", 1000 * cpu_seconds / count, "ms/series", note="what a busy machine leaves as it is"
        ),
        Outcome("peak memory, one metric at a time", peak_gb, "GiB"),
        *_small_tenants(),
    ]
    whole = _series(few, 0)
    history, truth = whole[:, :HISTORY_HOURS], whole[:, HISTORY_HOURS:]
    naive = np.abs(np.tile(history[:, -24:], (1, HORIZON_HOURS // 24)) - truth).mean(axis=1)

    def error(mean: NDArray[np.float64]) -> float:
        return float(np.exp(np.log(np.abs(mean - truth).mean(axis=1) / naive).mean()))

    ours = error(forecast(history, HOURLY, HORIZON_HOURS).mean)
    for name, limit, (mean, peer_ms) in (
        ("Prophet", "<= 0.01", _prophet(history)),
        ("AutoETS", "<= 0.05", _auto_ets(history)),
    ):
        if mean is None:
            outcomes.append(
                Outcome(f"{name}: left out", 0, "", note="NOVACRON_STATSFORECAST_PYTHON names no interpreter")
            )
            continue
        outcomes += [
            Outcome(f"time per series, {few} series", ours_ms, "ms/series", peer_ms, name, limit),
            Outcome(f"error relative to the seasonal naive, {few} series", ours, "", error(mean), name, "<= 1"),
        ]
    return outcomes


def _small_tenants() -> list[Outcome]:
    """Return what a series costs where a tenant has few, hourly and daily, in CPU time."""
    outcomes = []
    for plan, horizon in ((HOURLY, HORIZON_HOURS), (DAILY, DAILY.maximum_horizon)):
        seconds = 0.0
        for tenant in range(SMALL_TENANTS):
            hours = _series(SMALL_TENANT_VMS, 1_000_000 + tenant)[:, :HISTORY_HOURS]
            history = hours if plan is HOURLY else hours.reshape(SMALL_TENANT_VMS, -1, 24).mean(axis=2)
            if tenant == 0:
                forecast(history, plan, horizon)  # compiles
            started = process_time()
            forecast(history, plan, horizon)
            seconds += process_time() - started
        outcomes.append(
            Outcome(
                f"tenants of {SMALL_TENANT_VMS} VMs, {horizon} {'hours' if plan is HOURLY else 'days'} ahead, CPU time",
                1000 * seconds / SMALL_TENANTS / SMALL_TENANT_VMS,
                "ms/series",
            )
        )
    return outcomes


def _series(count: int, seed: int) -> NDArray[np.float64]:
    """Return `count` series of history and truth, each of a kind that its place gives it."""
    random = np.random.default_rng([17, seed])
    hours = np.arange(HISTORY_HOURS + HORIZON_HOURS)
    hour, day = hours % 24, hours // 24 % 7
    level = random.lognormal(3, 1, (count, 1))
    noise = level * random.uniform(0.02, 0.3, (count, 1)) * random.standard_t(4, (count, len(hours)))
    office = ((day < 5) & (hour >= 8) & (hour < 18)) * random.uniform(0, 2, (count, 1)) * level
    job = (hour == random.integers(0, 24, (count, 1))) * random.uniform(0, 4, (count, 1)) * level
    shift = (hours > random.integers(0, 2 * len(hours), (count, 1))) * random.uniform(-0.5, 1, (count, 1)) * level
    wave = np.sin((hour - random.uniform(0, 24, (count, 1))) / 24 * 2 * np.pi) * random.uniform(0, 0.5, (count, 1))
    spikes = (random.random((count, len(hours))) < 0.01) * random.uniform(0, 5, (count, 1)) * level
    values = level * (1 + wave) + office + job + shift + spikes + noise
    whole: NDArray[np.float64] = np.maximum(values, 0.0)
    return whole


def _prophet(history: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, float]:
    prophet_forecast(history[0], END_MS, HOURLY, HORIZON_HOURS)
    started = perf_counter()
    mean = np.array([prophet_forecast(row, END_MS, HOURLY, HORIZON_HOURS) for row in history])
    return np.maximum(mean, 0.0), 1000 * (perf_counter() - started) / len(history)


def _auto_ets(history: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, float]:
    interpreter = os.environ.get("NOVACRON_STATSFORECAST_PYTHON")
    if not interpreter:
        return None, 0.0
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "history.npy", Path(folder) / "made.npz"
        np.save(given, history)
        subprocess.run(
            [interpreter, "-c", AUTO_ETS, str(given), str(HORIZON_HOURS), str(made)], check=True
        )  # fmt: skip
        found = np.load(made)
        return np.maximum(found["mean"], 0.0), 1000 * float(found["seconds"]) / len(history)
