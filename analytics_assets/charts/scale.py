"""Axes that people can read: round tick values in the units of this project, and UTC time.

Byte units are binary (KiB = 1024 bytes), as a VM's sizes are. All numbers are formatted with fixed
decimals and fixed English month names, so that a chart is the same text on every machine.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from resources.errors import InvalidInput
from resources.partition import DAY_MS

HOUR_MS = 3_600_000

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

SUFFIXES = {"percent": " %", "cores": " cores", "": ""}

TIME_STEPS_MS = tuple(
    HOUR_MS * hours for hours in (1, 2, 3, 6, 12, 24, 48, 72, 24 * 7, 24 * 14, 24 * 28, 24 * 91, 24 * 364)
)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: `at` is a value (in the data's unit) or an instant (ms), `label` its text."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A range and its ticks; every tick lies in `[low, high]`."""

    low: float
    high: float
    ticks: tuple[Tick, ...]

    @property
    def labels(self) -> list[str]:
        return [tick.label for tick in self.ticks]


def value_axis(values: Iterable[float], unit: str, intervals: int = 5, from_zero: bool = True) -> Axis:
    """Return an axis of about `intervals` round steps that covers the finite ones of `values`.

    `unit` is a column's unit: percent, bytes, bytes/s, cores, or any other word. With `from_zero`
    the axis includes zero; without, it starts below the smallest value. No value gives 0 to 1.

    Raises:
        InvalidInput: `intervals` is below 1.
    """
    if intervals < 1:
        raise InvalidInput(f"an axis of {intervals} intervals cannot be drawn. Ask for at least 1.")
    finite = [float(value) for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    base, suffix = unit_of(unit, max(abs(low), abs(high)))
    low, high = low / base, high / base
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        # One value only: room on both sides of it, or 0 to 1 where there is nothing at all.
        spread = abs(high) / 2 or 1.0
        low, high = (low - spread, high + spread) if low and not from_zero else (low, high + spread)
    step = _round_step((high - low) / intervals)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = [Tick(index * step * base, _tick_label(index * step, decimals, suffix)) for index in range(first, last + 1)]
    return Axis(ticks[0].at, ticks[-1].at, tuple(ticks))


def time_axis(start_ms: int, end_ms: int, most: int = 8) -> Axis:
    """Return the UTC axis of `[start_ms, end_ms)` with at most about `most` ticks on round hours and days.

    A tick at midnight reads as its day (1 Mar), any other as its hour (06:00); ticks of whole days
    count from the first midnight.

    Raises:
        InvalidInput: the range is empty.
    """
    if end_ms <= start_ms:
        raise InvalidInput(f"a time axis from {start_ms} to {end_ms} ms is empty. The end must follow the start.")
    step = next((step for step in TIME_STEPS_MS if (end_ms - start_ms) / step <= most), TIME_STEPS_MS[-1])
    align = min(step, DAY_MS)
    first = -(-start_ms // align) * align
    return Axis(start_ms, end_ms, tuple(Tick(at, _time_label(at)) for at in range(first, end_ms, step)))


def unit_of(unit: str, largest: float) -> tuple[float, str]:
    """Return what to divide by and the suffix to write, for numbers up to `largest` in `unit`."""
    if unit in ("bytes", "bytes/s"):
        power = 0
        while power < len(BYTE_UNITS) - 1 and largest >= 1024 ** (power + 1):
            power += 1
        return float(1024**power), f" {BYTE_UNITS[power]}{unit.removeprefix('bytes')}"
    return 1.0, SUFFIXES.get(unit, f" {unit}")


def format_value(value: float, unit: str) -> str:
    """Return one number with its unit in about three significant digits, such as `4.25 GiB`."""
    base, suffix = unit_of(unit, abs(value))
    scaled = value / base
    size = abs(scaled)
    if size >= 100:
        decimals = 0
    elif size >= 10:
        decimals = 1
    elif size >= 0.1 or size == 0:
        decimals = 2
    else:
        decimals = min(9, 1 - math.floor(math.log10(size)))
    text = f"{scaled:,.{decimals}f}"
    return ("0" if float(text.replace(",", "")) == 0 else text) + suffix


def format_slope(per_day: float, unit: str) -> str:
    """Return a change per day with its sign, such as `+0.82 points a day` for percent."""
    text = format_value(abs(per_day), unit)
    if unit == "percent":
        text = f"{text.removesuffix(' %')} points"
    sign = "-" if per_day < 0 else "+"
    return f"{sign}{text} a day"


def format_instant(at_ms: int) -> str:
    """Return an instant as `2026-03-01 14:00 UTC`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def format_days(start_ms: int, end_ms: int) -> str:
    """Return the days of `[start_ms, end_ms)` as `2026-03-01 to 2026-03-14 (UTC)`."""
    first = datetime.fromtimestamp(start_ms / 1000, UTC).date().isoformat()
    last = datetime.fromtimestamp((end_ms - 1) / 1000, UTC).date().isoformat()
    return f"{first} (UTC)" if first == last else f"{first} to {last} (UTC)"


def _round_step(at_least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below `at_least`."""
    power = math.floor(math.log10(at_least))
    for digit in (1, 2, 5):
        step = digit * 10.0**power
        if step >= at_least * (1 - 1e-9):
            return step
    return 10.0 ** (power + 1)


def _tick_label(value: float, decimals: int, suffix: str) -> str:
    return "0" if value == 0 else f"{value:,.{decimals}f}{suffix}"


def _time_label(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    if at_ms % DAY_MS:
        return f"{at.hour:02d}:{at.minute:02d}"
    return f"{at.day} {MONTHS[at.month - 1]}"
