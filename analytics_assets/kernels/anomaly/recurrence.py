"""Whether a metric was just as far out on earlier days: what recurs is the metric's way, not news.

A nightly backup that begins some minutes earlier or later each night, or a job that runs a few times a
day at no fixed hour, is farther from any prediction than noise ever is. That the same was seen on
earlier days, at the same time of the day or at any, tells it from an event.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

REACH = 0.7
"""A value is alike that is at least so far on the way from what was expected to the peak."""

AROUND_MS = 3_600_000
"""Times of the day up to so far from the peak's are the same time."""

HALF_WAY = 0.5
"""Where half of the days are so far on the way at a time of the day, being there then is the daily cycle."""


@dataclass(frozen=True)
class Recurrence:
    """Days before the peak's with a value alike: at `any_time`, at the `same_time`, of so many `days` with samples.

    At any time means at one at which such a value is not the rule: full by day, every day, is the daily
    cycle, and says nothing of being full at night.
    """

    any_time: int
    same_time: int
    days: int


def days_alike(
    values: NDArray[np.floating[Any]], step_ms: int, peak: int, expected: float, reach: float = REACH
) -> Recurrence:
    """Return on how many days before it the series was as far out as at the step `peak`, on the same side.

    `values` [step] are on an even grid of `step_ms`. Days are the spans of 24 hours that end 12 hours before the
    peak, and so on backwards, so that each holds one time like the peak's, in its middle.
    """
    per_day = 86_400_000 // step_ms
    end = peak - per_day // 2
    if end <= 0:
        return Recurrence(0, 0, 0)
    count = -(-end // per_day)
    before = np.full(count * per_day, np.nan)
    before[count * per_day - end :] = values[:end]
    days = before.reshape(count, per_day)
    size = float(values[peak]) - expected
    out = days - expected if size >= 0 else expected - days
    far = np.isfinite(days) & (out >= reach * abs(size))
    middle, around = per_day // 2, max(1, AROUND_MS // step_ms)
    unlike_then = far & ~_near(_usually_out(out, abs(size)), around)
    return Recurrence(
        any_time=int(np.count_nonzero(unlike_then.any(axis=1))),
        same_time=int(np.count_nonzero(far[:, max(0, middle - around) : middle + around + 1].any(axis=1))),
        days=int(np.count_nonzero(np.isfinite(days).any(axis=1))),
    )


def _usually_out(out: NDArray[np.float64], size: float) -> NDArray[np.bool_]:
    """Return the times of the day at which half of the days, and two at least, are half as far out as the peak."""
    present = np.isfinite(out)
    high = np.count_nonzero(present & (out >= HALF_WAY * size), axis=0)
    return np.asarray((high >= 2) & (2 * high >= np.count_nonzero(present, axis=0)))


def _near(times: NDArray[np.bool_], around: int) -> NDArray[np.bool_]:
    """Return the times of the day up to `around` steps from one of `times`, over midnight too."""
    around_midnight = np.concatenate([times[-around:], times, times[:around]])
    so_far = np.concatenate([[0], np.cumsum(around_midnight)])
    return np.asarray(so_far[2 * around + 1 :] > so_far[: len(times)])
