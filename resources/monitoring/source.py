"""Where samples come from: raw, as they arrived. Gridding them is not a source's work."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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
    `method` says how they were read; with `warnings` the source says that samples may be missing.
    """

    metric: str
    labels: tuple[dict[str, str], ...]
    offsets: NDArray[np.int64]
    ts_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    method: str = ""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.labels) + 1 or self.offsets[-1] != len(self.ts_ms) != len(self.values):
            raise ValueError(f"batch of {self.metric}: offsets, labels, times and values disagree")

    def where(self, predicate: Callable[[dict[str, str]], bool]) -> "SeriesBatch":
        """Return the series whose labels meet `predicate`."""
        chosen = [number for number, labels in enumerate(self.labels) if predicate(labels)]
        if len(chosen) == len(self.labels):
            return self
        sizes = np.diff(self.offsets)[chosen] if chosen else np.zeros(0, np.int64)
        keep = np.zeros(len(self.labels), bool)
        keep[chosen] = True
        picked = np.repeat(keep, np.diff(self.offsets))
        return replace(
            self,
            labels=tuple(self.labels[number] for number in chosen),
            offsets=np.r_[0, np.cumsum(sizes)].astype(np.int64),
            ts_ms=self.ts_ms[picked],
            values=self.values[picked],
        )


class MetricSource(Protocol):
    """A source of samples. A tenant's series carry the label `tenant_id`; the platform's carry `node_id`."""

    @property
    def kind(self) -> str:
        """What sort of source it is, such as `files` or `simulated`."""
        ...

    def tenants(self) -> list[str]:
        """Return the tenants the source has samples of, the platform among them where it has nodes.

        Only legal tenant ids; `refused_tenants` has the rest.
        """
        ...

    def refused_tenants(self) -> dict[str, str]:
        """Return the values of the tenant label that are no tenant ids, each with the reason.

        No sample under such a label is ever read.
        """
        ...

    def extent(self, tenant: str) -> tuple[date, date] | None:
        """Return the first and last day with samples of `tenant`, None where there are none."""
        ...

    def has_passed(self, tenant: str, ts_ms: int) -> bool:
        """Return whether everything that was to be sampled of `tenant` before `ts_ms` has been, or never will be."""
        ...

    def sample_interval_seconds(self, tenant: str) -> int | None:
        """Return the seconds between two samples of a series; None where only the samples can tell."""
        ...

    def samples(self, tenant: str, selectors: Sequence[str], start_ms: int, end_ms: int) -> Iterator[SeriesBatch]:
        """Yield all raw samples of `selectors` in `[start_ms, end_ms)`.

        A selector is a metric's exported name, or one in PromQL's notation (`selector.py`). One
        that the source has nothing for yields nothing; a series that two of them mean may come
        twice. Every series carries the tenant's `tenant_id`; the platform's carry none. A batch
        holds one metric and a bounded number of series, so that a large tenant is never in memory
        at once; the series of one VM and metric are all in one batch.

        Raises:
            TransientFailure: the source cannot be read now, or not whole.
            PermanentFailure: it refuses, or answers with what was not asked for.
        """
        ...
