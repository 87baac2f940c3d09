"""Rows about single metrics: each against its own past, and those that could not be judged."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.anomaly_model.parameters import AnomaliesParameters
from analytics_assets.kernels.anomaly.extent import extent
from analytics_assets.kernels.anomaly.intervals import Interval, intervals, severity
from analytics_assets.kernels.anomaly.recurrence import Recurrence, days_alike
from analytics_assets.kernels.anomaly.scores import Scores, score_matrix
from analytics_assets.kernels.matrix import Grid
from analytics_assets.reports.words import quantity
from resources.partition import DAY_MS

QUIET_MS = 15 * 60_000
"""An event ends where it is not half as far out for so long, and for a bucket at least."""


@dataclass(frozen=True)
class Span:
    """The grid of the window and the day; the day begins at `day_step`, scores are kept from `first_step` on."""

    grid: Grid
    day_step: int
    first_step: int

    @classmethod
    def of(cls, grid: Grid, window_days: int) -> "Span":
        """Keep the scores of the day and of the one before it, which tell what was going on at midnight."""
        per_day = DAY_MS // grid.step_ms
        day_step = min(window_days * per_day, grid.count)
        return cls(grid, day_step, max(day_step - per_day, 0))

    @property
    def kept_ms(self) -> NDArray[np.int64]:
        """The instants of the steps whose scores are kept."""
        return self.grid.start_ms + self.grid.step_ms * np.arange(self.first_step, self.grid.count, dtype=np.int64)

    def is_told_today(self, event: "Event") -> bool:
        """Return whether an event belongs to the day: it alarmed first on it, or ended on it.

        A new level that alarmed yesterday and goes on was told then.
        """
        today = self.day_step - self.first_step
        return event.last >= today and (event.first_alarm >= today or not event.goes_on)

    @property
    def quiet_steps(self) -> int:
        return max(1, QUIET_MS // self.grid.step_ms)

    @property
    def day_ms(self) -> int:
        return self.grid.start_ms + self.day_step * self.grid.step_ms


@dataclass(frozen=True)
class Judged:
    """One metric of some entities, with its values [entity, step]: which could be judged, and if not why not."""

    metric: str
    unit: str
    values: NDArray[np.float32]
    history_days: NDArray[np.float64]
    status: NDArray[np.object_]
    reason: NDArray[np.object_]


def judge(metric: str, unit: str, values: NDArray[np.float32], span: Span, parameters: AnomaliesParameters) -> Judged:
    """Return which rows of `values` have samples on the day, and enough before it."""
    present = np.isfinite(values)
    history_days = np.count_nonzero(present[:, : span.day_step], axis=1) * span.grid.step_ms / DAY_MS
    status = np.full(len(values), "ok", dtype=object)
    reason = np.full(len(values), None, dtype=object)
    short = history_days < parameters.minimum_history_days
    status[short] = "insufficient_data"
    for row in np.flatnonzero(short):
        reason[row] = (
            f"{history_days[row]:.1f} days' worth of samples before the day; needs {parameters.minimum_history_days:g}"
        )
    silent = ~present[:, span.day_step :].any(axis=1)
    status[silent], reason[silent] = "no_data", "no sample of this metric on the day"
    endless = silent & np.isinf(values[:, span.day_step :]).any(axis=1)
    status[endless], reason[endless] = "degenerate", "only infinite values on the day: the metric has no scale"
    return Judged(metric, unit, values, history_days, status, reason)


def metric_rows(judged: Judged, span: Span, parameters: AnomaliesParameters) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a metric, each with the position of its entity: anomalous intervals, and missing answers."""
    for row in np.flatnonzero(judged.status != "ok").tolist():
        yield row, _unanswered_row(judged, row, span)
    answered = np.flatnonzero(judged.status == "ok")
    if not len(answered):
        return
    found = score_matrix(
        judged.values[answered],
        span.grid.start_ms,
        span.grid.step_ms,
        span.grid.count - span.first_step,
        parameters.detector(judged.unit),
        parameters.threads,
    )
    for place in np.flatnonzero(found.alarm.any(axis=1)):
        of_one = Scores(*(getattr(found, name)[place] for name in ("score", "expected", "low", "high", "excess")))
        row = int(answered[place])
        for event in _events(judged.values[row], of_one, span, parameters):
            if span.is_told_today(event):
                yield row, _event_row(judged, row, of_one, event, span)


@dataclass(frozen=True)
class Event:
    """What happened from `first` to `last`, at its highest at `peak`: positions among the kept steps.

    `first_alarm` is its first alarm, `goes_on` tells that the data end before it does.
    """

    first: int
    last: int
    peak: int
    first_alarm: int
    goes_on: bool
    alike: Recurrence

    def duration_ms(self, span: Span) -> int:
        return (self.last - self.first + 1) * span.grid.step_ms


def event_fields(event: Event, highest: float, present: NDArray[np.bool_], span: Span) -> dict[str, Any]:
    """Return what the row of any event with this `highest` score says of when it was and how bad.

    `present` tells of each kept step whether there are samples.
    """
    begin_ms = int(span.kept_ms[event.first])
    first_today = max(event.first, span.day_step - span.first_step)
    return {
        "status": "ok",
        "start": max(begin_ms, span.day_ms),
        "end": begin_ms + event.duration_ms(span),
        "began": begin_ms if begin_ms < span.day_ms else None,
        "ongoing": event.goes_on,
        "severity": severity(highest, event.duration_ms(span)),
        "score": highest,
        "peak": int(span.kept_ms[event.peak]),
        "points": int(np.count_nonzero(present[first_today : event.last + 1])),
        "days_alike": event.alike.any_time,
    }


def _events(values: NDArray[np.float32], scores: Scores, span: Span, parameters: AnomaliesParameters) -> list[Event]:
    """Return the events of the kept steps, the highest of those that are one event, in the order of time."""
    kept = values[span.first_step :]
    found: list[Event] = []
    for interval in intervals(span.kept_ms, scores, parameters.rule):
        news = _news(values, scores, interval, span, parameters)
        if news is not None:
            peak, alike = news
            first, last, goes_on = extent(kept, peak, float(scores.expected[peak]), span.quiet_steps)
            first_alarm = first + int(np.argmax(scores.alarm[first : last + 1]))
            found.append(Event(first, last, peak, first_alarm, goes_on, alike))
    found.sort(key=lambda event: (-scores.score[event.peak], event.peak))
    apart: list[Event] = []
    for event in found:
        if all(event.last < other.first or other.last < event.first for other in apart):
            apart.append(event)
    return sorted(apart, key=lambda event: event.first)


def _news(
    values: NDArray[np.float32], scores: Scores, interval: Interval, span: Span, parameters: AnomaliesParameters
) -> tuple[int, Recurrence] | None:
    """Return the highest alarm of the interval that is not the metric's way; None if all are.

    The return from an event to the usual is often a sharper step than the event, and the most usual of values.
    """
    alarms = interval.first + np.flatnonzero(scores.alarm[interval.first : interval.last + 1])
    for place in sorted(alarms.tolist(), key=lambda place: (-scores.score[place], place)):
        alike = days_alike(values, span.grid.step_ms, span.first_step + place, float(scores.expected[place]))
        if not parameters.recurs(alike):
            return place, alike
    return None


def _unanswered_row(judged: Judged, row: int, span: Span) -> dict[str, Any]:
    """Return the row of a metric that could not be judged: it spans the day, and says why."""
    return {
        "kind": "metric",
        "metric": judged.metric,
        "unit": judged.unit,
        "status": judged.status[row],
        "reason": judged.reason[row],
        "start": span.day_ms,
        "end": span.grid.end_ms,
        "ongoing": False,
        "points": int(np.count_nonzero(np.isfinite(judged.values[row, span.day_step :]))),
        "history_days": float(judged.history_days[row]),
    }


def _event_row(judged: Judged, row: int, scores: Scores, event: Event, span: Span) -> dict[str, Any]:
    value = float(judged.values[row, span.first_step + event.peak])
    # What was usual is at least 0, as every metric is.
    expected, low, high = (max(float(part[event.peak]), 0.0) for part in (scores.expected, scores.low, scores.high))
    alike, fields = event.alike, event_fields(event, float(scores.score[event.peak]), ~np.isnan(scores.excess), span)
    return {
        **fields,
        "kind": "metric",
        "metric": judged.metric,
        "unit": judged.unit,
        "direction": "up" if scores.excess[event.peak] > 0 else "down",
        "value": value,
        "expected": expected,
        "low": low,
        "high": high,
        "history_days": float(judged.history_days[row]),
        "why": (
            f"{quantity(value, judged.unit)} at {clock(fields['peak'])}, where "
            f"{quantity(low, judged.unit)} to {quantity(high, judged.unit)} was usual; "
            f"{duration(event.duration_ms(span))} at least half as far out; on {alike.any_time} of the {alike.days} "
            "days before it was, at a time at which that is not the rule"
        ),
    }


def clock(ts_ms: int) -> str:
    """Return the time of day of an instant, UTC."""
    return f"{datetime.fromtimestamp(ts_ms / 1000, UTC):%H:%M}"


def duration(span_ms: int) -> str:
    """Return a span of time in words, such as `45 min` or `3 h 10 min`."""
    hours, minutes = divmod(round(span_ms / 60_000), 60)
    return f"{minutes} min" if not hours else f"{hours} h {minutes} min" if minutes else f"{hours} h"
