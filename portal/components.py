"""`novacron-analytics components`: every component type with its parameters, inputs and table."""

import json
from collections.abc import Sequence
from typing import Any

import click

from analytics_assets.components import Component
from portal.options import json_option


@click.command("components")
@click.argument("names", nargs=-1)
@json_option
def command(names: Sequence[str], as_json: bool) -> None:
    """List the component types (or just NAMES): what each answers, needs, makes, and its parameters."""
    from analytics_assets.catalogue import components
    from resources.errors import InvalidInput

    found = components()
    unknown = [name for name in names if name not in found]
    if unknown:
        raise InvalidInput(f"there is no component {unknown[0]!r}. There are: {', '.join(found)}.")
    described = [describe(component) for name, component in found.items() if not names or name in names]
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for about in described:
        click.echo(f"{about['name']}  ({about['stage']})  {about['title']}")
        click.echo(f"    {about['description']}")
        for entry in about["requires"]:
            amount = "any of" if entry["many"] else "one"
            optional = ", optional" if entry["optional"] else ""
            click.echo(
                f"    reads {entry['role']}: {entry['description']} ({amount} {', '.join(entry['accepts'])}{optional})"
            )
        if about["reads"]:
            click.echo(f"    reads from outside: {', '.join(about['reads'])}")
        click.echo(f"    makes table {about['table']}: one row is {about['row']} ({', '.join(about['formats'])})")
        for parameter in about["parameters"]:
            limits = f", {parameter['range']}" if parameter["range"] else ""
            click.echo(
                f"    parameter {parameter['name']} = {parameter['default']!r}{limits}: {parameter['description']}"
            )
        click.echo()


def describe(component: Component) -> dict[str, Any]:
    """Return all the metadata of a component as plain values."""
    return {
        "name": component.name,
        "stage": component.stage,
        "title": component.title,
        "description": component.description,
        "requires": [
            {
                "role": entry.role,
                "accepts": list(entry.accepts),
                "description": entry.description,
                "many": entry.many,
                "optional": entry.optional,
            }
            for entry in component.inputs
        ],
        "reads": list(component.reads),
        "table": component.table.name,
        "row": component.table.description,
        "columns": component.table.column_names,
        "formats": list(component.formats),
        "parameters": _parameters(component),
    }


def _parameters(component: Component) -> list[dict[str, Any]]:
    schema = component.parameters.model_json_schema(mode="serialization")
    return [
        {
            "name": name,
            "type": about.get("type", "one of"),
            "default": about.get("default"),
            "range": _range(about),
            "description": about.get("description", ""),
        }
        for name, about in schema.get("properties", {}).items()
    ]


def _range(about: dict[str, Any]) -> str:
    if "enum" in about:
        return "one of " + ", ".join(map(str, about["enum"]))
    low = about.get("minimum", about.get("exclusiveMinimum"))
    high = about.get("maximum", about.get("exclusiveMaximum"))
    if low is None and high is None:
        return ""
    return f"{low if low is not None else 'any'} to {high if high is not None else 'any'}"
