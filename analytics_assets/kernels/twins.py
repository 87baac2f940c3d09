"""Which of several series speaks for an entity, and when.

NovaCron's exporter never drops a label set: after a migration a VM's old series stays exposed with
a frozen value beside the new one, and comes alive again if the VM comes back. Two Prometheus
servers that scrape the same targets make twins as well, both alive. At every instant one series
speaks: the one that spoke until now, for as long as its value changes; once it has been silent for
a while and another has changed or appeared since, that one, from just after the silence began.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.samples import IntArray, OrderedSamples

PATIENCE_INTERVALS = 3
"""How many intervals without a change are silence, if a twin changes meanwhile."""


@dataclass
class _Twin:
    ts_ms: IntArray
    events: IntArray
    """When it appeared or took a new value."""


def speaking(samples: OrderedSamples) -> NDArray[np.bool_] | None:
    """Return which samples are of the series that speaks for its entity just then; None if every sample is."""
    doubled = np.flatnonzero(samples.entity[1:] == samples.entity[:-1])
    if not len(doubled):
        return None
    keep = np.ones(len(samples.ts_ms), bool)
    for entity in np.unique(samples.entity[doubled]):
        first = int(np.searchsorted(samples.entity, entity))
        stop = int(np.searchsorted(samples.entity, entity, "right"))
        spans = [slice(int(samples.bounds[s]), int(samples.bounds[s + 1])) for s in range(first, stop)]
        interval = int(samples.interval_ms[first:stop].max())
        for span, turns in zip(spans, _turns([_twin(samples, span) for span in spans], interval), strict=True):
            ts_ms = samples.ts_ms[span]
            own = np.zeros(len(ts_ms), bool)
            for begin, end in turns:
                own |= (ts_ms >= begin) & (ts_ms < end)
            keep[span] = own
    return keep


def _twin(samples: OrderedSamples, span: slice) -> _Twin:
    ts_ms, values = samples.ts_ms[span], samples.values[span]
    return _Twin(ts_ms, ts_ms[np.r_[True, values[1:] != values[:-1]]])


def _turns(twins: list[_Twin], interval_ms: int) -> list[list[tuple[int, int]]]:
    """Return for each twin the spans of time `[begin, end)` in which it speaks."""
    forever = int(np.iinfo(np.int64).max)
    patience = PATIENCE_INTERVALS * interval_ms
    end_ms = max(int(twin.ts_ms[-1]) for twin in twins)
    turns: list[list[tuple[int, int]]] = [[] for _ in twins]
    now = min(range(len(twins)), key=lambda i: (int(twins[i].ts_ms[0]), i))
    begin = int(np.iinfo(np.int64).min)
    while True:
        heir = _heir(twins, now, begin, patience, end_ms)
        if heir is None:
            turns[now].append((begin, forever))
            return turns
        successor, silent_from = heir
        later = twins[successor].ts_ms
        boundary = int(later[np.searchsorted(later, silent_from, "right")])
        turns[now].append((begin, boundary))
        now, begin = successor, boundary


def _heir(twins: list[_Twin], now: int, begin: int, patience: int, end_ms: int) -> tuple[int, int] | None:
    """Return the twin that takes over from `now`, which speaks since `begin`, and when `now` last changed."""
    own = twins[now].events
    position = max(0, int(np.searchsorted(own, begin, "right")) - 1)
    following = np.r_[own[position + 1 :], np.iinfo(np.int64).max]
    silences = np.flatnonzero(following - patience > own[position:])
    for index in silences:
        since, until = int(own[position + index]), int(following[index])
        # To be there is not yet to speak: of two that are there from the start, the one that changes spoke all along.
        silent_from = since - 1 if position + index == 0 else since
        best: tuple[int, int] | None = None
        for number, twin in enumerate(twins):
            if number == now:
                continue
            at = int(np.searchsorted(twin.events, since + patience, "right"))
            if at < len(twin.events) and twin.events[at] < until:
                candidate = (int(twin.events[at]), number)
                best = candidate if best is None else min(best, candidate)
        if best is not None:
            return best[1], silent_from
        if until == np.iinfo(np.int64).max:
            # Nothing happens any more: who changed or appeared last has the last word, if `now` is gone
            # or was silent long enough.
            gone = int(twins[now].ts_ms[-1]) < end_ms - patience or end_ms - since > patience
            last = max((int(twin.events[-1]), -number) for number, twin in enumerate(twins) if number != now)
            if gone and last[0] > since:
                return -last[1], silent_from
    return None
