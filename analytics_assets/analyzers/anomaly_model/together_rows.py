"""Rows about an entity's metrics together: joint anomalies, with the metrics that explain them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.anomaly_model.metric_rows import Judged, Span, clock, duration
from analytics_assets.analyzers.anomaly_model.parameters import AnomaliesParameters
from analytics_assets.analyzers.anomaly_model.table import TOGETHER
from analytics_assets.kernels.anomaly.intervals import Interval, intervals
from analytics_assets.kernels.anomaly.multivariate import explaining_metrics, multivariate_scores
from analytics_assets.kernels.anomaly.scores import Scores

LEAST_METRICS = 2
"""Fewer metrics have nothing to be judged together by."""


def together_rows(
    judged: Sequence[Judged], span: Span, parameters: AnomaliesParameters
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the joint anomalies of the day, each with the position of its entity."""
    if not judged:
        return
    answered = np.stack([metric.status == "ok" for metric in judged])
    entities = np.flatnonzero(np.count_nonzero(answered, axis=0) >= LEAST_METRICS)
    ts_ms = span.grid.start_ms + span.grid.step_ms * np.arange(span.grid.count, dtype=np.int64)

    def of_entity(entity: int) -> list[dict[str, Any]]:
        metrics = [judged[number] for number in np.flatnonzero(answered[:, entity]).tolist()]
        return list(_of_entity(metrics, entity, ts_ms, span, parameters))

    with ThreadPoolExecutor(parameters.threads) as pool:
        for entity, rows in zip(entities.tolist(), pool.map(of_entity, entities.tolist()), strict=True):
            for row in rows:
                yield entity, row


def _of_entity(
    metrics: Sequence[Judged], entity: int, ts_ms: NDArray[np.int64], span: Span, parameters: AnomaliesParameters
) -> Iterator[dict[str, Any]]:
    values = np.stack([metric.values[entity] for metric in metrics]).T
    found = multivariate_scores(ts_ms, values, first_step=span.first_step)
    score = found.score
    if not (score >= 1).any():
        return
    missing = np.asarray(~np.isfinite(values[span.first_step :]).any(axis=1))
    nothing = np.full(len(score), np.nan)
    # The joint score has no band of its own: how far it is beyond its line is the score itself.
    scores = Scores(score, nothing, nothing, nothing, np.where(missing, np.nan, score))
    history_days = min(float(metric.history_days[entity]) for metric in metrics)
    for interval in intervals(span.kept_ms, scores, parameters.rule):
        first = max(interval.first, span.day_step - span.first_step)
        if (score[first : interval.last + 1] >= 1).any():
            inside = found.explanations[first : interval.last + 1]
            named = explaining_metrics(inside, parameters.together_metrics)
            shares = [(metrics[column].metric, share) for column, share in named]
            yield _row(interval, first, score, missing, shares, history_days, span)


def _row(
    interval: Interval,
    first: int,
    score: NDArray[np.float64],
    missing: NDArray[np.bool_],
    shares: Sequence[tuple[str, float]],
    history_days: float,
    span: Span,
) -> dict[str, Any]:
    peak = int(first + np.argmax(score[first : interval.last + 1]))
    peak_ms, end_ms = int(span.kept_ms[peak]), interval.end_ms + span.grid.step_ms
    metrics = ", ".join(f"{metric} {share:.0%}" for metric, share in shares)
    return {
        "kind": "together",
        "metric": TOGETHER,
        "unit": "",
        "status": "ok",
        "start": max(interval.start_ms, span.day_ms),
        "end": end_ms,
        "began": interval.start_ms if interval.start_ms < span.day_ms else None,
        "ongoing": interval.ongoing,
        "severity": interval.severity,
        "score": float(score[peak]),
        "peak": peak_ms,
        "metrics": metrics,
        "points": int(np.count_nonzero(~missing[first : interval.last + 1])),
        "history_days": history_days,
        "why": (
            f"its metrics together were {score[peak]:.1f} times their alarm line at {clock(peak_ms)}, most of all "
            f"{metrics}; {duration(end_ms - interval.start_ms)} in all"
        ),
    }
