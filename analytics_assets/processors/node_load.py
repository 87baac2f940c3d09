"""The nodes' own load, from NovaCron's node metrics, as rows of `system_load`."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.kernels.gridding import Gridded, averaged_over_series, grid
from resources.lake.lake import Facts
from resources.lake.table import TIMESTAMP, Table
from resources.monitoring.source import MetricSource, SeriesBatch
from resources.partition import Partition

CPU, MEMORY, LOAD = (
    "novacron_system_cpu_usage_percent",
    "novacron_system_memory_usage_bytes",
    "novacron_system_load_average",
)


def node_table(
    source: MetricSource, partition: Partition, resolution_seconds: int, table: Table
) -> tuple[pa.Table, Facts]:
    """Return the platform's rows of `table` (`system_load`) for one day, and their facts."""
    resolution_ms = resolution_seconds * 1000
    pieces: dict[str, list[Gridded]] = {"cpu": [], "memory": [], "total": [], "load": []}
    cpus: dict[str, set[str]] = {}

    def gather(name: str, batch: SeriesBatch) -> None:
        gridded = grid(batch, "gauge", partition.start_ms, partition.end_ms, resolution_ms, "node_id", "")
        pieces[name].append(gridded)

    for batch in source.samples(partition.tenant, [CPU], partition.start_ms, partition.end_ms):
        for labels in batch.labels:
            cpus.setdefault(labels.get("node_id", ""), set()).add(labels.get("cpu", ""))
        gather("cpu", averaged_over_series(batch, "node_id"))
    for batch in source.samples(partition.tenant, [MEMORY], partition.start_ms, partition.end_ms):
        gather("memory", only(batch, "type", "used"))
        gather("total", only(batch, "type", "total"))
    for batch in source.samples(partition.tenant, [LOAD], partition.start_ms, partition.end_ms):
        gather("load", only(batch, "period", "1m"))

    nodes = sorted({name for piece in _all(pieces) for name in piece.entities})
    buckets = 86_400 // resolution_seconds
    grids = {name: _spread(parts, nodes, buckets) for name, parts in pieces.items()}
    seen = sum((spread[2] for spread in grids.values()), np.zeros(len(nodes) * buckets, np.int32))
    row = np.flatnonzero(seen)
    count = np.array([len(cpus.get(node, ())) for node in nodes] or [0], np.float64)[row // buckets]
    count[count == 0] = np.nan
    kinds = sum(bool(parts) for parts in pieces.values())
    interval = source.sample_interval_seconds(partition.tenant)
    expected = kinds * max(1, resolution_seconds // interval)
    arrays: dict[str, pa.Array] = {
        "node_id": pa.array([nodes[index] for index in row // buckets], pa.string()),
        "ts": pa.array(partition.start_ms + (row % buckets) * resolution_ms, pa.int64()).cast(TIMESTAMP),
        "scope": pa.array(["node"] * len(row), pa.string()),
        "cpu_percent_mean": pa.array(grids["cpu"][0][row], from_pandas=True),
        "cpu_percent_max": pa.array(grids["cpu"][1][row], from_pandas=True),
        "cpu_cores_mean": pa.array((grids["cpu"][0][row] * count / 100).astype(np.float32), from_pandas=True),
        "cpu_cores_max": pa.array((grids["cpu"][1][row] * count / 100).astype(np.float32), from_pandas=True),
        "cpu_cores_total": pa.array(count.astype(np.float32), from_pandas=True),
        "memory_bytes_mean": pa.array(grids["memory"][0][row], from_pandas=True),
        "memory_bytes_max": pa.array(grids["memory"][1][row], from_pandas=True),
        "memory_total_bytes": pa.array(grids["total"][0][row].astype(np.float64), from_pandas=True),
        "load_average_1m_mean": pa.array(grids["load"][0][row], from_pandas=True),
        "load_average_1m_max": pa.array(grids["load"][1][row], from_pandas=True),
        "samples_seen": pa.array(seen[row]),
        "samples_expected": pa.array(np.full(len(row), expected, np.int32)),
    }
    data = pa.table({column.name: arrays.get(column.name, pa.nulls(len(row), column.type)) for column in table.columns})
    return data, _facts(pieces, seen, len(nodes) * expected, partition, resolution_ms)


def only(batch: SeriesBatch, label: str, value: str) -> SeriesBatch:
    """Return the series of `batch` whose `label` is `value`."""
    chosen = [number for number, labels in enumerate(batch.labels) if labels.get(label) == value]
    sizes = np.diff(batch.offsets)[chosen] if chosen else np.zeros(0, np.int64)
    index = [np.arange(batch.offsets[number], batch.offsets[number + 1]) for number in chosen]
    picked = np.concatenate(index) if index else np.zeros(0, np.int64)
    return replace(
        batch,
        labels=tuple(batch.labels[number] for number in chosen),
        offsets=np.r_[0, np.cumsum(sizes)].astype(np.int64),
        ts_ms=batch.ts_ms[picked],
        values=batch.values[picked],
    )


def _all(pieces: dict[str, list[Gridded]]) -> Iterator[Gridded]:
    for parts in pieces.values():
        yield from parts


def _spread(
    parts: list[Gridded], nodes: list[str], buckets: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    size = len(nodes) * buckets
    mean, maximum = np.full(size, np.nan, np.float32), np.full(size, np.nan, np.float32)
    seen = np.zeros(size, np.int32)
    code = {name: number for number, name in enumerate(nodes)}
    for piece in parts:
        own = np.array([code[name] for name in piece.entities] or [-1], np.int64)
        cell = own[piece.entity] * buckets + piece.bucket
        mean[cell], maximum[cell] = piece.mean, piece.maximum
        np.add.at(seen, cell, piece.samples)
    return mean, maximum, seen


def _facts(
    pieces: dict[str, list[Gridded]],
    seen: NDArray[np.int32],
    expected_per_bucket: int,
    partition: Partition,
    resolution_ms: int,
) -> Facts:
    last = max((piece.last_ts_ms for piece in _all(pieces)), default=-1)
    if last < 0:
        return Facts(as_of_ms=partition.end_ms, notes=("No node sent a sample on this day.",))
    passed = (last - partition.start_ms) // resolution_ms + 1
    as_of = min(partition.end_ms, partition.start_ms + passed * resolution_ms)
    return Facts(as_of_ms=as_of, samples_seen=int(seen.sum()), samples_expected=expected_per_bucket * int(passed))
