"""What was measured of volumes and tiers, by entity and bucket, put together as rows of `storage_utilization`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.coverage import Presence, presence
from analytics_assets.kernels.gridding import Gridded
from analytics_assets.kernels.histogram import Distributions
from analytics_assets.kernels.matrix import row_median
from analytics_assets.processors.sampled import (
    FloatArray,
    IntArray,
    absent,
    add_presence,
    amount_of,
    presence_of_latency,
)
from resources.monitoring.metrics import Kind
from resources.monitoring.source import SeriesBatch
from resources.partition import Partition

BoolArray = NDArray[np.bool_]

HIGHEST = 2.0**80
"""No amount of bytes, operations or whatever else is measured here is beyond it."""

HOURS = 24


@dataclass(frozen=True)
class Measure:
    """One thing measured of some entities, in the buckets of the day in which it has a value.

    `entities[entity[i]]` is the id of row `i`, `bucket[i]` counts from midnight, `columns` has what
    is known there. `present` tells by entity when it was sampled, with the samples of all rows; what
    measures of one `name` tell of an entity is one thing that is expected of it.
    """

    name: str
    entities: tuple[str, ...]
    entity: IntArray
    bucket: IntArray
    columns: Mapping[str, FloatArray]
    samples: IntArray
    present: Presence
    doubtful: BoolArray | None = None
    places: tuple[str, ...] = ()
    place: IntArray | None = None

    def where(self, keep: BoolArray) -> "Measure":
        """Return the rows to `keep`."""
        seen = np.bincount(self.entity[keep], self.samples[keep], len(self.entities)).astype(np.int64)
        return replace(
            self,
            present=replace(self.present, seen=seen),
            entity=self.entity[keep],
            bucket=self.bucket[keep],
            columns={name: values[keep] for name, values in self.columns.items()},
            samples=self.samples[keep],
            doubtful=None if self.doubtful is None else self.doubtful[keep],
            place=None if self.place is None else self.place[keep],
        )

    def before(self, buckets: Mapping[str, int]) -> "Measure":
        """Return the rows in buckets before those given by entity id, and those of entities that are not given."""
        if not buckets:
            return self
        never = np.iinfo(np.int64).max
        end = np.array([buckets.get(name, never) for name in self.entities] or [never], np.int64)
        return self.where(self.bucket < end[self.entity])

    def first_buckets(self) -> dict[str, int]:
        """Return the first bucket of each entity id that has a row."""
        first = np.flatnonzero(np.diff(self.entity, prepend=-1))
        pairs = zip(self.entity[first], self.bucket[first], strict=True)
        return {self.entities[code]: int(bucket) for code, bucket in pairs}

    def ids(self) -> set[str]:
        """Return the ids of the entities that have a row."""
        return {self.entities[code] for code in np.unique(self.entity)}


@dataclass
class Collected:
    """What was collected of one tenant or of the platform; the counts are of samples, or of counters: those that
    were running sums of totals (`suspect`), and without a sample in the lead-in (`without_start`).
    """

    measures: list[Measure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    late: int = 0
    repeated: int = 0
    impossible: int = 0
    frozen: int = 0
    suspect: int = 0
    without_start: int = 0

    @property
    def last_ts_ms(self) -> int:
        """When the last sample was taken; -1 without any row."""
        seen = [measure.present.last_ms[measure.present.seen > 0] for measure in self.measures]
        return max((int(last.max()) for last in seen if len(last)), default=-1)

    def count(self, piece: Gridded) -> None:
        """Add what was untidy in `piece`."""
        self.late += piece.late
        self.repeated += piece.repeated
        self.impossible += piece.not_finite + piece.out_of_range
        self.frozen += piece.frozen
        self.suspect += piece.suspect

    def has(self, *names: str) -> bool:
        """Return whether any of the measures `names` has a row."""
        return any(measure.name in names and len(measure.entity) for measure in self.measures)


@dataclass(frozen=True)
class Rows:
    """The rows of a day: one for each entity and bucket in which anything was measured, in that order.

    `place` indexes `places`, -1 where unknown. A column that nothing was measured for is not there.
    `present` tells by entity when it was sampled, of each thing that was measured.
    """

    entities: tuple[str, ...]
    entity: IntArray
    bucket: IntArray
    columns: dict[str, FloatArray]
    doubtful: BoolArray
    seen: IntArray
    expected: IntArray
    places: tuple[str, ...]
    place: IntArray
    present: Sequence[Presence]

    def column(self, name: str) -> FloatArray:
        """Return a column, NaN where nothing was measured."""
        return self.columns.get(name, np.full(len(self.entity), np.nan))


def possible(batch: SeriesBatch) -> SeriesBatch:
    """Return `batch` with what is beyond any amount as infinity, which gridding counts as no sample."""
    beyond = batch.values > HIGHEST
    return replace(batch, values=np.where(beyond, np.inf, batch.values)) if beyond.any() else batch


@dataclass(frozen=True)
class Window:
    """The buckets of a day, and the seconds between samples that do not tell them themselves (None: not known)."""

    partition: Partition
    resolution_seconds: int
    known_seconds: int | None

    def measured(
        self, name: str, piece: Gridded, columns: Mapping[str, FloatArray], ids: Sequence[str] = ()
    ) -> Measure:
        """Return a gridded metric as a measure; `ids` are the entities' ids where they are not the grid's own."""
        return Measure(
            name=name,
            entities=tuple(ids) or piece.entities,
            entity=piece.entity.astype(np.int64),
            bucket=piece.bucket.astype(np.int64),
            columns=columns,
            samples=piece.samples.astype(np.int64),
            present=presence(piece, self.partition.start_ms, self.resolution_seconds * 1000, self.known_seconds),
            doubtful=piece.doubtful,
            places=piece.places,
            place=piece.place.astype(np.int64),
        )

    def traffic(self, direction: str, kind: Kind, piece: Gridded, ids: Sequence[str] = ()) -> Measure:
        """Return rate and bytes moved; `direction` is read or write.

        The bytes of a counter are its increases; those of a gauge are its samples times the seconds
        that each stands for.
        """
        amount = "read_bytes" if direction == "read" else "written_bytes"
        columns = {
            f"{direction}_bytes_per_second_mean": piece.mean.astype(np.float64),
            f"{direction}_bytes_per_second_max": piece.maximum.astype(np.float64),
            amount: piece.total if kind == "counter" else amount_of(piece, self.known_seconds),
        }
        return self.measured(f"{direction}_throughput", piece, columns, ids)


def exact_mean(piece: Gridded) -> FloatArray:
    """Return the mean of a gauge to the byte; the grid's own is rounded to 24 bits."""
    return piece.total / piece.samples


def used_columns(
    today: Gridded, yesterday: Gridded, resolution_seconds: int, minimum_hours: int
) -> dict[str, FloatArray]:
    """Return what is known of used space in the cells of `today`; `yesterday` is the day before, of the same batch.

    Growth is against the last bucket with a value, unless that is more than a day before. Growth
    per day compares each hour with the same hour of the day before and takes the median, so that
    neither what comes and goes within a day nor a few odd hours are growth. It needs
    `minimum_hours` hours that have a value on both days.
    """
    buckets = HOURS * 3600 // resolution_seconds
    used = np.full((len(today.entities), 2 * buckets), np.nan)
    mean = exact_mean(today)
    used[yesterday.entity, yesterday.bucket] = exact_mean(yesterday)
    used[today.entity, buckets + today.bucket] = mean
    known = ~np.isnan(used)
    latest = np.maximum.accumulate(np.where(known, np.arange(2 * buckets), -1), axis=1)
    before = latest[today.entity, buckets + today.bucket - 1]
    growth = np.where(before >= today.bucket, mean - used[today.entity, before], np.nan)

    by_hour = (len(used), 2 * HOURS, buckets // HOURS)
    count = known.reshape(by_hour).sum(axis=2)
    hours = np.full(count.shape, np.nan)
    np.divide(np.where(known, used, 0.0).reshape(by_hour).sum(axis=2), count, out=hours, where=count > 0)
    change = hours[:, HOURS:] - hours[:, :HOURS]
    compared = np.count_nonzero(~np.isnan(change), axis=1)
    per_day = np.where(compared >= minimum_hours, row_median(change), np.nan)

    # The highest sample is rounded to 24 bits, the mean is not: of a constant they must not differ.
    highest = today.maximum.astype(np.float64)
    return {
        "used_bytes_mean": mean,
        "used_bytes_max": np.where(today.maximum <= mean.astype(np.float32), mean, highest),
        "growth_bytes": growth,
        "growth_bytes_per_day": per_day[today.entity],
    }


def latency_measures(
    found: Distributions, operations: Sequence[str], ids: Sequence[str], known: int | None
) -> list[Measure]:
    """Return the latencies by operation; `operations` and `ids` say what each of the entities found is."""
    operation = np.array(operations, dtype=np.str_)[found.entity] if len(operations) else np.zeros(0, np.str_)
    measures = []
    for wanted in ("read", "write"):
        columns = {f"{wanted}_latency_count": found.count, f"{wanted}_latency_seconds_mean": found.mean}
        for position, share in enumerate(("p50", "p95", "p99")):
            columns[f"{wanted}_latency_seconds_{share}"] = found.quantiles[:, position]
        whole = Measure(
            f"{wanted}_latency", tuple(ids), found.entity.astype(np.int64), found.bucket.astype(np.int64), columns,
            found.samples.astype(np.int64), presence_of_latency(found, known), found.doubtful,
        )  # fmt: skip
        measures.append(whole.where(operation == wanted))
    return measures


def together(measures: Iterable[Measure], resolution_seconds: int) -> Rows:
    """Return the rows of all `measures`."""
    measures = [measure for measure in measures if len(measure.entity)]
    buckets = HOURS * 3600 // resolution_seconds
    entities = tuple(sorted(set().union(*(measure.ids() for measure in measures))))
    code = {name: number for number, name in enumerate(entities)}
    cells = [
        np.array([code.get(name, -1) for name in measure.entities], np.int64)[measure.entity] * buckets + measure.bucket
        for measure in measures
    ]
    cell = np.unique(np.concatenate(cells)) if cells else np.zeros(0, np.int64)
    places = tuple(sorted({name for measure in measures for name in measure.places}))
    place_code = {name: number for number, name in enumerate(places)}
    columns: dict[str, FloatArray] = {}
    seen, place = np.zeros(len(cell), np.int64), np.full(len(cell), -1, np.int64)
    doubtful = np.zeros(len(cell), bool)
    for measure, own in zip(measures, cells, strict=True):
        row = np.searchsorted(cell, own)
        for name, values in measure.columns.items():
            columns.setdefault(name, np.full(len(cell), np.nan))[row] = values
        seen[row] += measure.samples  # a measure has each cell once
        if measure.doubtful is not None:
            doubtful[row] |= measure.doubtful
        if measure.place is not None and measure.places:
            codes = np.array([place_code[name] for name in measure.places], np.int64)
            place[row] = np.where((place[row] < 0) & (measure.place >= 0), codes[measure.place], place[row])
    present: dict[str, Presence] = {}
    for measure in measures:
        codes = np.array([code.get(name, -1) for name in measure.entities], np.int64)
        add_presence(present.setdefault(measure.name, absent(len(entities))), codes, measure.present)
    in_bucket = sum((one.in_bucket(resolution_seconds * 1000) for one in present.values()), np.zeros(1, np.int64))
    entity = cell // buckets
    return Rows(
        entities, entity, cell % buckets, columns, doubtful, seen, in_bucket[entity], places, place,
        list(present.values()),
    )  # fmt: skip
