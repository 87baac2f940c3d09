"""Rows about an entity's metrics together: joint anomalies, with the metrics that explain them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.anomaly_model.metric_rows import (
    Event,
    Judged,
    Span,
    duration,
    event_fields,
)
from analytics_assets.analyzers.anomaly_model.parameters import AnomaliesParameters
from analytics_assets.analyzers.anomaly_model.table import TOGETHER
from analytics_assets.kernels.anomaly.extent import HALF, extent
from analytics_assets.kernels.anomaly.intervals import intervals
from analytics_assets.kernels.anomaly.multivariate import explaining_metrics, multivariate_scores
from analytics_assets.kernels.anomaly.recurrence import days_alike
from analytics_assets.kernels.anomaly.scores import SIDES, Scores
from analytics_assets.kernels.anomaly.time_of_day import usual_at
from resources.partition import DAY_MS

JOINT_DAYS = 7
"""Days before the day whose joint scores tell whether they were as high then."""

TINY = 1e-12
"""A metric without a floor that is as usual is off by nothing."""

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
    looked_from = max(0, span.day_step - JOINT_DAYS * DAY_MS // span.grid.step_ms)
    found = multivariate_scores(ts_ms, values, first_step=looked_from)
    kept_from = span.first_step - looked_from
    missing = ~np.isfinite(values[looked_from:]).any(axis=1)
    score = np.where(missing, np.nan, found.score)
    if not (score[kept_from:] >= 1).any():
        return
    history_days = min(float(metric.history_days[entity]) for metric in metrics)
    for joint in _events(score, kept_from, span, parameters):
        if joint.last < span.day_step - span.first_step:
            continue
        explained = found.explanations[kept_from + joint.first : kept_from + joint.last + 1]
        explaining = [metrics[column] for column in _explaining(explained)]
        event = _as_measured(joint, score[kept_from:], explaining, entity, span, parameters)
        if event is not None and span.is_told_today(event):
            inside = found.explanations[kept_from + event.first : kept_from + event.last + 1]
            named = explaining_metrics(inside, parameters.together_metrics)
            shares = [(metrics[column].metric, share) for column, share in named]
            highest = float(score[kept_from + joint.peak])
            yield _row(event, highest, shares, history_days, ~missing[kept_from:], span)


def _events(score: NDArray[np.float64], kept_from: int, span: Span, parameters: AnomaliesParameters) -> Iterator[Event]:
    """Yield the events of the kept steps of `score`, NaN where all is missing, that were not as high on days before."""
    kept = score[kept_from:]
    nothing = np.full(len(kept), np.nan)
    # The joint score has no band of its own: how far it is beyond its line is the score itself.
    for interval in intervals(span.kept_ms, Scores(kept, nothing, nothing, nothing, kept), parameters.rule):
        peak = interval.first + int(np.nanargmax(kept[interval.first : interval.last + 1]))
        alike = days_alike(score, span.grid.step_ms, kept_from + peak, 0.0)
        if not parameters.recurs(alike):
            first, last, goes_on = extent(kept, peak, 0.0, span.quiet_steps)
            first_alarm = first + int(np.argmax(kept[first : last + 1] >= 1))
            yield Event(first, last, peak, first_alarm, goes_on, alike)


def _explaining(explanations: NDArray[np.float32]) -> list[int]:
    """Return the metrics that explain at least half as much of an event as the one that explains most."""
    shares = explaining_metrics(explanations, explanations.shape[1])
    return [column for column, share in shares if share >= HALF * shares[0][1]]


def _as_measured(
    joint: Event,
    score: NDArray[np.float64],
    explaining: Sequence[Judged],
    entity: int,
    span: Span,
    parameters: AnomaliesParameters,
) -> Event | None:
    """Return the event from the first to the last step at which a metric that explains it is off; None if none is.

    A metric is off that is at least half as far from what is usual at that time, in the direction that counts, as it is
    at its farthest, and by enough to matter. The joint score peaks late and falls slowly; and it has no unit, but what
    is too small to matter of each metric does not matter of all of them together. Where it is not known what is usual,
    all is off.
    """
    off = np.zeros(joint.last - joint.first + 1, np.bool_)
    for metric in explaining:
        values, steps = metric.values[entity], (span.first_step + joint.first, span.first_step + joint.last)
        usual = usual_at(values, span.grid.step_ms, *steps)
        away = values[steps[0] : steps[1] + 1] - usual
        side = SIDES[parameters.direction]
        far = np.abs(away) if side == 0 else np.maximum(side * away, 0.0)
        farthest = np.max(far[np.isfinite(far)], initial=0.0)
        least = parameters.detector(metric.unit)
        floor = np.maximum(least.minimum_deviation, least.minimum_deviation_share * np.abs(usual))
        off |= np.isnan(usual) | ((far >= floor) & (far >= max(HALF * farthest, TINY)))
    if not off.any():
        return None
    first = joint.first + int(np.argmax(off))
    first_alarm = max(joint.first_alarm, first)
    last = max(joint.last - int(np.argmax(off[::-1])), first_alarm)
    peak = first + int(np.nanargmax(score[first : last + 1]))
    goes_on = joint.goes_on and len(score) - 1 - last < span.quiet_steps
    return replace(joint, first=first, last=last, peak=peak, first_alarm=first_alarm, goes_on=goes_on)


def _row(
    event: Event,
    highest: float,
    shares: Sequence[tuple[str, float]],
    history_days: float,
    present: NDArray[np.bool_],
    span: Span,
) -> dict[str, Any]:
    fields = event_fields(event, highest, present, span)
    metrics = ", ".join(f"{metric} {share:.0%}" for metric, share in shares)
    return {
        **fields,
        "kind": "together",
        "metric": TOGETHER,
        "unit": "",
        "metrics": metrics,
        "history_days": history_days,
        "why": (
            f"its metrics together were up to {fields['score']:.1f} times their alarm line, most of all {metrics}; "
            f"{duration(event.duration_ms(span))} at least half as far"
        ),
    }
