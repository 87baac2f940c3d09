"""Sizes and placements from a file that somebody keeps: CSV, a JSON list, or JSON lines.

Rows are statements of the whole truth about a VM from an instant on, so a resize is another row:

    tenant_id,vm_id,vm_name,node_id,flavor,vcpus,memory_gib,disk_gib,state,valid_from
    acme,vm-1,web,node-3,s1.large,4,8,160,running,
    acme,vm-1,web,node-3,s1.xlarge,8,16,160,running,2026-03-01T14:30:00Z

`resources/inventory/cells.py` lists the columns. A file that is not readable as a whole (not text,
unknown columns, broken JSON) is refused for everybody, because nobody knows what it says of whom.
A single bad row is refused only for the tenant it names: it stops that tenant's inventory, which
would be wrong without it, and nobody else's. A row whose tenant cannot be told is the operator's
to mend: it stops the platform's inventory, and that of the tenant whose id it nearly spells.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern

import pyarrow as pa

from resources.errors import InvalidInput, TransientFailure
from resources.inventory.cells import COLUMNS, BadCell, instant, plain, shown, size, state, vcpus
from resources.inventory.entries import SUFFIXES, Entry, entries
from resources.inventory.rows import ALWAYS_MS, VmRow, held_in, to_table
from resources.partition import PLATFORM, TENANT_PATTERN, check_tenant

MOST_BYTES = 128 << 20
"""A larger file is refused: about two million VMs, read whole into memory."""

SHOWN_PROBLEMS = 5


@dataclass
class _Problems:
    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, problem: str) -> None:
        self.count += 1
        if len(self.first) < SHOWN_PROBLEMS:
            self.first.append(problem)

    def __str__(self) -> str:
        more = f"; and {self.count - len(self.first):,} more" if self.count > len(self.first) else ""
        return "; ".join(self.first) + more


@dataclass(frozen=True)
class _Contents:
    """What one version of the file says: rows and problems by tenant."""

    version: tuple[int, ...]
    rows: Mapping[str, list[VmRow]]
    problems: Mapping[str, _Problems]


class InventoryFile:
    """The inventory file `path` as an `InventorySource`; it is read again when it changed.

    Raises:
        InvalidInput: the file's name ends with none of .csv, .json and .jsonl.
    """

    kind = "file"

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise InvalidInput(
                f"inventory file {path} has no known format. Its name must end with one of {', '.join(SUFFIXES)}."
            )
        self.path = path
        self._contents: _Contents | None = None

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        """Return what the file says of the VMs of `tenant` in `[start_ms, end_ms)`, by `INVENTORY_SCHEMA`.

        The platform has no VMs of its own: its table is empty.

        Raises:
            InvalidInput: the file cannot be read, or a row of this tenant is wrong; of the
                platform: a row names no tenant.
            TransientFailure: the file was written to while it was read.
        """
        contents = self._current()
        problems = contents.problems.get(check_tenant(tenant))
        if problems:
            whose = "of unknown tenants" if tenant == PLATFORM else f"of {tenant}"
            raise InvalidInput(
                f"inventory file {self.path} has {problems.count:,} wrong row(s) {whose}: {problems}. "
                "Mend or remove them and run it again."
            )
        return to_table(held_in(contents.rows.get(tenant, ()), start_ms, end_ms))

    def problems(self) -> list[str]:
        """Return what is wrong with rows of the file, a sentence for each tenant concerned; the operator's own view."""
        return [f"{tenant}: {said}" for tenant, said in sorted(self._current().problems.items())]

    def _current(self) -> _Contents:
        try:
            before = os.stat(self.path)
            if not stat.S_ISREG(before.st_mode):  # opening a pipe would wait for ever
                raise InvalidInput(f"inventory file {self.path} is not a regular file.")
            if before.st_size > MOST_BYTES:
                raise InvalidInput(
                    f"inventory file {self.path} has {before.st_size:,} bytes, at most {MOST_BYTES:,} are read. "
                    "Leave out what no day needs any more."
                )
            if self._contents is None or self._contents.version != _version(before):
                content = self.path.read_bytes()
                if _version(os.stat(self.path)) != _version(before) or len(content) != before.st_size:
                    raise TransientFailure(
                        f"inventory file {self.path} changed while it was read. Write it under another name, "
                        "then rename it."
                    )
                self._contents = _understood(self.path, content, _version(before))
        except OSError as error:
            raise InvalidInput(
                f"cannot read the inventory file {self.path}: {error.strerror or error}. "
                "Put it there, or mend its permissions."
            ) from error
        return self._contents


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _understood(path: Path, content: bytes, version: tuple[int, ...]) -> _Contents:
    rows: dict[str, dict[tuple[str, int], tuple[int, VmRow]]] = {}
    problems: dict[str, _Problems] = {}

    def refuse(line: int, what: str, tenants: Iterable[str]) -> None:
        for tenant in tenants:
            problems.setdefault(tenant, _Problems()).add(f"line {line}: {what}")

    for entry in entries(path, content):
        try:
            tenant, row = _row(entry)
        except BadCell as error:
            refuse(entry.line, str(error), _concerned(entry))
            continue
        known = rows.setdefault(tenant, {})
        earlier = known.setdefault((row.vm_id, row.valid_from_ms), (entry.line, row))
        if earlier[1] is not row and earlier[1] != row:
            when = "always" if row.valid_from_ms == ALWAYS_MS else "the same instant on"
            said = f"says something else of vm_id {shown(row.vm_id)} than line {earlier[0]}, from {when}"
            refuse(entry.line, said, [tenant])
    return _Contents(version, {tenant: [row for _, row in known.values()] for tenant, known in rows.items()}, problems)


def _row(entry: Entry) -> tuple[str, VmRow]:
    """Return whose row it is and what it says; `BadCell` says which cell makes no sense."""
    if entry.problem:
        raise BadCell(entry.problem)
    cells = {column: plain(column, value) for column, value in entry.cells.items()}
    ours = {COLUMNS[column]: (column, text) for column, text in cells.items()}
    tenant = ours["tenant_id"][1]
    if not TENANT_PATTERN.fullmatch(tenant):
        raise BadCell(f"{ours['tenant_id'][0]} = {shown(tenant)} is not a tenant id")
    if tenant == PLATFORM:
        raise BadCell(f"{PLATFORM} is the operator, who has no VMs: name the tenant")
    if not ours["vm_id"][1]:
        raise BadCell("vm_id is missing")
    text = {name: given for name, (_, given) in ours.items()}
    sizes = {name: size(*ours[name]) for name in ("memory_bytes", "disk_bytes") if name in ours}
    return tenant, VmRow(
        vm_id=text["vm_id"],
        valid_from_ms=instant(text.get("valid_from", "")),
        vm_name=text.get("vm_name") or None,
        node_id=intern(text.get("node_id", "")) or None,  # a name that a thousand rows have is kept once
        flavor=intern(text.get("flavor", "")) or None,
        vcpus=vcpus(text.get("vcpus", "")),
        memory_bytes=sizes.get("memory_bytes"),
        disk_bytes=sizes.get("disk_bytes"),
        state=state(text.get("state", "")),
    )


def _concerned(entry: Entry) -> set[str]:
    """Return the tenants whose inventory is wrong if this row is: who it names, else who has to find out."""
    named = next((value for name, value in entry.cells.items() if COLUMNS.get(name) == "tenant_id"), None)
    text = named.strip() if isinstance(named, str) else ""
    if TENANT_PATTERN.fullmatch(text) and not entry.misplaced:
        return {text}
    return {PLATFORM, *([text.lower()] if TENANT_PATTERN.fullmatch(text.lower()) else [])}
