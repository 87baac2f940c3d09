"""How a file writes its times, as milliseconds since the epoch and back again.

Numbers are whole or broken seconds, milliseconds, microseconds or nanoseconds since the epoch; which
of them, the first one of a file decides: the years 2000 to 2099 are different numbers in each. Texts
are ISO 8601, and mean UTC where they name no zone. A Parquet file may have timestamps and dates.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resources.errors import InvalidInput
from resources.monitoring.traces.delimited import NUMBER
from resources.monitoring.traces.rows import END_MS, FIRST_MS, iso_to_ms

UNITS = ("auto", "s", "ms", "us", "ns")
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
LAST_MS = 2**63 // 1_000_000
"""Times are from 1970 on; nanoseconds in 64 bits, which every Parquet reader understands, end in the year 2262."""

LAST_TIME = "2262-04-11"
"""The day on which they end, for a person."""

ZONE = r"(Z|[T :]\d\d.*[+-]\d\d:?(\d\d)?)$"
"""A zone at the end of a text, which the day of a date is not."""

NO_TIME = np.iinfo(np.int64).min

IntArray = NDArray[np.int64]


@dataclass
class TimeReader:
    """Reads the times of one file, block by block, and writes others as that file does.

    `unit` is that of numbers; `auto` until the first of them decides. `numeric` says whether texts are
    numbers, which the first text decides; `type` is what the times had in a Parquet file.
    """

    unit: str = "auto"
    numeric: bool | None = None
    zoned: bool = False
    type: pa.DataType | None = None
    _checked: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        self._checked = self.unit == "auto"

    def to_ms(self, column: pa.Array) -> IntArray:
        """Return a block of times as milliseconds, rounded down, `NO_TIME` where there is none."""
        if pa.types.is_dictionary(column.type):
            of_each = self.to_ms(column.dictionary)
            codes = np.asarray(column.indices.fill_null(len(of_each)))
            found: IntArray = np.append(of_each, NO_TIME)[codes]
            return found
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            return self._from_text(column.cast(pa.string()))
        self.type = column.type
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            whole = pc.floor_temporal(column, unit="millisecond") if pa.types.is_timestamp(column.type) else column
            zone = getattr(column.type, "tz", None)
            return _sensible(np.asarray(whole.cast(pa.timestamp("ms", zone)).cast(pa.int64()).fill_null(NO_TIME)))
        return self._from_number(column)

    def from_ms(self, times_ms: IntArray) -> pa.Array:
        """Return times as the file that was read writes its own."""
        if self.type is not None and (pa.types.is_timestamp(self.type)):
            return pa.array(times_ms, pa.timestamp("ms", self.type.tz)).cast(self.type)
        if self.type is not None and pa.types.is_date(self.type):
            return pa.array(times_ms, pa.timestamp("ms"))  # an hour is no date
        if self.type is not None or self.numeric:
            factor = PER_SECOND[self.unit]
            return pa.array(times_ms * (factor // 1000) if factor >= 1000 else times_ms // 1000)
        return iso_text(pa.array(times_ms, pa.timestamp("ms", "UTC")), self.zoned)

    def assumed(self) -> str:
        """Return what was concluded from how the times look, for a person; nothing where the file says it all."""
        if self.type is not None and (pa.types.is_timestamp(self.type) or pa.types.is_date(self.type)):
            return "" if getattr(self.type, "tz", None) else "UTC, as no zone is named"
        if self.type is not None or self.numeric:
            names = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
            return f"{names[self.unit]} since 1970" if self.unit in names else ""
        return "" if self.zoned else "UTC, as no zone is named"

    def _from_text(self, texts: pa.Array) -> IntArray:
        stripped = pc.utf8_trim_whitespace(texts)
        if self.numeric is None and len(stripped):
            self.numeric = _number(stripped[0].as_py()) is not None
        if self.numeric:
            try:
                return self._from_number(stripped.cast(pa.int64()))
            except pa.ArrowInvalid:
                return self._from_number(pa.array([_number(text) for text in stripped.to_pylist()], pa.float64()))
        found = iso_to_ms(stripped)
        if not self.zoned:
            self.zoned = bool(pc.any(pc.match_substring_regex(stripped, ZONE)).as_py())
        bad = np.isnan(found)
        return _sensible(np.where(bad, NO_TIME, np.where(bad, 0, found).astype(np.int64)))

    def _from_number(self, column: pa.Array) -> IntArray:
        missing = np.asarray(column.is_null())
        if pa.types.is_integer(column.type):
            numbers = np.asarray(column.cast(pa.int64(), safe=False).fill_null(-1))
        else:
            numbers = np.asarray(column.cast(pa.float64()).fill_null(-1.0))
            missing = missing | ~np.isfinite(numbers)
            numbers = np.where(missing, -1.0, numbers)
        if self.unit == "auto" and not missing.all():
            first = float(numbers[int(np.argmin(missing))])
            fits = [unit for unit, per_second in PER_SECOND.items() if _plausible(first, per_second)]
            if not fits:
                return np.full(len(numbers), NO_TIME)
            self.unit = fits[0]
        factor = PER_SECOND.get(self.unit, 1)
        if numbers.dtype.kind in "iu":
            times = numbers // (factor // 1000) if factor >= 1000 else _seconds_to_ms(numbers)
        else:
            times = np.floor(np.clip(numbers * (1000 / factor), -1, LAST_MS + 1))
        low, high = (FIRST_MS, END_MS) if self._checked else (0, LAST_MS)
        return np.where(missing | (times < low) | (times >= high), NO_TIME, times).astype(np.int64)


def parse_time(text: str, option: str, unit: str) -> int:
    """Return a time that was given as an option, in milliseconds since the epoch."""
    found = int(TimeReader(unit).to_ms(pa.array([text]))[0])
    if found == NO_TIME and _number(text.strip()) is None and not np.isnan(iso_to_ms(pa.array([text.strip()]))[0]):
        raise InvalidInput(f"{option} {text!r} is out of range. Give a time of 1970 to {LAST_TIME}.")
    if found == NO_TIME:
        raise InvalidInput(
            f"{option} {text!r} is no time. Write ISO 8601 such as 2026-03-01T00:05:00Z, or a number since 1970."
        )
    return found


def iso_text(times: pa.Array, zoned: bool) -> pa.Array:
    """Return timestamps as ISO 8601 text, with as many decimals as they need; `zoned` adds the Z of UTC."""
    unit = times.type.unit
    for coarser in ("s", "ms", "us"):
        if coarser == unit:
            break
        try:
            times = times.cast(pa.timestamp(coarser, times.type.tz))
            break
        except pa.ArrowInvalid:
            continue  # would lose decimals
    if times.type.tz is not None:
        times = times.cast(pa.timestamp(times.type.unit, "UTC"))
    # Many series have the same times: each is written out once.
    encoded = times.dictionary_encode()
    texts = pc.strftime(encoded.dictionary, format="%Y-%m-%dT%H:%M:%S" + ("Z" if zoned else ""))
    return texts.take(encoded.indices)


def iso_of(time_ms: int) -> str:
    """Return a time as ISO 8601 text in UTC, for a person."""
    text: str = iso_text(pa.array([int(time_ms)], pa.timestamp("ms", "UTC")), zoned=True)[0].as_py()
    return text


def _sensible(times_ms: IntArray) -> IntArray:
    """Return the times without those that no sample has: hours from the year 1 to 9999 would fill the memory."""
    return np.where((times_ms < 0) | (times_ms >= LAST_MS), NO_TIME, times_ms)


def _number(text: str) -> float | None:
    return float(text) if NUMBER.fullmatch(text) else None


def _plausible(number: float, per_second: int) -> bool:
    return FIRST_MS <= number * 1000 / per_second < END_MS


def _seconds_to_ms(numbers: IntArray) -> IntArray:
    limit = LAST_MS // 1000 + 1
    clipped: IntArray = np.clip(numbers.astype(np.int64), -1, limit) * 1000
    return clipped
