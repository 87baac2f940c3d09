"""What was measured of volumes and tiers, by entity and bucket, put together as rows of `storage_utilization`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.gridding import Gridded
from analytics_assets.kernels.histogram import Distributions
from analytics_assets.kernels.matrix import row_median
from resources.monitoring.metrics import Kind
from resources.monitoring.source import SeriesBatch
from resources.partition import Partition

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

HIGHEST = 2.0**80
"""No amount of bytes, operations or whatever else is measured here is beyond it."""

HOURS = 24


@dataclass(frozen=True)
class Measure:
    """One thing measured of some entities, in the buckets of the day in which it has a value.

    `entities[entity[i]]` is the id of row `i`, `bucket[i]` counts from midnight, `columns` has what
    is known there. `interval_seconds` is the time between samples, 0 where a single one was seen.
    Each `name` counts once in what is expected of an entity.
    """

    name: str
    entities: tuple[str, ...]
    entity: IntArray
    bucket: IntArray
    columns: Mapping[str, FloatArray]
    samples: IntArray
    interval_seconds: int
    doubtful: BoolArray | None = None
    places: tuple[str, ...] = ()
    place: IntArray | None = None

    def where(self, keep: BoolArray) -> "Measure":
        """Return the rows to `keep`."""
        return replace(
            self,
            entity=self.entity[keep],
            bucket=self.bucket[keep],
            columns={name: values[keep] for name, values in self.columns.items()},
            samples=self.samples[keep],
            doubtful=None if self.doubtful is None else self.doubtful[keep],
            place=None if self.place is None else self.place[keep],
        )

    def without(self, ids: Collection[str]) -> "Measure":
        """Return the rows of entities that are not among `ids`."""
        if not ids:
            return self
        kept = np.array([name not in ids for name in self.entities], bool)
        return self.where(kept[self.entity])

    def ids(self) -> set[str]:
        """Return the ids of the entities that have a row."""
        return {self.entities[code] for code in np.unique(self.entity)}


@dataclass
class Collected:
    """What was collected of one tenant or of the platform; the counts are of samples, `suspect` of counters."""

    measures: list[Measure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    late: int = 0
    repeated: int = 0
    impossible: int = 0
    frozen: int = 0
    suspect: int = 0

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

    def column(self, name: str) -> FloatArray:
        """Return a column, NaN where nothing was measured."""
        return self.columns.get(name, np.full(len(self.entity), np.nan))


def possible(batch: SeriesBatch) -> SeriesBatch:
    """Return `batch` with what is beyond any amount as infinity, which gridding counts as no sample."""
    beyond = batch.values > HIGHEST
    return replace(batch, values=np.where(beyond, np.inf, batch.values)) if beyond.any() else batch


def measured(
    name: str, piece: Gridded, columns: Mapping[str, FloatArray], interval_seconds: int, ids: Sequence[str] = ()
) -> Measure:
    """Return a gridded metric as a measure; `ids` are the entities' ids where they are not the grid's own."""
    return Measure(
        name=name,
        entities=tuple(ids) or piece.entities,
        entity=piece.entity.astype(np.int64),
        bucket=piece.bucket.astype(np.int64),
        columns=columns,
        samples=piece.samples.astype(np.int64),
        interval_seconds=interval_seconds,
        doubtful=piece.doubtful,
        places=piece.places,
        place=piece.place.astype(np.int64),
    )


def exact_mean(piece: Gridded) -> FloatArray:
    """Return the mean of a gauge to the byte; the grid's own is rounded to 24 bits."""
    return piece.total / piece.samples


def used_columns(
    today: Gridded, yesterday: Gridded, resolution_seconds: int, minimum_hours: int
) -> dict[str, FloatArray]:
    """Return what is known of used space in the cells of `today`; `yesterday` is the day before, of the same batch.

    Growth per day compares each hour with the same hour of the day before and takes the median, so
    that neither what comes and goes within a day nor a few odd hours are growth. It needs
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
    growth = np.where(before >= 0, mean - used[today.entity, before], np.nan)

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


def traffic_columns(piece: Gridded, kind: Kind, direction: str, interval_seconds: int) -> dict[str, FloatArray]:
    """Return rate and bytes moved; `direction` is read or write.

    The bytes of a counter are its increases. Those of a gauge are its samples times the seconds that
    each stands for, and unknown where a single sample does not tell them.
    """
    amount = "read_bytes" if direction == "read" else "written_bytes"
    seconds = 1.0 if kind == "counter" else float(interval_seconds) or np.nan
    return {
        f"{direction}_bytes_per_second_mean": piece.mean.astype(np.float64),
        f"{direction}_bytes_per_second_max": piece.maximum.astype(np.float64),
        amount: piece.total * seconds,
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
            found.samples.astype(np.int64), known or found.interval_seconds, found.doubtful,
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
    expected = np.zeros(len(entities), np.int64)
    for (_, name), interval in intervals_by_entity(measures).items():
        expected[code[name]] += max(1, resolution_seconds // interval) if interval else 1
    entity = cell // buckets
    return Rows(entities, entity, cell % buckets, columns, doubtful, seen, expected[entity], places, place)


def intervals_by_entity(measures: Iterable[Measure]) -> dict[tuple[str, str], int]:
    """Return the seconds between samples by measure and entity id, of those that have any."""
    return {(measure.name, name): measure.interval_seconds for measure in measures for name in measure.ids()}


def samples_expected(measures: Sequence[Measure], elapsed_seconds: int) -> int:
    """Return how many samples all measures together would have; one of unknown interval just those it has."""
    regular = sum(elapsed_seconds // interval for interval in intervals_by_entity(measures).values() if interval)
    return regular + sum(int(measure.samples.sum()) for measure in measures if not measure.interval_seconds)


def as_of_ms(measures: Sequence[Measure], partition: Partition, resolution_seconds: int) -> int:
    """Return the end of the last bucket with samples, at most the day's end."""
    last = max((int(measure.bucket.max()) for measure in measures if len(measure.bucket)), default=None)
    if last is None:
        return partition.end_ms
    return min(partition.end_ms, partition.start_ms + (last + 1) * resolution_seconds * 1000)
