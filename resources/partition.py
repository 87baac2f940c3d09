"""One cell of the grid: a tenant and a UTC day, and the rules both must keep."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from resources.errors import InvalidInput

PLATFORM = "platform"
"""The reserved tenant id of the operator, who owns nodes, storage tiers and links."""

TENANT_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")

DAY_MS = 86_400_000


def check_tenant(value: str) -> str:
    """Return `value` if it is a legal tenant id, else raise `InvalidInput`.

    A tenant id becomes a folder name and part of a partition key, so nothing outside the pattern
    may pass: no slash, no pipe, no upper case, at most 63 characters.
    """
    if TENANT_PATTERN.fullmatch(value):
        return value
    shown = value if len(value) <= 80 else f"{value[:77]}... ({len(value)} characters)"
    raise InvalidInput(
        f"{shown!r} is not a tenant id. Use 1 to 63 characters out of a-z, 0-9, '_', '.' and '-', "
        "beginning with a letter or a digit."
    )


def sort_out_tenants(labels: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Return those of `labels` that may be tenants, sorted, and the others, each with the reason.

    Labels come from outside: one that is no tenant id, or that is the platform's own, is never used.
    """
    legal, refused = [], {}
    for label in sorted(set(labels)):
        if not label:
            continue
        if label == PLATFORM:
            refused[label] = f"{PLATFORM} is the reserved id of the operator"
        elif TENANT_PATTERN.fullmatch(label):
            legal.append(label)
        else:
            refused[label] = "not 1 to 63 characters out of a-z, 0-9, '_', '.' and '-', beginning with one of a-z, 0-9"
    return legal, refused


def parse_day(text: str) -> date:
    """Return the day that `text` names as YYYY-MM-DD, else raise `InvalidInput`."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            return date.fromisoformat(text)
    except ValueError:
        pass  # the shape was right but the day does not exist; said below
    raise InvalidInput(f"{text!r} is not a day. Write it as YYYY-MM-DD, for example 2026-03-01.")


def day_start(day: date) -> datetime:
    """Return the first instant of `day` in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def day_start_ms(day: date) -> int:
    """Return the first instant of `day` as milliseconds since the epoch."""
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * DAY_MS


def day_of_ms(ts_ms: int) -> date:
    """Return the UTC day that holds the instant `ts_ms`."""
    return date(1970, 1, 1) + timedelta(days=ts_ms // DAY_MS)


def days_between(first: date, last: date) -> list[date]:
    """Return every day from `first` to `last`, both included."""
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


@dataclass(frozen=True, order=True)
class Partition:
    """A tenant's UTC day: `[start, end)`."""

    tenant: str
    day: date

    def __post_init__(self) -> None:
        check_tenant(self.tenant)

    @property
    def key(self) -> str:
        """The Dagster partition key: dimensions in alphabetical order, joined by a pipe."""
        return f"{self.day.isoformat()}|{self.tenant}"

    @classmethod
    def from_key(cls, key: str) -> "Partition":
        """Return the partition that a Dagster key such as `2026-03-01|acme` names."""
        day, separator, tenant = key.partition("|")
        if not separator:
            raise InvalidInput(f"{key!r} is not a partition key. It reads day|tenant.")
        return cls(tenant, parse_day(day))

    @property
    def start_ms(self) -> int:
        return day_start_ms(self.day)

    @property
    def end_ms(self) -> int:
        return self.start_ms + DAY_MS

    def trailing_days(self, count: int) -> list[date]:
        """Return the `count` days that end with this one, oldest first."""
        return [self.day - timedelta(days=back) for back in range(count - 1, -1, -1)]
