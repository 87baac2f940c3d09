"""Raw samples in order: by entity, series and time, each instant of a series once."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.source import SeriesBatch

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

STALE_BITS = 0x7FF0000000000002
"""The NaN with which Prometheus marks the end of a series. Only its bits tell it from any other NaN."""

LOOKED_AT = 31
"""Steps of a series that its interval is the median of, taken evenly from all of it."""

SEPARATOR = "\x1f"
"""Between the values of an entity that more than one label names."""


@dataclass(frozen=True)
class OrderedSamples:
    """The usable samples of a batch.

    `series` numbers the series that have samples, in order of their entity; `bounds[s]` to
    `bounds[s + 1]` are the samples of series `s`. `entity` and `place` index `entities` and
    `places` by series (`place` is -1 without the label), `interval_ms` is the median time between
    two samples of a series (0 where it has only one). The counts are of samples from `start_ms` on.
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
    series = np.repeat(np.arange(len(chosen)), sizes)

    counted = ts_ms >= start_ms
    finite = np.isfinite(values)
    marked = ~finite & (values.view(np.uint64) == STALE_BITS) if not finite.all() else ~finite
    keep = finite & (ts_ms < end_ms)
    possible = (values >= minimum) & (values <= maximum)
    out_of_range = int(np.count_nonzero(keep & counted & ~possible))
    keep &= possible
    stale, not_finite = int(np.count_nonzero(marked & counted)), int(np.count_nonzero(~finite & ~marked & counted))
    if not keep.all():
        series, ts_ms, values = series[keep], ts_ms[keep], values[keep]
    series, ts_ms, values, late = _by_time(series, ts_ms, values, start_ms)
    superseded = (series[1:] == series[:-1]) & (ts_ms[1:] == ts_ms[:-1])
    repeated = int(np.count_nonzero(superseded & (ts_ms[1:] >= start_ms)))
    if superseded.any():
        last = np.r_[~superseded, True]
        series, ts_ms, values = series[last], ts_ms[last], values[last]

    bounds = np.searchsorted(series, np.arange(len(chosen) + 1))
    present = np.flatnonzero(np.diff(bounds))
    bounds = np.r_[bounds[present], len(series)].astype(np.int64)
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
    """Return the median time between two samples of each series, 0 where there is only one sample."""
    steps = np.diff(ts_ms)
    counts = np.diff(bounds) - 1
    found = np.zeros(len(counts), np.int64)
    some = np.flatnonzero(counts > 0)
    if len(some):
        spread = np.linspace(0, 1, LOOKED_AT)
        at = bounds[some][:, None] + np.rint(spread * (counts[some] - 1)[:, None]).astype(np.int64)
        found[some] = np.sort(steps[at], axis=1)[:, LOOKED_AT // 2]
    return found


def _gathered(batch: SeriesBatch, chosen: IntArray, sizes: IntArray) -> tuple[IntArray, FloatArray]:
    """Return the samples of the series `chosen`, in that order."""
    if len(chosen) == len(batch.labels) and np.array_equal(chosen, np.arange(len(chosen))):
        return batch.ts_ms, batch.values
    first = batch.offsets[:-1][chosen]
    at = np.arange(int(sizes.sum())) + np.repeat(first - np.r_[0, np.cumsum(sizes)[:-1]], sizes)
    return batch.ts_ms[at], batch.values[at]


def _by_time(
    series: IntArray, ts_ms: IntArray, values: FloatArray, start_ms: int
) -> tuple[IntArray, IntArray, FloatArray, int]:
    """Return the samples of each series in order of time, and how many had arrived late."""
    overtaken = (series[1:] == series[:-1]) & (ts_ms[1:] < ts_ms[:-1])
    if not overtaken.any():
        return series, ts_ms, values, 0
    late = int(np.count_nonzero(overtaken & (ts_ms[1:] >= start_ms)))
    order = np.lexsort((ts_ms, series))  # stable: what arrived last stays last
    return series[order], ts_ms[order], values[order], late
