"""The options that every command takes, and what they turn into."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from resources.settings import Settings, load_settings

Command = TypeVar("Command", bound=Callable[..., Any])


def home_option(command: Command) -> Command:
    """Add `--home FOLDER`, passed on as `home: Path | None`."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        help="Folder that holds everything that is written (default: ANALYTICS_HOME or ./novacron-home).",
    )(command)


def json_option(command: Command) -> Command:
    """Add `--json`, passed on as `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def settings_for(home: Path | None) -> Settings:
    """Return the settings of a command called with `--home`."""
    return load_settings(home)
