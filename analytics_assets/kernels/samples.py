"""Raw samples in order: by entity, series and time, each instant of a series once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.source import SeriesBatch

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

STALE_BITS = 0x7FF0000000000002
"""The NaN with which Prometheus marks the end of a series. Only its bits tell it from any other NaN."""

LOOKED_AT = 31
"""Steps of a series that its interval is the median of: all of them, or so many taken evenly from all of it."""

SEPARATOR = "\x1f"
"""Between the values of an entity that more than one label names."""


@dataclass(frozen=True)
class OrderedSamples:
    """The usable samples of a batch.

    `series` numbers the series that have samples, in order of their entity; `bounds[s]` to
    `bounds[s + 1]` are the samples of series `s`. `entity` and `place` index `entities` and
    `places` by series (`place` is -1 without the label), `interval_ms` is the median time between
    two samples of a series (0 where it has only one). The counts are of samples from `start_ms` to `end_ms`:
    markers of a series' end, other values that are no number, those outside of the range; of the rest
    those that arrived after a later one, and those at an instant at which another arrived afterwards.
    """

    entities: tuple[str, ...]
    places: tuple[str, ...]
    entity: IntArray
    place: IntArray
    bounds: IntArray
    ts_ms: IntArray
    values: FloatArray
    interval_ms: IntArray
    stale: int
    not_finite: int
    out_of_range: int
    late: int
    repeated: int

    @property
    def series(self) -> IntArray:
        """The number of each sample's series."""
        return np.repeat(np.arange(len(self.entity)), np.diff(self.bounds))

    def places_of(self, places: Mapping[str, str]) -> IntArray:
        """Return the number of the place that `places` names for each entity, -1 where it names none of these."""
        code = {name: number for number, name in enumerate(self.places)}
        return np.array([code.get(places.get(entity, ""), -1) for entity in self.entities], np.int64)


def in_order(
    batch: SeriesBatch,
    start_ms: int,
    end_ms: int,
    entity_label: str | tuple[str, ...],
    place_label: str,
    minimum: float = -math.inf,
    maximum: float = math.inf,
) -> OrderedSamples:
    """Return the samples of `batch` before `end_ms` whose series name an entity.

    Of several samples of one series at one instant the last to arrive counts. Stale markers, NaN
    and infinities are no samples, nor are values outside `minimum` to `maximum`.
    """
    names = [entity_name(labels, entity_label) for labels in batch.labels]
    entities = tuple(sorted({name for name in names if name}))
    places = tuple(sorted({labels[place_label] for labels in batch.labels if labels.get(place_label)}))
    entity_code = {name: code for code, name in enumerate(entities)}
    place_code = {name: code for code, name in enumerate(places)}
    entity = np.array([entity_code.get(name, -1) for name in names], np.int64)
    place = np.array([place_code.get(labels.get(place_label, ""), -1) for labels in batch.labels], np.int64)

    # The order of an entity's series must not hang on the order in which the source gave them.
    texts = [sorted(labels.items()) for labels in batch.labels]
    wanted = sorted((number for number in range(len(names)) if entity[number] >= 0), key=lambda n: (names[n], texts[n]))
    chosen = np.array(wanted, np.int64)
    sizes = np.diff(batch.offsets)[chosen]
    ts_ms, values = _gathered(batch, chosen, sizes)
    bounds = np.r_[0, np.cumsum(sizes)].astype(np.int64)

    counted = (ts_ms >= start_ms) & (ts_ms < end_ms)
    finite = np.isfinite(values)
    marked = ~finite & (values.view(np.uint64) == STALE_BITS) if not finite.all() else ~finite
    keep = finite & (ts_ms < end_ms)
    possible = (values >= minimum) & (values <= maximum)
    out_of_range = int(np.count_nonzero(keep & counted & ~possible))
    keep &= possible
    stale, not_finite = int(np.count_nonzero(marked & counted)), int(np.count_nonzero(~finite & ~marked & counted))
    if not keep.all():
        ts_ms, values, bounds = _kept(keep, ts_ms, values, bounds)
    ts_ms, values, late = _by_time(ts_ms, values, bounds, start_ms)
    superseded = _within(bounds, ts_ms[1:] == ts_ms[:-1])
    repeated = int(np.count_nonzero(superseded & (ts_ms[1:] >= start_ms)))
    if superseded.any():
        ts_ms, values, bounds = _kept(np.r_[~superseded, True], ts_ms, values, bounds)

    present = np.flatnonzero(np.diff(bounds))
    bounds = np.r_[bounds[present], len(ts_ms)].astype(np.int64)
    return OrderedSamples(
        entities, places, entity[chosen][present], place[chosen][present], bounds, ts_ms, values,
        median_steps(ts_ms, bounds), stale, not_finite, out_of_range, late, repeated,
    )  # fmt: skip


def entity_name(labels: dict[str, str], entity_label: str | tuple[str, ...]) -> str:
    """Return the entity that `labels` name; empty where one of its labels is missing."""
    if isinstance(entity_label, str):
        return labels.get(entity_label, "")
    parts = [labels.get(label, "") for label in entity_label]
    return SEPARATOR.join(parts) if all(parts) else ""


def median_steps(ts_ms: IntArray, bounds: IntArray) -> IntArray:
    """Return the median time between two samples of each series, 0 where there is only one sample.

    Of an even number of steps the shorter one in the middle: a gap makes a step longer, nothing makes one shorter.
    """
    steps = np.diff(ts_ms)
    counts = np.diff(bounds) - 1
    found = np.zeros(len(counts), np.int64)
    some = np.flatnonzero(counts > 0)
    if len(some):
        number, spread = counts[some][:, None], np.arange(LOOKED_AT)
        evenly = np.rint(spread / (LOOKED_AT - 1) * (number - 1)).astype(np.int64)
        place = np.where(number > LOOKED_AT, evenly, np.minimum(spread, number - 1))
        looked_at = np.where(spread < number, steps[bounds[some][:, None] + place], np.iinfo(np.int64).max)
        middle = (np.minimum(counts[some], LOOKED_AT) - 1) // 2
        found[some] = np.sort(looked_at, axis=1)[np.arange(len(some)), middle]
    return found


def _gathered(batch: SeriesBatch, chosen: IntArray, sizes: IntArray) -> tuple[IntArray, FloatArray]:
    """Return the samples of the series `chosen`, in that order."""
    if len(chosen) == len(batch.labels) and np.array_equal(chosen, np.arange(len(chosen))):
        return batch.ts_ms, batch.values
    first = batch.offsets[:-1][chosen]
    at = np.arange(int(sizes.sum())) + np.repeat(first - np.r_[0, np.cumsum(sizes)[:-1]], sizes)
    return batch.ts_ms[at], batch.values[at]


def _kept(
    keep: BoolArray, ts_ms: IntArray, values: FloatArray, bounds: IntArray
) -> tuple[IntArray, FloatArray, IntArray]:
    """Return times, values and bounds of the samples to `keep`."""
    before = np.zeros(len(keep) + 1, np.int64)
    np.cumsum(keep, out=before[1:])
    return ts_ms[keep], values[keep], before[bounds]


def _within(bounds: IntArray, mask: BoolArray) -> BoolArray:
    """Return `mask`, which tells of each sample but the first something about the one before, within series only."""
    first = bounds[1:-1]
    mask[first[(first > 0) & (first <= len(mask))] - 1] = False
    return mask


def _by_time(ts_ms: IntArray, values: FloatArray, bounds: IntArray, start_ms: int) -> tuple[IntArray, FloatArray, int]:
    """Return the samples of each series in order of time, and how many from `start_ms` on came after a later one."""
    overtaken = _within(bounds, ts_ms[1:] < ts_ms[:-1])
    if not overtaken.any():
        return ts_ms, values, 0
    ts_ms, values, late = ts_ms.copy(), values.copy(), 0
    for number in np.unique(np.searchsorted(bounds, np.flatnonzero(overtaken), "right") - 1):
        span = slice(int(bounds[number]), int(bounds[number + 1]))
        own = ts_ms[span]
        late += int(np.count_nonzero((own < np.maximum.accumulate(own)) & (own >= start_ms)))
        order = np.argsort(own, kind="stable")  # what arrived last stays last
        ts_ms[span], values[span] = own[order], values[span][order]
    return ts_ms, values, late
