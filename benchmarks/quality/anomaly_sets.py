"""The labelled anomalies: each set scored by `analyze anomalies`, and the scores of its first part compared."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.quality.explaining_metrics import explaining_measures
from benchmarks.quality.measures import Measure, SetReport
from benchmarks.quality.processes import analyze, score

PREFIX_SHARE = 0.6
"""Each series is cut after this share of its rows, to compare the scores of the part with those of the whole."""

START = pd.Timestamp("2026-01-05", tz="UTC")
"""Where a record without a clock begins: a Monday, 00:00."""


@dataclass(frozen=True)
class AnomalySet:
    """What is asked on one set; `alarms` are event recall, alarm precision and false alarms per series and day."""

    vus_pr: float | None = None
    alarms: tuple[float, float, float] | None = None
    nab: tuple[float, float] | None = None
    explained: tuple[float, float] | None = None
    step: str = ""


SETS = {
    "nab": AnomalySet(nab=(56, 48)),
    "mscloud": AnomalySet(vus_pr=0.64, alarms=(0.68, 0.58, 0.09)),
    "aiops_kpi": AnomalySet(vus_pr=0.54, alarms=(0.55, 0.68, 0.18)),
    "smd": AnomalySet(vus_pr=0.57, explained=(0.72, 0.88), step="1min"),
    "asd": AnomalySet(vus_pr=0.68, explained=(0.83, 0.88), step="5min"),
}


def run(name: str, data: Path, folder: Path) -> SetReport:
    """Score one set and return its figures."""
    asked = SETS[name]
    options = ["--multivariate"] if asked.step else []
    rows = input_rows(name, data)
    whole = _scored(rows, folder / f"{name}.parquet", folder / f"{name}-scored.parquet", options)
    prediction = folder / f"{name}-prediction.parquet"
    whole.rename(columns={"series": "id"})[["id", "score", "alarm"]].to_parquet(prediction)
    output = score(data, "ad_score.py", name, prediction)
    told = json.loads(output)
    measures = _measures(told, asked)
    if asked.explained:
        labels = pd.read_parquet(data / f"{name}_explain.parquet")
        measures += explaining_measures(whole, labels, START, pd.Timedelta(asked.step), asked.explained)
    part = rows.groupby("series", sort=False).cumcount() < PREFIX_SHARE * rows.groupby("series")["ts"].transform("size")
    cut = _scored(rows[part], folder / f"{name}-part.parquet", folder / f"{name}-part-scored.parquet", options)
    measures.append(
        Measure(f"rows of the first {PREFIX_SHARE:.0%} scored otherwise alone", different(whole, cut, part), high=0)
    )
    command = " ".join(["novacron-analytics analyze anomalies", f"{name}.parquet --output scored.parquet", *options])
    twice = int(rows.duplicated(["series", "ts"]).sum())
    about = (
        f"Series, times and values as they are, {twice:,} rows with the time of an earlier one; no reference column."
    )
    if asked.step:
        about = (
            f"The metrics of each machine, every {asked.step} from a made-up Monday; `reference` is true in the "
            "training part, whose labels are not used."
        )
    return SetReport(about, measures, [command, f"python score/ad_score.py . {name} prediction.parquet"], output)


def input_rows(name: str, data: Path) -> pd.DataFrame:
    """Return a set as `analyze anomalies` takes it."""
    labelled = pd.read_parquet(data / f"{name}.parquet")
    if not SETS[name].step:
        return labelled[["series", "ts", "value"]]
    clock = labelled.columns[1]
    rows = labelled.rename(columns={"machine": "series"})
    rows["ts"] = START + rows[clock] * pd.Timedelta(SETS[name].step)
    rows["reference"] = ~rows["is_test"]
    metrics = [column for column in rows if column.startswith("m") and column[1:].isdigit()]
    return rows[["series", "ts", "reference", *metrics]]


def different(whole: pd.DataFrame, cut: pd.DataFrame, part: pd.Series) -> int:
    """Return how many rows of a part have another score or alarm than the same rows of the whole."""
    first = whole[part.to_numpy()].reset_index(drop=True)
    same_score = (first["score"] == cut["score"]) | (first["score"].isna() & cut["score"].isna())
    return int(np.count_nonzero(~(same_score & (first["alarm"] == cut["alarm"]))))


def _scored(rows: pd.DataFrame, path: Path, output: Path, options: Sequence[str]) -> pd.DataFrame:
    rows.to_parquet(path, index=False)
    analyze("anomalies", path, "--output", output, *options)
    return pd.read_parquet(output)


def _measures(told: dict[str, float | dict[str, float]], asked: AnomalySet) -> list[Measure]:
    def figure(name: str) -> float:
        value = told[name]
        return float("nan") if isinstance(value, dict) else float(value)

    recall, precision, false_alarms = asked.alarms or (None, None, None)
    measures = [
        Measure("VUS-PR", figure("vus_pr"), low=asked.vus_pr),
        Measure("alarms as sent: event recall", figure("event_recall"), low=recall),
        Measure("alarms as sent: precision", figure("alarm_precision"), low=precision),
        Measure("alarms as sent: false per series and day", figure("false_alarms_per_series_day"), high=false_alarms),
    ]
    for key, what, place in (("nab_best_threshold", "at best threshold", 0), ("nab_alarms_as_sent", "as sent", 1)):
        scores = told.get(key)
        if asked.nab and isinstance(scores, dict):
            measures.append(Measure(f"NAB standard score {what}", scores["standard"], low=asked.nab[place]))
    return measures
