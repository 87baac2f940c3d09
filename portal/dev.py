"""`novacron-analytics dev`: Dagster's UI and daemon on this home."""

import os
import sys
from pathlib import Path

import click

from portal.options import home_option, settings_for


@click.command("dev")
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of the UI.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@home_option
def command(port: int, host: str, home: Path | None) -> None:
    """Open Dagster's UI with its daemon: the whole graph, backfills, schedules and sensors.

    The same as `dagster dev -w workspace.yaml` with ANALYTICS_HOME and DAGSTER_HOME set to this home.
    """
    from analytics_assets.partitions import open_instance, register_tenants
    from resources.sources import known_tenants

    settings = settings_for(home)
    with open_instance(settings):
        pass
    if not settings.is_live:  # a server may be down; the sensor asks it, and takes new tenants a few at a time
        register_tenants(settings, known_tenants(settings))
    environment = {
        **os.environ,
        "ANALYTICS_HOME": str(settings.home),
        "DAGSTER_HOME": str(settings.dagster_home),
    }
    arguments = [
        sys.executable, "-m", "dagster", "dev",
        "-m", "analytics_assets.definitions",
        "--host", host,
        "--port", str(port),
    ]  # fmt: skip
    click.echo(f"home {settings.home}; UI at http://{host}:{port}", err=True)
    sys.stderr.flush()
    os.execve(sys.executable, arguments, environment)  # noqa: S606 - no shell, fixed program
