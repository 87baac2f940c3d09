"""Raw samples onto the grid: one value per entity and bucket, nothing invented and nothing counted twice.

A gauge becomes the mean and the maximum of its samples in the bucket. A counter becomes a rate and
a total: an increase (`counters.py`) belongs to the bucket in which it ends. The mean rate is the
total by the seconds in which it was counted, the maximum the highest rate between two samples.
Samples are taken in order of time whatever order they arrived in (`samples.py`); of several series
that name the same entity one speaks at a time (`twins.py`). A bucket without a sample stays empty.

Increases are of whole series: where another series begins to speak, its increase since its own last
sample counts. Unless both count the same thing, as two servers do that scrape one target: where
the value with which the one fell silent lies between the two values of the other, only what the
other has beyond it is new.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.counters import Increases, increases
from analytics_assets.kernels.samples import BoolArray, IntArray, OrderedSamples, in_order
from analytics_assets.kernels.twins import speaking
from resources.monitoring.metrics import Kind
from resources.monitoring.source import SeriesBatch

LEAD_IN_MS = 3_600_000
"""How far before the window to look for the sample that a counter's first increase begins at. An
increase over a longer gap is not known to have been in the window."""


LARGEST = 1e34
"""A finite value beyond this is no measurement of anything here; a float32 holds its rate over a millisecond."""


@dataclass(frozen=True)
class Gridded:
    """The buckets of one metric that have a value.

    `entity[i]` indexes `entities`, `bucket[i]` counts from the window's start, `place[i]` indexes
    `places` (-1 where the series has no place label): where the bucket's last sample was taken.
    `total` is the sum of a counter's increases, or of a gauge's samples; `integral` that of a gauge's
    samples times the seconds that each stands for: those since the sample before, at most two
    intervals. `doubtful` marks buckets with an increase over a gap.
    By entity: `first_ms` and `last_ms` are when its first and last sample in the window were taken
    (-1 without any), `interval_ms` is the median time between two (0 where it is not known).
    The counts are of samples in the window: `repeated` at one instant, `late` in arriving, not
    finite, `out_of_range`, markers of a series' end (`stale`), of a series that another speaks for (`frozen`);
    `suspect` counts counters that were running sums of totals, `undecided` those that may be.
    """

    entities: tuple[str, ...]
    places: tuple[str, ...]
    entity: NDArray[np.int32]
    bucket: NDArray[np.int32]
    place: NDArray[np.int32]
    mean: NDArray[np.float32]
    maximum: NDArray[np.float32]
    total: NDArray[np.float64]
    integral: NDArray[np.float64]
    doubtful: NDArray[np.bool_]
    samples: NDArray[np.int32]
    first_ms: IntArray
    last_ms: IntArray
    interval_ms: IntArray
    last_ts_ms: int
    repeated: int
    late: int
    not_finite: int
    out_of_range: int
    stale: int
    frozen: int
    suspect: int
    undecided: int


def grid(
    batch: SeriesBatch,
    kind: Kind,
    start_ms: int,
    end_ms: int,
    resolution_ms: int,
    entity_label: str | tuple[str, ...] = "vm_id",
    place_label: str = "node_id",
    minimum: float = -LARGEST,
    places: Mapping[str, str] | None = None,
) -> Gridded:
    """Return `batch` on the buckets of `[start_ms, end_ms)`.

    Samples before `start_ms` only serve a counter's first increase, and to know which of several
    series speaks. Series without `entity_label` (or without one of several) are not part of the
    answer, and values below `minimum` (a counter's: below 0) or beyond `LARGEST` are no samples. A
    histogram's series are counters. `places` has for entities the value of `place_label` that is known
    from elsewhere: of twins that never change the one there speaks.
    """
    if kind != "gauge":
        minimum = max(minimum, 0.0)
    samples = in_order(batch, start_ms, end_ms, entity_label, place_label, minimum, LARGEST)
    spoken = speaking(samples, samples.places_of(places) if places else None)
    series = samples.series
    inside = samples.ts_ms >= start_ms
    at, frozen, in_turn = np.flatnonzero(inside), 0, None
    if spoken is not None:
        in_turn = _in_turn(samples, series, spoken)
        seen, at = len(at), in_turn[inside[in_turn]]
        frozen = seen - len(at)

    count = int(-(-(end_ms - start_ms) // resolution_ms))
    cells = samples.entity[series[at]] * count + (samples.ts_ms[at] - start_ms) // resolution_ms
    starts = _starts(cells)
    sizes = np.diff(np.r_[starts, len(cells)])
    doubtful = np.zeros(len(starts), bool)
    held = np.ones(len(starts), bool)
    suspect = undecided = 0
    integral = np.zeros(len(starts))
    if kind == "gauge":
        total, weight = _reduced(np.add, samples.values[at], starts), sizes
        seconds = _stood_for(samples, series, in_turn, resolution_ms)[at]
        integral = _reduced(np.add, samples.values[at] * seconds, starts)
        peak = _reduced(np.maximum, samples.values[at], starts)
    else:
        moved = increases(samples)
        suspect, undecided = len(moved.suspect), len(moved.undecided)
        peak = _reduced(np.maximum, moved.rate[at], starts)
        if in_turn is not None:
            moved = _without_overlap(samples, series, moved, in_turn)
        total = _reduced(np.add, moved.amount[at], starts)
        weight = _reduced(np.add, np.where(moved.valid[at], moved.seconds[at], 0.0), starts)
        doubtful = _reduced(np.logical_or, moved.doubtful[at], starts)
        held = weight > 0
    mean = (total[held] / weight[held]).astype(np.float32)
    cell = cells[starts[held]]
    first_ms, last_ms, interval_ms = _by_entity(samples, series, at)
    return Gridded(
        entities=samples.entities,
        places=samples.places,
        entity=(cell // count).astype(np.int32),
        bucket=(cell % count).astype(np.int32),
        place=samples.place[series[at[starts + sizes - 1]]][held].astype(np.int32),
        mean=mean,
        maximum=np.maximum(peak[held].astype(np.float32), mean),
        total=total[held],
        integral=integral[held],
        doubtful=doubtful[held],
        samples=sizes[held].astype(np.int32),
        first_ms=first_ms,
        last_ms=last_ms,
        interval_ms=interval_ms,
        last_ts_ms=int(samples.ts_ms[at].max()) if len(at) else -1,
        repeated=samples.repeated,
        late=samples.late,
        not_finite=samples.not_finite,
        out_of_range=samples.out_of_range,
        stale=samples.stale,
        frozen=frozen,
        suspect=suspect,
        undecided=undecided,
    )


def averaged_over_series(batch: SeriesBatch, entity_label: str) -> SeriesBatch:
    """Return one series per entity: at each instant the mean of the entity's series at that instant.

    A node has one CPU series per CPU, scraped together; their mean is the node's use.
    """
    names = tuple(sorted({labels[entity_label] for labels in batch.labels if labels.get(entity_label)}))
    code = {name: number for number, name in enumerate(names)}
    entity_of = np.array([code.get(labels.get(entity_label, ""), -1) for labels in batch.labels], np.int64)
    series = np.repeat(np.arange(len(batch.labels)), np.diff(batch.offsets))
    entity = entity_of[series]
    keep = (entity >= 0) & np.isfinite(batch.values)
    entity, ts_ms, values = entity[keep], batch.ts_ms[keep], batch.values[keep]
    order = np.lexsort((ts_ms, entity))
    entity, ts_ms, values = entity[order], ts_ms[order], values[order]
    if not len(entity):
        return SeriesBatch(batch.metric, (), np.zeros(1, np.int64), ts_ms, values)
    starts = np.flatnonzero(np.r_[True, (entity[1:] != entity[:-1]) | (ts_ms[1:] != ts_ms[:-1])])
    sizes = np.diff(np.r_[starts, len(entity)])
    mean = np.add.reduceat(values, starts) / sizes
    offsets = np.searchsorted(entity[starts], np.arange(len(names) + 1))
    labels = tuple({entity_label: name} for name in names)
    return SeriesBatch(batch.metric, labels, offsets.astype(np.int64), ts_ms[starts], mean)


def _in_turn(samples: OrderedSamples, series: IntArray, spoken: BoolArray) -> IntArray:
    """Return the samples that count in order of entity and time: turns follow one another in time, not by series."""
    at = np.flatnonzero(spoken)
    begins = np.flatnonzero(np.diff(at, prepend=-2) > 1)
    begins = np.union1d(begins, np.searchsorted(at, samples.bounds[:-1]))
    begins = begins[begins < len(at)]
    first = at[begins]
    order = np.lexsort((samples.ts_ms[first], samples.entity[series[first]]))
    sizes = np.diff(np.r_[begins, len(at)])[order]
    at = at[np.repeat(begins[order] - np.r_[0, np.cumsum(sizes)[:-1]], sizes) + np.arange(len(at))]
    entity, ts_ms = samples.entity[series[at]], samples.ts_ms[at]
    if np.any((entity[1:] == entity[:-1]) & (ts_ms[1:] < ts_ms[:-1])):
        # A series without a sample in another's turn speaks on without a break.
        at = at[np.lexsort((ts_ms, entity))]
    return at


def _stood_for(
    samples: OrderedSamples, series: IntArray, in_turn: IntArray | None, unknown_ms: int
) -> NDArray[np.float64]:
    """Return the seconds that each sample stands for; `unknown_ms` is for one that is alone."""
    interval = np.where(samples.interval_ms > 0, samples.interval_ms, unknown_ms)
    since = np.empty(len(samples.ts_ms), np.int64)
    if in_turn is None:
        since[1:] = np.diff(samples.ts_ms)
        since[samples.bounds[:-1]] = interval
    else:
        entity = samples.entity[series[in_turn]]
        since[in_turn[1:]] = np.diff(samples.ts_ms[in_turn])
        begins = in_turn[np.r_[True, entity[1:] != entity[:-1]]] if len(in_turn) else in_turn
        since[begins] = interval[series[begins]]
    found: NDArray[np.float64] = np.minimum(since, np.repeat(2 * interval, np.diff(samples.bounds))) / 1000.0
    return found


def _by_entity(samples: OrderedSamples, series: IntArray, at: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return by entity when the first and the last of the samples `at` were taken, and its busiest series' interval."""
    count = len(samples.entities)
    first, last, interval = np.full(count, -1, np.int64), np.full(count, -1, np.int64), np.zeros(count, np.int64)
    entity = samples.entity[series[at]]
    starts = _starts(entity)
    if len(starts):
        ends = np.r_[starts[1:], len(at)] - 1
        first[entity[starts]], last[entity[starts]] = samples.ts_ms[at[starts]], samples.ts_ms[at[ends]]
    # Of several assignments to one entity the last counts: that of its series with the most samples.
    order = np.argsort(np.diff(samples.bounds), kind="stable")
    interval[samples.entity[order]] = samples.interval_ms[order]
    return first, last, interval


def _without_overlap(samples: OrderedSamples, series: IntArray, moved: Increases, at: IntArray) -> Increases:
    """Return the increases without what the series that spoke before had counted already; `at` is in turn."""
    turn = np.flatnonzero(series[at][1:] != series[at][:-1])
    turn = turn[samples.entity[series[at[turn]]] == samples.entity[series[at[turn + 1]]]]
    new, old = at[turn + 1], at[turn]
    summed = np.isin(series, moved.suspect)[new] if len(moved.suspect) else np.zeros(len(new), bool)
    known = moved.valid[new] & ~summed
    new, old = new[known], old[known]
    values = samples.values
    same = (values[new - 1] <= values[old]) & (values[old] <= values[new])
    new, old = new[same], old[same]
    amount, seconds = moved.amount.copy(), moved.seconds.copy()
    amount[new] = values[new] - values[old]
    seconds[new] = (samples.ts_ms[new] - samples.ts_ms[old]) / 1000.0
    return replace(moved, amount=amount, seconds=seconds)


def _starts(cells: IntArray) -> IntArray:
    """Return where each run of equal cells begins."""
    return np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]]) if len(cells) else np.zeros(0, np.int64)


def _reduced(ufunc: np.ufunc, values: NDArray[Any], starts: IntArray) -> NDArray[Any]:
    """Return what `ufunc` makes of each run of `values`."""
    return np.asarray(ufunc.reduceat(values, starts)) if len(starts) else values[:0]
