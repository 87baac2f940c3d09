"""`novacron-analytics settings`: every setting, its value, where that was set, its range and meaning."""

import json
from pathlib import Path
from typing import Any

import click

from portal.options import home_option, json_option, settings_for
from portal.result_formats import aligned
from portal.tables import markdown_table
from resources.settings import PREFIX, Settings, describe_range, given_settings, shown

HEADER = ("name", "value", "origin", "range", "default", "description")
DOCUMENTED = ("name", "environment", "range", "default", "description")
"""What is the same in every home, for the page of documentation."""


@click.command("settings")
@home_option
@json_option
@click.option("--markdown", is_flag=True, help="Print Markdown for documentation.")
def command(home: Path | None, as_json: bool, markdown: bool) -> None:
    """List the settings in force.

    A setting is set by the environment variable ANALYTICS_ and its name in capitals, or in
    analytics.toml in the home; the environment beats the file.
    """
    listed = in_force(home)
    if as_json:
        click.echo(json.dumps(listed, indent=2))
        return
    header = DOCUMENTED if markdown else HEADER
    rows = [tuple("" if about[key] is None else str(about[key]) for key in header) for about in listed]
    click.echo(markdown_table(header, rows) if markdown else aligned(header, rows), nl=False)


def in_force(home: Path | None) -> list[dict[str, Any]]:
    """Return every setting as plain values, in the order they are declared."""
    given = given_settings(home)
    values = settings_for(home).model_dump(mode="json")
    defaults = {name: field.get_default() for name, field in Settings.model_fields.items()}
    return [
        {
            "name": name,
            "environment": f"{PREFIX}{name.upper()}",
            "value": shown(name, values[name]),
            "origin": given[name][1] if name in given else "default",
            "range": describe_range(name),
            "default": None if defaults[name] is None else _plain(defaults[name]),
            "description": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]


def _plain(value: Any) -> Any:
    if value == ():
        return None
    return value if isinstance(value, int | float | str) else str(value)
