"""What a counter counted between two samples.

The increase between successive samples of one series; a fall means that the counter began again at
zero, so the new value is the increase. An increase over more than two intervals is true as a sum,
but when it happened is not known.

NovaCron adds a VM's total to its counter at every scrape, where the hypervisor reports a running
total instead of an amount: the counter is then a running sum of totals. It shows: its rate hardly
ever falls and keeps growing with time. The increase of such a counter is the total then, and the
increase of that what was moved.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.samples import FloatArray, IntArray, OrderedSamples

GAP_INTERVALS = 2
"""An increase over more intervals than these is doubtful."""

SUSPECT_SAMPLES = 24
"""A counter with fewer increases is taken as it is."""

SUSPECT_FALLS = 0.02
"""Greatest share of falling rates of a running sum of totals: scrapes are not quite evenly spaced."""

SUSPECT_CORRELATION = 0.9
"""Least correlation of such a counter's rate with time; its rate also at least doubles in the window."""


@dataclass(frozen=True)
class Increases:
    """By sample: the increase since the one before in the series, over how many seconds, and what it is worth.

    Where `valid` is false there is no sample before. `suspect` numbers the series that were running
    sums of totals.
    """

    amount: FloatArray
    seconds: FloatArray
    valid: NDArray[np.bool_]
    doubtful: NDArray[np.bool_]
    suspect: IntArray

    @property
    def rate(self) -> FloatArray:
        """The increase per second."""
        return self.amount / self.seconds


def increases(samples: OrderedSamples) -> Increases:
    """Return the increases of counters."""
    size = len(samples.values)
    amount, seconds = np.zeros(size), np.ones(size)
    valid = np.ones(size, bool)
    valid[samples.bounds[:-1][samples.bounds[:-1] < size]] = False
    if size > 1:
        difference = np.diff(samples.values)
        amount[1:] = np.where(difference < 0, samples.values[1:], difference)
        seconds[1:] = np.diff(samples.ts_ms) / 1000.0
    amount[~valid], seconds[~valid] = 0.0, 1.0
    interval = np.repeat(samples.interval_ms / 1000.0, np.diff(samples.bounds))
    doubtful = valid & (seconds > GAP_INTERVALS * interval)
    suspect = _running_sums(samples.bounds, amount / seconds, samples.ts_ms)
    for series in suspect:
        span = slice(int(samples.bounds[series]), int(samples.bounds[series + 1]))
        amount[span], valid[span] = _without_running_sum(
            amount[span], seconds[span], float(samples.interval_ms[series]) / 1000.0
        )
    return Increases(amount, seconds, valid, doubtful & valid, suspect)


def _running_sums(bounds: IntArray, rate: FloatArray, ts_ms: IntArray) -> IntArray:
    """Return the series whose rate grows all the time, as that of a running sum of totals."""
    counts = np.diff(bounds) - 1
    enough = np.flatnonzero(counts >= SUSPECT_SAMPLES)
    if not len(enough):
        return enough
    # Rates begin with a series' second sample, their differences with its third.
    falls = np.zeros(len(rate), np.int64)
    falls[2:] = np.diff(rate[1:]) < -1e-9 * np.abs(rate[1:-1])
    before = np.r_[0, np.cumsum(falls)]
    fell = before[bounds[enough + 1]] - before[bounds[enough] + 2]
    candidates = enough[fell <= SUSPECT_FALLS * counts[enough]]
    return np.array([s for s in candidates if _grows(rate, ts_ms, bounds[s] + 1, bounds[s + 1])], np.int64)


def _grows(rate: FloatArray, ts_ms: IntArray, first: int, stop: int) -> bool:
    own = rate[first:stop]
    if own[-1] < 2 * own[0] or own[-1] <= 0:
        return False
    elapsed = (ts_ms[first:stop] - ts_ms[first]).astype(np.float64)
    return float(np.corrcoef(elapsed, own)[0, 1]) >= SUSPECT_CORRELATION


def _without_running_sum(
    amount: FloatArray, seconds: FloatArray, interval_seconds: float
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return what was moved between samples of a running sum of totals, and where that is known.

    Over a gap of `n` intervals the sum grew by `n` totals; their mean is taken for the last.
    """
    scrapes = np.maximum(1.0, np.rint(seconds / interval_seconds))
    total = amount / scrapes
    moved = np.zeros(len(amount))
    difference = np.diff(total[1:])
    moved[2:] = np.where(difference < 0, total[2:], difference)
    known = np.ones(len(amount), bool)
    known[:2] = False
    return moved, known
