"""`novacron-analytics run`: materialize a pipeline for tenants and days."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from portal.options import home_option, json_option, settings_for


@click.command("run")
@click.argument("pipeline")
@click.option("--tenant", "tenants", multiple=True, help="Tenant to run it for; repeat for more (default: all).")
@click.option(
    "--from", "first", default=None, metavar="DAY", help="First day, YYYY-MM-DD (default: first with samples)."
)
@click.option("--to", "last", default=None, metavar="DAY", help="Last day, YYYY-MM-DD (default: last with samples).")
@click.option("--dry-run", is_flag=True, help="Say what would be run, and run nothing.")
@home_option
@json_option
def command(
    pipeline: str,
    tenants: tuple[str, ...],
    first: str | None,
    last: str | None,
    dry_run: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Materialize PIPELINE: compute and store every asset of it, for each tenant and day.

    Running a day again replaces it; the same inputs give the same bytes. The runs show in the UI.
    """
    from analytics_assets.partitions import open_instance, registered_tenants
    from analytics_assets.pipelines.graph import find_pipeline
    from portal.planning import plan_run
    from portal.running import execute
    from resources.sources import open_sources

    settings = settings_for(home)
    found = find_pipeline(settings, pipeline)
    with open_instance(settings) as instance:
        registered = registered_tenants(instance)
    today = datetime.now(UTC).date()
    plan = plan_run(found, tenants, first, last, today, settings, open_sources(settings), registered)
    runs = [
        {"tenant": tenant, "first_day": str(begin), "last_day": str(end)}
        for tenant in plan.tenants
        for begin, end in plan.ranges()
    ]
    summary = (
        f"{found.name}: {len(found.instances)} assets x {len(plan.tenants)} tenant(s) "
        f"({', '.join(plan.tenants)}) x {plan.first} to {plan.last} = {plan.asset_partitions} asset partitions"
    )
    if dry_run:
        click.echo(json.dumps(runs, indent=2) if as_json else f"would run {summary}, in {len(runs)} run(s)")
        return
    click.echo(summary, err=True)
    started = time.monotonic()
    records = execute(plan, settings, quiet=as_json)
    if as_json:
        click.echo(json.dumps([record.as_json() for record in records], indent=2))
    else:
        seconds = time.monotonic() - started
        click.echo(f"done: {plan.asset_partitions} asset partitions in {seconds:.1f} s, {len(records)} run(s)")
        click.echo(f"results: {settings.lake_root}")
