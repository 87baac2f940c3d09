"""Where imported samples are kept: a lake of its own, with a few files about each tenant as a whole.

    tenant=<tenant>/trace_samples/day=<YYYY-MM-DD>.parquet    the samples
    tenant=<tenant>/trace_rejects/day=<YYYY-MM-DD>.parquet    the lines that were no samples
    tenant=<tenant>/trace_inventory/whole.parquet             sizes, derived from the samples
    tenant=<tenant>/summary.json                              extent and interval, derived from the samples
    tenant=<tenant>/trace_files/whole.parquet                 the files that were imported; written last

The list of files is what makes an import complete. Until it is written, the same import starts
again, finds the days it had stored and adds nothing to them.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resources.errors import TransientFailure
from resources.lake.lake import Facts, Lake, encode
from resources.lake.partition_file import CorruptPartition
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.monitoring.metrics import VM_METRICS
from resources.monitoring.traces.rows import LIMITS, SIZES, TEXTS, WHOLE
from resources.partition import Partition, check_tenant

_MEASURED = {metric.column: metric for metric in VM_METRICS}
_SIZE_TEXTS = {
    "vcpus": ("Virtual CPUs it has; 0 is powered off", "cores"),
    "memory_capacity_bytes": ("Memory it has", "bytes"),
    "disk_capacity_bytes": ("Disk space it has", "bytes"),
}
_TEXT_TEXTS = {"vm_name": "Name its owner gave it", "node_id": "Node it ran on", "flavor": "Flavour it was made from"}

TRACE_SAMPLES = Table(
    "trace_samples",
    "an imported sample of a VM: all that a line of a trace file says of one instant",
    (
        Column("vm_id", ENTITY, "VM"),
        Column("ts", TIMESTAMP, "When it was measured"),
        Column(
            "copy", pa.int32(), "0, or the how manieth further row of this VM and instant, as they arrived", minimum=0
        ),
        *(
            Column(name, pa.float64(), metric.description, metric.unit, nullable=True, minimum=0, maximum=LIMITS[name])
            for name, metric in _MEASURED.items()
        ),
        *(
            Column(
                name,
                pa.int64() if name in WHOLE else pa.float64(),
                *_SIZE_TEXTS[name],
                nullable=True,
                minimum=0,
                maximum=LIMITS[name],
            )
            for name in SIZES
        ),
        *(Column(name, ENTITY, _TEXT_TEXTS[name], nullable=True) for name in TEXTS),
    ),
    primary_key=("vm_id", "ts", "copy"),
    measured=True,
)

TRACE_REJECTS = Table(
    "trace_rejects",
    "a line of an imported file that could not be a sample; kept under the first day of its file's samples",
    (
        Column("file_id", ENTITY, "Which import of which content it belongs to, as in trace_files"),
        Column("file", ENTITY, "The file, from the folder that was imported"),
        Column("line", pa.int64(), "Line of the file, or row of a Parquet file, counted from 1", minimum=1),
        Column("reason", pa.string(), "What was wrong with it"),
        Column("text", pa.string(), "The line, at most its first 200 characters"),
    ),
    primary_key=("file_id", "line"),
)

TRACE_FILES = Table(
    "trace_files",
    "a file that was imported",
    (
        Column("file_id", pa.string(), "sha256 of its content, format, mapping and the selection made from it"),
        Column("file", pa.string(), "The file, from the folder that was imported"),
        Column("format", pa.string(), "Format it was read by", values=("bitbrains", "planetlab", "columns")),
        Column("time_unit", pa.string(), "Unit of its timestamps", values=("s", "ms", "auto")),
        Column("lines", pa.int64(), "Lines read", minimum=0),
        Column("rows", pa.int64(), "Lines that are samples and were asked for", minimum=0),
        Column("rejects", pa.int64(), "Lines that could not be samples", minimum=0),
    ),
    primary_key=("file_id",),
)

TRACE_INVENTORY = Table(
    "trace_inventory",
    "a VM's size, place and state from an instant on",
    (
        Column("vm_id", ENTITY, "VM"),
        Column("valid_from", TIMESTAMP, "The first sample that says so"),
        Column("last_seen", TIMESTAMP, "The VM's last sample"),
        *(Column(name, ENTITY, _TEXT_TEXTS[name], nullable=True) for name in TEXTS),
        Column("vcpus", pa.float64(), "Virtual CPUs; 0 while powered off", "cores", nullable=True, minimum=0),
        Column("memory_bytes", pa.int64(), "Memory size", "bytes", nullable=True, minimum=0),
        Column("disk_bytes", pa.int64(), "Size of its disks", "bytes", nullable=True, minimum=0),
        Column("state", ENTITY, "stopped where it has no CPUs", values=("running", "stopped")),
    ),
    primary_key=("vm_id", "valid_from"),
)


@dataclass(frozen=True)
class Summary:
    """What holds of all samples of a tenant. `sample_interval_seconds` is the median step of a VM's samples."""

    first_day: date
    last_day: date
    vms: int
    rows: int
    sample_interval_seconds: int


class TraceStore:
    """One tenant's part of the store under `root`."""

    def __init__(self, root: Path, tenant: str) -> None:
        self.tenant = check_tenant(tenant)
        self.lake = Lake(root)

    def summary(self) -> Summary | None:
        """Return the tenant's summary, None where nothing was imported."""
        path = f"tenant={self.tenant}/summary.json"
        if not self.lake.storage.exists(path):
            return None
        stored = json.loads(self.lake.storage.read(path))
        for name in ("first_day", "last_day"):
            stored[name] = date.fromisoformat(stored[name])
        return Summary(**stored)

    def put_summary(self, summary: Summary) -> None:
        content = json.dumps(asdict(summary), default=str, indent=2, sort_keys=True) + "\n"
        self._put_if_new(f"tenant={self.tenant}/summary.json", content.encode())

    def days(self) -> list[date]:
        """Return the days that have samples, oldest first."""
        return self.lake.days(TRACE_SAMPLES.name, self.tenant)

    def rows(self, day: date) -> int:
        """Return how many samples a stored day has."""
        return self.lake.footer(TRACE_SAMPLES.name, Partition(self.tenant, day))[0]

    def read_day(self, table: Table, day: date) -> pa.Table | None:
        """Return the rows of a day of `table`, None where there are none."""
        data, found = self.lake.read(table, self.tenant, [day])
        return data.drop_columns(["day"]) if found else None

    def write_day(self, table: Table, day: date, data: pa.Table) -> None:
        self.lake.write(table, Partition(self.tenant, day), data)

    def read_whole(self, table: Table) -> pa.Table:
        """Return all rows of a table that is about the tenant as a whole.

        Raises:
            CorruptPartition: its file is damaged.
        """
        path = self._whole(table)
        if not self.lake.storage.exists(path):
            return table.empty()
        place = self.lake.storage.location(path)
        try:
            return pq.ParquetFile(place).read().select(table.column_names)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise CorruptPartition(place, str(error).splitlines()[0]) from error

    def write_whole(self, table: Table, data: pa.Table) -> None:
        self._put_if_new(self._whole(table), encode(table, data, Facts()).to_pybytes())

    def file_ids(self) -> set[str]:
        """Return what the files that were imported are known by."""
        return set(self.read_whole(TRACE_FILES).column("file_id").to_pylist())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other imports of this tenant out.

        Raises:
            TransientFailure: another one is at work.
        """
        folder = self.lake.tenant_folder(self.tenant)
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise TransientFailure(
                f"another import for {self.tenant} is at work in {folder}. Run it again when that one has ended."
            ) from error
        finally:
            os.close(descriptor)

    def samples(self, days: Sequence[date], columns: Sequence[str], vms: tuple[str, str] | None = None) -> pa.Table:
        """Return samples of `days` by `columns`; `vms` are the first and the last id to read, in order of text.

        Raises:
            CorruptPartition: a file is damaged.
        """
        if vms is None:
            data, _ = self.lake.read(TRACE_SAMPLES, self.tenant, days, columns)
            return data.drop_columns(["day"])
        parts = []
        for day in days:
            path = self.lake.path(TRACE_SAMPLES.name, Partition(self.tenant, day))
            try:
                # Row groups are in order of VM, so only those that hold one of them are read.
                chosen = (pc.field("vm_id") >= vms[0]) & (pc.field("vm_id") <= vms[1])
                parts.append(pq.read_table(path, columns=list(columns), filters=chosen, partitioning=None))
            except (pa.ArrowException, OSError) as error:
                raise CorruptPartition(path, str(error).splitlines()[0]) from error
        return pa.concat_tables(parts).unify_dictionaries().combine_chunks()

    def _whole(self, table: Table) -> str:
        return f"tenant={self.tenant}/{table.name}/whole.parquet"

    def _put_if_new(self, path: str, content: bytes) -> None:
        if not self.lake.storage.exists(path) or self.lake.storage.read(path) != content:
            self.lake.storage.put(path, content)
