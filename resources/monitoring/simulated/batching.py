"""From series to batches: whole entities together, and never too many samples at once."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.source import SeriesBatch

BATCH_SAMPLES = 1_000_000
"""A batch has no more samples than this, unless the series of a single entity do."""

Labels = dict[str, str]
Wanted = Callable[[Labels], bool]
"""Says whether the series with these labels was asked for."""
Series = tuple[Labels, NDArray[np.int64], NDArray[np.float64]]
"""Labels, times in milliseconds since the epoch, and values."""


def batches(metric: str, entities: Iterator[list[Series]]) -> Iterator[SeriesBatch]:
    """Yield the series of whole entities together, up to `BATCH_SAMPLES` samples."""
    held: list[Series] = []
    count = 0
    for series in entities:
        size = sum(len(values) for _, _, values in series)
        if held and count + size > BATCH_SAMPLES:
            yield _batch(metric, held)
            held, count = [], 0
        held += series
        count += size
    if held:
        yield _batch(metric, held)


def _batch(metric: str, series: Sequence[Series]) -> SeriesBatch:
    return SeriesBatch(
        metric=metric,
        labels=tuple(labels for labels, _, _ in series),
        offsets=np.cumsum([0, *(len(values) for _, _, values in series)], dtype=np.int64),
        ts_ms=np.concatenate([ts_ms for _, ts_ms, _ in series]),
        values=np.concatenate([values for _, _, values in series]),
        method="simulated",
    )
