"""`novacron-analytics pipelines`: every pipeline with its instances, tenants and schedule."""

import json
from pathlib import Path
from typing import Any

import click

from analytics_assets.pipelines.loader import Pipeline
from portal.options import home_option, json_option, settings_for


@click.command("pipelines")
@home_option
@json_option
def command(home: Path | None, as_json: bool) -> None:
    """List the pipelines, built-in ones and those in the home's pipelines folder."""
    from analytics_assets.pipelines.graph import pipelines

    described = [describe(pipeline) for pipeline in pipelines(settings_for(home))]
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for about in described:
        tenants = "all tenants" if about["tenants"] is None else ", ".join(about["tenants"])
        when = f"daily at {about['daily_at']} UTC" if about["daily_at"] else "no schedule"
        click.echo(f"{about['name']}  {about['title']}  ({tenants}; {when})")
        click.echo(f"    {about['description']}")
        for instance in about["instances"]:
            reads = ", ".join(f"{role}: {', '.join(names)}" for role, names in instance["inputs"].items())
            arrow = f"  <- {reads}" if reads else ""
            click.echo(f"    {instance['stage']:<12} {instance['id']} ({instance['component']}){arrow}")
        click.echo()


def describe(pipeline: Pipeline) -> dict[str, Any]:
    """Return all that a pipeline's file says, as plain values."""
    at = pipeline.daily_at
    return {
        "name": pipeline.name,
        "title": pipeline.title,
        "description": pipeline.description,
        "file": pipeline.path.name,
        "tenants": None if pipeline.tenants is None else list(pipeline.tenants),
        "daily_at": f"{at[0]:02}:{at[1]:02}" if at else None,
        "cron": pipeline.cron,
        "job": pipeline.job_name,
        "instances": [
            {
                "id": instance.id,
                "component": instance.component.name,
                "stage": instance.component.stage,
                "table": instance.table.name,
                "title": instance.title,
                "description": instance.description,
                "parameters": instance.parameters.model_dump(mode="json"),
                "inputs": {role: [source.id for source in sources] for role, sources in instance.inputs.items()},
            }
            for instance in pipeline.instances
        ],
    }
