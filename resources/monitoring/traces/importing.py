"""Importing trace files: all of them are read and checked first, then each day is stored once."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resources.errors import InvalidInput
from resources.monitoring.traces.columns import ColumnMap
from resources.monitoring.traces.formats import FORMATS, Found, Reader, content_id, find_files, recognise
from resources.monitoring.traces.gathering import MEMORY_ROWS, Gathering
from resources.monitoring.traces.history import COLUMNS, derive
from resources.monitoring.traces.merging import FILE, merge
from resources.monitoring.traces.rows import Reject, legal_id
from resources.monitoring.traces.store import (
    TRACE_FILES,
    TRACE_INVENTORY,
    TRACE_REJECTS,
    TRACE_SAMPLES,
    Summary,
    TraceStore,
)
from resources.partition import PLATFORM, check_tenant, day_of_ms, day_start_ms

SHOWN_REJECTS = 5


@dataclass(frozen=True)
class Selection:
    """What to take of the files: some VMs, by their id in the file or ours, and days, both ends included."""

    vms: tuple[str, ...] = ()
    first_day: date | None = None
    last_day: date | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what identifies this selection."""
        return {"vms": sorted(self.vms), "from": str(self.first_day), "to": str(self.last_day)}

    def wanted(self) -> pa.Array | None:
        """Return the ids to look for in a file, None for all."""
        if not self.vms:
            return None
        return pa.array(sorted({*self.vms, *(unquote(vm) for vm in self.vms)}), pa.string())

    def of_days(self, rows: pa.Table) -> pa.Table:
        """Return the rows of the selected days."""
        if self.first_day is None and self.last_day is None:
            return rows
        ts = rows.column("ts").cast(pa.int64())
        low = day_start_ms(self.first_day or date(1970, 1, 1))
        high = day_start_ms((self.last_day or date(9000, 1, 1)) + timedelta(days=1))
        return rows.filter(pc.and_(pc.greater_equal(ts, low), pc.less(ts, high)))


@dataclass(frozen=True)
class Progress:
    """How far an import is: `step` is `reading` (files) or `storing` (days)."""

    step: str
    done: int
    total: int
    rows: int


@dataclass(frozen=True)
class NamedReject:
    """A rejected line with its file."""

    file: str
    line: int
    reason: str
    text: str


@dataclass
class ImportReport:
    """What an import found and did; with `dry_run`, what it would have done.

    `rows` were read and asked for; `rows_added` of them are new to the store. `files_known` were
    imported before, as they are, and were not read again. The days are of the rows read.
    """

    tenant: str
    dry_run: bool = False
    files_read: int = 0
    files_known: int = 0
    lines: int = 0
    rows: int = 0
    rows_added: int = 0
    vms: int = 0
    first_day: date | None = None
    last_day: date | None = None
    days_changed: int = 0
    rejects: int = 0
    first_rejects: list[NamedReject] = field(default_factory=list)
    formats: dict[str, int] = field(default_factory=dict)
    time_units: dict[str, int] = field(default_factory=dict)
    vms_not_found: list[str] = field(default_factory=list)


@dataclass
class _Reading:
    """What was read so far, before anything is stored."""

    files: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[tuple[date | None, str, str, Reject]] = field(default_factory=list)
    vms: set[str] = field(default_factory=set)


def import_traces(
    root: Path,
    tenant: str,
    paths: Sequence[Path],
    *,
    today: date,
    format: str = "auto",
    mapping: ColumnMap | None = None,
    selection: Selection | None = None,
    max_bad_share: float = 0.1,
    dry_run: bool = False,
    progress: Callable[[Progress], None] | None = None,
    memory_rows: int = MEMORY_ROWS,
) -> ImportReport:
    """Import the samples in `paths` (files and folders) for `tenant` into the store at `root`.

    Raises:
        InvalidInput: the tenant, a path or a file is refused, more than `max_bad_share` (0 to 1) of
            a file's lines are bad, none is good, or a sample is of a day after `today`. Nothing has
            changed then.
        TransientFailure: the store cannot be written, or another import of this tenant is at work.
            The same import again completes it.
    """
    if check_tenant(tenant) == PLATFORM:
        raise InvalidInput(f"{PLATFORM!r} is the operator's own id and has no VMs. Use a tenant's id.")
    if format not in FORMATS:
        raise InvalidInput(f"{format!r} is not a format. Use one of {', '.join(FORMATS)}.")
    selection = selection or Selection()
    tell = progress or (lambda _: None)
    store = TraceStore(root, tenant)
    known = store.file_ids()
    report = ImportReport(tenant, dry_run)
    reading = _Reading()
    files = find_files(paths)
    with Gathering(memory_rows) as gathering:
        for number, found in enumerate(files):
            tell(Progress("reading", number, len(files), report.rows))
            reader = recognise(found.path, format, mapping)
            file_id = content_id(found.path, reader, selection.as_json())
            if file_id in known:
                report.files_known += 1
                continue
            known.add(file_id)
            _read_file(found, reader, file_id, selection, max_bad_share, today, gathering, report, reading)
        tell(Progress("reading", len(files), len(files), report.rows))
        report.vms = len(reading.vms)
        report.vms_not_found = sorted(vm for vm in selection.vms if not {vm, legal_id(vm)} & reading.vms)
        if not reading.files:
            report.vms_not_found = []
            return report
        if not report.rows:
            raise InvalidInput(
                f"none of {len(reading.files)} file(s) has a sample of what was asked for. "
                "Look at --vm, --from and --to, and at the files."
            )
        with contextlib.nullcontext() if dry_run else store.locked():
            _store(store, gathering, reading, report, tell)
    return report


def _read_file(
    found: Found,
    reader: Reader,
    file_id: str,
    selection: Selection,
    max_bad_share: float,
    today: date,
    gathering: Gathering,
    report: ImportReport,
    reading: _Reading,
) -> None:
    lines = rows_read = 0
    first_ms: int | None = None
    rejects: list[Reject] = []
    for block in reader.read(selection.wanted()):
        lines += block.lines
        rejects += block.rejects
        if block.rows.num_rows and first_ms is None:
            first_ms = pc.min(block.rows.column("ts").cast(pa.int64())).as_py()
        rows = selection.of_days(block.rows)
        if not rows.num_rows:
            continue
        limits = pc.min_max(rows.column("ts").cast(pa.int64()))
        first, last = day_of_ms(limits["min"].as_py()), day_of_ms(limits["max"].as_py())
        if last > today:
            raise InvalidInput(
                f"{found.path} has samples of {last}, after today ({today}). Nothing was imported. "
                "Check its timestamps, or leave those days out with --to."
            )
        report.first_day = min(first, report.first_day or first)
        report.last_day = max(last, report.last_day or last)
        reading.vms.update(rows.column("vm_id").unique().to_pylist())
        rows_read += rows.num_rows
        number = pa.array(np.full(rows.num_rows, len(reading.files), np.int32))
        gathering.add(rows.append_column(FILE, number))
    _refuse_bad(found, lines, rejects, max_bad_share)
    first_day = None if first_ms is None else day_of_ms(first_ms)
    reading.rejects += [(first_day, file_id, found.name, reject) for reject in rejects]
    room = SHOWN_REJECTS - len(report.first_rejects)
    report.first_rejects += [NamedReject(found.name, r.line, r.reason, r.text) for r in rejects[: max(0, room)]]
    report.files_read += 1
    report.lines += lines
    report.rows += rows_read
    report.rejects += len(rejects)
    report.formats[reader.format] = report.formats.get(reader.format, 0) + 1
    report.time_units[reader.clock.unit] = report.time_units.get(reader.clock.unit, 0) + 1
    reading.files.append(
        {
            "file_id": file_id,
            "file": found.name,
            "format": reader.format,
            "time_unit": reader.clock.unit,
            "lines": lines,
            "rows": rows_read,
            "rejects": len(rejects),
        }
    )


def _refuse_bad(found: Found, lines: int, rejects: Sequence[Reject], max_bad_share: float) -> None:
    if not rejects:
        return
    worst = rejects[0]
    example = f"line {worst.line}: {worst.reason}: {worst.text[:80]!r}"
    if len(rejects) == lines:
        raise InvalidInput(f"{found.path} holds no line that can be read. Nothing was imported. {example}.")
    if len(rejects) > max_bad_share * lines:
        raise InvalidInput(
            f"{found.path} is refused: {len(rejects)} of {lines} lines are bad, more than {max_bad_share:.3g} of them. "
            f"Nothing was imported. {example}. Mend the file, or allow more with --max-bad."
        )


def _store(
    store: TraceStore,
    gathering: Gathering,
    reading: _Reading,
    report: ImportReport,
    tell: Callable[[Progress], None],
) -> None:
    """Store the days, then what is derived from them, and last of all that it was done."""
    days = gathering.days()
    for number, day in enumerate(days):
        tell(Progress("storing", number, len(days), report.rows_added))
        rows, added = merge(store.read_day(TRACE_SAMPLES, day), gathering.rows(day))
        report.rows_added += added
        if added:
            report.days_changed += 1
            if not report.dry_run:
                store.write_day(TRACE_SAMPLES, day, rows)
    tell(Progress("storing", len(days), len(days), report.rows_added))
    if report.dry_run:
        return
    _store_rejects(store, reading, days[0])
    stored = store.days()
    inventory, vms, interval = derive(store.samples([day], COLUMNS) for day in stored)
    store.write_whole(TRACE_INVENTORY, inventory)
    rows_stored = sum(store.rows(day) for day in stored)
    store.put_summary(Summary(stored[0], stored[-1], vms, rows_stored, interval))
    before = store.read_whole(TRACE_FILES)
    there = set(before.column("file_id").to_pylist())
    new = [file for file in reading.files if file["file_id"] not in there]
    plain = pa.schema([(column.name, column.type) for column in TRACE_FILES.columns])
    arrived = pa.Table.from_pylist(new, schema=plain)
    store.write_whole(TRACE_FILES, pa.concat_tables([before.replace_schema_metadata(None).cast(plain), arrived]))


def _store_rejects(store: TraceStore, reading: _Reading, first_day: date) -> None:
    """Store the rejects under the first day of their file, or of the import where nothing of the file was asked for."""
    plain = pa.schema([(column.name, column.type) for column in TRACE_REJECTS.columns])
    by_day: dict[date, list[dict[str, Any]]] = {}
    for day, file_id, name, reject in reading.rejects:
        by_day.setdefault(day or first_day, []).append({"file_id": file_id, "file": name, **vars(reject)})
    for day, rejects in sorted(by_day.items()):
        before = store.read_day(TRACE_REJECTS, day)
        there = set() if before is None else set(before.column("file_id").unique().to_pylist())
        arrived = pa.Table.from_pylist([reject for reject in rejects if reject["file_id"] not in there], schema=plain)
        if arrived.num_rows:
            parts = [arrived] if before is None else [before.replace_schema_metadata(None).cast(plain), arrived]
            store.write_day(TRACE_REJECTS, day, pa.concat_tables(parts))
