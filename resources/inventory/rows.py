"""What was true of a VM from an instant on, and which of it a window needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from resources.inventory.source import INVENTORY_SCHEMA

LONGEST_TEXT = 253
"""Characters of an id or a name, a count: what a host's name may have."""

MOST_VCPUS = 1e5
MOST_BYTES = 2**60
"""The most that a size may be: 100,000 vCPUs or an exbibyte of one VM are no sizes."""

ALWAYS_MS = 0
"""`valid_from_ms` of what was never said to begin."""


@dataclass(frozen=True, slots=True)
class VmRow:
    """One row by `INVENTORY_SCHEMA`; None is unknown, and the row after it replaces all of it."""

    vm_id: str
    valid_from_ms: int
    vm_name: str | None = None
    node_id: str | None = None
    flavor: str | None = None
    vcpus: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    state: str | None = None

    def same_but_for_time(self, other: "VmRow") -> bool:
        """Return whether both say the same of the same VM, from whatever instants on."""
        return replace(self, valid_from_ms=other.valid_from_ms) == other


def without_repeats(rows: Iterable[VmRow]) -> list[VmRow]:
    """Return `rows` by VM and time, without those that say again what already holds."""
    kept: list[VmRow] = []
    for row in sorted(rows, key=lambda row: (row.vm_id, row.valid_from_ms)):
        if not kept or not kept[-1].same_but_for_time(row):
            kept.append(row)
    return kept


def held_in(rows: Iterable[VmRow], start_ms: int, end_ms: int) -> list[VmRow]:
    """Return what held at any instant of `[start_ms, end_ms)`, by VM and time.

    A row holds until the next one of its VM begins. No two of `rows` may have VM and instant in common.
    """
    if start_ms >= end_ms:
        return []
    ordered = without_repeats(rows)
    held = []
    for number, row in enumerate(ordered, start=1):
        following = ordered[number] if number < len(ordered) else None
        replaced = following is not None and following.vm_id == row.vm_id and following.valid_from_ms <= start_ms
        if row.valid_from_ms < end_ms and not replaced:
            held.append(row)
    return held


def to_table(rows: Sequence[VmRow]) -> pa.Table:
    """Return `rows` by `INVENTORY_SCHEMA`."""
    columns = {name: [getattr(row, name) for row in rows] for name in INVENTORY_SCHEMA.names}
    return pa.table(columns, schema=INVENTORY_SCHEMA)
