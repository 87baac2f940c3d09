"""Where samples come from: raw, as they arrived. Gridding them is not a source's work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SeriesBatch:
    """Raw samples of one metric for some series.

    Series `i` is described by `labels[i]` and holds the samples `offsets[i]` to `offsets[i + 1]`
    of `ts_ms` (int64, milliseconds since the epoch) and `values` (float64). Within a series the
    samples are in order of arrival: late ones are out of order, duplicates are kept, values may
    be NaN, and two series may name the same VM (one of them left behind by a migration).
    """

    metric: str
    labels: tuple[dict[str, str], ...]
    offsets: NDArray[np.int64]
    ts_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.labels) + 1 or self.offsets[-1] != len(self.ts_ms) != len(self.values):
            raise ValueError(f"batch of {self.metric}: offsets, labels, times and values disagree")


class MetricSource(Protocol):
    """A source of samples. A tenant's series carry the label `tenant_id`; the platform's carry `node_id`."""

    @property
    def kind(self) -> str:
        """What sort of source it is, such as `files` or `simulated`."""
        ...

    def tenants(self) -> list[str]:
        """Return the tenants the source has samples of, the platform among them where it has nodes."""
        ...

    def extent(self, tenant: str) -> tuple[date, date] | None:
        """Return the first and last day with samples of `tenant`, None where there are none."""
        ...

    def sample_interval_seconds(self, tenant: str) -> int:
        """Return the seconds between two samples of a series, which coverage is counted by."""
        ...

    def samples(self, tenant: str, metrics: Sequence[str], start_ms: int, end_ms: int) -> Iterator[SeriesBatch]:
        """Yield all raw samples of `metrics` (exported names) in `[start_ms, end_ms)`.

        A metric the source does not have yields nothing. A batch holds one metric and a bounded
        number of series, so that a large tenant is never in memory at once; the series of one
        entity and metric are all in one batch.
        """
        ...
