"""Gridding sample by sample in plain Python, from the rules that the kernels' docstrings state; slow and obvious.

Nothing here is shared with the kernels but their documented thresholds.
"""

import itertools
import math
import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
from analytics_assets.kernels.gridding import LARGEST
from analytics_assets.kernels.samples import LOOKED_AT, STALE_BITS
from analytics_assets.kernels.twins import ANSWER, PATIENCE

Labels = dict[str, str]
Samples = list[tuple[int, float]]
"""Time and value, in order of arrival."""


@dataclass
class Cell:
    """One entity in one bucket."""

    values: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    samples: int = 0
    doubtful: bool = False
    place: str | None = None


@dataclass
class Expected:
    """The cells by entity and bucket, and the counts."""

    cells: dict[tuple[str, int], Cell]
    stale: int = 0
    not_finite: int = 0
    out_of_range: int = 0
    late: int = 0
    repeated: int = 0
    frozen: int = 0
    suspect: int = 0
    undecided: int = 0
    last_ts_ms: int = -1


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
    added: dict[int, float] = field(default_factory=dict)
    """By time: what a scrape added of it."""
    suspect: bool = False

    def __post_init__(self) -> None:
        self.values = dict(self.samples)
        self.before = {ts: value for (_, value), (ts, _) in zip(self.samples, self.samples[1:], strict=False)}
        """By time: the value of the sample before."""
        self.news = [ts for ts, value in self.samples if ts not in self.before or value != self.before[ts]]


def gridded(
    batch: Sequence[tuple[Labels, Samples]],
    kind: str,
    start_ms: int,
    end_ms: int,
    resolution_ms: int,
    entity_label: str | tuple[str, ...] = "vm_id",
    place_label: str = "node_id",
    minimum: float = -LARGEST,
    places: Mapping[str, str] | None = None,
) -> Expected:
    """Return what `grid` is to return of these series."""
    expected = Expected({})
    lowest = minimum if kind == "gauge" else max(minimum, 0.0)
    by_entity: dict[str, list[Series]] = defaultdict(list)
    for labels, samples in batch:
        entity = entity_of(labels, entity_label)
        if entity:
            one = in_order(entity, labels, samples, start_ms, end_ms, lowest, expected)
            if one.samples:
                by_entity[entity].append(one)
    cells: dict[tuple[str, int], Cell] = defaultdict(Cell)
    if kind != "gauge":
        expected.suspect, expected.undecided = count_increases([one for series in by_entity.values() for one in series])
    for entity, series in by_entity.items():
        series.sort(key=lambda one: sorted(one.labels.items()))
        known = (places or {}).get(entity)
        spoken = speakers(series, [one for one in series if known and one.labels.get(place_label) == known])
        expected.frozen += sum(ts >= start_ms and spoken.get(ts) is not one for one in series for ts, _ in one.samples)
        previous: tuple[Series, int] | None = None
        for ts, one in sorted(spoken.items(), key=lambda item: item[0]):
            if previous is not None and previous[0] is not one:
                hand_over(previous[0], previous[1], one, ts)
            previous = one, ts
            if ts < start_ms:
                continue
            expected.last_ts_ms = max(expected.last_ts_ms, ts)
            cell = cells[entity, (ts - start_ms) // resolution_ms]
            cell.samples += 1
            cell.place = one.labels.get(place_label) or None
            if kind == "gauge":
                cell.values.append(one.values[ts])
                cell.seconds.append(1.0)
                cell.rates.append(one.values[ts])
            elif ts in one.amount:
                cell.values.append(one.amount[ts])
                cell.seconds.append(one.seconds[ts])
                cell.rates.append(one.rates[ts])
                cell.doubtful |= ts in one.doubtful
    expected.cells = {key: cell for key, cell in cells.items() if cell.values}
    return expected


def entity_of(labels: Labels, entity_label: str | tuple[str, ...]) -> str:
    names = (entity_label,) if isinstance(entity_label, str) else entity_label
    parts = [labels.get(name, "") for name in names]
    return "\x1f".join(parts) if all(parts) else ""


def in_order(
    entity: str, labels: Labels, samples: Samples, start_ms: int, end_ms: int, minimum: float, expected: Expected
) -> Series:
    """Return the usable samples by time, and count the others."""
    usable: Samples = []
    for ts, value in samples:
        if ts >= end_ms:
            continue
        counted = ts >= start_ms
        if math.isfinite(value) and minimum <= value <= LARGEST:
            usable.append((ts, value))
        elif math.isfinite(value):
            expected.out_of_range += counted
        elif struct.pack("<d", value) == struct.pack("<Q", STALE_BITS):
            expected.stale += counted
        else:
            expected.not_finite += counted
    latest = -math.inf
    by_time: dict[int, float] = {}
    for ts, value in usable:
        expected.late += ts < latest and ts >= start_ms
        latest = max(latest, ts)
        expected.repeated += ts in by_time and ts >= start_ms
        by_time[ts] = value
    kept = sorted(by_time.items())
    return Series(entity, labels, kept, interval_of([ts for ts, _ in kept]))


def interval_of(times: list[int]) -> int:
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    if len(steps) > LOOKED_AT:
        steps = [steps[round(k / (LOOKED_AT - 1) * (len(steps) - 1))] for k in range(LOOKED_AT)]
    return sorted(steps)[(len(steps) - 1) // 2] if steps else 0


def count_increases(series: list[Series]) -> tuple[int, int]:
    """Fill in the increases of counters; return how many are running sums of totals, and how many may be."""
    for one in series:
        for (earlier, old), (ts, new) in zip(one.samples, one.samples[1:], strict=False):
            seconds = (ts - earlier) / 1000
            one.amount[ts] = new if new < old else new - old
            one.seconds[ts] = seconds
            if seconds > GAP_INTERVALS * one.interval_ms / 1000:
                one.doubtful.add(ts)
            one.added[ts] = one.amount[ts] / max(1, round((ts - earlier) / one.interval_ms))
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


def speakers(series: list[Series], preferred: list[Series]) -> dict[int, Series]:
    """Return by time which of an entity's series speaks, of the samples that count."""
    if len(series) == 1:
        return dict.fromkeys((ts for ts, _ in series[0].samples), series[0])
    interval = max(series, key=lambda one: len(one.samples)).interval_ms
    patience, answer = PATIENCE * interval, ANSWER * interval
    spoken: dict[int, Series] = {}
    now = first_of(series, preferred, answer)
    begin = now.samples[0][0]
    appeared: int | None = begin
    while True:
        heir, since, gone = successor(series, now, begin, patience, answer)
        until = math.inf
        if heir is not None:
            until = turn_begins(now, heir, since, gone, since == appeared)
        spoken.update({ts: now for ts, _ in now.samples if begin <= ts < until})
        if heir is None:
            return spoken
        now, begin, appeared = heir, int(until), None


def first_of(series: list[Series], preferred: list[Series], answer: int) -> Series:
    """Return who speaks first; of several that are alike from the beginning, none has news that it appeared."""
    earliest = min(one.samples[0][0] for one in series)
    together = [one for one in series if one.samples[0][0] - earliest <= answer]
    if any(len(one.news) > 1 for one in together):
        return min(series, key=lambda one: one.samples[0][0])
    for one in together:
        one.news = [earliest]
    chosen = [one for one in together if one in preferred] or together
    longest = max(one.samples[-1][0] for one in together)
    return next((one for one in chosen if one.samples[-1][0] >= longest - answer), chosen[0])


def turn_begins(old: Series, new: Series, since: int, gone: bool, appeared: bool) -> int:
    """Return when `new` begins to speak in place of `old`, which fell silent `since`."""
    if gone:
        shown = [ts for ts, value in new.samples if ts > since and (ts in new.news or value == old.values[since])]
    else:
        shown = [ts for ts in new.news if ts > since or (ts == since and appeared)]
    return shown[0]


def successor(
    series: list[Series], now: Series, begin: int, patience: int, answer: int
) -> tuple[Series | None, int, bool]:
    """Return who takes over from `now`, which speaks since `begin`; since when it was silent; whether it was gone."""
    others = [one for one in series if one is not now]
    order = {id(one): number for number, one in enumerate(series)}
    reasons: list[tuple[int, int, int, int]] = []
    news = [begin, *(ts for ts in now.news if ts > begin)]
    for since, until in silences(news, patience):
        for one in others:
            reasons += [
                (ts, 1, order[id(one)], since) for ts in one.news if since + patience < ts and until - ts > answer
            ]
    own = [ts for ts, _ in now.samples if ts >= begin]
    for since, until in silences(own, patience):
        value = now.values[since]
        for one in others:
            fresh = set(one.news)
            reasons += [
                (ts, 0, order[id(one)], since)
                for ts, other in one.samples
                if since + patience < ts < until and (ts in fresh or other == value)
            ]
    if reasons:
        _, left, number, since = min(reasons)
        return series[number], since, not left
    heard = max(one.news[-1] for one in series)
    last = next(one for one in series if one.news[-1] == heard)
    seen = max(one.samples[-1][0] for one in series)
    if heard > news[-1] and last.samples[-1][1] != now.samples[-1][1] and seen - news[-1] > patience:
        return last, news[-1], False
    return None, 0, False


def silences(times: list[int], patience: int) -> list[tuple[int, float]]:
    """Return the times after which nothing follows for longer than `patience`, and what follows then."""
    both = zip(times, [*times[1:], math.inf], strict=True)
    return [(since, until) for since, until in both if until - since > patience]


def hand_over(old: Series, before: int, new: Series, ts: int) -> None:
    """Take from the increase of `new` what `old`, which spoke last at `before`, had counted already."""
    earlier = new.before.get(ts)
    if ts not in new.amount or new.suspect or earlier is None:
        return
    if earlier <= old.values[before] <= new.values[ts]:
        new.amount[ts] = new.values[ts] - old.values[before]
        new.seconds[ts] = (ts - before) / 1000
