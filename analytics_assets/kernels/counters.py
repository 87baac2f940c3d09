"""What a counter counted between two samples.

The increase between successive samples of one series; a fall means that the counter began again at
zero, so the new value is the increase. An increase over more than two intervals is true as a sum,
but when it happened is not known.

NovaCron adds a VM's total to its counter at every scrape, where the hypervisor reports a running
total instead of an amount: the counter is then a running sum of totals. It shows: what a scrape
adds hardly ever falls and keeps growing with time. The increase of such a counter is the total
then, and the increase of that what was moved.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.samples import FloatArray, IntArray, OrderedSamples

GAP_INTERVALS = 2
"""An increase over more intervals than these is doubtful."""

SUSPECT_SAMPLES = 24
"""A counter with fewer increases is taken as it is."""

SUSPECT_MS = 6 * 3_600_000
"""Nor is one suspected over less time: a load may rise for some hours."""

SUSPECT_FALLS = 0.02
"""Greatest share of scrapes that add less than the one before: a hypervisor's total may restart."""

SUSPECT_RISES = 0.25
"""Least share of scrapes that add more than the one before."""

SUSPECT_CORRELATION = 0.9
"""Least correlation with time of what a scrape adds."""


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
    # What one scrape added; a missed one added its share unseen.
    scrapes = np.maximum(1.0, np.rint(seconds / np.maximum(interval, 1e-3)))
    added = amount / scrapes
    suspect = _running_sums(samples.bounds, added, samples.ts_ms)
    for series in suspect:
        span = slice(int(samples.bounds[series]), int(samples.bounds[series + 1]))
        amount[span], valid[span] = _without_running_sum(added[span])
    return Increases(amount, seconds, valid, doubtful & valid, suspect)


def _running_sums(bounds: IntArray, added: FloatArray, ts_ms: IntArray) -> IntArray:
    """Return the series of which a scrape adds more and more, as a running sum of totals does."""
    counts = np.diff(bounds) - 1
    enough = np.flatnonzero(counts >= SUSPECT_SAMPLES)
    enough = enough[ts_ms[bounds[enough + 1] - 1] - ts_ms[bounds[enough]] >= SUSPECT_MS]
    if not len(enough):
        return enough
    # Increases begin with a series' second sample, their differences with its third.
    change = np.r_[0.0, 0.0, np.diff(added[1:])]

    def share(mask: NDArray[np.bool_]) -> FloatArray:
        before = np.r_[0, np.cumsum(mask)]
        found: FloatArray = (before[bounds[enough + 1]] - before[bounds[enough] + 2]) / counts[enough]
        return found

    candidates = enough[(share(change < 0) <= SUSPECT_FALLS) & (share(change > 0) >= SUSPECT_RISES)]
    return np.array([s for s in candidates if _grows(added, ts_ms, bounds[s] + 1, bounds[s + 1])], np.int64)


def _grows(added: FloatArray, ts_ms: IntArray, first: int, stop: int) -> bool:
    elapsed = (ts_ms[first:stop] - ts_ms[first]).astype(np.float64)
    return float(np.corrcoef(elapsed, added[first:stop])[0, 1]) >= SUSPECT_CORRELATION


def _without_running_sum(total: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return what was moved between samples of a running sum of totals, and where that is known.

    `total` is what a scrape added; over a gap, the mean of the totals that were added unseen.
    """
    moved = np.zeros(len(total))
    difference = np.diff(total[1:])
    moved[2:] = np.where(difference < 0, total[2:], difference)
    known = np.ones(len(total), bool)
    known[:2] = False
    return moved, known
