"""What a counter counted between two samples.

The increase between successive samples of one series; a fall means that the counter began again at
zero, so the new value is the increase. An increase over more than two intervals is true as a sum,
but when it happened is not known.

NovaCron adds a VM's total to its counter at every scrape, where the hypervisor reports a running
total instead of an amount: the counter is then a running sum of totals. It shows: what a scrape
adds hardly ever falls and keeps growing with time. The increase of such a counter is the total
then, and the increase of that what was moved. A scrape that added nothing tells no total: the
series was left behind, or the total is still zero. A series too short to be told by itself is taken
for such a sum where another of the same entity is one.
"""

from dataclasses import dataclass

import numpy as np

from analytics_assets.kernels.samples import BoolArray, FloatArray, IntArray, OrderedSamples

GAP_INTERVALS = 2
"""An increase over more intervals than these is doubtful."""

SUSPECT_SAMPLES = 24
"""A counter with fewer increases is taken as it is."""

SUSPECT_MS = 6 * 3_600_000
"""Nor is one suspected over less time: a load may rise for some hours."""

SUSPECT_FALLS = 0.02
"""Greatest share of scrapes that add less than the one before, but one may: a hypervisor's total may restart."""

SUSPECT_RISES = 0.25
"""Least share of scrapes that add more than the one before."""

SUSPECT_CORRELATION = 0.9
"""Least correlation with time of what a scrape adds."""


@dataclass(frozen=True)
class Increases:
    """By sample: the increase since the one before in the series, over how many seconds, and what it is worth.

    Where `valid` is false no increase is known. `suspect` numbers the series that were running sums
    of totals.
    """

    amount: FloatArray
    seconds: FloatArray
    valid: BoolArray
    doubtful: BoolArray
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
    valid[samples.bounds[:-1]] = False
    if size > 1:
        difference = np.diff(samples.values)
        amount[1:] = np.where(difference < 0, samples.values[1:], difference)
        seconds[1:] = np.diff(samples.ts_ms) / 1000.0
    amount[~valid], seconds[~valid] = 0.0, 1.0
    interval = np.repeat(samples.interval_ms / 1000.0, np.diff(samples.bounds))
    doubtful = valid & (seconds > GAP_INTERVALS * interval)
    # What one scrape added; a missed one added its share unseen.
    added = amount / np.maximum(1.0, np.rint(seconds / np.maximum(interval, 1e-3)))
    suspect = _running_sums(samples, added)
    if len(suspect):
        _undo(samples.bounds, suspect, added, amount, valid, doubtful)
    return Increases(amount, seconds, valid, doubtful, suspect)


def _running_sums(samples: OrderedSamples, added: FloatArray) -> IntArray:
    """Return the series of which a scrape adds more and more, as a running sum of totals does."""
    bounds = samples.bounds
    # A quick look first: the increases of nearly every honest counter fall too often.
    fallen = _count_within(np.r_[False, (added[1:] < added[:-1]) & (added[1:] > 0)], bounds)
    candidates = np.flatnonzero(fallen <= _falls_allowed(np.diff(bounds)))
    at, first = _totals(added, bounds, candidates)
    count = np.diff(first)
    change = np.diff(added[at], prepend=0.0)
    change[first[:-1][count > 0]] = 0.0
    changes = np.maximum(count - 1, 1)
    falls = _count_within(change < 0, first) <= _falls_allowed(changes)
    rises = _count_within(change > 0, first) >= SUSPECT_RISES * changes
    ends = np.maximum(first[1:] - 1, 0)
    begins = np.minimum(first[:-1], ends)
    enough = count >= SUSPECT_SAMPLES
    if len(at):
        enough &= samples.ts_ms[at[ends]] - samples.ts_ms[at[begins]] >= SUSPECT_MS
    told = candidates[falls & rises & enough]
    told = told[_correlation_with_time(samples, added, told) >= SUSPECT_CORRELATION]
    too_short = candidates[falls & ~enough]
    return np.union1d(told, too_short[np.isin(samples.entity[too_short], samples.entity[told])])


def _falls_allowed(changes: IntArray) -> FloatArray:
    allowed: FloatArray = np.maximum(1.0, SUSPECT_FALLS * changes)
    return allowed


def _totals(added: FloatArray, bounds: IntArray, series: IntArray) -> tuple[IntArray, IntArray]:
    """Return the samples of `series` at which something was added, and where each series begins among them."""
    sizes = np.diff(bounds)[series]
    first = np.r_[0, np.cumsum(sizes)]
    at = np.repeat(bounds[:-1][series] - first[:-1], sizes) + np.arange(first[-1])
    some = added[at] != 0
    return at[some], np.r_[0, np.cumsum(_count_within(some, first))]


def _count_within(mask: BoolArray, bounds: IntArray) -> IntArray:
    """Return how many are true of each series."""
    before = np.zeros(len(mask) + 1, np.int64)
    np.cumsum(mask, out=before[1:])
    return before[bounds[1:]] - before[bounds[:-1]]


def _correlation_with_time(samples: OrderedSamples, added: FloatArray, series: IntArray) -> FloatArray:
    """Return the correlation of what was added, where something was, with time; for series that have some twice."""
    at, first = _totals(added, samples.bounds, series)
    count = np.diff(first)

    def centred(values: FloatArray) -> FloatArray:
        return values - np.repeat(np.add.reduceat(values, first[:-1]) / count, count)

    if not len(series):
        return np.zeros(0)
    time = centred((samples.ts_ms[at] - np.repeat(samples.ts_ms[at[first[:-1]]], count)).astype(np.float64))
    total = centred(added[at] / np.repeat(np.maximum.reduceat(np.abs(added[at]), first[:-1]), count))
    both, one, other = (np.add.reduceat(product, first[:-1]) for product in (time * total, time**2, total**2))
    found: FloatArray = both / np.sqrt(one * other)
    return found


def _undo(
    bounds: IntArray, suspect: IntArray, added: FloatArray, amount: FloatArray, valid: BoolArray, doubtful: BoolArray
) -> None:
    """Put what was moved in place of the totals that `suspect` series added.

    Over a gap `added` is the mean of the totals that were added unseen: what was moved then is in
    the increase after the gap as well.
    """
    at, first = _totals(added, bounds, suspect)
    begins = first[:-1][np.diff(first) > 0]
    total, unsure = added[at], doubtful[at]
    moved = np.diff(total, prepend=0.0)
    moved = np.where(moved < 0, total, moved)
    moved[begins] = 0.0
    unsure[1:] |= unsure[:-1].copy()
    unsure[begins] = False
    of_suspect = np.zeros(len(bounds) - 1, bool)
    of_suspect[suspect] = True
    amount[np.repeat(of_suspect, np.diff(bounds))] = 0.0
    amount[at], doubtful[at] = moved, unsure
    valid[at[begins]] = False
