"""The most pressing answers of a day, for a person to judge: `python -m benchmarks.quality.answers HOME TENANT DAY`.

Three sheets of ten charts each: the highest anomalies of the week that ends with DAY, the resources of VMs that run
out soonest, and the largest changes of size that are recommended. What was measured is drawn from the lake beside what
was concluded from it; the numbers of the panels are those of the rows that are printed.
"""

import argparse
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from resources.lake.lake import Lake
from resources.partition import Partition, days_between

SHOWN, SHOWN_DAYS, HISTORY_DAYS = 10, 5, 60
GIB = 2.0**30
MEASURED, BAND, CONCLUDED = "#335577", "#99bbdd", "#cc4422"


class Answers:
    """A tenant's tables up to a day."""

    def __init__(self, home: Path, tenant: str, day: date) -> None:
        self.lake, self.tenant, self.day = Lake(home / "lake"), tenant, day

    def table(self, name: str, days: int = 1, vm_id: str | None = None) -> pd.DataFrame:
        """Return the rows of the last `days` days that are stored, of one VM or of all."""
        wanted = days_between(self.day - timedelta(days=days - 1), self.day)
        paths = [self.lake.path(name, Partition(self.tenant, day)) for day in wanted]
        filters = [("vm_id", "==", vm_id)] if vm_id else None
        tables = [pd.read_parquet(path, filters=filters) for path in paths if path.exists()]
        if not tables:
            raise SystemExit(
                f"{name} of {self.tenant} has no day stored of those up to {self.day}; run daily-analytics"
            )
        return pd.concat(tables, ignore_index=True)

    def anomalies(self) -> pd.DataFrame:
        """Return the highest anomaly of the week of each VM, the highest first; peers' scores have another scale."""
        rows = self.table("anomalies", 7)
        rows = rows[(rows["status"] == "ok") & (rows["severity"] != "low") & (rows["kind"] != "peer")]
        return rows.sort_values("score", ascending=False).drop_duplicates("entity_id").head(SHOWN)

    def exhaustions(self) -> pd.DataFrame:
        """Return the resources that run out soonest, those that are full already, and the fullest of the rest."""
        rows = self.table("capacity")
        rows = rows[(rows["entity_kind"] == "vm") & (rows["status"] == "ok") & (rows["scenario"] == "")]
        days = rows["time_remaining_days_conservative"]
        group = days.isna() * 2 + (days == 0)
        rows = rows.assign(group=group, margin=-rows["projected_30d_high"] / rows["usable"])
        return rows.sort_values(["group", "time_remaining_days_conservative", "margin"]).head(SHOWN)

    def recommendations(self) -> pd.DataFrame:
        """Return the largest recommended changes: cores, and 4 GiB of memory counted as one."""
        rows = self.table("recommendations")
        rows = rows[(rows["entity_kind"] == "vm") & rows["action"].isin(["resize", "reclaim"])]
        cores = (rows["vcpus_to"] - rows["vcpus_from"]).abs().fillna(0)
        memory = (rows["memory_bytes_to"] - rows["memory_bytes_from"]).abs().fillna(0)
        return rows.assign(size=cores + memory / (4 * GIB)).sort_values("size", ascending=False).head(SHOWN)


def draw_anomaly(axes: Axes, answers: Answers, row: pd.Series) -> None:
    """Draw the metric's days around an anomaly, with what was usual at its peak; of several metrics the first named."""
    metric = row["metric"] if row["metric"] != "*" else str(row["metrics"]).split(" ", 1)[0]
    samples = answers.table("vm_resources", SHOWN_DAYS + 7, row["entity_id"]).set_index("ts")[f"{metric}_mean"]
    samples = samples.where(np.isfinite(samples)).dropna()
    samples = samples[samples.index >= row["start"] - timedelta(days=SHOWN_DAYS)]
    samples = samples[samples.index <= row["end"] + timedelta(days=1)]
    axes.plot(samples.index, samples, color=MEASURED, linewidth=0.7)
    axes.axvspan(row["began"] if pd.notna(row["began"]) else row["start"], row["end"], color=CONCLUDED, alpha=0.25)
    if pd.notna(row["expected"]):
        axes.errorbar(
            row["peak"],
            row["expected"],
            [[max(0.0, row["expected"] - row["low"])], [max(0.0, row["high"] - row["expected"])]],
            color=CONCLUDED,
            capsize=4,
            marker="o",
            markersize=3,
        )
    axes.set_title(f"{row['entity_id']} {metric} ({row['kind']}): score {row['score']:.1f}, {row['severity']}", size=8)


def draw_exhaustion(axes: Axes, answers: Answers, row: pd.Series) -> None:
    """Draw the resource's hours, the 95th percentile of its days, its limits, and what is expected in 30 days."""
    hours = answers.table("vm_resources_hourly", HISTORY_DAYS, row["entity_id"]).set_index("ts")
    column = "cpu_percent_p95" if row["resource"] == "cpu" else "memory_bytes_p95"
    use = hours[column] / 100 * row["physical"] if row["resource"] == "cpu" else hours[column] / GIB
    unit = 1 if row["resource"] == "cpu" else GIB
    axes.plot(use.index, use, color=BAND, linewidth=0.5)
    daily = use.resample("D").quantile(0.95)
    axes.plot(daily.index + timedelta(hours=12), daily, color=MEASURED, linewidth=1.2)
    axes.axhline(row["usable"] / unit, color=CONCLUDED, linewidth=0.8)
    axes.axhline(row["physical"] / unit, color="black", linewidth=0.8)
    in_30_days = use.index.max() + timedelta(days=30)
    expected, high = row["projected_30d"] / unit, row["projected_30d_high"] / unit
    axes.errorbar(
        in_30_days, expected, [[0.0], [high - expected]], color=CONCLUDED, marker="o", markersize=4, capsize=4
    )
    days = [row[f"time_remaining_days_{kind}"] for kind in ("conservative", "expected")]
    conservative, expected = ("none in a year" if pd.isna(each) else f"{each:.0f} d" for each in days)
    title = f"{row['entity_id']} {row['resource']}: {conservative}, expected {expected}"
    axes.set_title(f"{title}; {row['direction']}", size=8)
    axes.set_ylabel("cores" if row["resource"] == "cpu" else "GiB", size=7)


def draw_recommendation(axes: Axes, answers: Answers, row: pd.Series) -> None:
    """Draw CPU (left axis) and memory (right) with the sizes now (black) and as recommended."""
    hours = answers.table("vm_resources_hourly", 28, row["entity_id"]).set_index("ts")
    axes.plot(hours.index, hours["cpu_percent_max"] / 100 * row["vcpus_from"], color=MEASURED, linewidth=0.6)
    axes.axhline(row["vcpus_from"], color="black", linewidth=0.8)
    axes.axhline(row["vcpus_to"], color=CONCLUDED, linewidth=1.2)
    axes.set_ylabel("cores", size=7)
    other = axes.twinx()
    other.plot(hours.index, hours["memory_bytes_max"] / GIB, color="#559955", linewidth=0.6)
    other.axhline(row["memory_bytes_from"] / GIB, color="black", linewidth=0.8, linestyle=":")
    other.axhline(row["memory_bytes_to"] / GIB, color="#559955", linewidth=1.2, linestyle="--")
    other.set_ylabel("GiB", size=7)
    other.tick_params(labelsize=6)
    cores = f"{row['vcpus_from']:.0f} to {row['vcpus_to']:.0f} cores"
    memory = f"{row['memory_bytes_from'] / GIB:.1f} to {row['memory_bytes_to'] / GIB:.1f} GiB"
    axes.set_title(f"{row['entity_id']} {row['size_class']}, {row['action']}: {cores}, {memory}", size=8)


SHEETS: dict[str, tuple[Callable[[Answers], pd.DataFrame], Callable[[Axes, Answers, Any], None]]] = {
    "anomalies": (Answers.anomalies, draw_anomaly),
    "exhaustions": (Answers.exhaustions, draw_exhaustion),
    "recommendations": (Answers.recommendations, draw_recommendation),
}


def main() -> None:
    """Print the rows and write a sheet of charts for each kind of answer."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.answers", description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("tenant")
    parser.add_argument("day", type=date.fromisoformat)
    parser.add_argument("--output", type=Path, default=Path("docs/images"), help="folder of the sheets")
    given = parser.parse_args()
    mpl.use("Agg")
    answers = Answers(given.home, given.tenant, given.day)
    for name, (choose, draw) in SHEETS.items():
        rows = choose(answers)
        figure, panels = plt.subplots(-(-len(rows) // 2), 2, figsize=(13, 2.8 * -(-len(rows) // 2)), squeeze=False)
        figure.set_layout_engine("constrained")
        for place, (axes, (_, row)) in enumerate(zip(panels.flat, rows.iterrows(), strict=False)):
            draw(axes, answers, row)
            axes.set_title(f"{place + 1}. {axes.get_title()}", size=8)
            axes.tick_params(labelsize=6)
            shown = row.dropna().to_dict()
            print(f"\n{name} {place + 1}: " + ", ".join(f"{key}={value}" for key, value in shown.items()))
        path = given.output / f"{given.tenant}-{name}.png"
        figure.savefig(path, dpi=80)
        plt.close(figure)
        print(f"\n{path}")


if __name__ == "__main__":
    main()
