"""The nodes' own load as rows of `system_load`: from NovaCron's node metrics, or from node-exporter's.

NovaCron's exporter gives constants where it does not measure a node. What has one and the same value
in all samples of a node, those of some hours before the day among them, is such a constant: it is left
out, and node-exporter's counterpart is taken where the source has it. Fewer than `CONSTANT_SAMPLES`
are too few to tell; they are kept. Where several servers scrape a node, one of them speaks at a time
(`kernels/twins.py`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.kernels.coverage import IntArray, Presence, expected_together, presence
from analytics_assets.kernels.gridding import LEAD_IN_MS, Gridded, grid
from analytics_assets.processors.node_series import averaged_over_cpus, by_node, joined, memory_in_use, use_of_idle
from analytics_assets.processors.vm_inventory import named
from resources.lake.lake import Facts
from resources.lake.table import TIMESTAMP, Table
from resources.monitoring.source import MetricSource, SeriesBatch
from resources.partition import Partition

Exporter = Literal["auto", "novacron", "node_exporter"]

CONSTANT_SAMPLES = 24
"""So many samples of one value, and of no other, are taken for a constant."""

CONSTANT_LEAD_IN_HOURS = 3
"""How far before the day NovaCron's metrics are read: a constant of every 5 minutes is told from the first hour on."""

COUNTED = ("cpu", "memory", "load")
"""Kinds of samples that count; the total of memory comes together with what is used of it."""


@dataclass
class Reading:
    """What was read of one kind of load: batches of `cpu`, `memory`, `total` or `load`.

    By node: its `cpus`, and where it is watched the `samples` of its longest series; `varies` are the
    nodes of which a series has more than one value.
    """

    batches: dict[str, list[SeriesBatch]] = field(default_factory=dict)
    cpus: dict[str, set[str]] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    varies: set[str] = field(default_factory=set)

    def add(self, kind: str, batch: SeriesBatch) -> None:
        if batch.labels:
            self.batches.setdefault(kind, []).append(batch)

    def count_cpus(self, batch: SeriesBatch) -> None:
        for labels in batch.labels:
            self.cpus.setdefault(labels["node_id"], set()).add(labels.get("cpu", ""))

    def watch(self, batch: SeriesBatch) -> None:
        """Take note of how many samples the nodes have, and of whether they vary."""
        some = np.flatnonzero(np.diff(batch.offsets))
        starts = batch.offsets[:-1][some]
        if not len(some):
            return
        finite = np.isfinite(batch.values)
        samples = np.add.reduceat(finite.astype(np.int64), starts)
        lowest = np.minimum.reduceat(np.where(finite, batch.values, np.inf), starts)
        highest = np.maximum.reduceat(np.where(finite, batch.values, -np.inf), starts)
        for series, count, differ in zip(some, samples.tolist(), (lowest < highest).tolist(), strict=True):
            node = batch.labels[series]["node_id"]
            self.samples[node] = max(self.samples.get(node, 0), count)
            if differ:
                self.varies.add(node)

    @property
    def constant(self) -> set[str]:
        """The watched nodes that have one value only, often enough to be no coincidence."""
        return {node for node, count in self.samples.items() if count >= CONSTANT_SAMPLES} - self.varies

    @property
    def undecided(self) -> set[str]:
        """The watched nodes that have one value only, more than once, but too few samples to tell a constant."""
        return {node for node, count in self.samples.items() if 1 < count < CONSTANT_SAMPLES} - self.varies

    @property
    def nodes(self) -> set[str]:
        return {labels["node_id"] for batches in self.batches.values() for one in batches for labels in one.labels}

    def of(self, nodes: Collection[str]) -> "Reading":
        """Return what was read of `nodes`."""
        chosen = Reading(cpus={node: cpus for node, cpus in self.cpus.items() if node in nodes})
        for kind, batches in self.batches.items():
            for batch in batches:
                chosen.add(kind, batch.where(lambda labels: labels["node_id"] in nodes))
        return chosen


def node_table(
    source: MetricSource,
    partition: Partition,
    resolution_seconds: int,
    table: Table,
    exporter: Exporter = "auto",
    node_label: str = "instance",
) -> tuple[pa.Table, Facts]:
    """Return the platform's rows of `table` (`system_load`) for one day, and their facts.

    A series' node is its label `node_id`, or `node_label` where it has none. There a port is left off
    where the rest is a node that NovaCron knows.
    """
    known: set[str] = set()

    def reader(lead_in_ms: int) -> Read:
        def read(names: Iterable[str]) -> Iterator[SeriesBatch]:
            begin_ms = partition.start_ms - lead_in_ms
            for batch in source.samples(partition.tenant, list(names), begin_ms, partition.end_ms):
                yield by_node(batch, node_label, known)

        return read

    novacron = {what: Reading() for what, *_ in _KINDS}
    if exporter != "node_exporter":
        for what, read_novacron, _ in _KINDS:
            read_novacron(reader(CONSTANT_LEAD_IN_HOURS * 3_600_000), novacron[what])
        known.update(node for reading in novacron.values() for node in reading.samples)

    batches: dict[str, list[SeriesBatch]] = {}
    cpus: dict[str, set[str]] = {}
    notes: list[str] = []
    for what, _, read_node_exporter in _KINDS:
        own, other = novacron[what], Reading()
        lacking = own.constant | (known - set(own.samples))
        if exporter == "node_exporter" or (exporter == "auto" and (lacking or not own.batches)):
            read_node_exporter(reader(LEAD_IN_MS), other)
        wanted = lacking
        if not own.samples or (own.constant and not own.varies):
            # Where NovaCron measures nobody, nodes that it does not know are not the same under other names.
            wanted = other.nodes - (set(own.samples) - own.constant)
        chosen = [own.of(own.nodes - own.constant), other.of(wanted)]
        notes += _notes(what, own, chosen[1].nodes)
        for reading in chosen:
            cpus.update(reading.cpus)
            for kind, parts in reading.batches.items():
                batches.setdefault(kind, []).extend(parts)
    gathered = {
        kind: grid(
            joined(parts), "gauge", partition.start_ms, partition.end_ms, resolution_seconds * 1000, "node_id", "",
            minimum=0,
        )
        for kind, parts in batches.items()
    }  # fmt: skip
    return _table(gathered, cpus, source, partition, resolution_seconds, table, notes)


Read = Callable[[Iterable[str]], Iterator[SeriesBatch]]


def _novacron_cpu(read: Read, reading: Reading) -> None:
    for batch in read(["novacron_system_cpu_usage_percent"]):
        reading.watch(batch)
        reading.count_cpus(batch)
        reading.add("cpu", averaged_over_cpus(batch))


def _novacron_memory(read: Read, reading: Reading) -> None:
    for batch in read(["novacron_system_memory_usage_bytes"]):
        used = batch.where(lambda labels: labels.get("type") == "used")
        reading.watch(used)
        reading.add("memory", used)
        reading.add("total", batch.where(lambda labels: labels.get("type") == "total"))


def _novacron_load(read: Read, reading: Reading) -> None:
    for batch in read(["novacron_system_load_average"]):
        load = batch.where(lambda labels: labels.get("period") == "1m")
        reading.watch(load)
        reading.add("load", load)


def _exporter_cpu(read: Read, reading: Reading) -> None:
    for batch in read(['node_cpu_seconds_total{mode="idle"}']):
        reading.count_cpus(batch)
        reading.add("cpu", averaged_over_cpus(use_of_idle(batch)))


def _exporter_memory(read: Read, reading: Reading) -> None:
    batches = list(read(["node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes"]))
    totals = [batch for batch in batches if batch.metric == "node_memory_MemTotal_bytes"]
    for batch in batches:
        if batch.metric == "node_memory_MemTotal_bytes":
            reading.add("total", batch)
        else:
            reading.add("memory", memory_in_use(batch, totals))


def _exporter_load(read: Read, reading: Reading) -> None:
    for batch in read(["node_load1"]):
        reading.add("load", batch)


_KINDS = (
    ("CPU use", _novacron_cpu, _exporter_cpu),
    ("memory in use", _novacron_memory, _exporter_memory),
    ("load average", _novacron_load, _exporter_load),
)


def _notes(what: str, own: Reading, taken: Collection[str]) -> Iterator[str]:
    """Yield what became of NovaCron's constants; `taken` are the nodes that node-exporter measured instead."""
    constant, undecided = sorted(own.constant), sorted(own.undecided)
    if constant:
        where = "every node" if len(constant) == len(own.samples) else f"{len(constant)} node(s)"
        instead = f"; node-exporter's was taken for {len(taken)} node(s)" if taken else ""
        yield (
            f"NovaCron's {what} is one constant on {where}, all day and in the "
            f"{CONSTANT_LEAD_IN_HOURS} hours before, and was left out there{instead}: {named(constant)}."
        )
    if undecided:
        yield (
            f"NovaCron's {what} has one value only on {len(undecided)} node(s), in fewer than {CONSTANT_SAMPLES} "
            f"samples; that is too few to tell a constant, and it was kept: {named(undecided)}."
        )


def _table(
    gathered: Mapping[str, Gridded],
    cpus: Mapping[str, set[str]],
    source: MetricSource,
    partition: Partition,
    resolution_seconds: int,
    table: Table,
    notes: list[str],
) -> tuple[pa.Table, Facts]:
    resolution_ms = resolution_seconds * 1000
    nodes = sorted({name for piece in gathered.values() for name in piece.entities})
    buckets = 86_400 // resolution_seconds
    grids = {kind: _spread(gathered.get(kind), nodes, buckets) for kind in ("cpu", "memory", "total", "load")}
    seen = sum((grids[kind][2] for kind in COUNTED), np.zeros(len(nodes) * buckets, np.int32))
    row = np.flatnonzero(seen)
    count = np.array([len(cpus.get(node, ())) for node in nodes] or [0], np.float64)[row // buckets]
    count[count == 0] = np.nan
    facts, in_bucket = _counted(gathered, nodes, source, partition, resolution_ms, notes)
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
        "samples_expected": pa.array(in_bucket[row // buckets].astype(np.int32)),
    }
    data = pa.table({column.name: arrays.get(column.name, pa.nulls(len(row), column.type)) for column in table.columns})
    return data, facts


def _counted(
    gathered: Mapping[str, Gridded],
    nodes: list[str],
    source: MetricSource,
    partition: Partition,
    resolution_ms: int,
    notes: list[str],
) -> tuple[Facts, IntArray]:
    """Return the facts, and the samples that a complete bucket of each node has."""
    in_bucket = np.zeros(len(nodes), np.int64)
    last = max((piece.last_ts_ms for piece in gathered.values()), default=-1)
    if last < 0:
        return Facts(as_of_ms=partition.end_ms, notes=(*notes, "No node sent a sample on this day.")), in_bucket
    known_seconds = source.sample_interval_seconds(partition.tenant)
    is_over = source.has_passed(partition.tenant, partition.end_ms)
    code = {name: number for number, name in enumerate(nodes)}
    parts: list[tuple[IntArray, Presence]] = []
    for piece in (gathered[kind] for kind in COUNTED if kind in gathered):
        own = presence(piece, partition.start_ms, resolution_ms, known_seconds)
        codes = np.array([code[name] for name in piece.entities], np.int64)
        in_bucket[codes] += own.in_bucket(resolution_ms)
        parts.append((codes, own))
    seen = sum(int(own.seen.sum()) for _, own in parts)
    expected = expected_together(parts, (partition.start_ms, partition.end_ms if is_over else last + 1))
    passed = (last - partition.start_ms) // resolution_ms + 1
    as_of = partition.end_ms if is_over else min(partition.end_ms, partition.start_ms + passed * resolution_ms)
    return Facts(as_of_ms=as_of, samples_seen=seen, samples_expected=int(expected.sum()), notes=tuple(notes)), in_bucket


def _spread(
    piece: Gridded | None, nodes: list[str], buckets: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    size = len(nodes) * buckets
    mean, maximum = np.full(size, np.nan, np.float32), np.full(size, np.nan, np.float32)
    seen = np.zeros(size, np.int32)
    if piece is not None:
        code = {name: number for number, name in enumerate(nodes)}
        own = np.array([code[name] for name in piece.entities] or [-1], np.int64)
        cell = own[piece.entity] * buckets + piece.bucket
        mean[cell], maximum[cell], seen[cell] = piece.mean, piece.maximum, piece.samples
    return mean, maximum, seen
