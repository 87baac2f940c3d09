"""The arguments and options that the commands of `analyze` share, and what they all do with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import click

from portal.analyze.columns import Rows, Wanted
from portal.analyze.reading import read_rows
from portal.analyze.times import UNITS
from portal.analyze.writing import check_output
from portal.options import json_option
from resources.errors import InvalidInput


@dataclass(frozen=True)
class Files:
    """What is read and written, and how. `output` is None for a dry run without one.

    `named` is our column -> theirs; `ignore` are columns of theirs that are left out.
    """

    path: Path
    output: Path | None
    named: dict[str, str]
    ignore: tuple[str, ...]
    time_unit: str
    dry_run: bool
    as_json: bool

    @property
    def target(self) -> Path | None:
        """Where to write; None for a dry run."""
        return None if self.dry_run else self.output

    def read(self, wanted: Wanted, others: Sequence[Path] = ()) -> Rows:
        """Return the rows of the input, after a look at the output, which must be none of the `others` either."""
        if self.output is not None:
            check_output(self.output, [self.path, *others])
        return read_rows(self.path, replace(wanted, named=self.named, ignore=self.ignore), self.time_unit)


def file_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add IN, --output, --column, --ignore, --time-unit, --dry-run and --json, given to the command as `Files`."""
    added = [
        click.argument("path", metavar="IN", type=click.Path(path_type=Path)),
        click.option(
            "--output", metavar="OUT", type=click.Path(path_type=Path), help="CSV or Parquet file to write or replace."
        ),
        click.option(
            "--column", "columns", multiple=True, metavar="OURS=THEIRS", help="A column's name in IN; repeatable."
        ),
        click.option("--ignore", multiple=True, metavar="THEIRS", help="A column of IN to leave out; repeatable."),
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

    @wraps(command)
    def with_files(
        path: Path,
        output: Path | None,
        columns: tuple[str, ...],
        ignore: tuple[str, ...],
        time_unit: str,
        dry_run: bool,
        as_json: bool,
        **own: Any,
    ) -> None:
        if output is None and not dry_run:
            raise click.UsageError("Missing option '--output'.")
        command(Files(path, output, parse_columns(columns), ignore, time_unit, dry_run, as_json), **own)

    for add in reversed(added):
        with_files = add(with_files)
    return with_files


def parse_columns(options: Sequence[str]) -> dict[str, str]:
    """Return our column -> theirs, from options such as `series=vm_id`."""
    named = {}
    for option in options:
        ours, equals, theirs = option.partition("=")
        if not equals or not ours.strip() or not theirs.strip():
            raise InvalidInput(f"--column {option!r} is not OURS=THEIRS.")
        named[ours.strip()] = theirs.strip()
    return named
