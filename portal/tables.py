"""`novacron-analytics tables`: the data dictionary."""

import json
from pathlib import Path
from typing import Any

import click

from portal.options import home_option, json_option, settings_for
from resources.errors import InvalidInput
from resources.lake.table import Column, Table


@click.command("tables")
@click.argument("names", nargs=-1)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown, as in docs/tables.md.")
@home_option
@json_option
def command(names: tuple[str, ...], as_markdown: bool, home: Path | None, as_json: bool) -> None:
    """Print what each table (or just NAMES) holds: one row, key, columns with type, unit, range and meaning."""
    from analytics_assets.pipelines.graph import declared_tables

    declared = {table.name: table for table in declared_tables(settings_for(home))}
    unknown = [name for name in names if name not in declared]
    if unknown:
        raise InvalidInput(f"there is no table {unknown[0]!r}. There are: {', '.join(sorted(declared))}.")
    chosen = [declared[name] for name in names or sorted(declared)]
    if as_json:
        click.echo(json.dumps([describe(table) for table in chosen], indent=2))
    elif as_markdown:
        click.echo("\n".join(markdown(table) for table in chosen), nl=False)
    else:
        for table in chosen:
            _print(table)


def describe(table: Table) -> dict[str, Any]:
    """Return a table's declaration as plain values."""
    return {
        "table": table.name,
        "row": table.description,
        "primary_key": list(table.primary_key),
        "columns": [
            {
                "name": column.name,
                "type": type_name(column),
                "unit": column.unit,
                "nullable": column.nullable,
                "range": value_range(column),
                "description": column.description,
            }
            for column in table.columns
        ],
    }


def markdown(table: Table) -> str:
    """Return a section of the data dictionary."""
    lines = [
        f"## {table.name}\n",
        f"One row is {table.description}. Key: {', '.join(f'`{name}`' for name in table.primary_key)}.\n",
        "| column | type | unit | null | range | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for column in table.columns:
        null = "yes" if column.nullable else ""
        lines.append(
            f"| `{column.name}` | {type_name(column)} | {column.unit} | {null} | {value_range(column)} "
            f"| {column.description.replace('|', '/')} |"
        )
    return "\n".join(lines) + "\n\n"


def type_name(column: Column) -> str:
    """Return the SQL type of a column in its view."""
    from resources.lake.warehouse import sql_type

    return sql_type(column)


def value_range(column: Column) -> str:
    """Return the values that a column may have, empty where any."""
    if column.values:
        return ", ".join(column.values)
    low, high = column.minimum, column.maximum
    if low is None and high is None:
        return ""
    if high is None:
        return f">= {low:g}"
    return f"<= {high:g}" if low is None else f"{low:g} to {high:g}"


def _print(table: Table) -> None:
    click.echo(f"{table.name}: one row is {table.description}")
    click.echo(f"  key: {', '.join(table.primary_key)}")
    width = max(len(column.name) for column in table.columns)
    for column in table.columns:
        kind = type_name(column) + (f" {column.unit}" if column.unit else "") + (", null" if column.nullable else "")
        limits = f" [{value_range(column)}]" if value_range(column) else ""
        click.echo(f"  {column.name:<{width}}  {column.description} ({kind}){limits}")
    click.echo()
