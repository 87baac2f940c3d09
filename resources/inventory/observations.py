"""What a VM manager was seen to hold: it knows only the present, so what it said is kept here.

    tenant=<tenant>/observations.parquet
    tenant=<tenant>/.looked

One record per tenant. A look adds a row for each VM that it shows otherwise than the look before
did, and one for each VM that is no longer there; nothing that was written is ever changed. So a
past day's inventory stays what it was, whenever it is computed. Before the first look nothing is
known, and a change counts from the look that saw it. The empty file `.looked` has the time of the
newest look as its own time, because a look that shows nothing new adds no row.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from resources.errors import PermanentFailure, TransientFailure
from resources.inventory.cells import STATES
from resources.inventory.rows import VmRow, held_in, to_table
from resources.lake.lake import Facts, encode
from resources.lake.partition_file import DAMAGE
from resources.lake.storage import LocalStorage
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.partition import check_tenant

VM_OBSERVATIONS = Table(
    "vm_observations",
    "a VM as its manager showed it from a look on, until the next row of it",
    (
        Column("vm_id", ENTITY, "VM"),
        Column("observed_at", TIMESTAMP, "When it was first seen to be so"),
        Column("present", pa.bool_(), "Whether the manager had it; with false the rest is null"),
        Column("vm_name", pa.string(), "Name its owner gave it", nullable=True),
        Column("node_id", ENTITY, "Node it was on", nullable=True),
        Column("flavor", ENTITY, "Flavour it was made from", nullable=True),
        Column("vcpus", pa.float64(), "Virtual CPUs", "cores", nullable=True, minimum=0),
        Column("memory_bytes", pa.int64(), "Memory size", "bytes", nullable=True, minimum=0),
        Column("disk_bytes", pa.int64(), "Size of its disks", "bytes", nullable=True, minimum=0),
        Column("state", ENTITY, "Whether it ran", nullable=True, values=STATES),
    ),
    primary_key=("vm_id", "observed_at"),
)

LOOKED = ".looked"
"""The file of a tenant whose time is that of the newest look."""

LOCK_SECONDS = 3.0
"""How long a record that another process adds to is waited for; adding takes milliseconds."""

_TOLD = ("vm_id", "vm_name", "node_id", "flavor", "vcpus", "memory_bytes", "disk_bytes", "state")


class Observations:
    """The records of all tenants under `root`."""

    def __init__(self, root: Path) -> None:
        self.storage = LocalStorage(root)

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        """Return what was seen of the VMs of `tenant` in `[start_ms, end_ms)`, by `INVENTORY_SCHEMA`.

        A VM that vanished has a last row of which everything is unknown, on the day it vanished. It
        is not "stopped": nothing is left to be started or reclaimed, or it moved to another host.

        Raises:
            PermanentFailure: the record is damaged.
        """
        rows, gone = self._read(tenant)
        left = {(row.vm_id, row.valid_from_ms) for row in gone}
        held = held_in([*rows, *gone], start_ms, end_ms)
        return to_table([row for row in held if row.valid_from_ms > start_ms or _key(row) not in left])

    def record(self, tenant: str, seen_ms: int, seen: Sequence[VmRow], now_ms: int) -> int:
        """Add what a look at `seen_ms` showed otherwise than the look before; return the number of rows added.

        `seen` is every VM of the tenant. A look takes a while, and another process may have
        recorded a newer one meanwhile: then this one adds nothing.

        Raises:
            TransientFailure: another process is recording, the clock is behind the newest look, or
                the disk is full; the record is unchanged.
            PermanentFailure: the record is damaged.
        """
        with self._locked(tenant) as folder:
            rows, gone = self._read(tenant)
            latest = {row.vm_id: row for row in sorted([*rows, *gone], key=_key)}
            lost = {_key(row) for row in gone}
            present = {vm_id: row for vm_id, row in latest.items() if _key(row) not in lost}
            changed = [
                replace(row, valid_from_ms=seen_ms)
                for row in seen
                if row.vm_id not in present or not present[row.vm_id].same_but_for_time(row)
            ]
            vanished = [VmRow(vm_id, seen_ms) for vm_id in sorted(set(present) - {row.vm_id for row in seen})]
            newest_ms = max([self._looked_ms(tenant), *(row.valid_from_ms for row in latest.values())])
            if seen_ms <= newest_ms:
                if (changed or vanished) and now_ms <= newest_ms:
                    raise TransientFailure(
                        f"it is {now_ms} ms since 1970, but the VMs of {tenant} were already seen at {newest_ms}. The "
                        "clock of this machine was put back: nothing is recorded until it has caught up. If it was "
                        f"ahead before, what {folder} holds from then on is wrong: bring it back from a backup."
                    )
                return 0
            if changed or vanished:
                self._write(tenant, [*rows, *changed], [*gone, *vanished])
            self._mark_looked(tenant, seen_ms)
            return len(changed) + len(vanished)

    def _looked_ms(self, tenant: str) -> int:
        """Return when the newest look was taken, -1 where there was none."""
        try:
            return self.storage.location(f"tenant={tenant}/{LOOKED}").stat().st_mtime_ns // 1_000_000
        except FileNotFoundError:
            return -1

    def _mark_looked(self, tenant: str, seen_ms: int) -> None:
        path, ns = f"tenant={tenant}/{LOOKED}", seen_ms * 1_000_000
        try:
            os.utime(self.storage.location(path), ns=(ns, ns))
        except OSError:  # it is not there yet, or is another user's
            self.storage.put(path, b"")
            os.utime(self.storage.location(path), ns=(ns, ns))

    def _read(self, tenant: str) -> tuple[list[VmRow], list[VmRow]]:
        """Return the rows of VMs that were there, and those that say of a VM that it was there no longer."""
        path = self._path(tenant)
        if not self.storage.exists(path):
            return [], []
        try:
            stored = pq.read_table(pa.BufferReader(self.storage.read(path)))
            data = VM_OBSERVATIONS.conform(stored.select(VM_OBSERVATIONS.column_names))
        except (*DAMAGE, PermanentFailure) as error:
            raise PermanentFailure(
                f"{self.storage.location(path)} is damaged: {next(iter(str(error).splitlines()), '')} "
                "Bring it back from a backup, or remove it: sizes of past days are then unknown."
            ) from error
        times = data.column("observed_at").cast(pa.int64()).to_pylist()
        rows = [
            (row["present"], VmRow(valid_from_ms=ts_ms, **{name: row[name] for name in _TOLD}))
            for row, ts_ms in zip(data.to_pylist(), times, strict=True)
        ]
        return [row for present, row in rows if present], [row for present, row in rows if not present]

    def _write(self, tenant: str, rows: Sequence[VmRow], gone: Sequence[VmRow]) -> None:
        everything = [*rows, *gone]
        columns = {name: [getattr(row, name) for row in everything] for name in _TOLD}
        data = {
            **columns,
            "observed_at": pa.array([row.valid_from_ms for row in everything], pa.int64()).cast(TIMESTAMP),
            "present": [True] * len(rows) + [False] * len(gone),
        }
        arrays = [
            pa.array(data[column.name], pa.string() if column.type == ENTITY else column.type)
            for column in VM_OBSERVATIONS.columns
        ]
        table = pa.Table.from_arrays(arrays, names=VM_OBSERVATIONS.column_names)
        self.storage.put(self._path(tenant), encode(VM_OBSERVATIONS, table, Facts()).to_pybytes())

    @contextlib.contextmanager
    def _locked(self, tenant: str) -> Iterator[Path]:
        """Yield the tenant's folder, in which nobody else records meanwhile."""
        folder = self.storage.location(f"tenant={check_tenant(tenant)}")
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _take(descriptor, tenant, folder)
            yield folder
        finally:
            os.close(descriptor)

    @staticmethod
    def _path(tenant: str) -> str:
        return f"tenant={check_tenant(tenant)}/observations.parquet"


def _take(descriptor: int, tenant: str, folder: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise TransientFailure(
                    f"another process is recording the VMs of {tenant} in {folder}. "
                    "Run it again when that one has ended."
                ) from error
        time.sleep(0.02)


def _key(row: VmRow) -> tuple[str, int]:
    return row.vm_id, row.valid_from_ms
