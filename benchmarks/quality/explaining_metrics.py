"""Whether the metrics that explain an anomaly are those that experts named for it."""

import json

import numpy as np
import pandas as pd

from benchmarks.quality.measures import Measure


def explaining_measures(
    scored: pd.DataFrame,
    labels: pd.DataFrame,
    start: pd.Timestamp,
    step: pd.Timedelta,
    asked: tuple[float, float],
) -> list[Measure]:
    """Return the share of the labelled metrics that was found, and how often the first one was right.

    For an event with k labelled metrics these are looked for among the k that contribute most to the
    scores of its rows, all rows added up. An event without any explanation has found nothing.
    """
    begin, end = labels.columns[1:3]
    by_series = {name: rows.sort_values("ts") for name, rows in scored.groupby("series")}
    found, first_right = [], []
    for _, event in labels.iterrows():
        rows = by_series[event["machine"]]
        inside = rows[(rows["ts"] >= start + event[begin] * step) & (rows["ts"] <= start + event[end] * step)]
        ranked = by_contribution(inside["explains"])
        labelled = {f"m{metric:02d}" for metric in event["metrics"]}
        found.append(len(labelled & set(ranked[: len(labelled)])) / len(labelled))
        first_right.append(bool(ranked) and ranked[0] in labelled)
    return [
        Measure("explaining metrics: share found", round(float(np.mean(found)), 4), low=asked[0]),
        Measure("explaining metrics: first one right", round(float(np.mean(first_right)), 4), low=asked[1]),
    ]


def by_contribution(explains: pd.Series) -> list[str]:
    """Return the metrics of some rows by the sum of their contributions, the largest first."""
    total: dict[str, float] = {}
    for text in explains.dropna():
        for metric, contribution in json.loads(text).items():
            total[metric] = total.get(metric, 0.0) + contribution
    return sorted(total, key=lambda metric: (-total[metric], metric))
