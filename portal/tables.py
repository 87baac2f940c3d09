"""`novacron-analytics tables`: the data dictionary, made from the tables' declarations."""

import json
from pathlib import Path
from typing import Any

import click

from portal.options import home_option, json_option, settings_for
from portal.result_formats import aligned
from resources.errors import InvalidInput
from resources.lake.table import Column, Table


@click.command("tables")
@click.argument("name", required=False)
@home_option
@json_option
@click.option("--markdown", is_flag=True, help="Print Markdown for documentation.")
def command(name: str | None, home: Path | None, as_json: bool, markdown: bool) -> None:
    """Print what each table holds: what one row is, its key, and its columns with type, unit and range."""
    from analytics_assets.pipelines.graph import declared_tables

    tables = declared_tables(settings_for(home))
    chosen = [table for table in tables if name in (None, table.name)]
    if not chosen:
        known = ", ".join(table.name for table in tables)
        raise InvalidInput(f"there is no table {name!r}. Tables: {known}.")
    if as_json:
        click.echo(json.dumps([describe(table) for table in chosen], indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(map(_markdown if markdown else _plain, chosen)), nl=False)


def describe(table: Table) -> dict[str, Any]:
    """Return a table's declaration as plain values, with the `tenant` and `day` that its view adds."""
    columns = [_describe_column(column) for column in table.columns]
    for name, kind, about in (
        ("tenant", "VARCHAR", "Whose row it is; from the file's place"),
        ("day", "DATE", "Its UTC day; from the file's name"),
    ):
        columns.append({"name": name, "type": kind, "unit": "", "nullable": False, "allowed": "", "description": about})
    return {
        "table": table.name,
        "description": table.description,
        "primary_key": list(table.primary_key),
        "order": list(table.order),
        "measured": table.measured,
        "columns": columns,
    }


def _describe_column(column: Column) -> dict[str, Any]:
    from resources.lake.warehouse import sql_type

    return {
        "name": column.name,
        "type": sql_type(column),
        "unit": column.unit,
        "nullable": column.nullable,
        "allowed": _allowed(column),
        "description": column.description,
    }


def _allowed(column: Column) -> str:
    if column.values:
        return ", ".join(column.values)
    if column.minimum is not None and column.maximum is not None:
        return f"{column.minimum:g} to {column.maximum:g}"
    if column.minimum is not None:
        return f">= {column.minimum:g}"
    return f"<= {column.maximum:g}" if column.maximum is not None else ""


HEADER = ("column", "type", "unit", "null", "allowed", "description")


def _rows(about: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            column["name"],
            column["type"],
            column["unit"],
            "yes" if column["nullable"] else "no",
            column["allowed"],
            column["description"],
        )
        for column in about["columns"]
    ]


def _plain(table: Table) -> str:
    about = describe(table)
    head = f"{table.name}: {table.description}\nkey: {', '.join(table.primary_key)}, within a tenant's day\n\n"
    return head + aligned(HEADER, _rows(about)) + "\n"


def _markdown(table: Table) -> str:
    about = describe(table)
    key = ", ".join(f"`{name}`" for name in table.primary_key)
    lines = [f"## {table.name}", "", table.description, "", f"Key within a tenant's day: {key}.", ""]
    return "\n".join(lines) + "\n" + markdown_table(HEADER, _rows(about))


def markdown_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table; the first column is code."""
    lines = [header, tuple("---" for _ in header)]
    lines += [(f"`{row[0]}`", *(cell.replace("|", "\\|").replace("\n", " ") for cell in row[1:])) for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
