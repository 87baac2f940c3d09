"""`tables`: the dictionary says what the declarations say."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from portal.cli import cli
from resources.errors import InvalidInput
from tests.resources.lake.scenario import NOTES, VM_LOAD


@pytest.fixture(autouse=True)
def _two_tables(monkeypatch):
    monkeypatch.setattr("analytics_assets.pipelines.graph.declared_tables", lambda _: [VM_LOAD, NOTES])


def show(tmp_path: Path, *arguments: str) -> str:
    done = CliRunner().invoke(cli, ["tables", *arguments, "--home", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_all_tables_with_key_unit_and_range(tmp_path):
    text = show(tmp_path)
    assert "vm_load: A VM in a bucket of 5 minutes" in text
    assert "key: vm_id, ts, within a tenant's day" in text
    line = next(line for line in text.splitlines() if line.startswith("cpu_percent"))
    assert line.split() == ["cpu_percent", "FLOAT", "percent", "yes", "0", "to", "100", "CPU", "use"]
    assert "running, stopped" in text
    assert "notes: A note" in text


def test_one_table(tmp_path):
    assert "vm_load" not in show(tmp_path, "notes")
    with pytest.raises(InvalidInput, match=r"there is no table 'gone'. Tables: vm_load, notes\."):
        show(tmp_path, "gone")


def test_json_for_programs(tmp_path):
    [about] = json.loads(show(tmp_path, "vm_load", "--json"))
    assert (about["table"], about["primary_key"], about["measured"]) == ("vm_load", ["vm_id", "ts"], True)
    assert [column["name"] for column in about["columns"]] == [*VM_LOAD.column_names, "tenant", "day"]
    assert about["columns"][4] == {
        "name": "samples",
        "type": "INTEGER",
        "unit": "",
        "nullable": False,
        "allowed": ">= 0",
        "description": "Samples seen",
    }


def test_markdown_for_documentation(tmp_path):
    text = show(tmp_path, "vm_load", "--markdown")
    assert text.startswith("## vm_load\n")
    assert "| `cpu_percent` | FLOAT | percent | yes | 0 to 100 | CPU use |" in text
