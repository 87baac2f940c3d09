"""What follows from when metrics were sampled: coverage, as_of, the bytes of a rate, counters without a beginning."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.coverage import Presence, expected_together, own_or_known, presence
from analytics_assets.kernels.gridding import Gridded
from analytics_assets.kernels.histogram import Distributions
from resources.monitoring.source import MetricSource, SeriesBatch
from resources.partition import Partition

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


def absent(entities: int) -> Presence:
    """Return the presence of `entities` of which nothing was seen."""
    seen, first, last, interval = np.repeat(np.array([[0], [-1], [-1], [0]], np.int64), entities, axis=1)
    return Presence(seen, first, last, interval)


def add_presence(whole: Presence, codes: IntArray, more: Presence) -> None:
    """Add to `whole` what was seen of entities that are `codes` there (-1: none); the first to add tells the interval.

    No two of the entities that were seen may have one code.
    """
    use = np.flatnonzero((more.seen > 0) & (codes[: len(more.seen)] >= 0))
    at = codes[use]
    first = np.where(whole.seen[at] > 0, whole.first_ms[at], more.first_ms[use])
    whole.first_ms[at] = np.minimum(first, more.first_ms[use])
    whole.last_ms[at] = np.maximum(whole.last_ms[at], more.last_ms[use])
    whole.interval_ms[at] = np.where(whole.interval_ms[at] > 0, whole.interval_ms[at], more.interval_ms[use])
    whole.seen[at] += more.seen[use]


def presence_of_used(
    piece: Gridded, used: NDArray[np.bool_], start_ms: int, resolution_ms: int, known_seconds: int | None
) -> Presence:
    """Return the presence of a grid's entities if of its rows only those `used` were there."""
    seen = np.bincount(piece.entity, np.where(used, piece.samples, 0), len(piece.entities)).astype(np.int64)
    return replace(presence(piece, start_ms, resolution_ms, known_seconds), seen=seen)


def presence_of_latency(found: Distributions, known_seconds: int | None) -> Presence:
    """Return the presence of the entities of a histogram."""
    seen = np.bincount(found.entity, found.samples, len(found.entities)).astype(np.int64)
    return Presence(seen, found.first_ms, found.last_ms, own_or_known(found.interval_ms, known_seconds))


def seen_and_expected(
    parts: Sequence[Presence], place: IntArray, partition: Partition, is_over: bool
) -> tuple[int, int]:
    """Return the samples seen and expected of entities of one kind that were last at `place` (-1: unknown).

    Each of `parts` is of something measured of all of them. A day that is not over ends with its last sample.
    """
    last = max((int(part.last_ms[part.seen > 0].max(initial=-1)) for part in parts), default=-1)
    window_ms = (partition.start_ms, partition.end_ms if is_over else last + 1)
    expected = expected_together([(np.arange(len(place)), part) for part in parts], window_ms, place)
    return sum(int(part.seen.sum()) for part in parts), int(expected.sum())


def last_place(entity: IntArray, place: IntArray, entities: int) -> IntArray:
    """Return the place of each entity's last row that has one, -1 without any; rows are in order of time."""
    found = np.full(entities, -1, np.int64)
    known = place >= 0
    found[entity[known]] = place[known]  # of several assigned to one entity the last one stays
    return found


def is_over(source: MetricSource, partition: Partition, last_ts_ms: int) -> bool:
    """Return whether all samples of the day are there; without any it does not matter, and is not asked."""
    return last_ts_ms < 0 or source.has_passed(partition.tenant, partition.end_ms)


def as_of_ms(partition: Partition, last_ts_ms: int, resolution_seconds: int, is_over: bool) -> int:
    """Return the day's end, or while the day runs the end of the last bucket with samples."""
    resolution_ms = resolution_seconds * 1000
    passed = (last_ts_ms - partition.start_ms) // resolution_ms + 1
    return partition.end_ms if is_over else min(partition.end_ms, partition.start_ms + passed * resolution_ms)


def amount_of(piece: Gridded, known_seconds: int | None) -> FloatArray:
    """Return what a gauge that is a rate amounts to in each row: bytes of bytes per second.

    A sample stands for the time since the one before it, so it may be more than the row's bucket
    holds. For how long a single sample stands, only `known_seconds` tells; else it is NaN.
    """
    alone = piece.interval_ms[piece.entity] == 0
    return np.where(alone, piece.total * (known_seconds or np.nan), piece.integral)


def without_start(batch: SeriesBatch, piece: Gridded, start_ms: int, label: str = "vm_id") -> int:
    """Return how many counters of `piece`, the grid of `batch`, have samples in the day but none in the lead-in.

    What they counted up to their first sample of the day is not known to have been in the day.
    """
    early = (batch.ts_ms < start_ms) & np.isfinite(batch.values)
    series = np.searchsorted(batch.offsets, np.flatnonzero(early), "right") - 1
    begun = {batch.labels[number].get(label, "") for number in np.unique(series)}
    return sum(first >= 0 and name not in begun for name, first in zip(piece.entities, piece.first_ms, strict=True))
