"""Raw samples onto the grid: one value per entity and bucket, nothing invented and nothing counted twice.

A gauge becomes the mean and the maximum of its samples in the bucket. A counter becomes a rate:
the increase between successive samples of one series, where a fall means that the counter began
again at zero, belongs to the bucket in which it ends. Samples are taken in order of time whatever
order they arrived in; of several at one instant the last to arrive counts. Stale markers, NaN and
infinities are no samples. A bucket without a sample stays empty.

When a VM migrates, NovaCron's exporter leaves its old series exposed with a frozen value. Of
several series that name the same entity, one that stopped changing before another did is cut off
at its last change.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.metrics import Kind
from resources.monitoring.source import SeriesBatch

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Gridded:
    """The buckets of one metric that have a value.

    `entity[i]` indexes `entities`, `bucket[i]` counts from the window's start, `place[i]` indexes
    `places` (-1 where the series has no place label): where the bucket's last sample was taken.
    """

    entities: tuple[str, ...]
    places: tuple[str, ...]
    entity: NDArray[np.int32]
    bucket: NDArray[np.int32]
    place: NDArray[np.int32]
    mean: NDArray[np.float32]
    maximum: NDArray[np.float32]
    samples: NDArray[np.int32]
    last_ts_ms: int
    repeated: int
    late: int
    not_finite: int
    frozen: int


@dataclass(frozen=True)
class _Samples:
    """Samples in order of series and time, each instant of a series once."""

    series: IntArray
    ts_ms: IntArray
    values: FloatArray


def grid(
    batch: SeriesBatch,
    kind: Kind,
    start_ms: int,
    end_ms: int,
    resolution_ms: int,
    entity_label: str = "vm_id",
    place_label: str = "node_id",
) -> Gridded:
    """Return `batch` on the buckets of `[start_ms, end_ms)`.

    Samples before `start_ms` only serve a counter's first increase. Series without `entity_label`
    are not part of the answer.
    """
    entities = tuple(sorted({labels[entity_label] for labels in batch.labels if labels.get(entity_label)}))
    places = tuple(sorted({labels[place_label] for labels in batch.labels if labels.get(place_label)}))
    entity_code = {name: code for code, name in enumerate(entities)}
    place_code = {name: code for code, name in enumerate(places)}
    entity_of = np.array([entity_code.get(labels.get(entity_label, ""), -1) for labels in batch.labels], np.int64)
    place_of = np.array([place_code.get(labels.get(place_label, ""), -1) for labels in batch.labels], np.int64)

    samples, not_finite, late, repeated = _ordered(batch, entity_of >= 0, end_ms)
    samples, frozen = _without_frozen_twins(samples, entity_of)
    inside = samples.ts_ms >= start_ms
    if kind == "counter":
        amount, weight, peak, valid = _increases(samples)
        use = inside & valid
    else:
        amount, weight, peak = samples.values, np.ones(len(samples.values)), samples.values
        use = inside
    bucket = (samples.ts_ms - start_ms) // resolution_ms
    count = int(-(-(end_ms - start_ms) // resolution_ms))
    cell = entity_of[samples.series] * count + bucket
    seen_cells, seen = _count_by(cell[inside])

    order = np.flatnonzero(use)
    if len(order) and np.any(np.diff(cell[order]) < 0):
        order = order[np.lexsort((samples.ts_ms[order], cell[order]))]
    cells = cell[order]
    starts = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]]) if len(cells) else np.zeros(0, np.int64)
    held = cells[starts]
    if len(starts):
        mean = np.add.reduceat(amount[order], starts) / np.add.reduceat(weight[order], starts)
        maximum = np.maximum.reduceat(peak[order], starts)
        ends = np.r_[starts[1:], len(cells)] - 1
        place = place_of[samples.series[order[ends]]]
    else:
        mean = maximum = np.zeros(0)
        place = np.zeros(0, np.int64)
    return Gridded(
        entities=entities,
        places=places,
        entity=(held // count).astype(np.int32),
        bucket=(held % count).astype(np.int32),
        place=place.astype(np.int32),
        mean=mean.astype(np.float32),
        maximum=np.maximum(maximum, mean).astype(np.float32),
        samples=seen[np.searchsorted(seen_cells, held)].astype(np.int32),
        last_ts_ms=int(samples.ts_ms[inside].max()) if inside.any() else -1,
        repeated=repeated,
        late=late,
        not_finite=not_finite,
        frozen=frozen,
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


def _ordered(batch: SeriesBatch, wanted: NDArray[np.bool_], end_ms: int) -> tuple[_Samples, int, int, int]:
    """Return the samples in order, and how many were not finite, late, and repeated."""
    series = np.repeat(np.arange(len(batch.labels), dtype=np.int64), np.diff(batch.offsets))
    ts_ms, values = batch.ts_ms, batch.values
    finite = np.isfinite(values)
    not_finite = int(np.count_nonzero(~finite))
    keep = finite & (ts_ms < end_ms) & wanted[series] if len(series) else finite
    if not keep.all():
        series, ts_ms, values = series[keep], ts_ms[keep], values[keep]
    same_series = series[1:] == series[:-1]
    late = int(np.count_nonzero(same_series & (ts_ms[1:] < ts_ms[:-1])))
    if late:
        order = np.lexsort((np.arange(len(ts_ms)), ts_ms, series))
        series, ts_ms, values = series[order], ts_ms[order], values[order]
        same_series = series[1:] == series[:-1]
    superseded = np.r_[same_series & (ts_ms[1:] == ts_ms[:-1]), False] if len(series) else np.zeros(0, bool)
    repeated = int(np.count_nonzero(superseded))
    if repeated:
        series, ts_ms, values = series[~superseded], ts_ms[~superseded], values[~superseded]
    return _Samples(series, ts_ms, values), not_finite, late, repeated


def _without_frozen_twins(samples: _Samples, entity_of: IntArray) -> tuple[_Samples, int]:
    """Return the samples without those a migrated entity's old series repeats, and how many these were."""
    present = np.unique(samples.series)
    entities, counts = np.unique(entity_of[present], return_counts=True)
    doubled = entities[counts > 1]
    if not len(doubled):
        return samples, 0
    keep = np.ones(len(samples.series), bool)
    for entity in doubled:
        twins = present[entity_of[present] == entity]
        spans = [
            (int(np.searchsorted(samples.series, s)), int(np.searchsorted(samples.series, s, "right"))) for s in twins
        ]
        last_change = [_last_change_ms(samples, span) for span in spans]
        first_seen = [int(samples.ts_ms[span[0]]) for span in spans]
        live = max(range(len(twins)), key=lambda i: (last_change[i], first_seen[i], i))
        for i, (first, stop) in enumerate(spans):
            if i != live:
                keep[first:stop] = samples.ts_ms[first:stop] <= last_change[i]
    frozen = int(np.count_nonzero(~keep))
    return _Samples(samples.series[keep], samples.ts_ms[keep], samples.values[keep]), frozen


def _last_change_ms(samples: _Samples, span: tuple[int, int]) -> int:
    """Return when a series last took a new value; -1 if it never did."""
    values = samples.values[span[0] : span[1]]
    changed = np.flatnonzero(values[1:] != values[:-1])
    return int(samples.ts_ms[span[0] + changed[-1] + 1]) if len(changed) else -1


def _increases(samples: _Samples) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.bool_]]:
    """Return per sample the increase since the one before, the seconds it took, the rate, and if there is one."""
    size = len(samples.values)
    increase, seconds, rate = np.zeros(size), np.ones(size), np.zeros(size)
    valid = np.zeros(size, bool)
    if size > 1:
        valid[1:] = samples.series[1:] == samples.series[:-1]
        difference = np.diff(samples.values)
        increase[1:] = np.where(difference < 0, samples.values[1:], difference)
        seconds[1:] = np.where(valid[1:], np.diff(samples.ts_ms) / 1000.0, 1.0)
        rate[1:] = increase[1:] / seconds[1:]
    return increase, seconds, rate, valid


def _count_by(cells: IntArray) -> tuple[IntArray, IntArray]:
    if len(cells) and np.any(np.diff(cells) < 0):
        cells = np.sort(cells)
    starts = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]]) if len(cells) else np.zeros(0, np.int64)
    return cells[starts], np.diff(np.r_[starts, len(cells)])
