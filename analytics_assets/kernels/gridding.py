"""Raw samples onto the grid: one value per entity and bucket, nothing invented and nothing counted twice.

A gauge becomes the mean and the maximum of its samples in the bucket. A counter becomes a rate and
a total: an increase (`counters.py`) belongs to the bucket in which it ends. Samples are taken in
order of time whatever order they arrived in (`samples.py`); of several series that name the same
entity one speaks at a time (`twins.py`). A bucket without a sample stays empty.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.counters import increases
from analytics_assets.kernels.samples import IntArray, in_order
from analytics_assets.kernels.twins import speaking
from resources.monitoring.metrics import Kind
from resources.monitoring.source import SeriesBatch

LEAD_IN_MS = 3_600_000
"""How far before the window to look for the sample that a counter's first increase begins at. An
increase over a longer gap is not known to have been in the window."""


LARGEST = 1e38
"""Means are stored as float32; a finite value beyond this is no measurement of anything here."""


@dataclass(frozen=True)
class Gridded:
    """The buckets of one metric that have a value.

    `entity[i]` indexes `entities`, `bucket[i]` counts from the window's start, `place[i]` indexes
    `places` (-1 where the series has no place label): where the bucket's last sample was taken.
    `total` is the sum of a counter's increases, or of a gauge's samples; `doubtful` marks buckets
    with an increase over a gap. `intervals_ms` is the median time between samples of each series.
    The counts are of samples in the window: `repeated` at one instant, `late` in arriving, not
    finite, `out_of_range`, markers of a series' end (`stale`), of a series that another speaks for (`frozen`);
    `suspect` counts counters that were running sums of totals.
    """

    entities: tuple[str, ...]
    places: tuple[str, ...]
    entity: NDArray[np.int32]
    bucket: NDArray[np.int32]
    place: NDArray[np.int32]
    mean: NDArray[np.float32]
    maximum: NDArray[np.float32]
    total: NDArray[np.float64]
    doubtful: NDArray[np.bool_]
    samples: NDArray[np.int32]
    intervals_ms: IntArray
    last_ts_ms: int
    repeated: int
    late: int
    not_finite: int
    out_of_range: int
    stale: int
    frozen: int
    suspect: int

    @property
    def interval_seconds(self) -> int:
        """The median seconds between two samples of a series; 0 where no series has two."""
        return interval_seconds([self])


def interval_seconds(pieces: Iterable[Gridded]) -> int:
    """Return the median seconds between two samples of a series of any of `pieces`; 0 where none has two."""
    known = [piece.intervals_ms[piece.intervals_ms > 0] for piece in pieces]
    intervals = np.concatenate(known) if known else np.zeros(0, np.int64)
    return max(1, round(float(np.median(intervals)) / 1000)) if len(intervals) else 0


def grid(
    batch: SeriesBatch,
    kind: Kind,
    start_ms: int,
    end_ms: int,
    resolution_ms: int,
    entity_label: str | tuple[str, ...] = "vm_id",
    place_label: str = "node_id",
    minimum: float = -LARGEST,
) -> Gridded:
    """Return `batch` on the buckets of `[start_ms, end_ms)`.

    Samples before `start_ms` only serve a counter's first increase, and to know which of several
    series speaks. Series without `entity_label` (or without one of several) are not part of the
    answer, and values below `minimum` (or that a float32 cannot hold) are no samples. A histogram's
    series are counters.
    """
    samples = in_order(batch, start_ms, end_ms, entity_label, place_label, minimum, LARGEST)
    spoken = speaking(samples)
    counted = samples.ts_ms >= start_ms
    frozen = 0
    inside = counted
    if spoken is not None:
        frozen = int(np.count_nonzero(counted & ~spoken))
        inside = counted & spoken
    doubtful = np.zeros(len(samples.values), bool)
    suspect = 0
    if kind == "gauge":
        amount, weight, peak = samples.values, None, samples.values
        use = inside
    else:
        # Increases are of whole series: where one begins to speak, the sample before still counts.
        moved = increases(samples)
        amount, weight, peak, doubtful = moved.amount, moved.seconds, moved.rate, moved.doubtful
        use, suspect = inside & moved.valid, len(moved.suspect)

    count = int(-(-(end_ms - start_ms) // resolution_ms))
    series = samples.series
    cell = samples.entity[series] * count + (samples.ts_ms - start_ms) // resolution_ms
    if spoken is not None:
        # The turns of an entity's series follow one another in time, not in the order of the series.
        seen_cells, seen = _count_by(np.sort(cell[inside]))
        order = np.flatnonzero(use)
        span = int(samples.ts_ms.max() - samples.ts_ms.min()) + 1 if len(samples.ts_ms) else 1
        order = order[np.argsort(samples.entity[series[order]] * span + samples.ts_ms[order], kind="stable")]
    else:
        seen_cells, seen = _count_by(cell[inside])
        order = np.flatnonzero(use)
    cells = cell[order]
    starts = _starts(cells)
    held = cells[starts]
    total = np.add.reduceat(amount[order], starts) if len(starts) else np.zeros(0)
    sizes = np.diff(np.r_[starts, len(cells)])
    weights = sizes if weight is None else (np.add.reduceat(weight[order], starts) if len(starts) else np.zeros(0))
    mean = (total / weights).astype(np.float32)
    maximum = np.maximum.reduceat(peak[order], starts).astype(np.float32) if len(starts) else mean
    last = series[order[starts + sizes - 1]]
    return Gridded(
        entities=samples.entities,
        places=samples.places,
        entity=(held // count).astype(np.int32),
        bucket=(held % count).astype(np.int32),
        place=samples.place[last].astype(np.int32),
        mean=mean,
        maximum=np.maximum(maximum, mean),
        total=total,
        doubtful=np.logical_or.reduceat(doubtful[order], starts) if len(starts) else np.zeros(0, bool),
        samples=seen[np.searchsorted(seen_cells, held)].astype(np.int32),
        intervals_ms=samples.interval_ms,
        last_ts_ms=int(samples.ts_ms[inside].max()) if inside.any() else -1,
        repeated=samples.repeated,
        late=samples.late,
        not_finite=samples.not_finite,
        out_of_range=samples.out_of_range,
        stale=samples.stale,
        frozen=frozen,
        suspect=suspect,
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


def _starts(cells: IntArray) -> IntArray:
    """Return where each run of equal cells begins."""
    return np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]]) if len(cells) else np.zeros(0, np.int64)


def _count_by(cells: IntArray) -> tuple[IntArray, IntArray]:
    starts = _starts(cells)
    return cells[starts], np.diff(np.r_[starts, len(cells)])
