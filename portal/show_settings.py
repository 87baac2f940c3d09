"""`novacron-analytics settings`: every setting with its value in force, range, default and meaning."""

import json
from pathlib import Path
from typing import Any

import click

from portal.options import home_option, json_option, settings_for
from resources.settings import PREFIX, Settings, describe_range


@click.command("settings")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown, as in docs/settings.md.")
@home_option
@json_option
def command(as_markdown: bool, home: Path | None, as_json: bool) -> None:
    """List the settings: environment variables beat the home's analytics.toml, that beats the defaults."""
    if as_markdown:
        click.echo(markdown(), nl=False)
        return
    described = [describe(settings_for(home), name) for name in Settings.model_fields]
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for about in described:
        changed = "" if about["value"] == about["default"] else f" (default {about['default']})"
        click.echo(f"{about['name']} = {about['value']}{changed}")
        click.echo(f"    {about['description']} Allowed: {about['range']}. {about['environment']}")


def describe(settings: Settings, name: str) -> dict[str, Any]:
    """Return a setting with its value in force as plain values."""
    field = Settings.model_fields[name]
    return {
        "name": name,
        "value": _plain(getattr(settings, name)),
        "default": _plain(field.default),
        "range": describe_range(name),
        "description": field.description,
        "environment": f"{PREFIX}{name.upper()}",
    }


def markdown() -> str:
    """Return the table of all settings."""
    lines = ["| setting | environment | default | allowed | meaning |", "|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{_plain(field.default)}`"
        lines.append(
            f"| `{name}` | `{PREFIX}{name.upper()}` | {default} | {describe_range(name).replace('|', ' or ')} "
            f"| {field.description} |"
        )
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else str(value)
