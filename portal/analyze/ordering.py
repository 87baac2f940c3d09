"""The rows of a file by series and time, whatever order they came in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from portal.analyze.columns import Rows
from portal.analyze.summary import shown
from portal.analyze.times import IntArray
from resources.errors import InvalidInput


@dataclass(frozen=True)
class Ordered:
    """`order` sorts rows by series, time and place in the file; series k has `order[starts[k]:starts[k + 1]]`."""

    order: IntArray
    starts: IntArray

    def __iter__(self) -> Iterator[IntArray]:
        """Give the rows of one series after the other, in order of time."""
        for begin, end in zip(self.starts[:-1], self.starts[1:], strict=True):
            yield self.order[begin:end]


def by_series(codes: NDArray[np.integer], ts_ms: IntArray, series: int) -> Ordered:
    """Return the rows in order of series and time."""
    same = codes[1:] == codes[:-1]
    sorted_already = bool(np.all((codes[1:] > codes[:-1]) | (same & (ts_ms[1:] >= ts_ms[:-1]))))
    order = np.arange(len(codes)) if sorted_already else np.lexsort((ts_ms, codes))
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=series))])
    return Ordered(order, starts)


def refuse_mixed(rows: Rows, key: Sequence[str], column: str) -> None:
    """Refuse a file in which rows of one series, told by the columns of `key`, differ in a further `column`.

    Raises:
        InvalidInput: two series would silently be taken as one.
    """
    if column not in rows.texts:
        return
    series = np.zeros(rows.count, np.int64)
    for name in key:
        series = series * len(rows.names(name)) + rows.codes(name)
    _, first, place = np.unique(series, return_index=True, return_inverse=True)
    own = rows.codes(column)
    differs = own != own[first][place]
    if not differs.any():
        return
    row = int(np.argmax(differs))
    which = ", ".join(f"{name} {shown(rows.names(name)[rows.codes(name)[row]])}" for name in key)
    names = rows.names(column)
    raise InvalidInput(
        f"{rows.path}: {which} has the {column}s {shown(names[own[first][place[row]]])} and {shown(names[own[row]])}, "
        f"which are not one series. Make the {column} a part of the name of the {key[-1]}, or mix them with --ignore."
    )


def duplicates(codes: NDArray[np.integer], ts_ms: IntArray, ordered: Ordered) -> int:
    """Return how many rows have the series and time of an earlier one."""
    own, times = codes[ordered.order], ts_ms[ordered.order]
    return int(np.count_nonzero((own[1:] == own[:-1]) & (times[1:] == times[:-1])))
