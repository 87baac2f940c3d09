"""The rows of a file by series and time, whatever order they came in."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from portal.analyze.times import IntArray


@dataclass(frozen=True)
class Ordered:
    """`order` sorts rows by series, time and place in the file; series k has `order[starts[k]:starts[k + 1]]`."""

    order: IntArray
    starts: IntArray

    def __iter__(self) -> Iterator[IntArray]:
        """Give the rows of one series after the other, in order of time."""
        for begin, end in zip(self.starts[:-1], self.starts[1:], strict=True):
            yield self.order[begin:end]


def by_series(codes: NDArray[np.int32], ts_ms: IntArray, series: int) -> Ordered:
    """Return the rows in order of series and time."""
    same = codes[1:] == codes[:-1]
    sorted_already = bool(np.all((codes[1:] > codes[:-1]) | (same & (ts_ms[1:] >= ts_ms[:-1]))))
    order = np.arange(len(codes)) if sorted_already else np.lexsort((ts_ms, codes))
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=series))])
    return Ordered(order, starts)


def duplicates(codes: NDArray[np.int32], ts_ms: IntArray, ordered: Ordered) -> int:
    """Return how many rows have the series and time of an earlier one."""
    own, times = codes[ordered.order], ts_ms[ordered.order]
    return int(np.count_nonzero((own[1:] == own[:-1]) & (times[1:] == times[:-1])))
