"""The columns of an inventory file, and what a cell of each may hold.

| column | holds |
|---|---|
| `tenant_id` (or `tenant`) | the tenant; needed |
| `vm_id` | the VM, as its samples name it; needed |
| `vm_name`, `node_id`, `flavor` | text |
| `vcpus` | a number above 0, fractions allowed |
| `memory_bytes`, or `memory_kib`, `memory_mib`, `memory_gib` | a number above 0 |
| `disk_bytes`, or `disk_kib`, `disk_mib`, `disk_gib`, `disk_tib` | a number above 0 |
| `state` | `running` or `stopped` |
| `valid_from` | ISO 8601 with a zone, a day (its UTC midnight), or seconds since 1970 |

An empty cell is unknown; an empty `valid_from` is "always". Units are powers of 1024 only: a column
called `memory_mb` is refused, because half of the world means 10^6 by it and the other half 2^20.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from resources.errors import InvalidInput
from resources.inventory.rows import ALWAYS_MS, LONGEST_TEXT, MOST_BYTES, MOST_VCPUS
from resources.monitoring.server.failures import shown as shown_text
from resources.partition import day_start_ms, parse_day

SHOWN = 60
"""Characters of a refused value that are shown."""

SEEN_BEFORE = 4096
"""Cells whose meaning is remembered: a million VMs have few different sizes, and share what stands for them."""

STATES = ("running", "stopped")

_SCALES = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_MEMORY = {f"memory_{unit}": scale for unit, scale in _SCALES.items() if unit != "tib"}
_DISK = {f"disk_{unit}": scale for unit, scale in _SCALES.items()}

COLUMNS = {
    **{name: name for name in ("tenant_id", "vm_id", "vm_name", "node_id", "flavor", "vcpus", "state", "valid_from")},
    "tenant": "tenant_id",
    **dict.fromkeys(_MEMORY, "memory_bytes"),
    **dict.fromkeys(_DISK, "disk_bytes"),
}
"""Column of a file -> which of ours it fills."""

SCALES = {**_MEMORY, **_DISK}
"""Column of a file with a size in bytes -> bytes in one of its unit."""

_AMBIGUOUS = re.compile(r"(memory|disk)_([kmgt])b")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_FIRST_MS, _END_MS = day_start_ms(date(2000, 1, 1)), day_start_ms(date(2100, 1, 1))


class BadCell(ValueError):
    """A cell that cannot be what its column holds; its text says so, naming column and value."""


def check_columns(names: Sequence[str]) -> None:
    """Refuse columns that are unknown, filled twice or missing.

    Raises:
        BadCell: says which, with the known ones.
    """
    for name in names:
        if name not in COLUMNS:
            known = ", ".join(sorted(COLUMNS))
            raise BadCell(f"{shown(name)} is no column of an inventory{_hint(name)}. The columns are: {known}")
    ours = [COLUMNS[name] for name in names]
    for name in dict.fromkeys(ours):
        if ours.count(name) > 1:
            both = ", ".join(sorted(theirs for theirs in names if COLUMNS[theirs] == name))
            raise BadCell(f"{name} is given more than once: {both}. Leave one")
    for name in ("tenant_id", "vm_id"):
        if name not in ours:
            raise BadCell(f"there is no {name}, which every row needs")


def _hint(name: str) -> str:
    match = _AMBIGUOUS.fullmatch(name)
    if not match:
        return ""
    better = f"{match.group(1)}_{match.group(2)}ib"
    return f" (it may mean powers of 1000 or of 1024: call it {better} if it means the latter, else give bytes)"


def shown(value: object) -> str:
    """Return a value from outside as it may be printed: quoted, escaped, and not all of a long one."""
    return shown_text(value if isinstance(value, str) else repr(value), SHOWN)


def plain(column: str, value: object) -> str:
    """Return a cell as text without blanks around it, empty where there is none.

    Raises:
        BadCell: it is a list, an object or a truth value; it holds what is no UTF-8 text or cannot
            be printed; or it is longer than an id or a name.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadCell(f"{column} = {shown(value)} is neither text nor a number")
    text = value.strip()
    if len(text) > LONGEST_TEXT:
        raise BadCell(f"{column} = {shown(text)} is longer than {LONGEST_TEXT} characters")
    if text.isprintable():
        return text
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise BadCell(f"{column} = {shown(text)} is not UTF-8 text")
    raise BadCell(f"{column} = {shown(text)} holds characters that cannot be printed")


def number(column: str, text: str) -> Decimal | None:
    """Return a number above 0, None for no text.

    Raises:
        BadCell: it is no number, or none above 0.
    """
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise BadCell(f"{column} = {shown(text)} is not a number")
    value = Decimal(text)
    if value <= 0:
        raise BadCell(f"{column} = {shown(text)} is not above 0 (leave it empty if it is unknown)")
    return value


@lru_cache(SEEN_BEFORE)
def vcpus(text: str) -> float | None:
    """Return a number of vCPUs, None for no text; `BadCell` if it is none."""
    value = number("vcpus", text)
    if value is None:
        return None
    if value > MOST_VCPUS:
        raise BadCell(f"vcpus = {shown(text)} is more than {MOST_VCPUS:,.0f}")
    if float(value) <= 0:  # a float cannot hold the smallest numbers
        raise BadCell(f"vcpus = {shown(text)} is as good as 0 (leave it empty if it is unknown)")
    return float(value)


@lru_cache(SEEN_BEFORE)
def size(column: str, text: str) -> int | None:
    """Return the bytes that a cell of a memory or disk column means, None for no text; `BadCell` if it is no size."""
    value = number(column, text)
    if value is None:
        return None
    if value > MOST_BYTES or value * SCALES[column] > MOST_BYTES:
        raise BadCell(f"{column} = {shown(text)} is more than an exbibyte")
    if value * SCALES[column] < 1:
        raise BadCell(f"{column} = {shown(text)} is less than a byte")
    return round(value * SCALES[column])


def state(text: str) -> str | None:
    """Return `running`, `stopped` or None for an unknown one; `BadCell` if it is none of them."""
    value = text.lower()
    if value not in ("", "unknown", *STATES):
        raise BadCell(f"state = {shown(text)} is not one of {', '.join(STATES)}")
    return value if value in STATES else None


@lru_cache(SEEN_BEFORE)
def instant(text: str) -> int:
    """Return the instant in milliseconds since 1970 that a `valid_from` means, `ALWAYS_MS` for no text.

    Raises:
        BadCell: it is no instant, has no time zone, or is not in 2000 to 2099.
    """
    if not text:
        return ALWAYS_MS
    if _NUMBER.fullmatch(text):
        seconds = Decimal(text)
        ts_ms = int(seconds * 1000) if abs(seconds) < _END_MS else _END_MS
    else:
        ts_ms = _written_out(text)
    if not _FIRST_MS <= ts_ms < _END_MS:
        raise BadCell(f"valid_from = {shown(text)} is not in 2000 to 2099 (numbers are seconds since 1970)")
    return ts_ms


def _written_out(text: str) -> int:
    match = _INSTANT.fullmatch(text)
    try:
        if match is None:
            return day_start_ms(parse_day(text))
        moment = datetime.fromisoformat(text)
    except (InvalidInput, ValueError):
        raise BadCell(f"valid_from = {shown(text)} is no time such as 2026-03-01T12:00:00Z, day or number") from None
    if moment.tzinfo is None:
        raise BadCell(f"valid_from = {shown(text)} has no time zone: add Z for UTC, or an offset such as +01:00")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
