"""The intervals in which a metric was abnormal, made of the scores of its points.

An interval opens at an alarm once enough of the last few points were outside of the band (m of n),
and closes when several points in a row are well inside it again: it begins with the first of those
outside and ends with the last point that was not well inside. A missing sample neither opens nor
closes anything: m, n and the row of quiet points count samples that are there. Intervals that are
less than a quarter of an hour apart are one.

Severity comes from how far the peak is beyond the alarm line and from how long it lasted, never from
how many points there were: a denser metric is not a worse one.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analytics_assets.kernels.anomaly.residuals import IntArray
from analytics_assets.kernels.anomaly.scores import Scores

Severity = Literal["low", "medium", "high"]

MINUTE_MS = 60_000
PEAKS = 1 + math.log(2), 1 + math.log(5)
"""Peak scores from which an interval counts as stronger: twice and five times the alarm line."""

DURATIONS_MS = 15 * MINUTE_MS, 60 * MINUTE_MS
"""Durations from which an interval counts as longer."""


@dataclass(frozen=True)
class IntervalRule:
    """When an interval opens and closes.

    It opens when an alarm and at least `outside_points` points outside of the band are among the last
    `of_points`. One alarm is enough by default: the alarm line is made for single points, and asking
    for more of them loses more true events than false ones. It closes after `quiet_points` in a row with
    less than `quiet_share` of the line. Intervals less than `merge_ms` apart are one.
    """

    outside_points: int = 1
    of_points: int = 5
    quiet_points: int = 5
    quiet_share: float = 0.5
    merge_ms: int = 15 * MINUTE_MS

    def __post_init__(self) -> None:
        if not 1 <= self.outside_points <= self.of_points:
            raise ValueError(f"{self.outside_points} of {self.of_points} points open nothing; ask for 1 to all of them")
        if self.quiet_points < 1:
            raise ValueError(f"quiet_points is {self.quiet_points}; an interval closes after at least one quiet point")
        if not 0 < self.quiet_share <= 1:
            raise ValueError(f"quiet_share is {self.quiet_share}; it is above 0 and at most 1")
        if self.merge_ms < 0:
            raise ValueError(f"merge_ms is {self.merge_ms}; it is at least 0")


@dataclass(frozen=True)
class Interval:
    """An abnormal interval from the point at `first` to that at `last`, its highest score at `peak` (positions).

    `duration_ms` is from the first to the last of its points, 0 for a single one. `direction` is that
    of the peak. `ongoing` tells that the series ended before the interval did.
    """

    first: int
    last: int
    peak: int
    start_ms: int
    end_ms: int
    peak_score: float
    direction: Literal["up", "down"]
    severity: Severity
    ongoing: bool

    @property
    def duration_ms(self) -> int:
        return self.end_ms - self.start_ms


DEFAULT_RULE = IntervalRule()


def intervals(ts_ms: IntArray, scores: Scores, rule: IntervalRule = DEFAULT_RULE) -> list[Interval]:
    """Return the abnormal intervals of one series, in the order of time; `ts_ms` are the instants of its scores."""
    if scores.score.ndim != 1 or len(ts_ms) != len(scores.score):
        raise ValueError(f"{len(ts_ms)} instants for scores of shape {scores.score.shape}; give those of one series")
    alarm = scores.alarm
    if not alarm.any():
        return []
    merged: list[tuple[int, int, bool]] = []
    for first, last, ongoing in _spans(alarm, np.abs(scores.excess), rule):
        if merged and ts_ms[first] - ts_ms[merged[-1][1]] < rule.merge_ms:
            merged[-1] = (merged[-1][0], last, ongoing)
        else:
            merged.append((first, last, ongoing))
    return [_interval(ts_ms, scores, *span) for span in merged]


def severity(peak_score: float, duration_ms: int) -> Severity:
    """Return how bad an interval is: one step each for twice and five times the line, a quarter of an hour and an hour.

    No step or one is low, two are medium, three or four are high.
    """
    steps = sum(peak_score >= peak for peak in PEAKS) + sum(duration_ms >= long for long in DURATIONS_MS)
    return "low" if steps < 2 else "medium" if steps == 2 else "high"


def _spans(alarm: np.ndarray, excess: np.ndarray, rule: IntervalRule) -> list[tuple[int, int, bool]]:
    """Return first and last position of each interval, and whether it was still going on at the end."""
    spans: list[tuple[int, int, bool]] = []
    present = np.flatnonzero(~np.isnan(excess))
    outside = alarm[present] | (excess[present] >= 1.0)
    opened: int | None = None
    loud = quiet = begin = 0
    for at, position in enumerate(present.tolist()):
        if opened is None:
            if not outside[at]:  # nothing that the points before did not open already
                continue
            recent = range(max(begin, at + 1 - rule.of_points), at + 1)
            those = [k for k in recent if outside[k]]
            if len(those) >= rule.outside_points and any(alarm[present[k]] for k in those):
                opened, loud, quiet = int(present[those[0]]), position, 0
        elif excess[position] >= rule.quiet_share or alarm[position]:
            loud, quiet = position, 0
        else:
            quiet += 1
            if quiet == rule.quiet_points:
                spans.append((opened, loud, False))
                opened, begin = None, at + 1
    if opened is not None:
        spans.append((opened, loud, True))
    return spans


def _interval(ts_ms: IntArray, scores: Scores, first: int, last: int, ongoing: bool) -> Interval:
    peak = first + int(np.argmax(scores.score[first : last + 1]))
    start_ms, end_ms, peak_score = int(ts_ms[first]), int(ts_ms[last]), float(scores.score[peak])
    return Interval(
        first=first,
        last=last,
        peak=peak,
        start_ms=start_ms,
        end_ms=end_ms,
        peak_score=peak_score,
        direction="up" if scores.excess[peak] > 0 else "down",
        severity=severity(peak_score, end_ms - start_ms),
        ongoing=ongoing,
    )
