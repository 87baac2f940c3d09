"""What the storage tiers of the nodes hold, move and how long it takes, for `storage_utilization`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.coverage import Presence
from analytics_assets.kernels.gridding import LEAD_IN_MS, Gridded, grid
from analytics_assets.kernels.histogram import histogram
from analytics_assets.processors.entity_id import entity_id
from analytics_assets.processors.sampled import FloatArray, absent, add_presence
from analytics_assets.processors.storage_measures import (
    BoolArray,
    Collected,
    Measure,
    Rows,
    Window,
    exact_mean,
    latency_measures,
    possible,
    used_columns,
)
from resources.monitoring.source import MetricSource, SeriesBatch
from resources.partition import DAY_MS, Partition

USED = "novacron_storage_usage_bytes"
IOPS = "novacron_storage_iops"
THROUGHPUT = "novacron_storage_throughput_bytes_per_second"
LATENCY = "novacron_storage_latency_seconds"

SPELLINGS = {"read": "read", "r": "read", "write": "write", "w": "write"}
TOTALS = frozenset({"", "all", "total"})
"""Operations that are sums of the others."""

ENTITY = "storage entity"
"""Label under which a series' tier, node and operation are kept together; no exporter's label has a space."""

SHOWN = 5


@dataclass(frozen=True, order=True)
class TierKey:
    """A tier of a node (all nodes where the series name none) and what its series is of."""

    tier: str
    node: str
    what: str = ""

    @property
    def id(self) -> str:
        """The entity's id, `tier/node`."""
        return entity_id((self.tier, self.node) if self.node else (self.tier,))


@dataclass
class TierKeys:
    """The keys met so far by number, and the series left out."""

    keys: list[TierKey] = field(default_factory=list)
    without_tier: int = 0
    left_out: set[tuple[str, str]] = field(default_factory=set)
    _number: dict[TierKey, int] = field(default_factory=dict)

    def keyed(self, batch: SeriesBatch, label: str = "", others: bool = False) -> SeriesBatch:
        """Return the series of tiers with their key's number as label `ENTITY`.

        `label` names the operation or direction; what is neither read nor write is left out, or kept
        as it is written with `others`, unless it is a sum of all.
        """
        chosen = batch.where(lambda labels: bool(labels.get("tier")))
        self.without_tier += len(batch.labels) - len(chosen.labels)
        if label:
            chosen = chosen.where(lambda labels: self._wanted(batch.metric, labels.get(label, ""), others))
        met = [
            TierKey(given["tier"], given.get("node_id", ""), SPELLINGS.get(text.lower(), text))
            for given in chosen.labels
            for text in [given.get(label, "") if label else ""]
        ]
        # Numbered in their own order, so that nothing hangs on the order in which the source gave the series.
        for key in sorted(set(met) - self._number.keys()):
            self._number[key] = len(self.keys)
            self.keys.append(key)
        labels = ({**given, ENTITY: str(self._number[key])} for given, key in zip(chosen.labels, met, strict=True))
        return replace(chosen, labels=tuple(labels))

    def _wanted(self, metric: str, text: str, others: bool) -> bool:
        wanted = text.lower() in SPELLINGS or (others and text.lower() not in TOTALS)
        if not wanted:
            self.left_out.add((LATENCY if metric.startswith(LATENCY) else metric, text))
        return wanted

    def of(self, piece: Gridded) -> list[TierKey]:
        """Return the key of each entity of a grid."""
        return [self.keys[int(name)] for name in piece.entities]

    def by_id(self) -> dict[str, TierKey]:
        """Return the keys by the entity's id, whatever they are of."""
        return {key.id: key for key in self.keys}


@dataclass(frozen=True)
class TierReader:
    """Reads the platform's storage metrics of a day."""

    source: MetricSource
    partition: Partition
    resolution_seconds: int
    keys: TierKeys
    found: Collected

    @cached_property
    def window(self) -> Window:
        known = self.source.sample_interval_seconds(self.partition.tenant)
        return Window(self.partition, self.resolution_seconds, known)

    def used(self, minimum_hours: int) -> Iterator[Measure]:
        """Yield the used space."""
        start_ms, end_ms, step_ms = self.partition.start_ms, self.partition.end_ms, self.resolution_seconds * 1000
        for batch in joined(self._batches([USED], DAY_MS)):
            keyed = self.keys.keyed(batch)
            yesterday = grid(keyed, "gauge", start_ms - DAY_MS, start_ms, step_ms, ENTITY, "", minimum=0)
            today = grid(keyed, "gauge", start_ms, end_ms, step_ms, ENTITY, "", minimum=0)
            self.found.count(today)
            columns = used_columns(today, yesterday, self.resolution_seconds, minimum_hours)
            yield self.window.measured("used", today, columns, self._ids(today))

    def operations(self) -> Iterator[Measure]:
        """Yield operations per second: reads, writes, and the sum of all others."""
        for piece in self._gauges(IOPS, "operation", others=True):
            keys, ids = self.keys.of(piece), self._ids(piece)
            for name in ("read", "write"):
                columns = {f"{name}_iops_mean": _wide(piece.mean), f"{name}_iops_max": _wide(piece.maximum)}
                yield self.window.measured(f"{name}_iops", piece, columns, ids).where(_are(piece, keys, name))
            other = self.window.measured("other_iops", piece, {"other_iops_mean": _wide(piece.mean)}, ids)
            yield _summed(other.where(~_are(piece, keys, "read") & ~_are(piece, keys, "write")))

    def throughput(self) -> Iterator[Measure]:
        """Yield bytes read and written."""
        for piece in self._gauges(THROUGHPUT, "direction"):
            keys, ids = self.keys.of(piece), self._ids(piece)
            for direction in ("read", "write"):
                whole = self.window.traffic(direction, "gauge", piece, ids)
                yield whole.where(_are(piece, keys, direction))

    def latency(self) -> list[Measure]:
        """Return the latencies of reads and writes."""
        start_ms, end_ms = self.partition.start_ms, self.partition.end_ms

        def batches() -> Iterator[SeriesBatch]:
            for batch in self._batches([f"{LATENCY}_{part}" for part in ("bucket", "sum", "count")], LEAD_IN_MS):
                yield self.keys.keyed(batch, "operation")

        known = self.window.known_seconds
        spread = histogram(
            batches(), LATENCY, (ENTITY,), start_ms, end_ms, self.resolution_seconds * 1000, interval_seconds=known
        )
        self.found.late += spread.flaws.late
        self.found.repeated += spread.flaws.repeated
        self.found.impossible += spread.flaws.not_finite + spread.flaws.refused
        if spread.flaws.replicas:
            self.found.notes.append(
                f"{spread.flaws.replicas} latency histogram(s) show the same as another of their tier: it counts once."
            )
        keys = [self.keys.keys[int(number)] for (number,) in spread.entities]
        return latency_measures(spread, [key.what for key in keys], [key.id for key in keys], known)

    def gauge(self, name: str, selector: str) -> Iterator[Measure]:
        """Yield the gauges that `selector` selects as the column `name`."""
        for piece in self._gauges(selector):
            yield self.window.measured(name, piece, {name: exact_mean(piece)}, self._ids(piece))

    def _ids(self, piece: Gridded) -> list[str]:
        return [key.id for key in self.keys.of(piece)]

    def _gauges(self, selector: str, label: str = "", others: bool = False) -> Iterator[Gridded]:
        start_ms, end_ms, step_ms = self.partition.start_ms, self.partition.end_ms, self.resolution_seconds * 1000
        for batch in joined(self._batches([selector], LEAD_IN_MS)):
            keyed = self.keys.keyed(batch, label, others)
            piece = grid(keyed, "gauge", start_ms, end_ms, step_ms, ENTITY, "", minimum=0)
            self.found.count(piece)
            yield piece

    def _batches(self, selectors: Sequence[str], lead_in_ms: int) -> Iterator[SeriesBatch]:
        start_ms, end_ms = self.partition.start_ms - lead_in_ms, self.partition.end_ms
        for batch in self.source.samples(self.partition.tenant, selectors, start_ms, end_ms):
            yield possible(batch)


def collect_tiers(
    source: MetricSource,
    partition: Partition,
    resolution_seconds: int,
    minimum_hours: int,
    selectors: Mapping[str, str],
) -> tuple[Collected, dict[str, TierKey]]:
    """Return what was measured of the platform's storage tiers on a day, and the tiers by entity id.

    `selectors` are those of gauges by the column they fill: `capacity_bytes`, `dedup_ratio` and
    `compression_ratio`; a column whose selector is empty is not read.
    """
    found, keys = Collected(), TierKeys()
    reader = TierReader(source, partition, resolution_seconds, keys, found)
    found.measures += reader.used(minimum_hours)
    found.measures += reader.operations()
    found.measures += reader.throughput()
    found.measures += reader.latency()
    for column, selector in selectors.items():
        if selector:
            found.measures += reader.gauge(column, selector)
    found.notes += list(_notes(found, keys, selectors))
    return found, keys.by_id()


def capacity_of(rows: Rows, tiers: Mapping[str, TierKey], sizes: Mapping[str, float]) -> FloatArray:
    """Return each row's capacity: as measured, of tiers never measured that day what `sizes` says, else NaN.

    What was measured holds until the next sample; before the first of the day that one does.
    """
    found = np.array([sizes.get(tiers[name].tier, np.nan) for name in rows.entities] or [np.nan])[rows.entity]
    measured = rows.column("capacity_bytes")
    known = np.flatnonzero(~np.isnan(measured))
    if len(known):
        at = known[np.maximum(np.searchsorted(known, np.arange(len(measured)), "right") - 1, 0)]
        after = known[np.minimum(np.searchsorted(known, np.arange(len(measured))), len(known) - 1)]
        at = np.where(rows.entity[at] == rows.entity, at, after)
        found = np.where(rows.entity[at] == rows.entity, measured[at], found)
    return found


def _notes(found: Collected, keys: TierKeys, selectors: Mapping[str, str]) -> Iterator[str]:
    if not any(len(measure.entity) for measure in found.measures):
        yield "No storage tier sent a sample on this day."
        return
    groups = (
        (USED, ("used",), "used space, its share and its growth are null"),
        (IOPS, ("read_iops", "write_iops", "other_iops"), "operations per second are null"),
        (THROUGHPUT, ("read_throughput", "write_throughput"), "throughput, bytes and the share of reads are null"),
        (LATENCY, ("read_latency", "write_latency"), "latency is null"),
    )
    for metric, names, consequence in groups:
        if not found.has(*names):
            yield f"There is no sample of {metric}: {consequence}."
    for column, what, parameter in (
        ("dedup_ratio", "deduplication ratio", "dedup_metric"),
        ("compression_ratio", "compression ratio", "compression_metric"),
    ):
        if not selectors.get(column):
            yield f"NovaCron exports no {what} and {parameter} names no metric of it: {column} is null."
    for column, selector in selectors.items():
        if selector and not found.has(column):
            yield f"There is no sample of a tier under {shown(selector)}: {column} is not measured."
    if keys.without_tier:
        yield f"{keys.without_tier} series without a tier label were left out."
    if keys.left_out:
        series = sorted(f"{shown(text)} of {metric}" for metric, text in keys.left_out)
        more = f" and {len(series) - SHOWN} more" if len(series) > SHOWN else ""
        yield f"Neither reads nor writes, so left out: {', '.join(series[:SHOWN])}{more}."


def joined(batches: Iterable[SeriesBatch]) -> list[SeriesBatch]:
    """Return the series of one metric in one batch, or no batch.

    A source keeps the series of a VM together, not those of a tier.
    """
    parts = list(batches)
    if len(parts) < 2:
        return parts
    before = np.cumsum([0] + [len(part.ts_ms) for part in parts])
    whole = SeriesBatch(
        parts[0].metric,
        tuple(labels for part in parts for labels in part.labels),
        np.r_[0, *(part.offsets[1:] + first for part, first in zip(parts, before, strict=False))].astype(np.int64),
        np.concatenate([part.ts_ms for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
    return [whole]


def shown(text: str) -> str:
    """Return text from outside as it may stand in a sentence."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _are(piece: Gridded, keys: list[TierKey], what: str) -> BoolArray:
    return np.array([key.what == what for key in keys], bool)[piece.entity]


def _wide(values: NDArray[np.float32]) -> FloatArray:
    return values.astype(np.float64)


def _summed(measure: Measure) -> Measure:
    """Return one row per entity id and bucket: the sum of those that share both.

    Samples are those of the series seen most often, so that more operations are not better coverage.
    """
    ids = tuple(sorted(measure.ids()))
    code = {name: number for number, name in enumerate(ids)}
    owner = np.array([code.get(name, -1) for name in measure.entities], np.int64)
    pairs, row = np.unique(np.stack([owner[measure.entity], measure.bucket]), axis=1, return_inverse=True)
    row, size = row.ravel(), pairs.shape[1]
    samples = np.zeros(size, np.int64)
    np.maximum.at(samples, row, measure.samples)
    columns = {name: np.bincount(row, values, size).astype(np.float64) for name, values in measure.columns.items()}
    present, parts = absent(len(ids)), measure.present
    for number in np.argsort(-parts.seen, kind="stable")[:, None]:
        own = Presence(parts.seen[number], parts.first_ms[number], parts.last_ms[number], parts.interval_ms[number])
        add_presence(present, owner[number], own)
    present.seen[:] = np.bincount(pairs[0], samples, len(ids))
    return Measure(measure.name, ids, pairs[0], pairs[1], columns, samples, present)
