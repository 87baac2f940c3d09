"""How many of the samples that should be there are there, gaps without any row included.

An entity is expected to have sent samples at its own interval while it was there: from its first
sample to its last. A VM made at noon misses nothing, nor does one that was deleted then. But where
it begins with the first sample of all, or ends with the last of all, nobody can tell whether there
was nothing to measure or nobody who measured: then the whole of the window counts. Several that end
together, as all that was left in a place, may be told by `ends_with_group`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.kernels.gridding import Gridded
from analytics_assets.kernels.matrix import Cells, Floats, place

IntArray = NDArray[np.int64]

TOGETHER_INTERVALS = 2
"""Entities whose first (last) samples are within so many intervals began (ended) together."""

UNSTEADY = 0.1
"""So much of an interval a sample may be off its time without one being missed at an end of the window."""

DENSER = 2
"""A series with so many samples in an interval that is said to be known tells its own."""


@dataclass(frozen=True)
class SampleCounts:
    """Samples `seen` [entity, step] and `expected` [entity, step], 0 before an entity's first row."""

    seen: NDArray[np.float32]
    expected: NDArray[np.float32]

    def seen_where(self, present: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the samples seen per entity in the steps that are `present` [entity, step]."""
        return np.asarray(np.sum(self.seen, axis=1, dtype=np.float64, where=present), np.int64)

    def ended_where(self, gone: NDArray[np.bool_]) -> "SampleCounts":
        """Return the counts with nothing expected of the entities that are `gone` after they were last seen."""
        seen_later = np.cumsum(self.seen[:, ::-1] > 0, axis=1)[:, ::-1] > 0
        return SampleCounts(self.seen, np.where(gone[:, None] & ~seen_later, np.float32(0), self.expected))

    @property
    def expected_per_entity(self) -> NDArray[np.int64]:
        return np.asarray(np.sum(self.expected, axis=1, dtype=np.float64), np.int64)


def sample_counts(cells: Cells, seen: pa.ChunkedArray, expected: pa.ChunkedArray) -> SampleCounts:
    """Return the counts of rows that lie in `cells`.

    A step without a row has no samples; from an entity's first row on, as many were expected there
    as in its best row: an entity that stopped reporting loses coverage, one that is new does not.
    """
    given = place(cells, expected)
    absent = np.isnan(given)
    if given.size:
        usual = np.max(np.where(absent, np.float32(0), given), axis=1, keepdims=True)
        alive = np.arange(cells.steps) >= np.argmax(~absent, axis=1)[:, None]
        given = np.where(absent, np.where(alive, usual, np.float32(0)), given)
    there = place(cells, seen)
    return SampleCounts(np.where(np.isnan(there), np.float32(0), there), given)


def coverage_of(seen: NDArray[np.int64], expected: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return seen over expected, at most 1; NaN where nothing was expected."""
    share = seen / np.maximum(expected, 1)
    return np.where(expected > 0, np.minimum(share, 1.0), np.nan)


def has_recent(values: Floats, steps: int) -> NDArray[np.bool_]:
    """Return per entity whether any of its last `steps` values is there."""
    return np.asarray((~np.isnan(values[:, -steps:])).any(axis=1))


@dataclass(frozen=True)
class Presence:
    """Samples of one metric by entity: how many were `seen`, when first and last, and their interval (0: unknown)."""

    seen: IntArray
    first_ms: IntArray
    last_ms: IntArray
    interval_ms: IntArray

    @property
    def slack_ms(self) -> IntArray:
        """How far apart two samples may be that were taken together."""
        return TOGETHER_INTERVALS * self.interval_ms

    def in_bucket(self, resolution_ms: int) -> IntArray:
        """Return the samples that a complete bucket would have, by entity: one where the interval is not known."""
        step = np.where(self.interval_ms > 0, self.interval_ms, resolution_ms)
        return np.where(self.seen > 0, np.maximum(1, np.rint(resolution_ms / step)), 0).astype(np.int64)


def presence(piece: Gridded, start_ms: int, resolution_ms: int, known_seconds: int | None) -> Presence:
    """Return what a gridded metric has of each of its entities; the source may know the interval.

    A counter's first sample has no increase, and no bucket where it is alone there: it is neither
    seen nor expected.
    """
    seen = np.bincount(piece.entity, piece.samples, len(piece.entities)).astype(np.int64)
    interval_ms = own_or_known(piece.interval_ms, known_seconds)
    first_ms = piece.first_ms.copy()
    begins = np.flatnonzero(np.diff(piece.entity, prepend=-1))
    there = piece.entity[begins]
    alone_ms = start_ms + piece.bucket[begins].astype(np.int64) * resolution_ms - first_ms[there]
    step = np.maximum(interval_ms[there], 1)
    first_ms[there] += np.where(alone_ms > 0, -(-alone_ms // step) * step, 0)
    return Presence(seen, np.minimum(first_ms, piece.last_ms), piece.last_ms, interval_ms)


def own_or_known(own_ms: IntArray, known_seconds: int | None) -> IntArray:
    """Return the intervals to expect samples at: the known one, but of a series that is far denser its own."""
    if not known_seconds:
        return own_ms
    known_ms = known_seconds * 1000
    return np.where((own_ms > 0) & (DENSER * own_ms <= known_ms), own_ms, known_ms)


def expected_samples(
    seen: IntArray,
    first_ms: IntArray,
    last_ms: IntArray,
    interval_ms: IntArray,
    window_ms: tuple[int, int],
    all_ms: tuple[int, int],
) -> IntArray:
    """Return how many samples of one metric each entity would have in `window_ms`, at least those `seen`.

    `first_ms`, `last_ms` and `interval_ms` are by entity (interval 0: not known, as of a single
    sample, which is expected just as it was seen); `all_ms` are the first and the last sample of
    anything in the window. An entity without a sample is expected to have none. Of a window that is
    not over, pass the instant after the last sample of all as its end.
    """
    slack = TOGETHER_INTERVALS * interval_ms
    begin = np.where(first_ms <= all_ms[0] + slack, window_ms[0], first_ms)
    end = np.where(last_ms >= all_ms[1] - slack, window_ms[1], last_ms + 1)
    return expected_between(Presence(seen, first_ms, last_ms, interval_ms), begin, end)


def expected_together(
    parts: Sequence[tuple[IntArray, Presence]], window_ms: tuple[int, int], group: IntArray | None = None
) -> IntArray:
    """Return how many samples of several metrics each entity would have in `window_ms`, at least those seen.

    `parts` are the metrics, each with the numbers of the entities it is of. All metrics of an entity
    are expected until its last sample of any. `group` tells where each entity was last (-1: unknown):
    several that end with the last of their group may have lost whoever measured them there, so the
    rest of the window counts for them, too. Of a window that is not over, pass the instant after the
    last sample of all as its end.
    """
    entities = 1 + max((int(codes.max(initial=-1)) for codes, _ in parts), default=-1)
    last_ms, slack_ms = np.full(entities, -1, np.int64), np.zeros(entities, np.int64)
    first_of_all = window_ms[1]
    for codes, own in parts:
        there = np.flatnonzero(own.seen)
        last_ms[codes[there]] = np.maximum(last_ms[codes[there]], own.last_ms[there])
        slack_ms[codes[there]] = np.maximum(slack_ms[codes[there]], own.slack_ms[there])
        first_of_all = min(first_of_all, int(own.first_ms[there].min(initial=window_ms[1])))
    goes_on = last_ms >= last_ms.max(initial=-1) - slack_ms
    if group is not None:
        goes_on |= ends_with_group(last_ms, group, slack_ms)
    end_ms = np.where(goes_on, window_ms[1], last_ms + 1)
    expected = np.zeros(entities, np.int64)
    for codes, own in parts:
        together = own.first_ms <= first_of_all + own.slack_ms
        begin_ms = np.where(together, window_ms[0], own.first_ms)
        np.add.at(expected, codes, expected_between(own, begin_ms, end_ms[codes]))
    return expected


def expected_between(present: Presence, begin_ms: IntArray, end_ms: IntArray) -> IntArray:
    """Return how many samples each entity would have from `begin_ms` up to `end_ms`, its samples among them."""
    known = (present.interval_ms > 0) & (present.seen > 0)
    step = np.where(known, present.interval_ms, 1)
    between = np.rint((present.last_ms - present.first_ms) / step) + 1
    # Samples come at their own phase of the interval: at an end as many are missing as there was time for.
    before = np.maximum(np.floor((present.first_ms - begin_ms) / step - UNSTEADY), 0)
    after = np.maximum(np.ceil((end_ms - present.last_ms) / step - UNSTEADY) - 1, 0)
    count = np.where(known, before + between + after, 0).astype(np.int64)
    return np.maximum(count, present.seen)


def ends_with_group(last_ms: IntArray, group: IntArray, slack_ms: IntArray) -> NDArray[np.bool_]:
    """Return the entities that end together with the last of their `group` (-1: of none), if they are not alone."""
    groups = int(group.max(initial=-1)) + 2
    latest = np.full(groups, -1, np.int64)
    np.maximum.at(latest, group, last_ms)
    together = (group >= 0) & (last_ms >= latest[group] - slack_ms)
    several: NDArray[np.bool_] = together & (np.bincount(group + 1, together, groups)[group + 1] > 1)
    return several
