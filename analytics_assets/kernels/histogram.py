"""Prometheus histograms onto the grid: how many observations, their mean and quantiles, by entity and bucket.

A classic histogram is a family of counters: `<name>_bucket{le="0.5"}` counts the observations of at
most 0.5, `<name>_sum` adds them up and `<name>_count` counts them all. Each counter is read on its
own: the increase between successive samples of one series, where a fall means that it began again
at zero, belongs to the bucket of the grid in which it ends. Increases are never taken across
series; those of several series (instances) of one entity are added. Negative observations, with
which `_sum` may fall, are not provided for.

Quantiles are made as PromQL's `histogram_quantile` makes them: linear inside a bucket, the lowest
bucket begins at 0 if its bound is above 0, one beyond the highest finite bound gives that bound,
and without an observation there is none.

Series of one entity need not have the same bounds. Each cumulative count is then read at the bounds
of all of them, along the same straight lines that the quantile itself follows, and only then added.
Where the bounds agree that is a plain sum; elsewhere it loses no instance and no bound. (The bounds
that all share would make one old exporter blunt the whole entity; a step function would move
observations up to the next bound; adding what is there makes counts that fall from bound to bound.)
A bound whose counter did not cover the same stretch of time as the total, because a layout came or
went within the bucket of the grid, is left out there for the same reason.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.counter_cells import CounterCells, counter_cells
from resources.errors import InvalidInput
from resources.monitoring.source import SeriesBatch

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

Part = Literal["bucket", "sum", "count"]

CELLS_AT_ONCE = 4_000_000
"""Bounds x buckets x instances that are interpolated together: about 32 MB an array."""

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
    second instance look like better coverage.
    """

    entities: tuple[tuple[str, ...], ...]
    entity: NDArray[np.int32]
    bucket: NDArray[np.int32]
    count: FloatArray
    mean: FloatArray
    quantiles: FloatArray
    doubtful: BoolArray
    samples: NDArray[np.int32]
    interval_seconds: int
    last_ts_ms: int
    flaws: "Flaws"


@dataclass(frozen=True)
class Flaws:
    """What was untidy: samples out of order, given again, not a number, after a target's end, below zero;
    series with an `le` that is no number or without the entity's labels; bounds repaired because
    they counted less than a lower one, or left out in a bucket of the grid because they did not cover
    its time; instances with bounds but neither `+Inf` nor `_count`, which have no distribution.
    """

    late: int = 0
    repeated: int = 0
    not_finite: int = 0
    stale: int = 0
    negative: int = 0
    bad_bounds: int = 0
    unlabelled: int = 0
    repaired: int = 0
    partial: int = 0
    without_total: int = 0


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
    for batch in batches:
        gathered.add(batch, _part_of(batch.metric, name), start_ms, end_ms, resolution_ms, interval_seconds)
    return _distributions(gathered, int(-(-(end_ms - start_ms) // resolution_ms)), np.array(quantiles, np.float64))


def parse_bound(text: str) -> float | None:
    """Return the number an `le` label writes (`0.5`, `5e-1`, `+Inf`); None if it writes none."""
    if _INFINITE.fullmatch(text):
        return float("inf")
    if not _FINITE.fullmatch(text):
        return None
    value = float(text)
    return value if np.isfinite(value) else None


def quantile(
    q: float,
    bounds: FloatArray,
    cumulative: FloatArray,
    total: FloatArray,
    lowest: FloatArray | None = None,
    highest: FloatArray | None = None,
) -> FloatArray:
    """Return the `q`-quantile of each distribution, as `histogram_quantile` does.

    `bounds` are the finite upper bounds, rising; `cumulative[k, i]` counts the observations of
    distribution `i` up to `bounds[k]`, never falling with `k`; `total[i]` counts them all.
    `lowest[i]` and `highest[i]` are the first and last bound at which distribution `i` was counted
    itself, those of `bounds` unless said otherwise: a quantile beyond the highest gives that one,
    and one in the lowest bucket gives its bound if that is not above 0.
    """
    size = cumulative.shape[1]
    known = total > 0
    if not len(bounds):
        return np.full(size, np.nan)
    lowest = np.full(size, bounds[0]) if lowest is None else lowest
    highest = np.full(size, bounds[-1]) if highest is None else highest
    rank = q * np.where(known, total, np.nan)
    reached = cumulative >= rank
    index = reached.argmax(axis=0)
    column = np.arange(size)
    below = np.where(index > 0, cumulative[index - 1, column], 0.0)
    start = np.where(index > 0, bounds[index - 1], 0.0)
    inside = cumulative[index, column] - below
    value = start + (bounds[index] - start) * (rank - below) / np.where(inside > 0, inside, 1.0)
    value = np.where((bounds[index] <= lowest) & (lowest <= 0), lowest, value)
    value = np.where(reached.any(axis=0), value, highest)
    return np.where(known, value, np.nan)


@dataclass
class _Gathered:
    """The counters read so far: `rows[i]` of the cells is one series of `instance[i]`."""

    entity_labels: tuple[str, ...]
    instances: dict[tuple[tuple[str, str], ...], int] = field(default_factory=dict)
    entity_of: list[tuple[str, ...]] = field(default_factory=list)
    instance: list[int] = field(default_factory=list)
    part: list[Part] = field(default_factory=list)
    bound: list[float] = field(default_factory=list)
    cells: list[CounterCells] = field(default_factory=list)
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
        for labels in wanted.labels:
            own = tuple(sorted((label, value) for label, value in labels.items() if label != "le"))
            code = self.instances.setdefault(own, len(self.instances))
            if code == len(self.entity_of):
                self.entity_of.append(tuple(labels[label] for label in self.entity_labels))
            self.instance.append(code)
            self.part.append(part)
            bound = parse_bound(labels["le"]) if part == "bucket" else None
            self.bound.append(np.nan if bound is None else bound)
        read = counter_cells(wanted, start_ms, end_ms, resolution_ms, interval)
        self.cells.append(read)
        self.flaws.update(read.flaws)


def _part_of(metric: str, name: str) -> Part:
    parts: dict[str, Part] = {f"{name}_bucket": "bucket", f"{name}_sum": "sum", f"{name}_count": "count"}
    if metric not in parts:
        raise ValueError(f"a batch of {metric!r} is no part of the histogram {name}")
    return parts[metric]


@dataclass(frozen=True)
class _Instances:
    """What is known of each instance and bucket of the grid, apart from its finite bounds.

    `total` counts its observations over `covered` milliseconds (both 0 where nothing tells),
    `overflow` is what its `+Inf` counter says, or `total` where that did not cover the same time.
    """

    entity: IntArray
    total: FloatArray
    covered: FloatArray
    overflow: FloatArray
    tolerance: FloatArray


def _distributions(gathered: _Gathered, buckets: int, quantiles: FloatArray) -> Distributions:
    flaws = gathered.flaws
    entities = tuple(sorted(set(gathered.entity_of)))
    code = {entity: number for number, entity in enumerate(entities)}
    cells = CounterCells.joined(gathered.cells, buckets)
    instance = np.array(gathered.instance, np.int64)
    of_instance = np.array([code[entity] for entity in gathered.entity_of], np.int64)
    entity = of_instance[instance]
    part, bound = np.array(gathered.part, dtype="U6"), np.array(gathered.bound, np.float64)

    known, total_of_means, sums = _totals(cells, instance, of_instance, part, bound)
    finite = np.flatnonzero((part == "bucket") & np.isfinite(bound))
    with_total = set(np.unique(instance[(part == "count") | np.isposinf(bound)]).tolist())
    flaws["without_total"] += len(set(instance[finite].tolist()) - with_total)
    found = np.full((len(quantiles), len(entities), buckets), np.nan)
    for members, bounds in _by_bounds(entity[finite], bound[finite], len(entities), buckets):
        rows = finite[np.isin(entity[finite], members)]
        found[:, members] = _quantiles(cells, known, rows, instance, bound, members, bounds, quantiles, flaws)

    counts = _combined(np.add, of_instance, known.total, len(entities))
    told = _combined(np.maximum, of_instance, known.covered, len(entities)) > 0
    mean_count = _combined(np.add, of_instance, total_of_means, len(entities))
    mean_sum = _combined(np.add, of_instance, sums, len(entities))
    covered = _combined(np.maximum, entity, cells.covered_ms, len(entities)) > 0
    doubtful = _combined(np.maximum, entity, cells.doubtful.astype(np.int8), len(entities)) > 0
    samples = _combined(np.maximum, entity, cells.samples, len(entities))
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
        interval_seconds=cells.interval_seconds,
        last_ts_ms=cells.last_ts_ms,
        flaws=Flaws(**flaws),
    )


def _totals(
    cells: CounterCells, instance: IntArray, of_instance: IntArray, part: NDArray[np.str_], bound: FloatArray
) -> tuple[_Instances, FloatArray, FloatArray]:
    """Return the instances' totals, and the count and sum of those buckets in which both tell of the same time."""
    size = len(of_instance)

    def of(rows: BoolArray) -> tuple[FloatArray, FloatArray]:
        return (
            _combined(np.add, instance[rows], cells.increase[rows], size),
            _combined(np.add, instance[rows], cells.covered_ms[rows], size),
        )

    counted, count_covered = of(part == "count")
    infinite, infinite_covered = of(np.isposinf(bound))
    summed, sum_covered = of(part == "sum")
    interval = _combined(np.maximum, instance, cells.interval_ms[:, None], size)
    tolerance = interval / 2
    total = np.where(count_covered > 0, counted, infinite)
    covered = np.where(count_covered > 0, count_covered, infinite_covered)
    whole = (infinite_covered > 0) & (np.abs(infinite_covered - covered) <= tolerance)
    paired = (covered > 0) & (sum_covered > 0) & (np.abs(sum_covered - covered) <= tolerance)
    known = _Instances(of_instance, total, covered, np.where(whole, infinite, total), tolerance)
    return known, np.where(paired, total, 0.0), np.where(paired, summed, 0.0)


def _by_bounds(
    entity: IntArray, bound: FloatArray, entities: int, buckets: int
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Yield entities that have the same finite bounds, a bounded number at a time, with these bounds.

    Zero is one more bound where there are negative ones: another instance's lowest bucket may begin there.
    """
    order = np.lexsort((bound, entity))
    edges = np.searchsorted(entity[order], np.arange(entities + 1))
    layouts: dict[tuple[float, ...], list[int]] = {}
    for number in range(entities):
        own = np.unique(bound[order[edges[number] : edges[number + 1]]])
        if len(own):
            layouts.setdefault(tuple(np.union1d(own, [0.0]) if own[0] < 0 else own), []).append(number)
    for layout, members in layouts.items():
        step = max(1, CELLS_AT_ONCE // (len(layout) * buckets))
        for first in range(0, len(members), step):
            yield np.array(members[first : first + step], np.int64), np.array(layout)


def _quantiles(
    cells: CounterCells,
    known: _Instances,
    rows: IntArray,
    instance: IntArray,
    bound: FloatArray,
    members: IntArray,
    bounds: FloatArray,
    quantiles: FloatArray,
    flaws: Counter[str],
) -> FloatArray:
    """Return the quantiles (quantile, member, bucket) of the entities `members`, whose counters are `rows`."""
    own = np.unique(instance[rows])
    slot = np.searchsorted(own, instance[rows]) * len(bounds) + np.searchsorted(bounds, bound[rows])
    shape = (len(own), len(bounds), cells.increase.shape[1])
    cumulative = _combined(np.add, slot, cells.increase[rows], shape[0] * shape[1]).reshape(shape)
    covered = _combined(np.add, slot, cells.covered_ms[rows], shape[0] * shape[1]).reshape(shape)
    reference = known.covered[own, None]
    told = (covered > 0) & (reference > 0)
    valid = told & (np.abs(covered - reference) <= known.tolerance[own, None])
    flaws["partial"] += int(np.count_nonzero(told & ~valid))
    cumulative = np.where(valid, cumulative, np.nan)
    risen = np.fmax.accumulate(cumulative, axis=1)
    flaws["repaired"] += int(np.count_nonzero(valid & (risen > cumulative)))
    cumulative = _along_lines(np.where(valid, risen, np.nan), valid, bounds)

    # An instance whose bounds tell nothing here takes no part: its observations could lie anywhere.
    takes_part: BoolArray = np.any(valid, axis=1)
    overflow = np.where(takes_part, known.overflow[own], 0.0)
    flaws["repaired"] += int(np.count_nonzero(overflow < cumulative[:, -1]))
    overflow = np.maximum(overflow, cumulative[:, -1])
    lowest = np.where(valid, bounds[:, None], np.inf).min(axis=1)
    highest = np.where(valid, bounds[:, None], -np.inf).max(axis=1)
    entity = np.searchsorted(members, known.entity[own])
    size = len(members)
    merged = _combined(np.add, entity, np.where(takes_part[:, None], cumulative, 0.0), size)
    merged = np.moveaxis(merged, 1, 0).reshape(len(bounds), -1)
    total = _combined(np.add, entity, overflow, size).ravel()
    lowest = _combined(np.minimum, entity, lowest, size).ravel()
    highest = _combined(np.maximum, entity, highest, size).ravel()
    found = [quantile(q, bounds, merged, total, lowest, highest) for q in quantiles]
    return np.array(found).reshape(len(quantiles), size, shape[2])


def _along_lines(cumulative: FloatArray, valid: BoolArray, bounds: FloatArray) -> FloatArray:
    """Return `cumulative` (instance, bound, bucket) with a count at every bound, from the valid ones around it.

    Above the highest valid bound nothing is known to lie below any bound; the lowest bucket begins
    at 0 if its bound is above 0, and holds nothing below its bound otherwise.
    """
    if valid.all():
        return cumulative
    size = len(bounds)
    index = np.arange(size)[None, :, None]
    before = np.maximum.accumulate(np.where(valid, index, -1), axis=1)
    after = np.minimum.accumulate(np.where(valid, index, size)[:, ::-1], axis=1)[:, ::-1]
    lower, upper = np.maximum(before, 0), np.minimum(after, size - 1)
    low = np.where(before >= 0, np.take_along_axis(cumulative, lower, axis=1), 0.0)
    high = np.take_along_axis(cumulative, upper, axis=1)
    low_bound = np.where(before >= 0, bounds[lower], np.minimum(0.0, bounds[upper]))
    width = bounds[upper] - low_bound
    share = (bounds[None, :, None] - low_bound) / np.where(width > 0, width, 1.0)
    line = low + (high - low) * np.where(width > 0, np.clip(share, 0.0, 1.0), 0.0)
    filled = np.where(valid, cumulative, np.where(after == size, low, line))
    return np.where(np.any(valid, axis=1, keepdims=True), filled, 0.0)


def _combined(ufunc: np.ufunc, codes: IntArray, rows: NDArray[np.generic], size: int) -> FloatArray:
    """Return `size` rows: the `rows` of each code combined by `ufunc`, 0 where a code has none."""
    out = np.zeros((size, *rows.shape[1:]))
    if len(codes):
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(codes[order]) != 0])
        out[codes[order][starts]] = ufunc.reduceat(rows[order], starts, axis=0)
    return out
