"""What every reader of trace files hands on: sample rows that passed the checks, and the lines that did not.

A reader takes its format apart into a `Raw` block: numbers as the file has them, NaN where there
is none. `check` is the one place that says which of them can be a sample.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resources.lake.table import ENTITY, TIMESTAMP
from resources.monitoring.metrics import VM_COLUMNS
from resources.partition import day_start_ms

SIZES = ("vcpus", "memory_capacity_bytes", "disk_capacity_bytes")
TEXTS = ("vm_name", "node_id", "flavor")

WHOLE = frozenset({"memory_capacity_bytes", "disk_capacity_bytes"})
"""The sizes that are whole numbers of bytes."""

LIMITS = {
    **dict.fromkeys((*VM_COLUMNS, *SIZES), 2.0**60),
    "cpu_percent": 1e6,
    "vcpus": 1e5,
}
"""The most that a value may be. An exbibyte, 10,000 busy CPUs or 100,000 vCPUs of one VM are not measurements."""

FIRST_MS, END_MS = day_start_ms(date(2000, 1, 1)), day_start_ms(date(2100, 1, 1))
"""Timestamps are in `[FIRST_MS, END_MS)`; in seconds and in milliseconds these ranges do not meet."""

TEXT_LENGTH = 200
"""Characters of a rejected line that are kept."""

ROWS = pa.schema(
    [
        pa.field("vm_id", ENTITY, nullable=False),
        pa.field("ts", TIMESTAMP, nullable=False),
        *(pa.field(name, pa.float64()) for name in VM_COLUMNS),
        *(pa.field(name, pa.int64() if name in WHOLE else pa.float64()) for name in SIZES),
        *(pa.field(name, ENTITY) for name in TEXTS),
    ]
)
"""Sample rows in order of arrival; null is no sample."""

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Reject:
    """A line (or, of a Parquet file, a row; both count from 1) that cannot be a sample, and why."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True)
class Block:
    """Some consecutive lines of a file: the `rows` they hold by `ROWS`, and the rejects among them.

    `lines` counts the lines with anything in them: also those of VMs that were not asked for.
    """

    rows: pa.Table
    rejects: tuple[Reject, ...]
    lines: int


@dataclass(frozen=True)
class Raw:
    """Some lines taken apart. `ts` is in the clock's unit, `values` in our units; NaN is missing."""

    lines: IntArray
    vm_ids: pa.DictionaryArray
    ts: FloatArray
    values: Mapping[str, FloatArray]
    texts: Mapping[str, pa.DictionaryArray] = field(default_factory=dict)


@dataclass
class Clock:
    """The unit of a file's timestamps: `s`, `ms`, or `auto` until the first plausible one decides."""

    unit: str

    def to_ms(self, ts: FloatArray) -> FloatArray:
        """Return `ts` in whole milliseconds. While nothing plausible was seen they are returned as they are."""
        if self.unit == "auto":
            as_seconds = (ts >= FIRST_MS / 1000) & (ts < END_MS / 1000)
            plausible = as_seconds | ((ts >= FIRST_MS) & (ts < END_MS))
            if not plausible.any():
                return ts
            self.unit = "s" if as_seconds[int(np.argmax(plausible))] else "ms"
        scaled: FloatArray = np.rint(ts * 1000 if self.unit == "s" else ts)
        return scaled


def check(raw: Raw, clock: Clock, text_of: Callable[[int], str]) -> tuple[pa.Table, list[Reject]]:
    """Return the rows of `raw` that can be samples, by `ROWS`, and the others as rejects.

    A timestamp must be given and lie in 2000 to 2099, a VM must be named, a number must be finite,
    not negative and at most its limit. `text_of` returns the text of the line with a given number.
    """
    ts_ms = clock.to_ms(raw.ts)
    reasons: dict[int, str] = {}

    def refuse(bad: BoolArray, explain: Callable[[int], str]) -> None:
        for row in np.flatnonzero(bad):
            reasons.setdefault(int(row), explain(int(row)))

    refuse(_unnamed(raw.vm_ids), lambda row: "vm_id is missing")
    refuse(~((ts_ms >= FIRST_MS) & (ts_ms < END_MS)), partial(_no_time, raw.ts))
    for name, values in raw.values.items():
        limit = LIMITS[name]
        refuse((values < 0) | (values > limit), partial(_out_of_range, name, values))
    good = np.ones(len(ts_ms), dtype=bool)
    good[list(reasons)] = False
    lines = raw.lines
    rejects = [Reject(int(lines[row]), reasons[row], text_of(int(lines[row]))[:TEXT_LENGTH]) for row in sorted(reasons)]
    return _rows(raw, ts_ms, good), rejects


def _unnamed(vm_ids: pa.DictionaryArray) -> BoolArray:
    empty = pc.equal(vm_ids.dictionary, "").to_numpy(zero_copy_only=False)
    codes = np.asarray(vm_ids.indices.fill_null(-1))
    unnamed: BoolArray = np.append(empty, True).astype(bool)[codes]
    return unnamed


def _no_time(ts: FloatArray, row: int) -> str:
    return "ts is missing or no time" if np.isnan(ts[row]) else f"ts {ts[row]:.15g} is not in 2000 to 2099"


def _out_of_range(name: str, values: FloatArray, row: int) -> str:
    value = float(values[row])
    if value < 0:
        return f"{name} = {value:g} is negative"
    return f"{name} = {value:g} is more than {LIMITS[name]:g}"


def _rows(raw: Raw, ts_ms: FloatArray, good: BoolArray) -> pa.Table:
    everything = bool(good.all())
    count = int(good.sum())
    vm_ids = raw.vm_ids if everything else raw.vm_ids.filter(pa.array(good))
    arrays: list[pa.Array] = []
    for declared in ROWS:
        name = declared.name
        if name == "vm_id":
            arrays.append(_escaped(vm_ids))
        elif name == "ts":
            arrays.append(pa.array(ts_ms[good].astype(np.int64)).cast(TIMESTAMP))
        elif name in raw.values:
            values = raw.values[name][good] + 0.0  # minus zero is zero
            missing = np.isnan(values)
            if name in WHOLE:
                values = np.rint(np.where(missing, 0, values)).astype(np.int64)
            arrays.append(pa.array(values, declared.type, mask=missing if missing.any() else None))
        elif name in raw.texts:
            arrays.append(_without_empty(raw.texts[name].filter(pa.array(good))))
        elif name == "vm_name":
            arrays.append(_names_of_escaped(vm_ids))
        else:
            arrays.append(pa.nulls(count, declared.type))
    return pa.Table.from_arrays(arrays, schema=ROWS)


def legal_id(text: str) -> str:
    """Return `text` as an id: letters, digits and `. _ - : @ + = ~` stay, all else becomes %XX of its UTF-8 bytes.

    No two texts have the same id, and one that is legal already is its own.
    """
    if text.isascii() and text.replace("-", "").replace("_", "").replace(".", "").isalnum():
        return text
    return "".join(
        character
        if character.isalnum() or character in "._-:@+=~"
        else "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
        for character in text
    )


def printable(text: str) -> str:
    """Return a file's name as it can be stored: bytes of it that are not UTF-8 become %XX."""
    return "".join(
        f"%{ord(character) - 0xDC00:02X}" if "\udc80" <= character <= "\udcff" else character for character in text
    )


def constant(text: str, count: int) -> pa.DictionaryArray:
    """Return `count` times `text` as an encoded array."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text], pa.string()))


def _escaped(vm_ids: pa.DictionaryArray) -> pa.DictionaryArray:
    ids = [legal_id(text) for text in vm_ids.dictionary.to_pylist()]
    if ids == vm_ids.dictionary.to_pylist():
        return vm_ids
    return pa.DictionaryArray.from_arrays(vm_ids.indices, pa.array(ids, pa.string()))


def _names_of_escaped(vm_ids: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return the text that each id was made from where it had to be changed, else null."""
    texts = vm_ids.dictionary.to_pylist()
    changed = np.array([legal_id(text) != text for text in texts], dtype=bool)
    if not changed.any():
        return pa.nulls(len(vm_ids), ENTITY)
    codes = np.asarray(vm_ids.indices)
    indices = pa.array(codes.astype(np.int32), pa.int32(), mask=~changed[codes])
    return pa.DictionaryArray.from_arrays(indices, vm_ids.dictionary)


def _without_empty(texts: pa.DictionaryArray) -> pa.DictionaryArray:
    codes = np.asarray(texts.indices.fill_null(-1))
    empty = np.append(pc.equal(texts.dictionary, "").to_numpy(zero_copy_only=False), True).astype(bool)
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32(), mask=empty[codes]), texts.dictionary)


def iso_to_ms(texts: pa.Array) -> FloatArray:
    """Return ISO 8601 texts as milliseconds since the epoch, NaN where a text is none; without a zone it is UTC."""
    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        try:
            nanoseconds = np.asarray(texts.cast(kind).cast(pa.int64()).fill_null(0))
        except pa.ArrowInvalid:
            continue  # mixed zones, or some text that is no time: taken one by one below
        return np.where(np.asarray(texts.is_null()), np.nan, np.floor_divide(nanoseconds, 1_000_000))
    return np.array([_one_iso_to_ms(text) for text in texts.to_pylist()], dtype=np.float64)


def _one_iso_to_ms(text: str | None) -> float:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return np.nan
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return float((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))
