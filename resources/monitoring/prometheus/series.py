"""From the pieces a server sends to whole series: joined by their labels, and cut to the window."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from resources.errors import InvalidInput
from resources.monitoring.selector import Selector, quoted
from resources.monitoring.server.api import EARLIEST_MS, LATEST_MS
from resources.monitoring.server.failures import SHOWN_CHARACTERS, shown
from resources.monitoring.server.reader import RawSeries

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Samples = tuple[IntArray, FloatArray]

Piece = TypeVar("Piece")

SELECTOR_CHARACTERS = 128
"""So much of a selector is shown that the window after it is shown too."""


class Joined(Generic[Piece]):
    """Pieces by the series they belong to, both in order of arrival.

    A server may send a series in several parts; a part belongs to the series with the same labels.
    """

    def __init__(self) -> None:
        self.labels: list[dict[str, str]] = []
        self.pieces: list[list[Piece]] = []
        self._numbers: dict[tuple[tuple[str, str], ...], int] = {}

    def add(self, labels: dict[str, str], *pieces: Piece) -> None:
        """Append `pieces` to the series described by `labels`."""
        number = self._numbers.setdefault(tuple(sorted(labels.items())), len(self.labels))
        if number == len(self.labels):
            self.labels.append(labels)
            self.pieces.append([])
        self.pieces[number].extend(pieces)


def joined_samples(joined: Joined[Samples], start_ms: int, end_ms: int) -> RawSeries:
    """Return the series whose pieces are arrays of times and values, cut to `[start_ms, end_ms)`."""
    pieces = [piece for series in joined.pieces for piece in series]
    sizes = [sum(len(ts_ms) for ts_ms, _ in series) for series in joined.pieces]
    return cut(
        joined.labels,
        np.r_[0, np.cumsum(sizes, dtype=np.int64)].astype(np.int64),
        np.concatenate([np.zeros(0, np.int64), *(ts_ms for ts_ms, _ in pieces)]),
        np.concatenate([np.zeros(0, np.float64), *(values for _, values in pieces)]),
        start_ms,
        end_ms,
    )


def cut(
    labels: Sequence[dict[str, str]],
    offsets: IntArray,
    ts_ms: IntArray,
    values: FloatArray,
    start_ms: int,
    end_ms: int,
) -> RawSeries:
    """Return the samples in `[start_ms, end_ms)`, without the series that have none there."""
    inside = (ts_ms >= start_ms) & (ts_ms < end_ms)
    if not inside.all():
        offsets = np.r_[0, np.cumsum(inside)].astype(np.int64)[offsets]
        ts_ms, values = ts_ms[inside], values[inside]
    filled = np.diff(offsets) > 0
    return RawSeries(
        labels=tuple(label for label, keep in zip(labels, filled.tolist(), strict=True) if keep),
        offsets=np.r_[offsets[:1], offsets[1:][filled]],
        ts_ms=ts_ms,
        values=values,
    )


def asked(selector: Selector, start_ms: int, end_ms: int) -> str:
    """Return what a request asks for, as messages name it.

    Raises:
        InvalidInput: the window is empty, or not in milliseconds since 1970.
    """
    if not EARLIEST_MS <= start_ms < end_ms <= LATEST_MS:
        raise InvalidInput(
            f"[{start_ms}, {end_ms}) is no window of time. Give a start and a later end in milliseconds since 1970."
        )
    text = str(selector)
    start, end = (
        datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds") for ms in (start_ms, end_ms)
    )
    return f"{text if len(text) <= SELECTOR_CHARACTERS else text[:SELECTOR_CHARACTERS] + '...'} from {start} to {end}"


def origin(server: str, what: str) -> str:
    """Return who was asked for what, as the messages about an answer begin."""
    return f"{server} was asked for {shown(what)}"


def described(labels: Iterable[tuple[str, str]]) -> str:
    """Return the labels of a series, to be shown."""
    return shown("{" + ", ".join(f"{name}={quoted(value)}" for name, value in labels) + "}")


def beginning(content: bytes) -> str:
    """Return the beginning of what a server sent, to be shown."""
    return shown(content[:SHOWN_CHARACTERS].decode("utf-8", "replace"))
