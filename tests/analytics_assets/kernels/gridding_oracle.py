"""Gridding sample by sample in plain Python, from the rules that the kernels' docstrings state; slow and obvious.

Nothing here is shared with the kernels but their documented thresholds.
"""

import itertools
import math
import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analytics_assets.kernels.gridding import LARGEST
from analytics_assets.kernels.samples import LOOKED_AT, STALE_BITS
from analytics_assets.kernels.twins import ANSWER, PATIENCE
from tests.analytics_assets.kernels.counting_oracle import Labels, Samples, Series, count_increases


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
