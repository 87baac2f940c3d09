"""`query`: formats, files, limits, and what it says when it cannot."""

import csv
import io
import json
import math
import os
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from portal.cli import cli
from portal.result_formats import as_csv, as_json, as_parquet, as_table
from resources.errors import InvalidInput
from resources.lake.guard import QueryRefused
from resources.lake.partition_file import CorruptPartition
from resources.lake.warehouse import QueryOverLimit
from resources.partition import Partition
from tests.resources.lake.scenario import FIRST_DAY, NOTES, VM_LOAD, filled_lake

ROOT = Path(__file__).resolve().parents[2]
PER_DAY = "SELECT day, avg(cpu_percent) AS level FROM vm_load GROUP BY day ORDER BY day"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    filled_lake(tmp_path / "lake", ("acme", "beta"))
    monkeypatch.setattr("analytics_assets.pipelines.graph.declared_tables", lambda _: [VM_LOAD, NOTES])
    return tmp_path


def ask(home: Path, *arguments: str, **more: object) -> Result:
    """Run the command; what it raises reaches the test."""
    return CliRunner().invoke(cli, ["query", *arguments, "--home", str(home)], catch_exceptions=False, **more)


def test_a_table_is_aligned_and_whole(home):
    done = ask(home, PER_DAY, "--tenant", "acme")
    assert done.stdout == (
        "day         level\n----------  -----\n2026-03-01    1.0\n2026-03-02    2.0\n2026-03-03    3.0\n"
    )
    assert done.stderr.startswith("3 rows in 0.")


def test_csv_and_json_for_programs(home):
    done = ask(home, PER_DAY, "--tenant", "acme", "--format", "csv")
    assert done.stdout_bytes == b"day,level\r\n2026-03-01,1.0\r\n2026-03-02,2.0\r\n2026-03-03,3.0\r\n"
    done = ask(home, "SELECT ts, vm_id, cpu_percent FROM vm_load LIMIT 1", "--tenant", "acme", "--format", "json")
    assert json.loads(done.stdout) == [{"ts": "2026-03-01T00:00:00Z", "vm_id": "vm-a", "cpu_percent": 1.0}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT comment FROM DuckDB_Columns() WHERE table_name = 'vm_load' AND column_name = 'cpu_percent'",
        'SELECT "COLUMN_COMMENT" FROM information_schema.columns '
        "WHERE table_name = 'vm_load' AND column_name = 'cpu_percent'",
    ],
)
def test_an_analyst_finds_what_a_column_means(home, sql):
    """Descriptions are set for such queries only: a guess at which those are that misses one leaves them empty."""
    described = VM_LOAD.column("cpu_percent").description
    assert described in ask(home, sql, "--tenant", "acme", "--format", "csv").stdout


def test_parquet_to_a_file_and_to_a_pipe(home):
    target = home / "x.parquet"
    done = ask(home, PER_DAY, "--tenant", "acme", "--format", "parquet", "--output", str(target))
    assert done.stdout == ""
    assert pq.read_table(target)["level"].to_pylist() == [1.0, 2.0, 3.0]
    piped = ask(home, PER_DAY, "--tenant", "acme", "--format", "parquet").stdout_bytes
    assert pq.read_table(pa.BufferReader(piped)).num_rows == 3


def test_parquet_is_not_printed_on_a_terminal(home, monkeypatch):
    monkeypatch.setattr("portal.query._is_terminal", lambda: True)
    with pytest.raises(InvalidInput, match="not for a terminal"):
        ask(home, PER_DAY, "--tenant", "acme", "--format", "parquet")


def test_sql_from_standard_input(home):
    done = ask(home, "-", "--tenant", "acme", "--format", "csv", input="\ufeffSELECT 1 AS one;\n")
    assert done.stdout_bytes == b"one\r\n1\r\n"
    with pytest.raises(InvalidInput, match="not UTF-8"):
        ask(home, "-", "--tenant", "acme", input=b"\xff")


def test_an_unknown_tenant_is_told_who_there_is(home):
    with pytest.raises(InvalidInput, match=r"tenant 'gamma' has no stored tables.*: acme, beta\."):
        ask(home, "SELECT 1", "--tenant", "gamma")
    with pytest.raises(InvalidInput, match="is not a tenant id"):
        ask(home, "SELECT 1", "--tenant", "../acme")
    with pytest.raises(InvalidInput, match="No tenant has any; run a pipeline first"):
        ask(home / "elsewhere", "SELECT 1", "--tenant", "acme")


def test_too_many_rows_print_nothing(home):
    assert ask(home, "SELECT 1 FROM range(5)", "--tenant", "acme", "--max-rows", "5").exit_code == 0
    with pytest.raises(QueryOverLimit, match="more than 5 rows"):
        ask(home, "SELECT 1 FROM range(6)", "--tenant", "acme", "--max-rows", "5")


def test_a_file_is_replaced_by_force_only(home):
    target = home / "out.csv"
    asked = (PER_DAY, "--tenant", "acme", "--format", "csv", "--output", str(target))
    ask(home, *asked)
    target.write_text("mine")
    with pytest.raises(InvalidInput, match=r"exists\. Give --force"):
        ask(home, *asked)
    assert target.read_text() == "mine"
    ask(home, *asked, "--force")
    assert target.read_text().startswith("day,level")
    assert sorted(path.name for path in home.iterdir()) == ["lake", "out.csv"]


def test_a_refused_query_leaves_the_file(home):
    target = home / "out.csv"
    target.write_text("mine")
    with pytest.raises(QueryRefused):
        ask(home, "DROP VIEW vm_load", "--tenant", "acme", "--output", str(target), "--force")
    assert target.read_text() == "mine"


@pytest.mark.parametrize("output", ["/dev/null", "/dev/stdout", "none/x.csv", "."])
def test_only_a_plain_file_is_written(home, output):
    """Stops --force, given by root, from replacing a device by a file."""
    with pytest.raises(InvalidInput, match="is not a"):
        ask(home, "SELECT 1", "--tenant", "acme", "--force", "--output", output)
    assert Path("/dev/null").is_char_device()


def test_a_damaged_day_is_named_and_can_be_left_out(home):
    path = filled_lake(home / "lake").path("vm_load", Partition("acme", FIRST_DAY))
    path.write_bytes(b"damaged")
    with pytest.raises(CorruptPartition, match=r"lake/tenant=acme/vm_load/day=2026-03-01.parquet is damaged"):
        ask(home, PER_DAY, "--tenant", "acme")
    rest = PER_DAY.replace("GROUP", "WHERE day <> DATE '2026-03-01' GROUP")
    assert ask(home, rest, "--tenant", "acme").stdout.count("2026-03-0") == 2


ODD = pa.table(
    {
        "text": ['=1+1, "x"', "-a\nb", None],
        "real": pa.array([math.nan, math.inf, 0.1], pa.float32()),
        "at": pa.array([datetime(2026, 3, 1, 1, 2, 3, 400_000, UTC), None, None], pa.timestamp("us", "UTC")),
        "sum": pa.array([Decimal(2**70), None, Decimal(1)], pa.decimal128(38, 0)),
        "truth": [True, False, None],
        "many": [[1, None], [], None],
        "one": [{"a": date(2026, 3, 1)}, None, None],
        "raw": [b"\x00\xff", b"", None],
    }
)


def test_odd_values_as_csv():
    """Stops CSV that a reader splits wrongly, and text that is changed for a spreadsheet's sake."""
    read = list(csv.reader(io.StringIO(as_csv(ODD).decode(), newline="")))
    assert read[1] == [
        '=1+1, "x"', "", "2026-03-01T01:02:03.400000Z", str(2**70), "true", "[1, null]", '{"a": "2026-03-01"}', "00ff",
    ]  # fmt: skip
    assert read[2][:2] == ["-a\nb", ""]
    assert read[3][:4] == ["", "0.1", "", "1"]


def test_odd_values_as_json():
    """Stops NaN, which is not JSON, and a 4-byte 0.1 written as 0.10000000149011612."""
    first, second, third = json.loads(as_json(ODD))
    assert first == {
        "text": '=1+1, "x"',
        "real": None,
        "at": "2026-03-01T01:02:03.400000Z",
        "sum": 2**70,
        "truth": True,
        "many": [1, None],
        "one": {"a": "2026-03-01"},
        "raw": "00ff",
    }
    assert (second["real"], third["real"]) == (None, 0.1)


def test_odd_values_as_a_table():
    """Stops a VM's name from sending escape sequences to a terminal or breaking the lines."""
    text = as_table(pa.table({"name": ["a\x1b[31m\n", "名前", None], "n": [1, 20, None]})).decode()
    assert text.splitlines() == [
        "name          n",
        "-----------  --",
        "a\\x1b[31m\\n   1",
        "名前         20",
        "",
    ]


def test_no_rows_and_equal_names():
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert as_json(twice) == b'[{"a": 1, "a_2": 2}]\n'
    assert pq.read_table(pa.BufferReader(as_parquet(twice))).column_names == ["a", "a_2"]
    nothing = twice.slice(0, 0)
    assert as_json(nothing) == b"[]\n"
    assert as_csv(nothing) == b"a,a\r\n"
    assert as_table(nothing) == b"a  a\n-  -\n"


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from portal.cli import main; main()", "query", *arguments, "--home", str(home)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ})


def test_a_function_cannot_take_the_hosts_memory(home):
    """Stops one value of 4 GB, which DuckDB's own limit does not count, from being made."""
    began = time.monotonic()
    done = run(home, "SELECT repeat('x', 4000000000 + range) FROM range(1)", "--tenant", "acme")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the query needs more than 1024 MB" in done.stderr
    assert time.monotonic() - began < 20


HEAVY = {"dagster", "pandas", "matplotlib", "reportlab", "prophet", "scipy"}
WHAT_IS_LOADED = """
import sys
from portal.cli import cli
cli.main(standalone_mode=False)
print(sorted(set(sys.modules) & {}), file=sys.stderr)
"""


def test_a_question_loads_nothing_heavy(home):
    """Stops an import that would make every query slow; how long one takes is for the benchmarks."""
    arguments = ["query", "SHOW TABLES", "--tenant", "acme", "--home", str(home)]
    program = WHAT_IS_LOADED.format(HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "vm_resources_hourly" in done.stdout) == (0, True), done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
