"""The nodes' own load as rows of `system_load`: from NovaCron's node metrics, or from node-exporter's.

NovaCron's exporter gives constants where it does not measure a node. A metric that has one and the
same value on every node all day is such a constant: it is left out, and node-exporter's counterpart
is taken where the source has it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.kernels.counters import increases
from analytics_assets.kernels.gridding import LEAD_IN_MS, Gridded, averaged_over_series, grid, interval_seconds
from analytics_assets.kernels.samples import in_order
from resources.lake.lake import Facts
from resources.lake.table import TIMESTAMP, Table
from resources.monitoring.source import MetricSource, SeriesBatch
from resources.partition import Partition

Exporter = Literal["auto", "novacron", "node_exporter"]

CONSTANT_SAMPLES = 24
"""So many samples of one value, and of no other, are taken for a constant."""


@dataclass
class Reading:
    """What was read of one kind of load: `cpu`, `memory`, `total` and `load`, gridded by node."""

    batches: dict[str, list[SeriesBatch]] = field(default_factory=dict)
    cpus: dict[str, set[str]] = field(default_factory=dict)

    def add(self, kind: str, batch: SeriesBatch) -> None:
        if batch.labels:
            self.batches.setdefault(kind, []).append(batch)

    @property
    def is_constant(self) -> bool:
        """Whether everything measured here is one and the same value, often enough to be no coincidence."""
        parts = [batch.values for kind, batches in self.batches.items() if kind != "total" for batch in batches]
        values = np.concatenate(parts) if parts else np.zeros(0)
        values = values[np.isfinite(values)]
        return len(values) >= CONSTANT_SAMPLES and float(values.min()) == float(values.max())


def node_table(
    source: MetricSource,
    partition: Partition,
    resolution_seconds: int,
    table: Table,
    exporter: Exporter = "auto",
    node_label: str = "instance",
) -> tuple[pa.Table, Facts]:
    """Return the platform's rows of `table` (`system_load`) for one day, and their facts.

    A series' node is its label `node_id`, or `node_label` where it has none.
    """

    def read(names: Iterable[str]) -> Iterator[SeriesBatch]:
        for batch in source.samples(partition.tenant, list(names), partition.start_ms - LEAD_IN_MS, partition.end_ms):
            yield _by_node(batch, node_label)

    gathered: dict[str, list[Gridded]] = {}
    cpus: dict[str, set[str]] = {}
    notes: list[str] = []
    for what, novacron, node_exporter in _KINDS:
        chosen = Reading()
        if exporter != "node_exporter":
            novacron(read, chosen)
            if chosen.is_constant:
                notes.append(f"NovaCron's {what} is one constant on every node all day and was left out.")
                chosen = Reading()
        if not chosen.batches and exporter != "novacron":
            node_exporter(read, chosen)
        for kind, batches in chosen.batches.items():
            gathered[kind] = [
                grid(batch, "gauge", partition.start_ms, partition.end_ms, resolution_seconds * 1000, "node_id", "",
                     minimum=0)
                for batch in batches
            ]  # fmt: skip
        cpus.update(chosen.cpus)
    known = source.sample_interval_seconds(partition.tenant)
    intervals = {kind: known or interval_seconds(parts) for kind, parts in gathered.items()}
    return _table(gathered, cpus, intervals, partition, resolution_seconds, table, notes)


Read = Callable[[Iterable[str]], Iterator[SeriesBatch]]


def _novacron_cpu(read: Read, reading: Reading) -> None:
    for batch in read(["novacron_system_cpu_usage_percent"]):
        _count_cpus(batch, reading)
        reading.add("cpu", averaged_over_series(batch, "node_id"))


def _novacron_memory(read: Read, reading: Reading) -> None:
    for batch in read(["novacron_system_memory_usage_bytes"]):
        reading.add("memory", batch.where(lambda labels: labels.get("type") == "used"))
        reading.add("total", batch.where(lambda labels: labels.get("type") == "total"))


def _novacron_load(read: Read, reading: Reading) -> None:
    for batch in read(["novacron_system_load_average"]):
        reading.add("load", batch.where(lambda labels: labels.get("period") == "1m"))


def _exporter_cpu(read: Read, reading: Reading) -> None:
    for batch in read(['node_cpu_seconds_total{mode="idle"}']):
        _count_cpus(batch, reading)
        reading.add("cpu", use_of_idle(averaged_over_series(batch, "node_id")))


def _exporter_memory(read: Read, reading: Reading) -> None:
    batches = list(read(["node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes"]))
    for batch in batches:
        if batch.metric == "node_memory_MemTotal_bytes":
            reading.add("total", batch)
    for batch in batches:
        if batch.metric == "node_memory_MemAvailable_bytes":
            reading.add("memory", _used(batch, [one for one in batches if one is not batch]))


def _exporter_load(read: Read, reading: Reading) -> None:
    for batch in read(["node_load1"]):
        reading.add("load", batch)


_KINDS = (
    ("CPU use", _novacron_cpu, _exporter_cpu),
    ("memory in use", _novacron_memory, _exporter_memory),
    ("load average", _novacron_load, _exporter_load),
)


def use_of_idle(idle: SeriesBatch) -> SeriesBatch:
    """Return the percentage of time not idle up to each sample, from counters of idle seconds per CPU."""
    samples = in_order(idle, 0, np.iinfo(np.int64).max, "node_id", "")
    moved = increases(samples)
    # Across a restart nobody counted how long the node was idle.
    keep = moved.valid & np.r_[False, np.diff(samples.values) >= 0][: len(samples.values)]
    sizes = np.add.reduceat(keep.astype(np.int64), samples.bounds[:-1]) if len(keep) else np.zeros(0, np.int64)
    return replace(
        idle,
        labels=tuple({"node_id": samples.entities[code]} for code in samples.entity),
        offsets=np.r_[0, np.cumsum(sizes)].astype(np.int64),
        ts_ms=samples.ts_ms[keep],
        values=np.clip(100 * (1 - moved.rate[keep]), 0, 100),
    )


def _used(available: SeriesBatch, others: list[SeriesBatch]) -> SeriesBatch:
    """Return total minus available memory at the instants that have both, NaN at others."""
    totals = [batch for batch in others if batch.metric == "node_memory_MemTotal_bytes"]
    nodes = sorted({labels["node_id"] for batch in (available, *totals) for labels in batch.labels})
    if not totals:
        return replace(available, values=np.full(len(available.values), np.nan))
    keys = np.concatenate([_instants(batch, nodes) for batch in totals])
    values = np.concatenate([np.where(np.isfinite(batch.values), batch.values, np.nan) for batch in totals])
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    wanted = _instants(available, nodes)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1) if len(keys) else np.zeros(len(wanted), np.int64)
    total = np.where(keys[at] == wanted, values[at], np.nan) if len(keys) else np.full(len(wanted), np.nan)
    # Arithmetic on the marker of a series' end, which is a signalling NaN, is an invalid operation.
    free = np.where(np.isfinite(available.values), available.values, np.nan)
    return replace(available, values=total - free)


def _instants(batch: SeriesBatch, nodes: list[str]) -> NDArray[np.int64]:
    """Return one number for the node and instant of each sample; times are below 2^44 ms."""
    code = {name: number for number, name in enumerate(nodes)}
    of_series = np.array([code[labels["node_id"]] for labels in batch.labels], np.int64)
    found: NDArray[np.int64] = (np.repeat(of_series, np.diff(batch.offsets)) << 44) + batch.ts_ms
    return found


def _by_node(batch: SeriesBatch, node_label: str) -> SeriesBatch:
    """Return `batch` with every series' node under `node_id`, without series that name none."""
    labels = tuple({**one, "node_id": one.get("node_id") or one.get(node_label, "")} for one in batch.labels)
    return replace(batch, labels=labels).where(lambda one: bool(one["node_id"]))


def _count_cpus(batch: SeriesBatch, reading: Reading) -> None:
    for labels in batch.labels:
        reading.cpus.setdefault(labels["node_id"], set()).add(labels.get("cpu", ""))


def _table(
    gathered: Mapping[str, list[Gridded]],
    cpus: Mapping[str, set[str]],
    intervals: Mapping[str, int],
    partition: Partition,
    resolution_seconds: int,
    table: Table,
    notes: list[str],
) -> tuple[pa.Table, Facts]:
    resolution_ms = resolution_seconds * 1000
    pieces = [piece for parts in gathered.values() for piece in parts]
    nodes = sorted({name for piece in pieces for name in piece.entities})
    buckets = 86_400 // resolution_seconds
    grids = {kind: _spread(gathered.get(kind, []), nodes, buckets) for kind in ("cpu", "memory", "total", "load")}
    # Total and used memory come together and count once.
    counted = [kind for kind in ("cpu", "memory", "load") if gathered.get(kind)]
    seen = sum((grids[kind][2] for kind in counted), np.zeros(len(nodes) * buckets, np.int32))
    row = np.flatnonzero(seen)
    count = np.array([len(cpus.get(node, ())) for node in nodes] or [0], np.float64)[row // buckets]
    count[count == 0] = np.nan
    per_bucket = sum(max(1, resolution_seconds // (intervals[kind] or resolution_seconds)) for kind in counted)
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
        "samples_expected": pa.array(np.full(len(row), per_bucket, np.int32)),
    }
    data = pa.table({column.name: arrays.get(column.name, pa.nulls(len(row), column.type)) for column in table.columns})
    last = max((piece.last_ts_ms for piece in pieces), default=-1)
    if last < 0:
        return data, Facts(as_of_ms=partition.end_ms, notes=(*notes, "No node sent a sample on this day."))
    passed = (last - partition.start_ms) // resolution_ms + 1
    as_of = min(partition.end_ms, partition.start_ms + passed * resolution_ms)
    elapsed = (as_of - partition.start_ms) // 1000
    expected = sum(
        len({name for piece in gathered[kind] for name in piece.entities}) * (elapsed // intervals[kind])
        if intervals[kind]
        else sum(int(piece.samples.sum()) for piece in gathered[kind])
        for kind in counted
    )
    return data, Facts(as_of_ms=as_of, samples_seen=int(seen.sum()), samples_expected=int(expected), notes=tuple(notes))


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
        seen[cell] += piece.samples
    return mean, maximum, seen
