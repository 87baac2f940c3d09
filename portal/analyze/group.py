"""`novacron-analytics analyze`: the analyses for a file, without a home, tenants or Dagster."""

import click

from portal.lazy_group import LazyGroup

COMMANDS = {
    "anomalies": ("portal.analyze.anomalies", "Score every sample of every series, and raise alarms."),
    "forecasts": ("portal.analyze.forecasts", "Forecast every series, with 80 and 95 % intervals."),
    "root-causes": ("portal.analyze.root_causes", "Rank who may have caused what happened in a window of time."),
    "sizes": ("portal.analyze.sizes", "Say how large each series' capacity should be."),
}
"""Command name -> the module whose `command` it is, and its one line of help."""


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Analyse a CSV or Parquet file of samples, and write the answers to another.

    Rows may come in any order. Times are ISO 8601 (UTC where no zone is named) or numbers since 1970 in
    s, ms, us or ns. Nothing else than the output file is written.
    """
