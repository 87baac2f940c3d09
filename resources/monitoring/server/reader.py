"""What reads raw samples from a server: one request, one whole answer."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.selector import Selector


@dataclass(frozen=True)
class RawSeries:
    """Series of any metrics. `labels[i]`, with the metric under `__name__`, describes series `i`, whose
    samples are `offsets[i]` to `offsets[i + 1]` of `ts_ms` and `values`, as the server stores them."""

    labels: tuple[dict[str, str], ...]
    offsets: NDArray[np.int64]
    ts_ms: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Read:
    """One answer: all that the server has for a request. With `warnings` the server says that it may lack some."""

    series: RawSeries
    method: str
    warnings: tuple[str, ...] = ()


class Reader(Protocol):
    """A way to get raw samples out of a server."""

    def read(self, selector: Selector, start_ms: int, end_ms: int) -> Read:
        """Return the samples of the selected series in `[start_ms, end_ms)`.

        Raises:
            TooMuch: the server refuses the amount; ask for fewer series or less time.
            TransientFailure, PermanentFailure: as `HttpClient.send`.
        """
        ...
