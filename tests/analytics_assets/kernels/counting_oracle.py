"""What counters counted, sample by sample in plain Python, from the rules of the kernel's docstrings; slow and obvious.

Nothing here is shared with the kernel but its documented thresholds.
"""

import itertools
import math
from dataclasses import dataclass, field

from analytics_assets.kernels.counters import (
    CARRIED,
    CRASHES,
    FALLS,
    GAP_INTERVALS,
    NOISE,
    PAUSES,
    RISES,
    RISES_TOGETHER,
    ROUNDING,
    SCRAPE_INTERVALS,
    SPREAD,
    SURE_RISES,
    TIMELY,
    UNDECIDED_ADDS,
    UNEVEN,
)

Labels = dict[str, str]
Samples = list[tuple[int, float]]
"""Time and value, in order of arrival."""


@dataclass
class Series:
    """One series in order of time: what counts of it, and what it tells."""

    entity: str
    labels: Labels
    samples: Samples
    interval_ms: int
    amount: dict[int, float] = field(default_factory=dict)
    """By time: the increase that ends there."""
    seconds: dict[int, float] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)
    scrapes: dict[int, int] = field(default_factory=dict)
    """By time: how many may have added it, and below what one of them added of it."""
    added: dict[int, float] = field(default_factory=dict)
    suspect: bool = False

    def __post_init__(self) -> None:
        self.values = dict(self.samples)
        self.before = {ts: value for (_, value), (ts, _) in zip(self.samples, self.samples[1:], strict=False)}
        """By time: the value of the sample before."""
        self.news = [ts for ts, value in self.samples if ts not in self.before or value != self.before[ts]]


def count_increases(series: list[Series]) -> tuple[int, int]:
    """Fill in the increases of counters; return how many are running sums of totals, and how many may be."""
    for one in series:
        for (earlier, old), (ts, new) in zip(one.samples, one.samples[1:], strict=False):
            seconds = (ts - earlier) / 1000
            one.amount[ts] = new if new < old else new - old
            one.seconds[ts] = seconds
            if seconds > GAP_INTERVALS * one.interval_ms / 1000:
                one.doubtful.add(ts)
            one.scrapes[ts] = max(1, round((ts - earlier) / one.interval_ms))
        one.added = {ts: added_by_one(one, ts) for ts in one.amount}
    courses = [course(one) for one in series]
    any_honest = any(honest(*own[:2]) for own in courses)
    told = [is_sum(*own, SURE_RISES if any_honest else RISES) for own in courses]
    if sum(len(rises) for (_, rises, _), sure in zip(courses, told, strict=True) if sure) < RISES_TOGETHER:
        told = [False] * len(series)
    entities = {one.entity for one, sure in zip(series, told, strict=True) if sure}
    undecided = 0
    for one, own, sure in zip(series, courses, told, strict=True):
        shares = one.entity in entities if any_honest else any(told)
        one.suspect = sure or (shares and any(one.amount.values()) and not honest(*own[:2]))
        undecided += not one.suspect and may_be_sum(*own)
        if one.suspect:
            undo(one, {ts: amount for ts, amount in one.added.items() if amount})
        for ts, amount in one.amount.items():
            one.rates[ts] = amount / one.seconds[ts]
    return sum(one.suspect for one in series), undecided


def added_by_one(one: Series, ts: int) -> float:
    """Return what one scrape added, of those between a sample and the one before: as many as the next one tells of."""
    if one.scrapes[ts] == 1 or not one.amount[ts]:
        return one.amount[ts]
    single = [other for other in one.amount if one.scrapes[other] == 1 and one.amount[other]]
    after, before = [other for other in single if other > ts], [other for other in single if other < ts]
    known = after[0] if after else before[-1] if before else ts
    most = one.scrapes[ts]
    if one.amount[ts] >= most * one.amount[known]:
        return one.amount[ts] / most
    return one.amount[ts] / max(round(one.amount[ts] / one.amount[known]), 1)


Change = tuple[float, float, float]
"""What a scrape added before and what the next added, where both added something, and what is no difference."""

Rise = tuple[float, float]
"""By how much more one scrape added than the one just before, and how much the rate changed."""


def course(one: Series) -> tuple[list[Change], list[Rise], list[bool]]:
    """Return the changes, the rises between neighbours among them, and which scrapes added something."""
    least, most = (share * one.interval_ms / 1000 for share in SCRAPE_INTERVALS)
    changes: list[Change] = []
    rises: list[Rise] = []
    moving: list[bool] = []
    last: int | None = None
    for earlier, ts in itertools.pairwise(one.values):
        if one.values[ts] < one.values[earlier] or not least < one.seconds[ts] < most:
            continue
        noise = NOISE * one.values[ts]
        moving.append(one.amount[ts] > noise)
        if not moving[-1]:
            continue
        if last is not None:
            limit = max(noise, NOISE * one.values[last])
            changes.append((one.amount[last], one.amount[ts], limit))
            if last == earlier and one.amount[ts] - one.amount[last] > limit:
                rate = one.amount[ts] / one.seconds[ts] - one.amount[last] / one.seconds[last]
                rises.append((one.amount[ts] - one.amount[last], abs(rate)))
        last = ts
    return changes, rises, moving


def honest(changes: list[Change], rises: list[Rise]) -> bool:
    falls = [(old, new) for old, new, limit in changes if old - new > limit]
    number = len(falls) + len(rises)
    small = sum(new > old / 2 for old, new in falls)
    return small > max(1, FALLS * number) or len(falls) > max(1, CRASHES * number)


def without_pause(moving: list[bool]) -> bool:
    if not any(moving):
        return True
    inside = moving[moving.index(True) : len(moving) - moving[::-1].index(True)]
    return inside.count(False) / len(inside) <= PAUSES


def may_be_sum(changes: list[Change], rises: list[Rise], moving: list[bool]) -> bool:
    fell = any(old - new > limit for old, new, limit in changes)
    return without_pause(moving) and not fell and sum(moving) >= UNDECIDED_ADDS


def is_sum(changes: list[Change], rises: list[Rise], moving: list[bool], least_rises: int) -> bool:
    falls = [(old, new) for old, new, limit in changes if old - new > limit]
    allowed = FALLS * (len(rises) + len(falls))
    if len(rises) < least_rises or len(falls) > max(1, allowed) or not without_pause(moving):
        return False
    if sum(new > old / 2 for old, new in falls) > allowed:
        return False
    (least, most), single = CARRIED, unevenness([rise for rise, _ in rises], 1)
    threes = unevenness([rise for rise, _ in rises], 3)
    carried = (least + SPREAD / math.sqrt(len(rises))) * single <= threes <= most * single
    return single >= UNEVEN and carried and unevenness([rate for _, rate in rises], 1) >= TIMELY * single


def unevenness(values: list[float], width: int) -> float:
    """Return the mean relative difference between `width` values together and the `width` after them."""
    together = [sum(values[place : place + width]) for place in range(len(values) - width + 1)]
    pairs = list(zip(together, together[width:], strict=False))
    differences = [max(abs(other - one) - ROUNDING, 0) / max(one, other) for one, other in pairs if max(one, other)]
    return sum(differences) / len(pairs) if pairs else 0.0


def undo(one: Series, totals: dict[int, float]) -> None:
    """Put what was moved in place of the totals that were added."""
    before: float | None = None
    was_doubtful = False
    for ts in list(one.amount):
        if ts not in totals:
            one.amount[ts] = 0.0
            continue
        total, doubtful = totals[ts], ts in one.doubtful
        if before is None:
            del one.amount[ts]
            one.doubtful.discard(ts)
        else:
            one.amount[ts] = total if total < before else total - before
            if was_doubtful:
                one.doubtful.add(ts)
        before, was_doubtful = total, doubtful
