"""A time series as the kit passes it around: what is written to a server, and what a server must return."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["gauge", "counter", "unknown"]


@dataclass(frozen=True, eq=False)
class Series:
    """Samples of one metric name and label set; `labels` do not have the name, `ts_ms` is in order of arrival."""

    name: str
    labels: dict[str, str]
    ts_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    kind: Kind = "gauge"

    def __post_init__(self) -> None:
        if len(self.ts_ms) != len(self.values):
            raise ValueError(f"{self.name}{self.labels}: {len(self.ts_ms)} times and {len(self.values)} values")

    def __len__(self) -> int:
        return len(self.ts_ms)

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What a server tells series apart by."""
        return self.name, tuple(sorted(self.labels.items()))


def count_samples(series: Iterable[Series]) -> int:
    """Return how many samples `series` have together."""
    return sum(len(one) for one in series)
