"""`novacron-analytics tenants`: who is there, since when, and how complete."""

import json
import sys
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import click

from portal.options import home_option, json_option, settings_for
from resources.lake.lake import CorruptPartition, Lake
from resources.partition import PLATFORM, Partition
from resources.settings import Settings

BASE_TABLES = {PLATFORM: "system_load"}
BASE_TABLE = "vm_resources"
"""The table that a tenant's days, rows and coverage are read from; the platform has nodes instead of VMs."""


@dataclass(frozen=True)
class TenantSummary:
    """A tenant's base table: days stored, rows, bytes, and samples seen over expected of all its days."""

    tenant: str
    first_day: date | None = None
    last_day: date | None = None
    days: int = 0
    rows: int = 0
    coverage: float | None = None
    bytes: int = 0
    damaged: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        first, last = (day.isoformat() if day else None for day in (self.first_day, self.last_day))
        return {**asdict(self), "first_day": first, "last_day": last, "damaged": list(self.damaged)}


@click.command("tenants")
@home_option
@json_option
def command(home: Path | None, as_json: bool) -> None:
    """List the tenants with their first and last stored day, rows and coverage.

    Counted in vm_resources (system_load for the platform). A tenant that a source knows but that
    was never materialized has no days. A damaged file is named, and the exit code is then 1.
    """
    from resources.sources import known_tenants

    settings = settings_for(home)
    lake = Lake(settings.lake_root)
    summaries = [summarize(lake, tenant) for tenant in sorted({*lake.tenants(), *known_tenants(settings)})]
    if as_json:
        click.echo(json.dumps([summary.as_json() for summary in summaries], indent=2))
    else:
        _print(summaries, settings)
    damaged = [problem for summary in summaries for problem in summary.damaged]
    for problem in damaged:
        click.echo(f"error: {problem}", err=True)
    if damaged:
        sys.exit(1)


def summarize(lake: Lake, tenant: str) -> TenantSummary:
    """Return the summary of a tenant from the footers of its base table."""
    table = BASE_TABLES.get(tenant, BASE_TABLE)
    days = lake.days(table, tenant)
    rows = seen = expected = size = 0
    damaged = []
    for day in days:
        partition = Partition(tenant, day)
        size += lake.path(table, partition).stat().st_size
        try:
            count, facts = lake.footer(table, partition)
        except CorruptPartition as error:
            damaged.append(str(error))
            continue
        rows += count
        seen += facts.samples_seen or 0
        expected += facts.samples_expected or 0
    return TenantSummary(
        tenant=tenant,
        first_day=days[0] if days else None,
        last_day=days[-1] if days else None,
        days=len(days),
        rows=rows,
        coverage=round(min(1.0, seen / expected), 6) if expected else None,
        bytes=size,
        damaged=tuple(damaged),
    )


def _print(summaries: list[TenantSummary], settings: Settings) -> None:
    if not summaries:
        click.echo(f"no tenants in {settings.home} yet: import traces, or run the demo")
        return
    width = max(6, *(len(summary.tenant) for summary in summaries))
    click.echo(f"{'tenant':<{width}}  {'first day':<10}  {'last day':<10}  {'days':>5}  {'rows':>12}  coverage")
    for summary in summaries:
        first, last = (str(day) if day else "-" for day in (summary.first_day, summary.last_day))
        coverage = "-" if summary.coverage is None else f"{summary.coverage:.1%}"
        click.echo(
            f"{summary.tenant:<{width}}  {first:<10}  {last:<10}  {summary.days:>5}  {summary.rows:>12,}  {coverage:>8}"
        )
