"""`novacron-analytics`: the command line. Each command is a file of this folder, imported when it is used."""

import sys

import click

from portal.lazy_group import LazyGroup
from resources.errors import AnalyticsError

COMMANDS = {
    "demo": ("portal.demo", "Simulate a fleet, analyse it whole, and say what was found."),
    "import": ("portal.import_traces", "Import trace files of a tenant's VMs."),
    "source": ("portal.source", "Try the monitoring server that samples come from."),
    "run": ("portal.run", "Materialize a pipeline for a tenant and some days."),
    "dev": ("portal.dev", "Open Dagster's UI, with its daemon, on this home."),
    "analyze": ("portal.analyze.group", "Analyse a CSV or Parquet file: anomalies, forecasts, root causes, sizes."),
    "query": ("portal.query", "Ask one SELECT of a tenant's tables."),
    "tables": ("portal.tables", "Print the data dictionary."),
    "tenants": ("portal.tenants", "List the tenants with their days, rows and coverage."),
    "components": ("portal.components", "List the component types with their parameters."),
    "pipelines": ("portal.pipelines", "List the pipelines with their instances and schedules."),
    "settings": ("portal.show_settings", "List the settings in force, with range and meaning."),
}
"""Command name -> the module whose `command` it is, and its one line of help."""


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="novacron-performance-analytics", prog_name="novacron-analytics")
def cli() -> None:
    """Turn NovaCron's metrics into answers: trends, capacity, charts and reports.

    Everything is written below the home folder: --home, or ANALYTICS_HOME, or ./novacron-home.
    """


def main() -> None:
    """Run the command line; what it refuses goes to standard error, with exit code 1 (2 for wrong usage)."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except AnalyticsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader (head, a pager) has what it wanted; there is nobody left to tell.
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        click.echo(f"error: {error}. Check the path and its permissions, then run it again.", err=True)
        sys.exit(1)
