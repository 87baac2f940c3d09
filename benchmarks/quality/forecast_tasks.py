"""Rolling-origin forecasts of Bitbrains VMs: `analyze forecasts` once for each metric, step and origin."""

import re
from pathlib import Path

import pandas as pd

from benchmarks.quality.measures import Measure, SetReport
from benchmarks.quality.processes import analyze, score

ASKED = {
    ("cpu_usage_pct", 24): 0.68,
    ("cpu_usage_pct", 168): 0.79,
    ("cpu_usage_pct", 28): 0.82,
    ("mem_usage_kb", 24): 0.72,
    ("mem_usage_kb", 168): 0.76,
    ("mem_usage_kb", 28): 0.87,
    ("net_rx_kbps", 24): 0.72,
    ("net_rx_kbps", 168): 0.73,
    ("net_rx_kbps", 28): 0.85,
}
"""Metric and steps ahead -> mean absolute error relative to the seasonal naive."""

LINE = re.compile(
    r"(?P<metric>\w+)\s+(?P<freq>[hd]) H=(?P<horizon>\d+)\s+(?P<model>\S+)\s+n=\s*(?P<count>\d+).*"
    r"relMAE (?P<mae>\S+) .*"
    r"cov80 (?P<cov80>\S+) cov95 (?P<cov95>\S+) .*wql (?P<wql>\S+)"
)
QUANTILE_LOSS = 1.1
"""Times the weighted quantile loss of the best simple method."""


def run(data: Path, folder: Path) -> SetReport:
    """Forecast all tasks and return their figures."""
    score(data, "forecast_score.py", "tasks", folder / "tasks.parquet")
    tasks = pd.read_parquet(folder / "tasks.parquet")
    means = hourly_means(data, sorted(set(tasks["metric"])))
    found = []
    for (metric, freq, origin), group in tasks.groupby(["metric", "freq", "origin"]):
        path, output = folder / "history.parquet", folder / "forecast.parquet"
        history(means[metric], freq, origin).to_parquet(path, index=False)
        horizon = int(group["horizon"].iloc[0])
        analyze("forecasts", path, "--horizon", horizon, "--freq", freq, "--output", output)
        forecast = pd.read_parquet(output).rename(columns={"series": "vm_id"})
        found.append(forecast.assign(metric=metric, freq=freq, origin=origin))
    prediction = folder / "forecast-prediction.parquet"
    pd.concat(found).to_parquet(prediction)
    printed = score(data, "forecast_score.py", "score", prediction)
    simple = score(data, "forecast_score.py", "baselines")
    return SetReport(
        "Hourly (daily) means of all 90 VMs strictly before the origin, gaps left as they are; one call for each "
        "metric, step and origin. The scorer takes the VMs that it has a task for.",
        measures(printed, simple),
        [
            "novacron-analytics analyze forecasts history.parquet --horizon 168 --freq h --output forecast.parquet",
            "novacron-analytics analyze forecasts history.parquet --horizon 28 --freq d --output forecast.parquet",
            "python score/forecast_score.py . score prediction.parquet",
        ],
        printed,
    )


def hourly_means(data: Path, metrics: list[str]) -> dict[str, pd.DataFrame]:
    """Return for each metric the mean of every hour [hour, VM], from the first whole day on."""
    samples = pd.read_parquet(data / "bitbrains_5min.parquet", columns=["ts", "vm_id", *metrics])
    means = samples.groupby(["vm_id", samples["ts"].dt.floor("h")])[metrics].mean()
    found = {}
    for metric in metrics:
        table = means[metric].unstack("vm_id")
        hours = pd.date_range(table.index[0], table.index[-1], freq="h")
        table = table.reindex(hours)
        found[metric] = table[table.index >= table.index[0].ceil("D")]
    return found


def history(means: pd.DataFrame, freq: str, origin: pd.Timestamp) -> pd.DataFrame:
    """Return the history before the origin as `analyze forecasts` takes it."""
    steps = means if freq == "h" else means.resample("D").mean()
    known = steps.loc[steps.index < origin]
    long = known.rename_axis(index="ts", columns="series").stack().rename("value").reset_index()
    return long[["series", "ts", "value"]]


def measures(printed: str, simple: str) -> list[Measure]:
    """Return what is asked, from what the scorer printed of ours and of the simple methods."""
    lines = [found.groupdict() for found in map(LINE.match, printed.splitlines()) if found]
    ours = [line for line in lines if line["model"] == "submitted"]
    best: dict[tuple[str, int], float] = {}
    for line in (found.groupdict() for found in map(LINE.match, simple.splitlines()) if found):
        key = (line["metric"], int(line["horizon"]))
        best[key] = min(best.get(key, float("inf")), float(line["wql"]))
    missing = re.search(r"without a prediction: (\d+)", printed)
    found = [Measure("tasks without a forecast", float(missing.group(1)) if missing else float("nan"), high=0)]
    for line in ours:
        key = (line["metric"], int(line["horizon"]))
        name = f"{key[0]}, {key[1]} {'hours' if line['freq'] == 'h' else 'days'}"
        found.append(Measure(f"{name}: error relative to the seasonal naive", float(line["mae"]), high=ASKED[key]))
        found.append(
            Measure(f"{name}: quantile loss, times the best simple", float(line["wql"]) / best[key], high=QUANTILE_LOSS)
        )
        if line["freq"] == "h":
            found.append(Measure(f"{name}: truth inside 80 %", float(line["cov80"]), low=0.77, high=0.83))
            found.append(Measure(f"{name}: truth inside 95 %", float(line["cov95"]), low=0.93, high=0.97))
    daily = [line for line in ours if line["freq"] == "d"]
    for level, low, high in (("80", 0.77, 0.83), ("95", 0.93, 0.97)):
        total = sum(int(line["count"]) for line in daily)
        pooled = sum(int(line["count"]) * float(line[f"cov{level}"]) for line in daily) / total
        found.append(Measure(f"28 days, all metrics: truth inside {level} %", round(pooled, 3), low=low, high=high))
    return found
