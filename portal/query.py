"""`novacron-analytics query`: one SELECT over a tenant's tables."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from portal.options import home_option, settings_for
from portal.result_formats import FORMATS
from resources.errors import InvalidInput
from resources.lake.lake import Lake
from resources.lake.storage import LocalStorage
from resources.lake.warehouse import QueryLimits, open_session
from resources.partition import check_tenant

MIB = 2**20

CATALOGUES = ("duckdb_", "information_schema")
"""Names without which a query cannot ask for the descriptions of tables and columns, which take 0.15 s to set."""


@click.command("query")
@click.argument("sql")
@click.option("--tenant", required=True, help="Whose tables to ask; platform for the nodes.")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="table",
    show_default=True,
    help="How to write the rows. csv keeps text as it is, also if it begins with =, +, - or @.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file, whole or not at all.")
@click.option("--force", is_flag=True, help="Let --output replace a file.")
@click.option("--max-rows", type=click.IntRange(1), help="Fail if there are more rows (default: query_max_rows).")
@home_option
def command(
    sql: str, tenant: str, form: str, output: Path | None, force: bool, max_rows: int | None, home: Path | None
) -> None:
    """Ask one SELECT of a tenant's tables; give - as SQL to read it from standard input.

    SHOW TABLES and DESCRIBE say what there is to ask. Every table has the columns tenant and day.
    """
    from analytics_assets.pipelines.graph import declared_tables

    settings = settings_for(home)
    lake = Lake(settings.lake_root)
    _check_known(tenant, lake)
    _check_output(output, force, form)
    limits = QueryLimits(
        max_rows=max_rows or settings.query_max_rows,
        timeout_seconds=settings.query_timeout_seconds,
        memory_mb=settings.query_memory_mb,
        threads=settings.query_threads,
    )
    text = _standard_input() if sql == "-" else sql
    began = time.perf_counter()
    tables, commented = declared_tables(settings), any(name in text.lower() for name in CATALOGUES)
    with (
        _memory_ceiling(limits.memory_mb),
        open_session(lake, tenant, tables, limits, commented=commented) as session,
    ):
        data = session.query(text)
    content = FORMATS[form](data)
    if output is None:
        click.echo(content, nl=False)
    else:
        LocalStorage(output.absolute().parent).put(output.name, content)
    took = time.perf_counter() - began
    click.echo(f"{data.num_rows} {'row' if data.num_rows == 1 else 'rows'} in {took:.2f} s", err=True)


def _check_known(tenant: str, lake: Lake) -> None:
    stored = lake.tenants()
    if check_tenant(tenant) not in stored:
        shown = ", ".join(stored[:20]) + (f" and {len(stored) - 20} more" if len(stored) > 20 else "")
        known = f"Tenants with stored tables: {shown}" if stored else "No tenant has any; run a pipeline first"
        raise InvalidInput(f"tenant {tenant!r} has no stored tables in {lake.root}. {known}.")


def _check_output(output: Path | None, force: bool, form: str) -> None:
    if output is None:
        if form == "parquet" and _is_terminal():
            raise InvalidInput("Parquet is not for a terminal. Give --output FILE, or pipe it.")
    elif not output.absolute().parent.is_dir():
        raise InvalidInput(f"{output.parent} is not a folder. Make it, or write elsewhere.")
    elif output.is_symlink() or (output.exists() and not output.is_file()):
        raise InvalidInput(f"{output} is not a plain file. Give --output another name.")
    elif output.exists() and not force:
        raise InvalidInput(f"{output} exists. Give --force to replace it, or another name.")


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"standard input is not UTF-8 text: {error}. Give the SQL as UTF-8.") from error


@contextmanager
def _memory_ceiling(memory_mb: int) -> Iterator[None]:
    """Let this process hold at most the query's memory, its result and what it has itself.

    DuckDB counts its tables and buffers, but not the values that a function makes: repeat('x', 4e9)
    would take all memory that the host has.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    ceiling = 1024 * MIB + 3 * memory_mb * MIB
    if soft != resource.RLIM_INFINITY:
        ceiling = min(ceiling, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (ceiling, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
