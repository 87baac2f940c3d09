"""`novacron-analytics query`: one SELECT over a tenant's tables."""

import csv
import io
import json
import math
import sys
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from portal.options import home_option, settings_for
from resources.errors import InvalidInput
from resources.settings import Settings

FORMATS = ("table", "csv", "json", "parquet")


@click.command("query")
@click.argument("sql")
@click.option("--tenant", required=True, help="Whose tables to ask; nothing of another tenant can be seen.")
@click.option("--format", "out_format", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file instead.")
@click.option("--force", is_flag=True, help="Replace the output file if it is there.")
@click.option("--max-rows", type=click.IntRange(1), default=None, help="Rows it may return (default: query_max_rows).")
@home_option
def command(
    sql: str, tenant: str, out_format: str, output: Path | None, force: bool, max_rows: int | None, home: Path | None
) -> None:
    """Run SQL, one SELECT, over the tables of one tenant; `-` reads it from standard input.

    Each table is a view with its declared columns, `tenant` and `day`. A statement that is not one
    SELECT, or that names files, settings or anything else outside the tenant's tables, is refused.
    """
    settings = settings_for(home)
    text = sys.stdin.read() if sql == "-" else sql
    if output is not None and output.exists() and not force:
        raise InvalidInput(f"{output} exists. Name another file, or replace it with --force.")
    if out_format == "parquet" and output is None and sys.stdout.isatty():
        raise InvalidInput("Parquet is not for a terminal. Give --output FILE, or redirect standard output.")
    started = time.monotonic()
    rows = ask(settings, tenant, text, max_rows)
    content = encode(rows, out_format)
    if output is not None:
        _write_file(output, content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    click.echo(f"{rows.num_rows} row(s) in {time.monotonic() - started:.2f} s", err=True)


def ask(settings: Settings, tenant: str, sql: str, max_rows: int | None) -> pa.Table:
    """Return the rows of `sql` over the tables of `tenant`.

    Raises:
        InvalidInput: there is no such tenant, or the query is refused, fails, or goes over a limit.
        CorruptPartition: a file that it reads is damaged.
    """
    from analytics_assets.pipelines.graph import declared_tables
    from resources.lake.lake import Lake
    from resources.lake.warehouse import QueryLimits, open_session
    from resources.partition import check_tenant

    lake = Lake(settings.lake_root)
    stored = lake.tenants()
    if check_tenant(tenant) not in stored:
        have = ", ".join(stored) or "none yet; run a pipeline first"
        raise InvalidInput(f"there is nothing stored for tenant {tenant!r} in {settings.home}. Tenants: {have}.")
    limits = QueryLimits(
        max_rows=max_rows or settings.query_max_rows,
        timeout_seconds=settings.query_timeout_seconds,
        memory_mb=settings.query_memory_mb,
        threads=settings.query_threads,
    )
    with open_session(lake, tenant, declared_tables(settings), limits) as session:
        return session.query(sql)


def encode(rows: pa.Table, out_format: str) -> bytes:
    """Return `rows` as text or Parquet. Text stays as it is in CSV, also where a spreadsheet would compute it."""
    if out_format == "parquet":
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd")
        return bytes(sink.getvalue())
    columns = [column.to_pylist() for column in rows.columns]
    records = list(zip(*columns, strict=True))
    if out_format == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(rows.column_names)
        writer.writerows([["" if value is None else shown(value) for value in record] for record in records])
        return text.getvalue().encode()
    if out_format == "json":
        objects = [dict(zip(rows.column_names, map(plain, record), strict=True)) for record in records]
        return (json.dumps(objects, indent=2, ensure_ascii=False) + "\n").encode()
    return _aligned(rows, records).encode()


def plain(value: Any) -> Any:
    """Return a value as JSON has it: instants as ISO 8601 in UTC, NaN and infinities as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return shown(value)


def shown(value: Any) -> str:
    """Return a value as text: instants as ISO 8601 in UTC with a Z."""
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value
        text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
        return text.replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(plain(value), ensure_ascii=False)
    return str(value)


def _aligned(rows: pa.Table, records: list[tuple[Any, ...]]) -> str:
    """Return columns side by side, numbers to the right, nothing cut; control characters cannot reach a terminal."""
    numeric = [
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        for kind in rows.schema.types
    ]
    cells = [[_cell(value) for value in record] for record in records]
    widths = [max([len(name), *(len(line[i]) for line in cells)]) for i, name in enumerate(rows.column_names)]

    def line(values: list[str]) -> str:
        padded = (
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, numeric, strict=True)
        )
        return "  ".join(padded).rstrip()

    lines = [line(list(rows.column_names)), "  ".join("-" * width for width in widths), *map(line, cells)]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) and abs(value) < 1e6 else shown(value)
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _write_file(path: Path, content: bytes) -> None:
    """Write a whole file or none: beside it first, then in its place."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InvalidInput(f"cannot write {path}: {error.strerror}. Name another file.") from error
