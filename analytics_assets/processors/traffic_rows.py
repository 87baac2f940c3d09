"""What moved, as rows of `network_traffic`: from gridded pieces to rates, totals, shares and ranks.

A counter's total is the sum of its increases. A gauge is a rate already: its total is the sum of its
samples, each times the seconds since the one before. Both are of the bucket in which a sample was
taken, whatever time it stands for. So entities are compared by rates, never by bytes of a bucket:
one that is sampled seldom, or was not for two hours, did not move in that bucket all that it counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.kernels.coverage import Presence
from analytics_assets.kernels.gridding import Gridded
from analytics_assets.processors.sampled import (
    FloatArray,
    IntArray,
    absent,
    add_presence,
    amount_of,
    last_place,
    presence_of_used,
    seen_and_expected,
)
from resources.lake.table import ENTITY, TIMESTAMP, Table
from resources.monitoring.source import SeriesBatch
from resources.partition import Partition

DIRECTIONS = ("receive", "transmit")

NUMBER = "number"
"""The label by which `numbered` series name their entity."""


@dataclass(frozen=True)
class TrafficRows:
    """Rows of one kind of entity.

    `labels` are text columns by entity, `entity_id` among them, in the order of the ids; `entity`
    is the position there, `bucket` counts from the day's start, `node` indexes `nodes` (-1 where it
    is unknown). `values` are the figures by column, NaN where unknown. `present` tells by
    entity when it was sampled, of each thing that was measured.
    """

    kind: str
    labels: Mapping[str, Sequence[str]]
    nodes: Sequence[str]
    entity: IntArray
    bucket: IntArray
    node: IntArray
    values: Mapping[str, FloatArray]
    doubtful: NDArray[np.bool_]
    seen: IntArray
    expected: IntArray
    present: Sequence[Presence]

    def seen_and_expected(self, partition: Partition, is_over: bool) -> tuple[int, int]:
        """Return the samples seen and expected of all entities."""
        place = last_place(self.entity, self.node, len(self.labels["entity_id"]))
        return seen_and_expected(self.present, place, partition, is_over)

    @property
    def bytes(self) -> FloatArray:
        """Bytes of both directions; NaN where neither is known."""
        return _together(*(self.values[f"{way}_bytes"] for way in DIRECTIONS))

    @property
    def rate(self) -> FloatArray:
        """Mean rate of both directions, in bytes per second; NaN where neither is known."""
        return _together(*(self.values[f"{way}_bytes_per_second_mean"] for way in DIRECTIONS))


class Moved:
    """Receive and transmit of some entities on the grid, filled in piece by piece."""

    def __init__(self, entities: int, partition: Partition, bucket_seconds: int) -> None:
        self.buckets, self.bucket_ms = 86_400 // bucket_seconds, bucket_seconds * 1000
        self.start_ms = partition.start_ms
        size = entities * self.buckets
        self.seen, self.doubtful = np.zeros(size, np.int64), np.zeros(size, bool)
        self.node = np.full(size, -1, np.int64)
        self.values = {name: np.full(size, np.nan) for way in DIRECTIONS for name in _columns(way)}
        self.present = {way: absent(entities) for way in DIRECTIONS}
        self._counted_from = {way: np.full(entities, self.buckets, np.int64) for way in DIRECTIONS}

    @property
    def in_bucket(self) -> IntArray:
        """The samples that a complete bucket of each entity has."""
        return sum((part.in_bucket(self.bucket_ms) for part in self.present.values()), np.zeros(1, np.int64))

    def add_counter(
        self, way: str, piece: Gridded, codes: IntArray, nodes: IntArray, known_interval_seconds: int | None
    ) -> None:
        """Fill in a counter's piece; `codes` and `nodes` number its entities and places."""
        everywhere = np.ones(len(piece.entity), bool)
        self._add(way, piece, piece.total, everywhere, codes, nodes, known_interval_seconds)
        np.minimum.at(self._counted_from[way], codes[piece.entity], piece.bucket)

    def add_rate(
        self, way: str, piece: Gridded, codes: IntArray, nodes: IntArray, known_interval_seconds: int | None
    ) -> None:
        """Fill in a gauge that is a rate, before the first bucket of each entity that a counter filled in.

        From there on the counter tells all, also of the buckets in which it has no sample.
        """
        before = piece.bucket < self._counted_from[way][codes[piece.entity]]
        amount = amount_of(piece, known_interval_seconds)
        self._add(way, piece, amount, before, codes, nodes, known_interval_seconds)

    def _add(
        self,
        way: str,
        piece: Gridded,
        total: FloatArray,
        where: NDArray[np.bool_],
        codes: IntArray,
        nodes: IntArray,
        known: int | None,
    ) -> None:
        mean, maximum, moved = (self.values[name] for name in _columns(way))
        cell = codes[piece.entity] * self.buckets + piece.bucket
        wanted = where & np.isnan(mean[cell])
        use = np.flatnonzero(wanted)
        cell = cell[use]
        mean[cell], maximum[cell], moved[cell] = piece.mean[use], piece.maximum[use], total[use]
        self.seen[cell] += piece.samples[use]
        used = presence_of_used(piece, wanted, self.start_ms, self.bucket_ms, known)
        add_presence(self.present[way], codes, used)
        self.doubtful[cell] |= piece.doubtful[use]
        placed = (self.node[cell] < 0) & (piece.place[use] >= 0)
        self.node[cell[placed]] = nodes[piece.place[use[placed]]]


def _columns(way: str) -> tuple[str, str, str]:
    return f"{way}_bytes_per_second_mean", f"{way}_bytes_per_second_max", f"{way}_bytes"


def untidy(pieces: Sequence[Gridded]) -> dict[str, int]:
    """Return how much was not as it should be in `pieces`, by what it was."""
    return {
        "suspect_counters": sum(piece.suspect for piece in pieces),
        "late_samples": sum(piece.late for piece in pieces),
        "repeated_samples": sum(piece.repeated for piece in pieces),
        "not_finite_samples": sum(piece.not_finite for piece in pieces),
        "refused_samples": sum(piece.out_of_range for piece in pieces),
        "stale_markers": sum(piece.stale for piece in pieces),
        "frozen_twin_samples": sum(piece.frozen for piece in pieces),
    }


def numbered(batch: SeriesBatch, numbers: Sequence[int]) -> SeriesBatch:
    """Return the series of `batch` with a number from 0 on, as the label `NUMBER`; -1 leaves a series out.

    An entity of several labels is told by its number, so that no text in a label can make two of one.
    """
    texts = (f"{number:09d}" if number >= 0 else "" for number in numbers)
    return replace(
        batch, labels=tuple({**labels, NUMBER: text} for labels, text in zip(batch.labels, texts, strict=True))
    )


def number_of(piece: Gridded) -> IntArray:
    """Return the numbers that the entities of a gridded `numbered` batch have."""
    return np.array([int(name) for name in piece.entities] or [-1], np.int64)


def codes_of(names: Sequence[str], code: Mapping[str, int]) -> IntArray:
    """Return the code of each name, -1 where it has none; never an empty array, so that it can be indexed."""
    return np.array([code.get(name, -1) for name in names] or [-1], np.int64)


def derived(rows: TrafficRows, bucket_seconds: int) -> dict[str, FloatArray]:
    """Return what follows from what the entities of one kind moved, NaN where they moved nothing.

    Shares are of the sum of the mean rates of all that have a row in the bucket, and those on the
    same node; rank 1 has the highest (of equals the first by id). The rate after a gap is the mean
    over the gap: an estimate of that bucket, where the bytes would be those of all the gap.
    `peak_to_mean` is the sum of both directions' maxima over the sum of their means, an upper bound,
    as the peaks need not have met.
    """
    moved = rows.rate
    some = moved > 0
    amount = np.where(some, moved, 0.0)
    whole: FloatArray = amount
    if len(amount):
        whole = np.bincount(rows.bucket, amount)[rows.bucket].astype(np.float64, copy=False)
    buckets = 86_400 // bucket_seconds
    there = rows.node * buckets + rows.bucket
    placed = rows.node >= 0
    on_node = np.full(len(amount), np.nan)
    if placed.any():
        on_node[placed] = np.bincount(there[placed], amount[placed])[there[placed]]
    order = np.lexsort((rows.entity, -amount, rows.bucket))
    order = order[some[order]]
    bucket = rows.bucket[order]
    first = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]]) if len(order) else np.zeros(0, np.int64)
    rank = np.full(len(amount), np.nan)
    rank[order] = np.arange(len(order)) - np.repeat(first, np.diff(np.r_[first, len(order)])) + 1

    received, sent = (rows.values[f"{way}_bytes_per_second_mean"] for way in DIRECTIONS)
    peak = _together(*(rows.values[f"{way}_bytes_per_second_max"] for way in DIRECTIONS))
    return {
        "share_of_tenant": np.where(np.isnan(moved), np.nan, _ratio(amount, whole)),
        "share_of_node": np.where(np.isnan(moved), np.nan, _ratio(amount, on_node)),
        "rank": rank,
        "peak_to_mean": np.maximum(_ratio(peak, moved), 1.0),
        "asymmetry": _ratio(received - sent, received + sent),
    }


def summed_rate(rows: TrafficRows, bucket_seconds: int) -> FloatArray:
    """Return the rate of all entities together in each bucket of the day for which anything is known.

    A row's mean rate also holds in the buckets before it that have none, as far as it covers their
    time: a gap that a counter made up for, or the steps of a metric that is sampled seldom.
    """
    buckets = 86_400 // bucket_seconds
    found, known = np.zeros(buckets), np.zeros(buckets, bool)
    for way in DIRECTIONS:
        rate = rows.values[f"{way}_bytes_per_second_mean"]
        at = np.flatnonzero(~np.isnan(rate))
        rate, entity, bucket = rate[at], rows.entity[at], rows.bucket[at]
        covered = np.nan_to_num(_ratio(rows.values[f"{way}_bytes"][at], rate)) / bucket_seconds
        empty_before = np.where(np.diff(entity, prepend=-1) == 0, np.diff(bucket, prepend=-1), bucket + 1)
        held = np.clip(np.rint(covered).astype(np.int64), 1, empty_before)
        last = np.repeat(bucket, held)
        there = last - (np.arange(len(last)) - np.repeat(np.cumsum(held) - held, held))
        found += np.bincount(there, np.repeat(rate, held), buckets)
        known[there] = True
    return found[known]


def as_table(rows: TrafficRows, partition: Partition, resolution_seconds: int, table: Table) -> pa.Table:
    """Return `rows` with all columns of `table`; those they know nothing of are null."""
    figures = {**rows.values, **derived(rows, resolution_seconds)}
    start_ms = partition.start_ms + rows.bucket * resolution_seconds * 1000
    arrays: dict[str, pa.Array] = {
        "entity_kind": pa.array([rows.kind] * len(rows.entity), pa.string()).dictionary_encode(),
        "ts": pa.array(start_ms, pa.int64()).cast(TIMESTAMP),
        "node_id": _text(rows.node, rows.nodes),
        **{name: _text(rows.entity, texts) for name, texts in rows.labels.items()},
        "doubtful": pa.array(rows.doubtful),
        "samples_seen": pa.array(rows.seen.astype(np.int32)),
        "samples_expected": pa.array(rows.expected.astype(np.int32)),
    }
    for column in table.columns:
        if column.name in figures:
            values = pa.array(figures[column.name], from_pandas=True)
            arrays[column.name] = values.cast(column.type)
        elif column.name not in arrays:
            arrays[column.name] = pa.nulls(len(rows.entity), column.type)
    return pa.table({name: arrays[name] for name in table.column_names})


def _text(codes: IntArray, names: Sequence[str]) -> pa.DictionaryArray:
    indices = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names), pa.string())).cast(ENTITY)


def _together(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the sum; where only one is known that one, NaN where neither is."""
    both = np.nan_to_num(one) + np.nan_to_num(other)
    return np.where(np.isnan(one) & np.isnan(other), np.nan, both)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Return `part` / `whole`, NaN where there is no whole."""
    found = np.full(len(part), np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found
