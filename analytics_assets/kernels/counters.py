"""What a counter counted between two samples.

The increase between successive samples of one series; a fall means that the counter began again at
zero, so the new value is the increase. An increase over more than two intervals is true as a sum,
but when it happened is not known.

NovaCron adds a VM's total to its counter at every scrape, where the hypervisor reports a running
total instead of an amount: the counter is then a running sum of totals. What a scrape adds is the
total itself: it stays exactly the same while the VM is idle, and falls only where the total began
again. The increase of such a counter is the total then, and the increase of that what was moved. A
scrape that added nothing tells no total: the series was left behind, or the total is still zero.

Which counters are such sums is told from all series that are given together, for it is the exporter
that makes them so:

- A series is honest if what a scrape adds falls time and again, and not to less than half, as it
  does where a total begins again.
- A series is a sum if what a scrape adds rises often and hardly ever falls, and the rises are as
  uneven as traffic is. Load that only grows does not make them so. A smooth ramp has even rises, or
  rises that wander: three of them differ from the next three by more than one from the next. With
  noise too small to make it fall, one rise makes up for the last, and threes hardly differ. If they
  are uneven for scrapes that are early and late alone, the rate is even.
- All sums of a batch must have risen often enough together, as noise may look like traffic for a while.
- If there is a sum and no honest series, all others are sums, too. If there are both, a series is
  one only for a sum of the same entity, or if it rose so often that no honest one would have.

A series of which a scrape always adds the same, or ever more and evenly, may be either. It is taken
as honest, and counted as undecided.
"""

from dataclasses import dataclass

import numpy as np

from analytics_assets.kernels.samples import BoolArray, FloatArray, IntArray, OrderedSamples

GAP_INTERVALS = 2
"""An increase over more intervals than these is doubtful."""

SCRAPE_INTERVALS = 0.5, 1.5
"""What one scrape added is known from an increase over more and fewer intervals than these."""

NOISE = 1e-15
"""Share of a counter's value within which what it adds is the same: some last digits of a sum."""

FALLS = 0.02
"""Greatest share of changes at which a sum adds less than before; one may: totals begin again, interfaces go."""

CRASHES = 0.25
"""Totals begin again at fewer changes than this share of them."""

RISES = 12
"""Least number of scrapes at which a sum adds more than before. In 150,000 windows of real traffic, none has 6."""

RISES_TOGETHER = 24
"""The same of all series together that show themselves that they are sums."""

SURE_RISES = 48
"""The same of a sum among honest series."""

PAUSES = 0.25
"""Greatest share of scrapes, from the first to the last that added something, at which a sum adds nothing."""

UNEVEN = 0.05
"""Least mean relative difference between a sum's successive rises."""

CARRIED, SPREAD = (0.4, 1.4), 1.3
"""Least and greatest relative difference between threes of rises of a sum, by that between single ones.

Uneven rises that have nothing to do with each other give from 0.58 to 0.9, noise of a ramp 0.4, a smooth bend 3. Of few
rises noise may give more: the least is higher by `SPREAD` by the root of their number. With 1.3, of ramps with all the
noise that they can have without a fall at most one in a hundred passes, with 0.9 three.
"""

ROUNDING = 4.0
"""Difference between rises that may come from counting whole bytes: each sample cuts off less than one."""

TIMELY = 0.5
"""Least relative difference between successive changes of the rate of a sum, by that between those of what it adds.

Load whose rises are uneven only because scrapes are early or late has an even rate.
"""

UNDECIDED_ADDS = 6
"""A series to which fewer scrapes added something, without a fall, is not even undecided."""


@dataclass(frozen=True)
class Increases:
    """By sample: the increase since the one before in the series, over how many seconds, and what it is worth.

    Where `valid` is false no increase is known. `suspect` numbers the series that were running sums
    of totals, `undecided` those that may be and were taken as they are.
    """

    amount: FloatArray
    seconds: FloatArray
    valid: BoolArray
    doubtful: BoolArray
    suspect: IntArray
    undecided: IntArray

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
    rising = valid.copy()
    if size > 1:
        difference = np.diff(samples.values)
        amount[1:] = np.where(difference < 0, samples.values[1:], difference)
        seconds[1:] = np.diff(samples.ts_ms) / 1000.0
        rising[1:] &= difference >= 0
    amount[~valid], seconds[~valid] = 0.0, 1.0
    interval = np.repeat(samples.interval_ms / 1000.0, np.diff(samples.bounds))
    doubtful = valid & (seconds > GAP_INTERVALS * interval)
    least, most = SCRAPE_INTERVALS
    one_scrape = rising & (seconds > least * interval) & (seconds < most * interval)
    suspect, undecided = _running_sums(samples, amount, seconds, one_scrape)
    if len(suspect):
        scrapes = np.maximum(1.0, np.rint(seconds / np.maximum(interval, 1e-3)))
        added = _added_by_one(samples.bounds, amount, scrapes)
        _undo(samples.bounds, suspect, added, amount, valid, doubtful)
    return Increases(amount, seconds, valid, doubtful, suspect, undecided)


def _running_sums(
    samples: OrderedSamples, amount: FloatArray, seconds: FloatArray, one_scrape: BoolArray
) -> tuple[IntArray, IntArray]:
    """Return the series that are running sums of totals, and those that may be; `one_scrape` added some amounts."""
    bounds, noise = samples.bounds, NOISE * samples.values
    # A quick look first: most honest counters show between neighbouring samples already.
    fallen = one_scrape[1:] & one_scrape[:-1] & _falls_a_little(amount, noise)
    honest = _count_within(np.r_[False, fallen][: len(amount)], bounds) > _falls_allowed(np.diff(bounds))
    rest = np.flatnonzero(~honest)
    course = _Course.of(_Scrapes.of(bounds, rest, one_scrape), amount, seconds, noise)
    honest[rest] = course.honest
    shown = course.told(SURE_RISES if honest.any() else RISES)
    if course.rises[shown].sum() < RISES_TOGETHER:
        return np.zeros(0, np.int64), rest[course.may_be]
    told = rest[shown]
    others = ~honest & (_count_within(amount > 0, bounds) > 0)
    if honest.any():
        others &= np.isin(samples.entity, samples.entity[told])
    suspect = np.union1d(told, np.flatnonzero(others))
    return suspect, np.setdiff1d(rest[course.may_be], suspect)


@dataclass(frozen=True)
class _Scrapes:
    """Samples `at`, of which those from `first[s]` to `first[s + 1]` are of one series."""

    at: IntArray
    first: IntArray

    @classmethod
    def of(cls, bounds: IntArray, series: IntArray, wanted: BoolArray) -> "_Scrapes":
        """Return the `wanted` samples of `series`."""
        sizes = np.diff(bounds)[series]
        first: IntArray = np.r_[0, np.cumsum(sizes)]
        at = np.repeat(bounds[:-1][series] - first[:-1], sizes) + np.arange(first[-1])
        return cls(at, first).where(wanted[at])

    def where(self, wanted: BoolArray) -> "_Scrapes":
        return _Scrapes(self.at[wanted], np.r_[0, np.cumsum(_count_within(wanted, self.first))])


@dataclass(frozen=True)
class _Course:
    """By series: how what a scrape added went on, where it added something.

    `rises` and `falls` count changes, `small_falls` those to more than half, `adds` the scrapes that
    added something. `pauses` is the share of those between the first and the last of them that did
    not. `uneven` is the mean relative difference between successive rises, `uneven_threes` that
    between threes of them.
    """

    adds: IntArray
    rises: IntArray
    falls: IntArray
    small_falls: IntArray
    pauses: FloatArray
    uneven: FloatArray
    uneven_threes: FloatArray
    uneven_rate: FloatArray

    @classmethod
    def of(cls, scrapes: _Scrapes, amount: FloatArray, seconds: FloatArray, noise: FloatArray) -> "_Course":
        some = amount[scrapes.at] > noise[scrapes.at]
        number, moving = np.flatnonzero(some), scrapes.where(some)
        first, adds = moving.first, np.diff(moving.first)
        span = np.ones(len(adds), np.int64)
        has = adds > 0
        span[has] = number[first[1:][has] - 1] - number[first[:-1][has]] + 1

        added, noise = amount[moving.at], noise[moving.at]
        inside = np.ones(len(added), bool)
        inside[first[:-1][has]] = False
        change = np.diff(added, prepend=0.0)
        limit = np.maximum(noise, np.r_[0.0, noise[:-1]])
        fall = inside & (change < -limit)
        # Over a missed scrape two rises show as one.
        rise = inside & (change > limit) & (np.diff(moving.at, prepend=-1) == 1)
        little = np.r_[False, _falls_a_little(added, noise)][: len(added)]
        rises = moving.where(rise)
        rate = np.abs(np.diff(added / seconds[moving.at], prepend=0.0))
        return cls(
            adds=adds,
            rises=np.diff(rises.first),
            falls=_count_within(fall, first),
            small_falls=_count_within(inside & little, first),
            pauses=1.0 - adds / span,
            uneven=_unevenness(change[rise], rises.first),
            uneven_threes=_unevenness(change[rise], rises.first, 3),
            uneven_rate=_unevenness(rate[rise], rises.first),
        )

    @property
    def honest(self) -> BoolArray:
        changes = self.rises + self.falls
        crashes = np.maximum(1.0, CRASHES * changes)
        found: BoolArray = (self.small_falls > _falls_allowed(changes)) | (self.falls > crashes)
        return found

    @property
    def may_be(self) -> BoolArray:
        found: BoolArray = (self.pauses <= PAUSES) & (self.falls == 0) & (self.adds >= UNDECIDED_ADDS)
        return found

    def told(self, least_rises: int) -> BoolArray:
        """Return which series are sums by themselves."""
        changes = self.rises + self.falls
        often = (self.rises >= least_rises) & (self.falls <= _falls_allowed(changes)) & (self.pauses <= PAUSES)
        often &= self.small_falls <= FALLS * changes
        least, most = CARRIED[0] + SPREAD / np.sqrt(np.maximum(self.rises, 1)), CARRIED[1]
        threes, single = self.uneven_threes, self.uneven
        found: BoolArray = often & (single >= UNEVEN) & (threes >= least * single) & (threes <= most * single)
        return found & (self.uneven_rate >= TIMELY * single)


def _falls_allowed(changes: IntArray) -> FloatArray:
    allowed: FloatArray = np.maximum(1.0, FALLS * changes)
    return allowed


def _falls_a_little(values: FloatArray, noise: FloatArray) -> BoolArray:
    """Return for all but the first whether they are less than the one before, and more than half of it."""
    found: BoolArray = (values[:-1] - values[1:] > np.maximum(noise[1:], noise[:-1])) & (values[1:] > values[:-1] / 2)
    return found


def _unevenness(values: FloatArray, bounds: IntArray, width: int = 1) -> FloatArray:
    """Return by series the mean relative difference between `width` values together and the `width` that follow."""
    number, pairs = np.diff(bounds), len(values) - 2 * width + 1
    if pairs < 1:
        return np.zeros(len(number))
    together = np.lib.stride_tricks.sliding_window_view(values, width).sum(axis=1)
    own = np.repeat(np.arange(len(number)), number)
    within = own[:pairs] == own[2 * width - 1 :]
    one, other = together[:pairs][within], together[width:][within]
    difference = np.bincount(
        own[:pairs][within],
        np.maximum(np.abs(other - one) - ROUNDING, 0.0) / np.maximum(np.maximum(one, other), 1e-300),
        len(number),
    )
    found: FloatArray = difference / np.maximum(number - 2 * width + 1, 1)
    return found


def _count_within(mask: BoolArray, bounds: IntArray) -> IntArray:
    """Return how many are true of each series."""
    before = np.zeros(len(mask) + 1, np.int64)
    np.cumsum(mask, out=before[1:])
    return before[bounds[1:]] - before[bounds[:-1]]


def _added_by_one(bounds: IntArray, amount: FloatArray, scrapes: FloatArray) -> FloatArray:
    """Return what one scrape added to running sums, where up to `scrapes` of them added the `amount`.

    A scrape that the server missed added its share unseen if the exporter was scraped all the same,
    by another server, and nothing if it was not. The total that the next scrape added tells: the
    amount is about as many times that; after the last gap, the total before it does.
    """
    added = amount.copy()
    single = np.flatnonzero((scrapes == 1) & (amount > 0))
    gaps = np.flatnonzero((scrapes > 1) & (amount > 0))
    if not len(gaps):
        return added
    series = np.searchsorted(bounds, gaps, "right") - 1
    after = np.searchsorted(single, gaps)
    known = np.r_[single, len(amount)]
    follows = known[after] < bounds[series + 1]
    before = np.where(after > 0, known[after - 1], -1)
    place = np.where(follows, known[after], np.where(before >= bounds[series], before, gaps))
    one, adds = amount[np.minimum(place, len(amount) - 1)], scrapes[gaps]
    np.divide(amount[gaps], one, out=adds, where=amount[gaps] < adds * one)
    added[gaps] = amount[gaps] / np.maximum(np.rint(adds), 1.0)
    return added


def _undo(
    bounds: IntArray, suspect: IntArray, added: FloatArray, amount: FloatArray, valid: BoolArray, doubtful: BoolArray
) -> None:
    """Put what was moved in place of the totals that `suspect` series added.

    Over a gap `added` may be the mean of totals that were added unseen: what was moved then is in
    the increase after the gap as well.
    """
    scrapes = _Scrapes.of(bounds, suspect, added != 0)
    at, first = scrapes.at, scrapes.first
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
