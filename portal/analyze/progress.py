"""How many series are done, on standard error: a bar on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

LINE_SECONDS = 5
"""Without a terminal, one line at most this often; work that is done sooner says nothing."""

MANY_ROWS = 1_000_000
"""From so many rows on, work that cannot say how far it is says at least what it is."""

Item = TypeVar("Item")


def with_progress(items: Iterable[Item], total: int, quiet: bool) -> Iterator[Item]:
    """Yield the items, one for each series, and show how many are done."""
    if quiet:
        yield from items
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        yield from track(items, "analysing", total, console=Console(stderr=True), transient=True)
    else:
        said = time.monotonic()
        for done, item in enumerate(items, start=1):
            if time.monotonic() - said >= LINE_SECONDS:
                said = time.monotonic()
                click.echo(f"{done:,} of {total:,} series", err=True)
            yield item


def announce(what: str, rows: int, quiet: bool) -> None:
    """Say on standard error what is being done with many rows."""
    if rows >= MANY_ROWS and not quiet:
        click.echo(f"{what} ({rows:,} rows)", err=True)
