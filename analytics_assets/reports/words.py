"""Numbers, names and lists as a reader expects them in a sentence.

Everything here is text for people. Programs read the JSON report or the figures' own rows.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime, timedelta

NAME_LIMIT = 48
"""Longest name that is shown whole, in characters. A longer one loses its middle."""

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL_RATE = ("B/s", "kB/s", "MB/s", "GB/s", "TB/s")
# Format characters that turn the direction of the text around them: a name may not reorder a sentence.
_DIRECTION_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NUMBER_AND_UNIT = re.compile(r"(?<=\d) (?=(?:%|[KMGTP]iB|[kMGT]?B/s|cores?\b|vCPUs?\b|days?\b|VMs?\b))")
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"


def number(value: float) -> str:
    """Return a number with three significant digits and thousands separators: `0.587`, `31.2`, `1,204`."""
    size = abs(value)
    decimals = 0 if size >= 99.95 else 1 if size >= 9.995 else 2
    if 0 < size < 0.995:
        decimals = min(6, 2 - math.floor(math.log10(size)))
    text = f"{value:,.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def quantity(value: float | None, unit: str) -> str:
    """Return a value in a unit a person reads: bytes as GiB, bytes/s as MB/s, percent as `84.3 %`."""
    if value is None or not math.isfinite(value):
        return "unknown"
    if unit == "bytes":
        return _scaled(value, 1024, _BINARY)
    if unit == "bytes/s":
        return _scaled(value, 1000, _DECIMAL_RATE)
    if unit == "percent":
        return f"{number(round(value, 1))} %"
    if unit in ("cores", "vCPUs"):
        shown = number(value)
        return f"{shown} {unit[:-1] if shown == '1' else unit}"
    return f"{number(value)} {unit}".rstrip()


def _scaled(value: float, step: int, units: Sequence[str]) -> str:
    place = 0
    while place + 1 < len(units) and abs(value) >= step ** (place + 1):
        place += 1
    shown = number(value / step**place)
    return f"{shown} {units[place]}"


def used_of(used: float | None, whole: float | None, unit: str) -> str:
    """Return `31.2 of 36 GiB`: the unit once where both share it."""
    first, last = quantity(used, unit), quantity(whole, unit)
    if first.rpartition(" ")[2] == last.rpartition(" ")[2] and " " in first:
        first = first.rpartition(" ")[0]
    return f"{first} of {last}"


def percent_of(part: float | None, whole: float | None) -> str:
    """Return `part` as a percentage of `whole`, `unknown` where there is no whole."""
    if part is None or not whole:
        return "unknown"
    return quantity(100 * part / whole, "percent")


def count(value: int, singular: str, plural: str = "") -> str:
    """Return `1 VM`, `2 VMs`, `1,204 VMs`; `plural` where adding an s is not enough."""
    return f"{value:,} {singular if value == 1 else plural or singular + 's'}"


def days(value: float) -> str:
    """Return a span in whole days, rounded down: what is left never looks like more than it is."""
    whole = math.floor(value)
    return "less than a day" if whole < 1 else count(whole, "day")


def listing(parts: Sequence[str], more: int = 0) -> str:
    """Return `a`, `a and b`, `a, b and c`, or `a, b and 4 more` where `more` are left out."""
    items = [*parts, f"{more:,} more"] if more else list(parts)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def name(text: str) -> str:
    """Return an entity's name, safe to stand in a sentence of any output format.

    Control characters show as U+FFFD, a long name loses its middle, and a name written from right
    to left is isolated so that the words around it keep their order.
    """
    clean = "".join("\ufffd" if _hidden(character) else character for character in text)
    if len(clean) > NAME_LIMIT:
        head = NAME_LIMIT * 2 // 3
        clean = f"{clean[:head]}\u2026{clean[-(NAME_LIMIT - head - 1) :]}"
    if any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in clean):
        return f"{_ISOLATE}{clean}{_END_ISOLATE}"
    return clean or "(no name)"


def node(node_id: str) -> str:
    """Return how a sentence names a node: `node n1`, and `node-r02` where the id says so itself."""
    return name(node_id) if node_id.lower().startswith("node") else f"node {name(node_id)}"


def _hidden(character: str) -> bool:
    return character in _DIRECTION_CONTROLS or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def clause(text: str | None, otherwise: str = "no reason was stored") -> str:
    """Return a stored reason so that it can stand inside a sentence: one line, no full stop at its end."""
    shown = " ".join("".join(" " if _hidden(character) else character for character in text or "").split())
    return shown.rstrip(" .") or otherwise


def capital(text: str) -> str:
    """Return `text` with its first letter in upper case and the rest as it was."""
    return text[:1].upper() + text[1:]


def day_ranges(found: Sequence[date]) -> str:
    """Return days as `2026-03-03, 2026-03-05 to 2026-03-07`."""
    ordered = sorted(set(found))
    runs: list[tuple[date, date]] = []
    for day in ordered:
        if runs and day - runs[-1][1] == timedelta(days=1):
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return ", ".join(
        first.isoformat() if first == last else f"{first.isoformat()} to {last.isoformat()}" for first, last in runs
    )


def clock(instant: datetime | None) -> str:
    """Return the time of day, `14:35`."""
    return "unknown" if instant is None else f"{instant:%H:%M}"


def bind(text: str) -> str:
    """Return `text` with a no-break space between each number and its unit, for laid-out text."""
    return _NUMBER_AND_UNIT.sub("\u00a0", text)


def whole_days(value: float) -> str:
    """Return a number of days beside another span, rounded down: `14`, `1,204`."""
    return f"{math.floor(value):,}"
