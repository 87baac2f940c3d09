"""Named tables and rows that the tests of the lake share."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa

from resources.lake.lake import Facts, Lake
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.partition import Partition, day_start_ms

FIRST_DAY = date(2026, 3, 1)

VM_LOAD = Table(
    "vm_load",
    "A VM in a bucket of 5 minutes; the VM's load",
    (
        Column("vm_id", ENTITY, "The VM's id"),
        Column("ts", TIMESTAMP, "Start of the bucket"),
        Column("cpu_percent", pa.float32(), "CPU use", "percent", nullable=True, minimum=0, maximum=100),
        Column("state", ENTITY, "What it did", nullable=True, values=("running", "stopped")),
        Column("samples", pa.int32(), "Samples seen", minimum=0),
    ),
    ("vm_id", "ts"),
    measured=True,
)

NOTES = Table(
    "notes",
    "A note, shown by its position",
    (
        Column("note_id", pa.string(), "Its id"),
        Column("position", pa.int32(), "Where it is shown"),
        Column("text", pa.string(), "What it says", nullable=True),
    ),
    ("note_id",),
    sort_order=("position",),
)


def load_rows(day: date, vms: Sequence[str] = ("vm-a", "vm-b"), buckets: int = 3, level: float = 10.0) -> pa.Table:
    """Rows of VM_LOAD in its order; `level` tells versions of a partition apart."""
    names = [vm for vm in vms for _ in range(buckets)]
    times = [day_start_ms(day) + 300_000 * bucket for _ in vms for bucket in range(buckets)]
    rows = len(names)
    return pa.table(
        {
            "vm_id": pa.array(names, pa.string()).dictionary_encode(),
            "ts": pa.array(times, TIMESTAMP),
            "cpu_percent": pa.array([level] * rows, pa.float32()),
            "state": pa.array(["running"] * rows, pa.string()).dictionary_encode(),
            "samples": pa.array([5] * rows, pa.int32()),
        }
    )


def filled_lake(root: Path, tenants: Sequence[str] = ("acme",), days: int = 3) -> Lake:
    """A lake with VM_LOAD of each of the tenants for `days` days; a day's level is its number, from 1."""
    lake = Lake(root)
    for tenant in tenants:
        for number in range(days):
            day = FIRST_DAY + timedelta(days=number)
            facts = Facts(samples_seen=30, samples_expected=40)
            lake.write(VM_LOAD, Partition(tenant, day), load_rows(day, level=number + 1.0), facts)
    return lake
