"""`novacron-analytics query`: formats, refusals, limits, and the wall between tenants."""

import csv
import io
import json

import pyarrow.parquet as pq
import pytest

from resources.settings import Settings
from tests.portal.command import Done, run


def ask(home: Settings, sql: str, *more: object, tenant: str = "acme") -> Done:
    return run("query", sql, "--tenant", tenant, "--home", home.home, *more)


def test_every_format_says_the_same(computed_home, tmp_path):
    """Stops a format that loses rows, times or nulls."""
    sql = (
        "SELECT vm_id, ts, cpu_percent_mean AS cpu, NULL AS nothing, 'a,\"b' AS text "
        "FROM vm_resources WHERE day = DATE '2026-02-11' ORDER BY vm_id, ts LIMIT 5"
    )
    from_json = json.loads(ask(computed_home, sql, "--format", "json").out)
    assert len(from_json) == 5
    assert from_json[0]["ts"] == "2026-02-11T00:00:00Z"
    assert from_json[0]["nothing"] is None
    from_csv = list(csv.DictReader(io.StringIO(ask(computed_home, sql, "--format", "csv").out)))
    assert [row["vm_id"] for row in from_csv] == [row["vm_id"] for row in from_json]
    assert [float(row["cpu"]) for row in from_csv] == [row["cpu"] for row in from_json]
    assert from_csv[0]["text"] == 'a,"b'
    file = tmp_path / "rows.parquet"
    assert ask(computed_home, sql, "--format", "parquet", "--output", file).code == 0
    assert pq.read_table(file).column("cpu").to_pylist() == [row["cpu"] for row in from_json]
    table = ask(computed_home, sql)
    assert table.out.splitlines()[0].split() == ["vm_id", "ts", "cpu", "nothing", "text"]
    assert "5 row(s)" in table.err


def test_sql_may_come_from_standard_input(computed_home, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 42 AS answer"))
    assert ask(computed_home, "-", "--format", "csv").out == "answer\r\n42\r\n"


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("COPY (SELECT 1) TO 'x.csv'", "COPY"),
        ("ATTACH 'x.db'", "ATTACH"),
        ("INSTALL httpfs", "Exactly one SELECT"),
        ("PRAGMA version", "PRAGMA"),
        ("SET threads = 1", "SET"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("DELETE FROM capacity", "DELETE"),
        ("", "empty"),
        ("SELECT * FROM read_text('/etc/passwd')", "read_text"),
        ("SELECT * FROM '../tenant=globex/vm_resources/day=2026-02-11.parquet'", "no table"),
        ("SELECT * FROM glob('*')", "glob"),
        ("SELECT current_setting('allowed_directories')", "current_setting"),
        ("SELEC 1", "not SQL"),
        ("SELECT nothing FROM capacity", "nothing"),
    ],
)
def test_anything_but_one_select_of_the_tables_is_refused(computed_home, sql, says):
    """Stops a query from writing, from reading other folders, and from changing its session."""
    done = ask(computed_home, sql)
    assert done.code == 1
    assert done.out == ""
    assert says in done.err


def test_a_tenant_sees_itself_only(computed_home):
    """Stops one tenant's session from holding another's rows, or the platform's tables' rows."""
    for tenant in ("acme", "globex"):
        rows = json.loads(ask(computed_home, "SELECT DISTINCT tenant FROM vm_resources", "--format", "json", tenant=tenant).out)
        assert rows == [{"tenant": tenant}]
    scopes = json.loads(ask(computed_home, "SELECT DISTINCT scope FROM system_load", "--format", "json").out)
    assert scopes == [{"scope": "tenant"}]


def test_an_unknown_tenant_is_told_which_there_are(computed_home):
    done = ask(computed_home, "SELECT 1", tenant="nobody")
    assert done.code == 1
    assert "acme, globex, platform" in done.err


@pytest.mark.parametrize("tenant", ["../acme", "a/b", "a|b", "..", "x" * 300, "ACME"])
def test_a_tenant_id_that_is_none_is_refused(computed_home, tenant):
    """Stops a path out of the lake."""
    done = ask(computed_home, "SELECT 1", tenant=tenant)
    assert done.code == 1
    assert "is not a tenant id" in done.err


def test_too_many_rows_are_refused_not_cut(computed_home):
    """Stops an answer that silently lacks its end."""
    done = ask(computed_home, "SELECT * FROM vm_resources", "--max-rows", 10)
    assert (done.code, done.out) == (1, "")
    assert "more than 10 rows" in done.err


def test_an_output_file_is_not_overwritten_unless_told(computed_home, tmp_path):
    file = tmp_path / "out.csv"
    file.write_text("mine")
    assert ask(computed_home, "SELECT 1 AS a", "--format", "csv", "--output", file).code == 1
    assert file.read_text() == "mine"
    assert ask(computed_home, "SELECT 1 AS a", "--format", "csv", "--output", file, "--force").code == 0
    assert file.read_bytes() == b"a\r\n1\r\n"


def test_control_characters_cannot_reach_a_terminal(computed_home):
    """Stops a stored name from clearing the reader's screen."""
    assert "\x1b" not in ask(computed_home, "SELECT chr(27) || '[2J' AS name").out
