"""Prometheus histograms onto the grid: how many observations, their mean and quantiles, by entity and bucket.

A classic histogram is a family of counters: `<name>_bucket{le="0.5"}` counts the observations of at
most 0.5, `<name>_sum` adds them up and `<name>_count` counts them all. Those that agree in all
labels but `le` are one instance. The increase between successive samples of one series belongs to
the bucket of the grid in which it ends. Increases are never taken across series; those of several
instances of one entity are added, but for instances that show the same counters (`replicas.py`): of
these one speaks in each bucket of the grid.

A fall means that a counter began again at zero. An instance begins again as a whole, so where any
of its counts falls, all its counters whose increase spans that fall began again, also those that
are beyond their old values already. The sum alone is no such sign: negative observations, with
which it may fall, are not provided for, but shall not spoil the counts.

Quantiles are those of `histogram_quantile.py`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.counter_cells import CounterCells, Falls, counter_cells
from analytics_assets.kernels.histogram_quantile import Instances, by_bounds, combined, merged_quantiles
from analytics_assets.kernels.replicas import replicas, speakers
from analytics_assets.kernels.samples import BoolArray, FloatArray, IntArray
from resources.errors import InvalidInput
from resources.monitoring.source import SeriesBatch

Part = Literal["bucket", "sum", "count"]

_FINITE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"\+?inf(inity)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Distributions:
    """The cells (entity and bucket of the grid) in which a histogram was seen to count.

    `entities[entity[i]]` has the values of the entity labels, in their order; `bucket[i]` counts
    from the window's start; rows are sorted by both. `count` is the number of observations (NaN
    where nothing tells it), `mean` theirs, `quantiles[i, j]` the j-th quantile asked for; both are
    NaN without observations. `doubtful` marks an increase over a gap of more than two intervals.
    `samples` counts the samples of the series seen most often, so that neither more bounds nor a
    second instance look like better coverage. By entity: when the first and the last sample were
    taken (-1 without any), and the time between two in its series with the most (0 if not known).
    """

    entities: tuple[tuple[str, ...], ...]
    entity: NDArray[np.int32]
    bucket: NDArray[np.int32]
    count: FloatArray
    mean: FloatArray
    quantiles: FloatArray
    doubtful: BoolArray
    samples: NDArray[np.int32]
    first_ms: IntArray
    last_ms: IntArray
    interval_ms: IntArray
    last_ts_ms: int
    flaws: "Flaws"


@dataclass(frozen=True)
class Flaws:
    """What was untidy: samples out of order, given again, not a number, after a target's end, refused (below
    zero or beyond any amount); series with an `le` that is no number or without the entity's labels;
    bounds repaired because they counted less than a lower one, or left out in a bucket of the grid
    because they did not cover its time; instances with bounds but neither `+Inf` nor `_count`, which
    have no distribution; instances that show the same as another one.
    """

    late: int = 0
    repeated: int = 0
    not_finite: int = 0
    stale: int = 0
    refused: int = 0
    bad_bounds: int = 0
    unlabelled: int = 0
    repaired: int = 0
    partial: int = 0
    without_total: int = 0
    replicas: int = 0


def histogram(
    batches: Iterable[SeriesBatch],
    name: str,
    entity_labels: Sequence[str],
    start_ms: int,
    end_ms: int,
    resolution_ms: int,
    quantiles: Sequence[float] = (0.5, 0.95, 0.99),
    interval_seconds: int | None = None,
) -> Distributions:
    """Return the histogram `name` on the buckets of `[start_ms, end_ms)`, for each entity.

    `batches` are those of `<name>_bucket`, `<name>_sum` and `<name>_count` in any order; samples
    before `start_ms` only serve the first increase. An entity is one combination of `entity_labels`;
    series that lack one of them are counted and left out. `interval_seconds` is the time between
    samples, which tells a gap; None measures it in each series.

    Raises:
        InvalidInput: a quantile is not above 0 and at most 1.
    """
    for q in quantiles:
        if not 0 < q <= 1:
            raise InvalidInput(f"{q!r} is not a quantile: give numbers above 0 and at most 1, such as 0.95.")
    gathered = _Gathered(tuple(entity_labels))
    later: list[tuple[Part, SeriesBatch]] = []
    for batch in batches:
        part = _part_of(batch.metric, name)
        if part == "bucket":
            gathered.add(batch, part, start_ms, end_ms, resolution_ms, interval_seconds)
        else:
            later.append((part, batch))
    for part, batch in sorted(later, key=lambda read: read[0]):
        gathered.add(batch, part, start_ms, end_ms, resolution_ms, interval_seconds)
    gathered.leave_out_unseen(start_ms, resolution_ms)
    return _distributions(gathered, int(-(-(end_ms - start_ms) // resolution_ms)), np.array(quantiles, np.float64))


def parse_bound(text: str) -> float | None:
    """Return the number an `le` label writes (`0.5`, `5e-1`, `+Inf`); None if it writes none."""
    if _INFINITE.fullmatch(text):
        return float("inf")
    if not _FINITE.fullmatch(text):
        return None
    value = float(text)
    return value if np.isfinite(value) else None


@dataclass
class _Gathered:
    """The counters read so far: row `i` of the cells is one series of `instance[i]`.

    Sums and counts wait until the buckets, most of the samples, have told when they began again.
    """

    entity_labels: tuple[str, ...]
    instances: dict[tuple[tuple[str, str], ...], int] = field(default_factory=dict)
    entity_of: list[tuple[str, ...]] = field(default_factory=list)
    instance: list[int] = field(default_factory=list)
    part: list[Part] = field(default_factory=list)
    bound: list[float] = field(default_factory=list)
    cells: list[CounterCells] = field(default_factory=list)
    falls: Falls = field(default_factory=lambda: Falls.joined([]))
    flaws: Counter[str] = field(default_factory=Counter)

    def add(
        self, batch: SeriesBatch, part: Part, start_ms: int, end_ms: int, resolution_ms: int, interval: int | None
    ) -> None:
        wanted = batch.where(lambda labels: all(labels.get(name) for name in self.entity_labels))
        self.flaws["unlabelled"] += len(batch.labels) - len(wanted.labels)
        if part == "bucket":
            labelled = len(wanted.labels)
            wanted = wanted.where(lambda labels: parse_bound(labels.get("le", "")) is not None)
            self.flaws["bad_bounds"] += labelled - len(wanted.labels)
        codes = [self._instance(labels) for labels in wanted.labels]
        read = counter_cells(wanted, codes, start_ms, end_ms, resolution_ms, interval, self.falls)
        if part != "sum":
            self.falls = read.falls
        for number in read.series.tolist():
            self.instance.append(codes[number])
            self.part.append(part)
            bound = parse_bound(wanted.labels[number]["le"]) if part == "bucket" else None
            self.bound.append(np.nan if bound is None else bound)
        self.cells.append(read)
        self.flaws.update(read.flaws)

    def _instance(self, labels: dict[str, str]) -> int:
        own = tuple(sorted((label, value) for label, value in labels.items() if label != "le"))
        code = self.instances.setdefault(own, len(self.instances))
        if code == len(self.entity_of):
            self.entity_of.append(tuple(labels[label] for label in self.entity_labels))
        return code

    def leave_out_unseen(self, start_ms: int, resolution_ms: int) -> None:
        """Leave out what was read of an instance before a later batch told that it had begun again just then."""
        first = 0
        for cells in self.cells:
            rows = np.array(self.instance[first : first + len(cells.series)], np.int64)
            first += len(rows)
            for instance, _, after_ms in self.falls.as_set() - cells.falls.as_set():
                bucket = (after_ms - start_ms) // resolution_ms
                spoilt = rows == instance
                if bucket >= 0:
                    self.flaws["partial"] += int(np.count_nonzero(cells.covered_ms[spoilt, bucket]))
                    cells.covered_ms[spoilt, bucket] = 0.0


def _part_of(metric: str, name: str) -> Part:
    parts: dict[str, Part] = {f"{name}_bucket": "bucket", f"{name}_sum": "sum", f"{name}_count": "count"}
    if metric not in parts:
        raise ValueError(f"a batch of {metric!r} is no part of the histogram {name}")
    return parts[metric]


def _distributions(gathered: _Gathered, buckets: int, quantiles: FloatArray) -> Distributions:
    flaws = gathered.flaws
    entities = tuple(sorted(set(gathered.entity_of)))
    code = {entity: number for number, entity in enumerate(entities)}
    cells = CounterCells.joined(gathered.cells, buckets)
    instance = np.array(gathered.instance, np.int64)
    of_instance = np.array([code[entity] for entity in gathered.entity_of], np.int64)
    entity = of_instance[instance]
    part, bound = np.array(gathered.part, dtype="U6"), np.array(gathered.bound, np.float64)
    _silence_replicas(cells, instance, of_instance, part, bound, flaws)

    known, total_of_means, sums = _totals(cells, instance, of_instance, part, bound)
    finite = np.flatnonzero((part == "bucket") & np.isfinite(bound))
    with_total = set(np.unique(instance[(part == "count") | np.isposinf(bound)]).tolist())
    flaws["without_total"] += len(set(instance[finite].tolist()) - with_total)
    found = np.full((len(quantiles), len(entities), buckets), np.nan)
    for members, bounds in by_bounds(entity[finite], bound[finite], len(entities), buckets):
        rows = finite[np.isin(entity[finite], members)]
        found[:, members] = merged_quantiles(cells, known, rows, instance, bound, members, bounds, quantiles, flaws)

    counts = combined(np.add, of_instance, known.total, len(entities))
    told = combined(np.maximum, of_instance, known.covered, len(entities)) > 0
    mean_count = combined(np.add, of_instance, total_of_means, len(entities))
    mean_sum = combined(np.add, of_instance, sums, len(entities))
    covered = combined(np.maximum, entity, cells.covered_ms, len(entities)) > 0
    doubtful = combined(np.maximum, entity, cells.doubtful.astype(np.int8), len(entities)) > 0
    samples = combined(np.maximum, entity, cells.samples, len(entities))
    first_ms, last_ms, interval_ms = _seen_by_entity(cells, entity, len(entities))
    at = np.flatnonzero(covered)
    mean = np.full(covered.size, np.nan)
    np.divide(mean_sum.ravel(), mean_count.ravel(), out=mean, where=mean_count.ravel() > 0)
    return Distributions(
        entities=entities,
        entity=(at // buckets).astype(np.int32),
        bucket=(at % buckets).astype(np.int32),
        count=np.where(told, counts, np.nan).ravel()[at],
        mean=mean[at],
        quantiles=found.reshape(len(quantiles), -1)[:, at].T,
        doubtful=doubtful.ravel()[at],
        samples=samples.ravel()[at].astype(np.int32),
        first_ms=first_ms,
        last_ms=last_ms,
        interval_ms=interval_ms,
        last_ts_ms=cells.last_ts_ms,
        flaws=Flaws(**flaws),
    )


def _silence_replicas(
    cells: CounterCells,
    instance: IntArray,
    of_instance: IntArray,
    part: NDArray[np.str_],
    bound: FloatArray,
    flaws: Counter[str],
) -> None:
    """Take out of `cells` what instances counted in buckets in which another one speaks that shows the same."""
    several = np.bincount(of_instance) > 1
    rows = np.flatnonzero(several[of_instance[instance]])
    rows = rows[np.lexsort((bound[rows], part[rows], instance[rows]))]
    families: dict[tuple[object, ...], list[IntArray]] = {}
    for own in np.split(rows, np.flatnonzero(np.diff(instance[rows])) + 1) if len(rows) else ():
        risen = cells.increase[own].sum(axis=1)
        # Where all that rose rose alike, as the counts of two probes that never are slow do, agreement says little.
        if len(np.unique(risen[risen > 0])) > 1:
            shown = (of_instance[instance[own[0]]], *part[own].tolist(), *map(str, bound[own].tolist()))
            families.setdefault(shown, []).append(own)
    for alike in families.values():
        first = np.array(replicas([cells.last[own] for own in alike]))
        for number in np.flatnonzero(np.bincount(first) > 1):
            members = [own for own, of in zip(alike, first, strict=True) if of == number]
            flaws["replicas"] += len(members) - 1
            speaking = speakers(
                np.array([cells.covered_ms[own].max(axis=0) for own in members]),
                np.array([cells.doubtful[own].any(axis=0) for own in members]),
                np.array([cells.samples[own].max(axis=0) for own in members]),
                int(cells.interval_ms[members[0]].max() * 3 // 2),
            )
            for place, own in enumerate(members):
                for kept in (cells.increase, cells.covered_ms, cells.doubtful):
                    kept[own] = np.where(speaking == place, kept[own], 0)


def _seen_by_entity(cells: CounterCells, entity: IntArray, entities: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return by entity when its first and last sample were taken, and the interval of its series with the most."""
    never = np.iinfo(np.int64).max
    first, last = np.full(entities, never), np.full(entities, -1, np.int64)
    np.minimum.at(first, entity, np.where(cells.first_ms >= 0, cells.first_ms, never))
    np.maximum.at(last, entity, cells.last_ms)
    interval = np.zeros(entities, np.int64)
    # Of several assignments to one entity the last counts.
    order = np.argsort(cells.samples.sum(axis=1), kind="stable")
    interval[entity[order]] = cells.interval_ms[order]
    return np.where(first < never, first, -1), last, interval


def _totals(
    cells: CounterCells, instance: IntArray, of_instance: IntArray, part: NDArray[np.str_], bound: FloatArray
) -> tuple[Instances, FloatArray, FloatArray]:
    """Return the instances' totals, and the count and sum of those buckets in which both tell of the same time."""
    size = len(of_instance)

    def of(rows: BoolArray) -> tuple[FloatArray, FloatArray]:
        return (
            combined(np.add, instance[rows], cells.increase[rows], size),
            combined(np.add, instance[rows], cells.covered_ms[rows], size),
        )

    counted, count_covered = of(part == "count")
    infinite, infinite_covered = of(np.isposinf(bound))
    summed, sum_covered = of(part == "sum")
    interval = combined(np.maximum, instance, cells.interval_ms[:, None], size)
    tolerance = interval / 2
    total = np.where(count_covered > 0, counted, infinite)
    covered = np.where(count_covered > 0, count_covered, infinite_covered)
    whole = (infinite_covered > 0) & (np.abs(infinite_covered - covered) <= tolerance)
    paired = (covered > 0) & (sum_covered > 0) & (np.abs(sum_covered - covered) <= tolerance)
    known = Instances(of_instance, total, covered, np.where(whole, infinite, total), tolerance)
    return known, np.where(paired, total, 0.0), np.where(paired, summed, 0.0)
