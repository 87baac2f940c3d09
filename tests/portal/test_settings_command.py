"""`settings`: what is in force and who set it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from portal.cli import cli
from resources.errors import InvalidInput
from resources.settings import Settings


def show(home: Path, *arguments: str, **environment: str) -> str:
    command = ["settings", *arguments, "--home", str(home)]
    done = CliRunner().invoke(cli, command, catch_exceptions=False, env=environment)
    assert done.exit_code == 0
    return done.stdout


def test_every_setting_with_value_and_origin(tmp_path):
    (tmp_path / "analytics.toml").write_text("query_threads = 3\n")
    listed = json.loads(show(tmp_path, "--json", ANALYTICS_QUERY_MAX_ROWS="7"))
    named = {about["name"]: about for about in listed}
    assert list(named) == list(Settings.model_fields)
    assert named["query_threads"] == {
        "name": "query_threads",
        "environment": "ANALYTICS_QUERY_THREADS",
        "value": 3,
        "origin": str(tmp_path / "analytics.toml"),
        "range": "1 to 256",
        "default": 1,
        "description": Settings.model_fields["query_threads"].description,
    }
    assert (named["query_max_rows"]["value"], named["query_max_rows"]["origin"]) == (
        7,
        "environment variable ANALYTICS_QUERY_MAX_ROWS",
    )
    assert (named["home"]["value"], named["home"]["origin"]) == (str(tmp_path), "--home")
    assert (named["first_day"]["value"], named["first_day"]["origin"]) == (None, "default")


def test_text_and_markdown_name_every_setting(tmp_path):
    text, markdown = show(tmp_path), show(tmp_path, "--markdown")
    for name, field in Settings.model_fields.items():
        assert any(line.startswith(name) and str(field.description) in line for line in text.splitlines())
        assert f"| `{name}` |" in markdown


def test_a_wrong_setting_is_an_error(tmp_path):
    (tmp_path / "analytics.toml").write_text("query_threads = 0\n")
    with pytest.raises(InvalidInput, match="query_threads = 0"):
        show(tmp_path)
