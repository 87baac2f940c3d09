"""Rows of many files, brought together by day, so that each day is stored once."""

import tempfile
from collections.abc import Iterator
from datetime import date
from types import TracebackType

import numpy as np
import pyarrow as pa

from resources.partition import DAY_MS, day_of_ms

MEMORY_ROWS = 2_000_000
"""Rows held in memory (about 130 bytes each, twice that while they are ordered); more go to a temporary file."""


class Gathering:
    """Takes rows in any order and gives them back by day, each day's in the order they were added.

    The temporary file has no name: however the process ends, nothing of it stays behind.
    """

    def __init__(self, memory_rows: int = MEMORY_ROWS) -> None:
        self.memory_rows = memory_rows
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._held: dict[date, list[pa.Table]] = {}
        self._spilled: dict[date, list[tuple[int, int]]] = {}
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> "Gathering":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, rows: pa.Table) -> None:
        """Take rows that have a column `ts`."""
        if rows.num_rows:
            self._pending.append(rows)
            self._pending_rows += rows.num_rows
        if self._pending_rows >= self.memory_rows:
            self._spill()

    def days(self) -> list[date]:
        """Return the days that have rows, oldest first."""
        for day, rows in self._split():
            self._held.setdefault(day, []).append(rows)
        return sorted({*self._held, *self._spilled})

    def rows(self, day: date) -> pa.Table:
        """Return the rows of a day of `days()`, and forget those in memory."""
        parts = []
        for offset, length in self._spilled.get(day, ()):
            self._file.seek(offset)
            with pa.ipc.open_stream(pa.py_buffer(self._file.read(length))) as stream:
                parts.append(stream.read_all())
        parts += self._held.pop(day, [])
        return pa.concat_tables(parts).unify_dictionaries().combine_chunks()

    def _spill(self) -> None:
        for day, rows in self._split():
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, rows.schema) as stream:
                stream.write_table(rows)
            content = sink.getvalue()
            offset = self._file.seek(0, 2)
            self._file.write(content)
            self._spilled.setdefault(day, []).append((offset, content.size))

    def _split(self) -> Iterator[tuple[date, pa.Table]]:
        if not self._pending:
            return
        rows = pa.concat_tables(self._pending).unify_dictionaries().combine_chunks()
        self._pending, self._pending_rows = [], 0
        days = np.asarray(rows.column("ts").cast(pa.int64())) // DAY_MS
        if np.any(days[1:] < days[:-1]):
            order = np.argsort(days, kind="stable")
            rows, days = rows.take(pa.array(order)), days[order]
        starts = np.flatnonzero(np.r_[True, days[1:] != days[:-1]])
        for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
            yield day_of_ms(int(days[start]) * DAY_MS), rows.slice(int(start), int(end - start))
