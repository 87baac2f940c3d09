"""Imported trace files as a source of samples and of sizes."""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from resources.errors import InvalidInput
from resources.inventory.source import INVENTORY_SCHEMA
from resources.lake.lake import Lake
from resources.monitoring.metrics import METRICS
from resources.monitoring.selector import Selector, parse_selector
from resources.monitoring.source import SeriesBatch
from resources.monitoring.traces.store import TRACE_INVENTORY, Summary, TraceStore
from resources.partition import day_of_ms, day_start_ms, days_between

BATCH_ROWS = 2_000_000
"""Sample rows that are read at once; a larger range is read some VMs at a time."""


class TraceFiles:
    """The traces imported under `root`: a `MetricSource` and an `InventorySource`.

    Samples come with the gauges of their columns, rates as `..._bytes_per_second`.
    """

    kind = "files"

    def __init__(self, root: Path, batch_rows: int = BATCH_ROWS) -> None:
        self.root = root
        self.batch_rows = batch_rows

    def tenants(self) -> list[str]:
        """Return the tenants with imported traces."""
        return [tenant for tenant in Lake(self.root).tenants() if self.has(tenant)]

    def refused_tenants(self) -> dict[str, str]:
        return {}  # an import takes legal tenant ids only

    def has(self, tenant: str) -> bool:
        """Return whether traces of `tenant` were imported."""
        return TraceStore(self.root, tenant).summary() is not None

    def extent(self, tenant: str) -> tuple[date, date] | None:
        """Return the first and last day with samples of `tenant`, None where there are none."""
        summary = TraceStore(self.root, tenant).summary()
        return (summary.first_day, summary.last_day) if summary else None

    def has_passed(self, tenant: str, ts_ms: int) -> bool:
        """Return whether the traces go on at `ts_ms` or later; a trace that ends within a day is taken for running."""
        summary = TraceStore(self.root, tenant).summary()
        return summary is not None and day_start_ms(summary.last_day) >= ts_ms

    def sample_interval_seconds(self, tenant: str) -> int:
        """Return the median seconds between two samples of a VM, as found at the import.

        Raises:
            InvalidInput: nothing was imported for `tenant`.
        """
        return self._summary(tenant).sample_interval_seconds

    def samples(self, tenant: str, selectors: Sequence[str], start_ms: int, end_ms: int) -> Iterator[SeriesBatch]:
        """Yield the samples of `selectors` in `[start_ms, end_ms)`, a series for each VM and node it ran on.

        Raises:
            CorruptPartition: a stored day is damaged.
        """
        wanted = [(name, parse_selector(text)) for text in selectors for name in offered_by(parse_selector(text))]
        columns = {name: METRICS[name].column for name, _ in wanted}
        if not columns or end_ms <= start_ms:
            return
        store = TraceStore(self.root, tenant)
        stored = set(store.days())
        days = [day for day in days_between(day_of_ms(start_ms), day_of_ms(end_ms - 1)) if day in stored]
        names = self._names(store)
        read = ["vm_id", "ts", "node_id", *dict.fromkeys(columns.values())]
        for vms in self._portions(store, days):
            rows = store.samples(days, read, vms)
            ts = np.asarray(rows.column("ts").cast(pa.int64()).combine_chunks())
            rows = rows.filter(pa.array((ts >= start_ms) & (ts < end_ms)))
            for name, selector in wanted:
                batch = _batch(name, rows.select(["vm_id", "ts", "node_id", columns[name]]), tenant, names)
                if batch is not None:
                    batch = batch.where(partial(selector.matches, name))
                    if batch.labels:
                        yield batch

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        """Return the sizes and places that held in `[start_ms, end_ms)`, by `INVENTORY_SCHEMA`.

        A VM is part of it from its first sample to its last. It is stopped while it has no CPUs.

        Raises:
            CorruptPartition: the stored inventory is damaged.
        """
        rows = TraceStore(self.root, tenant).read_whole(TRACE_INVENTORY)
        began = np.asarray(rows.column("valid_from").cast(pa.int64()))
        seen = np.asarray(rows.column("last_seen").cast(pa.int64()))
        vms = np.asarray(rows.column("vm_id").combine_chunks().cast(pa.string()))
        # A row ends where the VM's next one begins; rows are in order of VM and time.
        until = np.full(len(began), np.iinfo(np.int64).max)
        if len(began) > 1:
            until[:-1] = np.where(vms[1:] == vms[:-1], began[1:], until[:-1])
        held = rows.filter(pa.array((began < end_ms) & (until > start_ms) & (seen >= start_ms)))
        arrays = [
            held.column("valid_from" if declared.name == "valid_from_ms" else declared.name).cast(declared.type)
            for declared in INVENTORY_SCHEMA
        ]
        return pa.Table.from_arrays(arrays, schema=INVENTORY_SCHEMA)

    def _summary(self, tenant: str) -> Summary:
        summary = TraceStore(self.root, tenant).summary()
        if summary is None:
            raise InvalidInput(f"no traces were imported for {tenant}. Run novacron-analytics import for it first.")
        return summary

    def _portions(self, store: TraceStore, days: Sequence[date]) -> Iterator[tuple[str, str] | None]:
        """Yield the first and last VM of each portion to read at once; None is all."""
        if not days:
            return
        total = sum(store.rows(day) for day in days)
        if total <= self.batch_rows:
            yield None
            return
        vms = sorted(store.read_whole(TRACE_INVENTORY).column("vm_id").unique().to_pylist())
        size = max(1, len(vms) * self.batch_rows // total)
        for start in range(0, len(vms), size):
            yield vms[start], vms[min(start + size, len(vms)) - 1]

    @staticmethod
    def _names(store: TraceStore) -> dict[str, str]:
        """Return the last known name of each VM that has one."""
        rows = store.read_whole(TRACE_INVENTORY)
        pairs = zip(rows.column("vm_id").to_pylist(), rows.column("vm_name").to_pylist(), strict=True)
        return {vm: name for vm, name in pairs if name}


def offered_by(selector: Selector) -> list[str]:
    """Return the metrics a trace can have that `selector` may mean: the gauges of VMs, by name."""
    return [
        name
        for name, metric in METRICS.items()
        if metric.kind == "gauge" and metric.entity == "vm" and selector.matches_name(name)
    ]


def _batch(metric: str, rows: pa.Table, tenant: str, names: dict[str, str]) -> SeriesBatch | None:
    """Return the values of `rows` as series of VM and node, None where there is no value."""
    rows = rows.filter(rows.column(3).is_valid())
    if not rows.num_rows:
        return None
    vm_ids, nodes = _encoded(rows.column("vm_id")), _encoded(rows.column("node_id"))
    vms = np.asarray(vm_ids.indices).astype(np.int64)
    places = np.asarray(nodes.indices.fill_null(-1)).astype(np.int64)
    order = np.lexsort((places, vms))  # stable: within a series the order of time and arrival stays
    vms, places = vms[order], places[order]
    starts = np.flatnonzero(np.r_[True, (vms[1:] != vms[:-1]) | (places[1:] != places[:-1])])
    vm_texts, node_texts = vm_ids.dictionary.to_pylist(), nodes.dictionary.to_pylist()
    labels = []
    for start in starts:
        label = {"tenant_id": tenant, "vm_id": vm_texts[vms[start]]}
        if label["vm_id"] in names:
            label["vm_name"] = names[label["vm_id"]]
        if places[start] >= 0:
            label["node_id"] = node_texts[places[start]]
        labels.append(label)
    ts = np.asarray(rows.column("ts").cast(pa.int64()).combine_chunks())
    values = np.asarray(rows.column(3).combine_chunks(), dtype=np.float64)
    offsets = np.r_[starts, len(order)].astype(np.int64)
    return SeriesBatch(metric, tuple(labels), offsets, ts[order], values[order], method="imported traces")


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    whole = column.unify_dictionaries().combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
