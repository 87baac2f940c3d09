"""`novacron-analytics tenants`: who is there, since when, and how complete."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from portal.options import home_option, json_option, settings_for
from portal.quarantine import quarantine_lines
from portal.result_formats import aligned
from resources.errors import AnalyticsError
from resources.lake.lake import Lake
from resources.partition import PLATFORM, Partition
from resources.settings import Settings

WINDOW_DAYS = 28
"""Days whose footers are read: with all of them, 200 tenants of a year would take 20 s."""


@dataclass(frozen=True)
class TenantSummary:
    """What is stored of a tenant's measured base table.

    `first_day`, `last_day` and `days` are of all its stored days. `rows`, `coverage` (samples seen
    over expected, 0 to 1) and `bytes` are of the last `counted_days` of them, at most 28; `damaged`
    of those files could not be read.
    """

    tenant: str
    first_day: str | None
    last_day: str | None
    days: int
    rows: int
    coverage: float | None
    bytes: int
    counted_days: int
    damaged: int


@click.command("tenants")
@home_option
@json_option
def command(home: Path | None, as_json: bool) -> None:
    """List the tenants that have stored tables, or that a source has samples of.

    Days are those of the gridded samples: of the VMs, and of the nodes for the platform. Rows,
    coverage and bytes are of the last 28 stored days of it. Where the source cannot be asked, those
    with stored tables are listed, and the exit code is 1.
    """
    from resources.sources import open_sources

    settings = settings_for(home)
    sources = open_sources(settings)
    lake = Lake(settings.lake_root)
    base = base_tables(settings)
    failure: AnalyticsError | None = None
    known: list[str] = []
    refused: dict[str, str] = {}
    try:
        known = sources.tenants()
        refused = sources.refused_tenants()
    except AnalyticsError as error:
        failure = error
    names = sorted({*lake.tenants(), *known, *(sources.traces.tenants() if failure else [])})
    found = [summarize(lake, name, base[name == PLATFORM]) for name in names]
    if as_json:
        click.echo(json.dumps([asdict(summary) for summary in found], indent=2))
    elif found:
        header = ("tenant", "first day", "last day", "days", "rows", "coverage", "bytes")
        rows = [_row(summary) for summary in found]
        click.echo(aligned(header, rows, numbers=("days", "rows", "coverage", "bytes")), nl=False)
    elif failure is None:
        click.echo('no tenant yet: import traces, or set source = "simulated"', err=True)
    for line in quarantine_lines(refused):
        click.echo(f"in quarantine, never read: {line}", err=True)
    if failure is not None:
        raise failure
    if any(summary.damaged for summary in found):
        sys.exit(1)


def base_tables(settings: Settings) -> Mapping[bool, str]:
    """Return the name of the platform's (True) and of a tenant's (False) table of gridded samples."""
    from analytics_assets.pipelines.graph import instances, pipelines

    named = {instance.component.name: instance.table.name for instance in reversed(instances(pipelines(settings)))}
    return {True: named.get("system_load", "system_load"), False: named.get("vm_resources", "vm_resources")}


def summarize(lake: Lake, tenant: str, table: str) -> TenantSummary:
    """Return what is stored of `table` for `tenant`; a damaged file is named on standard error and counted."""
    days = lake.days(table, tenant)
    counted = days[-WINDOW_DAYS:]
    rows = seen = expected = size = damaged = 0
    for day in counted:
        partition = Partition(tenant, day)
        try:
            stored_rows, facts = lake.footer(table, partition)
            size += lake.storage.size_bytes(lake.relative_path(table, tenant, day))
        except AnalyticsError as error:
            damaged += 1
            click.echo(f"error: {error}", err=True)
            continue
        rows += stored_rows
        seen += facts.samples_seen or 0
        expected += facts.samples_expected or 0
    return TenantSummary(
        tenant=tenant,
        first_day=days[0].isoformat() if days else None,
        last_day=days[-1].isoformat() if days else None,
        days=len(days),
        rows=rows,
        coverage=round(min(1.0, seen / expected), 6) if expected else None,
        bytes=size,
        counted_days=len(counted),
        damaged=damaged,
    )


def _row(summary: TenantSummary) -> tuple[object, ...]:
    coverage = "" if summary.coverage is None else f"{summary.coverage:.1%}"
    return (
        summary.tenant,
        summary.first_day,
        summary.last_day,
        summary.days,
        summary.rows,
        coverage,
        summary.bytes,
    )
