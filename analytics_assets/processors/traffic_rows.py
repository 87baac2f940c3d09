"""What moved, as rows of `network_traffic`: from gridded pieces to rates, totals, shares and ranks.

A counter's total is the sum of its increases. A gauge is a rate already: its total is the mean rate
times the seconds that its samples stand for (samples times their interval, at most the bucket).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.kernels.gridding import Gridded
from resources.lake.table import ENTITY, TIMESTAMP, Table
from resources.monitoring.source import SeriesBatch
from resources.partition import Partition

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

DIRECTIONS = ("receive", "transmit")

NUMBER = "number"
"""The label by which `numbered` series name their entity."""


@dataclass(frozen=True)
class Measured:
    """What coverage counts of one metric: the entities that have it, its samples, seconds between two (0: unknown)."""

    entities: int
    samples: int
    interval_seconds: int

    def expected(self, seconds: int) -> int:
        """Return the samples of `seconds`; as many as were seen where the interval is not known."""
        return self.entities * (seconds // self.interval_seconds) if self.interval_seconds else self.samples

    def in_bucket(self, seconds: int) -> int:
        """Return the samples that one entity's bucket of `seconds` would have."""
        return max(1, seconds // self.interval_seconds) if self.interval_seconds else 1


@dataclass(frozen=True)
class TrafficRows:
    """Rows of one kind of entity.

    `labels` are text columns by entity, `entity_id` among them, in the order of the ids; `entity`
    is the position there, `bucket` counts from the day's start, `node` indexes `nodes` (-1 where it
    is unknown). `values` are the figures by column, NaN where unknown.
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

    @property
    def bytes(self) -> FloatArray:
        """Bytes of both directions; NaN where neither is known."""
        return _together(*(self.values[f"{way}_bytes"] for way in DIRECTIONS))


class Moved:
    """Receive and transmit of some entities on the grid, filled in piece by piece."""

    def __init__(self, entities: int, buckets: int, bucket_seconds: int) -> None:
        self.buckets, self.bucket_seconds = buckets, bucket_seconds
        size = entities * buckets
        self.seen, self.doubtful = np.zeros(size, np.int64), np.zeros(size, bool)
        self.node = np.full(size, -1, np.int64)
        self.values = {name: np.full(size, np.nan) for way in DIRECTIONS for name in _columns(way)}

    def add_counter(self, way: str, piece: Gridded, codes: IntArray, nodes: IntArray) -> None:
        """Fill in a counter's piece; `codes` and `nodes` number its entities (-1: not wanted) and places."""
        self._add(way, piece, piece.total, codes, nodes)

    def add_rate(self, way: str, piece: Gridded, codes: IntArray, nodes: IntArray, interval_seconds: int) -> None:
        """Fill in a gauge that is a rate, sampled every `interval_seconds` (0: unknown; it stands for the bucket)."""
        stood_for = np.full(len(piece.samples), self.bucket_seconds, np.int64)
        if interval_seconds:
            stood_for = np.minimum(stood_for, piece.samples.astype(np.int64) * interval_seconds)
        self._add(way, piece, piece.total / piece.samples * stood_for, codes, nodes)

    def _add(self, way: str, piece: Gridded, total: FloatArray, codes: IntArray, nodes: IntArray) -> None:
        mean, maximum, moved = (self.values[name] for name in _columns(way))
        cell = codes[piece.entity] * self.buckets + piece.bucket
        use = np.flatnonzero(codes[piece.entity] >= 0)
        use = use[np.isnan(moved[cell[use]])]
        cell = cell[use]
        mean[cell], maximum[cell], moved[cell] = piece.mean[use], piece.maximum[use], total[use]
        self.seen[cell] += piece.samples[use]
        self.doubtful[cell] |= piece.doubtful[use]
        placed = (self.node[cell] < 0) & (piece.place[use] >= 0)
        self.node[cell[placed]] = nodes[piece.place[use[placed]]]


def _columns(way: str) -> tuple[str, str, str]:
    return f"{way}_bytes_per_second_mean", f"{way}_bytes_per_second_max", f"{way}_bytes"


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

    Shares are of the bytes that all of them moved in the bucket, and those on the same node; rank 1
    moved most (of equals the first by id); `peak_to_mean` is the sum of both directions' maxima over
    the sum of their means, an upper bound, as the peaks need not have met.
    """
    moved = rows.bytes
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

    received, sent = (rows.values[f"{way}_bytes"] for way in DIRECTIONS)
    mean, peak = (
        _together(*(rows.values[f"{way}_bytes_per_second_{which}"] for way in DIRECTIONS)) for which in ("mean", "max")
    )
    return {
        "share_of_tenant": np.where(np.isnan(moved), np.nan, _ratio(amount, whole)),
        "share_of_node": np.where(np.isnan(moved), np.nan, _ratio(amount, on_node)),
        "rank": rank,
        "peak_to_mean": np.maximum(_ratio(peak, mean), 1.0),
        "asymmetry": _ratio(received - sent, received + sent),
    }


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
