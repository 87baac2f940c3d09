"""The arguments and options that the commands of `analyze` share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from portal.analyze.times import UNITS
from portal.options import json_option
from resources.errors import InvalidInput

Command = TypeVar("Command", bound=Callable[..., Any])


def file_options(command: Command) -> Command:
    """Add IN, --output, --column, --time-unit, --dry-run and --json."""
    added = [
        click.argument("path", metavar="IN", type=click.Path(path_type=Path)),
        click.option(
            "--output", metavar="OUT", type=click.Path(path_type=Path), help="CSV or Parquet file to write or replace."
        ),
        click.option(
            "--column", "columns", multiple=True, metavar="OURS=THEIRS", help="A column's name in IN; repeatable."
        ),
        click.option(
            "--time-unit",
            type=click.Choice(UNITS),
            default="auto",
            show_default=True,
            help="Unit of times that are numbers; auto looks at them.",
        ),
        click.option("--dry-run", is_flag=True, help="Read and check the input, and write nothing."),
        json_option,
    ]
    for add in reversed(added):
        command = add(command)
    return command


def parse_columns(options: Sequence[str]) -> dict[str, str]:
    """Return our column -> theirs, from options such as `series=vm_id`."""
    named = {}
    for option in options:
        ours, equals, theirs = option.partition("=")
        if not equals or not ours.strip() or not theirs.strip():
            raise InvalidInput(f"--column {option!r} is not OURS=THEIRS.")
        named[ours.strip()] = theirs.strip()
    return named


def needed_output(output: Path | None, dry_run: bool) -> Path | None:
    """Return where to write; None for a dry run."""
    if output is None and not dry_run:
        raise click.UsageError("Missing option '--output'.")
    return None if dry_run else output
