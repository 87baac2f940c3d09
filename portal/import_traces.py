"""`novacron-analytics import`: bring trace files into a home, as the samples of a tenant's VMs."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from portal.options import home_option, json_option, settings_for
from resources.errors import InvalidInput
from resources.monitoring.traces.columns import OURS, UNITS, ColumnMap, parse_columns, read_map
from resources.monitoring.traces.formats import FORMATS
from resources.monitoring.traces.importing import ImportReport, Progress, Selection, import_traces
from resources.partition import parse_day
from resources.settings import Settings

LINE_SECONDS = 5
"""Without a terminal, one line of progress at most this often."""


@click.command(name="import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--tenant", required=True, help="Whose VMs these are.")
@home_option
@click.option(
    "--format",
    "trace_format",
    type=click.Choice(FORMATS),
    default="auto",
    show_default=True,
    help="What the files are; auto looks at each.",
)
@click.option("--map", "map_file", type=click.Path(path_type=Path), help="TOML file that says which column is which.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=THEIRS[*SCALE]",
    help=f"One column of the mapping; repeatable. Ours are: {', '.join(OURS)}.",
)
@click.option(
    "--time-unit",
    type=click.Choice(UNITS),
    default="auto",
    show_default=True,
    help="Unit of the timestamps of a file with --column; auto looks at them.",
)
@click.option(
    "--vm", "vms", multiple=True, metavar="ID|@FILE", help="Only this VM (repeatable), or those listed in FILE."
)
@click.option("--from", "first_day", metavar="DAY", help="Only samples of this day and later (YYYY-MM-DD).")
@click.option("--to", "last_day", metavar="DAY", help="Only samples of this day and earlier (YYYY-MM-DD).")
@click.option(
    "--max-bad",
    type=click.FloatRange(0, 100),
    default=10,
    show_default=True,
    metavar="PERCENT",
    help="Bad lines that a file may have; with more, nothing is imported.",
)
@click.option("--dry-run", is_flag=True, help="Read and check everything, and change nothing.")
@json_option
def command(
    paths: tuple[Path, ...],
    tenant: str,
    home: Path | None,
    trace_format: str,
    map_file: Path | None,
    columns: tuple[str, ...],
    time_unit: str,
    vms: tuple[str, ...],
    first_day: str | None,
    last_day: str | None,
    max_bad: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import trace files (or folders of them) as the samples of a tenant's VMs.

    Formats: bitbrains (GWA-T-12 CSV, a file a VM), planetlab (a folder a day, a file a VM), and columns: any CSV
    or Parquet file with a mapping. The same files again change nothing; a longer export of the same VMs adds what
    is new. Lines that cannot be samples are kept aside in the table trace_rejects.
    """
    settings = settings_for(home)
    mapping = mapping_of(map_file, columns, time_unit)
    selection = selection_of(vms, first_day, last_day)
    with showing_progress() as progress:
        report = import_traces(
            settings.traces_root,
            tenant,
            paths,
            today=datetime.now(UTC).date(),
            format=trace_format,
            mapping=mapping,
            selection=selection,
            max_bad_share=max_bad / 100,
            dry_run=dry_run,
            progress=progress,
        )
    if not dry_run:
        register(settings, tenant)
    click.echo(json.dumps(asdict(report), default=str, indent=2) if as_json else "\n".join(describe(report)))


def register(settings: Settings, tenant: str) -> None:
    """Make the tenant's partitions known to Dagster."""
    from analytics_assets.partitions import register_tenants

    register_tenants(settings, [tenant])


def mapping_of(map_file: Path | None, columns: Sequence[str], time_unit: str) -> ColumnMap | None:
    """Return the mapping that the options make, None where none of them is given."""
    if map_file is not None:
        if columns or time_unit != "auto":
            raise InvalidInput("--map goes without --column and --time-unit. Write those into the mapping file.")
        return read_map(map_file)
    return parse_columns(columns, time_unit) if columns or time_unit != "auto" else None


def selection_of(vms: Sequence[str], first_day: str | None, last_day: str | None) -> Selection:
    """Return the selection that the options make. `@FILE` lists VMs, one a line; `#` lines do not count."""
    chosen: list[str] = []
    for vm in vms:
        if not vm.startswith("@"):
            chosen.append(vm)
            continue
        try:
            lines = Path(vm[1:]).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"cannot read the VMs from {vm[1:]}: {error}.") from error
        listed = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not listed:
            raise InvalidInput(f"{vm[1:]} lists no VM. Write one id a line.")
        chosen += listed
    first = parse_day(first_day) if first_day else None
    last = parse_day(last_day) if last_day else None
    if first and last and last < first:
        raise InvalidInput(f"--from {first} is after --to {last}. Swap them.")
    return Selection(tuple(dict.fromkeys(chosen)), first, last)


def describe(report: ImportReport) -> list[str]:
    """Return what to tell a person about an import."""
    if not report.files_read:
        return [
            f"nothing new: all {report.files_known} file(s) were imported for {report.tenant} before; nothing changed"
        ]
    would = "would be " if report.dry_run else ""
    formats = ", ".join(f"{count} {name}" for name, count in sorted(report.formats.items()))
    names = {"s": "; timestamps in seconds", "ms": "; timestamps in milliseconds", "auto": ""}
    units = "".join(names[unit] for unit in sorted(report.time_units))
    lines = [
        f"tenant   {report.tenant}{' (dry run: nothing was changed)' if report.dry_run else ''}",
        f"files    {report.files_read} read ({formats}{units})",
        f"rows     {report.rows:,} read, {report.rows_added:,} {would}added",
        f"VMs      {report.vms:,}",
        f"days     {report.first_day} to {report.last_day}",
        f"rejects  {report.rejects:,} of {report.lines:,} lines",
    ]
    if report.files_known:
        lines[1] += f", {report.files_known} imported before"
    if report.rows > report.rows_added:
        lines[2] += f"; {report.rows - report.rows_added:,} were there already"
    lines += [f"         {r.file}, line {r.line}: {r.reason}: {r.text[:80]!r}" for r in report.first_rejects]
    if report.rejects > len(report.first_rejects):
        lines.append(
            f"         and {report.rejects - len(report.first_rejects):,} more, all in the table trace_rejects"
        )
    if report.vms_not_found:
        lines.append(
            f"missing  {len(report.vms_not_found)} VM(s) had no sample: {', '.join(report.vms_not_found[:10])}"
        )
    if not report.dry_run:
        lines.append(f"next     {next_command(report.tenant, report.first_day, report.last_day)}")
    return lines


def next_command(tenant: str, first: date | None, last: date | None) -> str:
    """Return the command that analyses what was imported."""
    return f"novacron-analytics run daily-analytics --tenant {tenant} --from {first} --to {last}"


@contextlib.contextmanager
def showing_progress() -> Iterator[Callable[[Progress], None]]:
    """Show progress on standard error: a bar on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield _lines_of_progress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    parts: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Bar(*parts, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(progress: Progress) -> None:
            if progress.step not in tasks:
                tasks[progress.step] = bar.add_task(progress.step, total=progress.total)
            text = f"{progress.step} ({progress.rows:,} rows)"
            bar.update(tasks[progress.step], completed=progress.done, total=progress.total, description=text)

        yield show


def _lines_of_progress() -> Callable[[Progress], None]:
    said = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal said
        if time.monotonic() - said >= LINE_SECONDS:
            said = time.monotonic()
            of = {"reading": "files", "storing": "days"}[progress.step]
            click.echo(f"{progress.step}: {progress.done} of {progress.total} {of}, {progress.rows:,} rows", err=True)

    return show
