"""`novacron-analytics demo`: a simulated fleet, analysed whole."""

import json
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from portal.options import home_option, settings_for
from resources.errors import InvalidInput
from resources.partition import Partition, parse_day
from resources.settings import FILE_NAME, Settings

PIPELINE = "daily-analytics"
SHOWN_FINDINGS = 3


@click.command("demo")
@click.option("--tenants", type=click.IntRange(1, 200), default=3, show_default=True, help="Tenants to simulate.")
@click.option("--vms", type=click.IntRange(1, 10_000), default=20, show_default=True, help="VMs of each tenant.")
@click.option("--days", type=click.IntRange(1, 400), default=14, show_default=True, help="Days to simulate.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=42, show_default=True, help="Seed of the fleet.")
@click.option("--until", default=None, metavar="DAY", help="Last day, YYYY-MM-DD (default: yesterday, UTC).")
@home_option
def command(tenants: int, vms: int, days: int, seed: int, until: str | None, home: Path | None) -> None:
    """Simulate a NovaCron fleet, materialize the whole graph for it, and say what was found.

    Needs no server and no network. The home remembers the fleet: later commands (dev, run, query)
    on the same home work on it.
    """
    from analytics_assets.pipelines.graph import find_pipeline
    from portal.planning import plan_run
    from portal.running import execute
    from resources.sources import open_sources

    started = time.monotonic()
    today = datetime.now(UTC).date()
    last = parse_day(until) if until else None
    if last is not None and last >= today:
        raise InvalidInput(f"--until {last} is not over yet. Take a day before {today} (UTC).")
    fleet: dict[str, Any] = {
        "source": "simulated",
        "simulated_tenants": tenants,
        "simulated_vms": vms,
        "simulated_days": days,
        "simulated_seed": seed,
    }
    settings = settings_of_demo(settings_for(home), fleet, last, today)
    first = settings.simulated_first_day
    end = first + timedelta(days=settings.simulated_days - 1)
    click.echo(f"simulating {tenants} tenant(s) x {vms} VMs, {first} to {end}, seed {seed}", err=True)
    plan = plan_run(
        find_pipeline(settings, PIPELINE), (), str(first), str(end), today, settings, open_sources(settings), ()
    )
    execute(plan, settings)
    click.echo(f"\n{plan.asset_partitions} asset partitions in {time.monotonic() - started:.0f} s. What was found:")
    for tenant in plan.tenants:
        _tell(settings, Partition(tenant, end))
    click.echo("\nLook further:")
    click.echo(f"  novacron-analytics dev --home {settings.home}      the graph, runs and charts, in Dagster's UI")
    click.echo(f"  novacron-analytics tenants --home {settings.home}")
    click.echo(f"  novacron-analytics query 'FROM capacity' --tenant {plan.tenants[0]} --home {settings.home}")


def settings_of_demo(current: Settings, fleet: dict[str, Any], last: date | None, today: date) -> Settings:
    """Return the settings with the demo's fleet, written to the home so that later commands find it.

    Raises:
        InvalidInput: the home holds something else, which a demo must not mix with.
    """
    file = current.home / FILE_NAME
    same = all(getattr(current, name) == value for name, value in fleet.items())
    kept = current.simulated_first_day + timedelta(days=current.simulated_days - 1)
    if same and file.exists() and last in (None, kept) and kept < today:
        return current
    if file.exists() or current.lake_root.exists() or current.traces_root.exists():
        raise InvalidInput(
            f"{current.home} holds data already, of another fleet or source. "
            "Give the demo a home of its own: --home FOLDER; or remove that folder if you need it no more."
        )
    end = last or today - timedelta(days=1)
    values = {**fleet, "simulated_first_day": end - timedelta(days=fleet["simulated_days"] - 1)}
    current.home.mkdir(parents=True, exist_ok=True)
    lines = ["# Written by the demo: this home's samples come from a simulated fleet."]
    lines += [
        f"{name} = {json.dumps(value) if not isinstance(value, date) else value}" for name, value in values.items()
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return settings_for(current.home)


def _tell(settings: Settings, partition: Partition) -> None:
    """Print a tenant's most pressing findings and where its reports are."""
    from resources.lake.lake import Lake

    lake = Lake(settings.lake_root)
    for report in ("capacity_planning_report", "system_performance_report"):
        path = lake.path(report, partition, "json")
        content = json.loads(path.read_text(encoding="utf-8"))
        click.echo(f"\n{partition.tenant}, {report.replace('_', ' ')}:")
        findings = content["findings"]
        for finding in findings[:SHOWN_FINDINGS]:
            click.echo(f"  - {finding['sentence']}")
        if len(findings) > SHOWN_FINDINGS:
            click.echo(f"  and {len(findings) - SHOWN_FINDINGS} more")
        click.echo(f"  report: {path.with_suffix('.pdf')}")
