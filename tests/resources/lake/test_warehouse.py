"""Tenant sessions: what a query sees, what it cannot, and what it says when a file is damaged."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from resources.errors import InvalidInput
from resources.lake.guard import QueryRefused
from resources.lake.lake import Lake
from resources.lake.partition_file import CorruptPartition
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.lake.warehouse import QueryOverLimit, TenantSession, open_session, sql_type
from resources.partition import Partition
from tests.resources.lake.conftest import LIMITS, TABLES
from tests.resources.lake.scenario import FIRST_DAY, VM_LOAD, filled_lake, load_rows

ROOT = Path(__file__).resolve().parents[3]
PER_DAY = "SELECT day, count(*) AS rows FROM vm_load GROUP BY day ORDER BY day"


def rows(session: TenantSession, sql: str) -> list[tuple]:
    return [tuple(row.values()) for row in session.query(sql).to_pylist()]


def test_a_view_has_the_declared_columns_then_tenant_and_day(session):
    assert session.query("SELECT * FROM vm_load").column_names == [*VM_LOAD.column_names, "tenant", "day"]
    described = [row[:2] for row in rows(session, "DESCRIBE vm_load")]
    assert described == [
        ("vm_id", "VARCHAR"),
        ("ts", "TIMESTAMP WITH TIME ZONE"),
        ("cpu_percent", "FLOAT"),
        ("state", "VARCHAR"),
        ("samples", "INTEGER"),
        ("tenant", "VARCHAR"),
        ("day", "DATE"),
    ]


def test_values_days_and_times_are_those_stored(session):
    """Stops a day taken from a folder's name, and times in the host's zone."""
    asked = "SELECT tenant, day, ts, cpu_percent FROM vm_load WHERE vm_id = 'vm-b' ORDER BY ts LIMIT 1"
    assert rows(session, asked) == [("acme", FIRST_DAY, datetime(2026, 3, 1, tzinfo=UTC), 1.0)]
    assert rows(session, "SELECT CAST(min(ts) AS VARCHAR) FROM vm_load") == [("2026-03-01 00:00:00+00",)]


def test_a_table_without_files_is_an_empty_view_of_the_same_types(session, tmp_path):
    assert session.query("SELECT * FROM notes").num_rows == 0
    filled = session.query("SELECT * FROM vm_load LIMIT 0").schema
    with open_session(Lake(tmp_path / "nothing"), "acme", TABLES, LIMITS) as empty:
        assert empty.query("SELECT * FROM vm_load").schema == filled
        assert rows(empty, "SELECT count(*) FROM vm_load") == [(0,)]


def test_comments_tell_what_a_column_is(session):
    comments = rows(session, "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'vm_load'")
    assert ("cpu_percent", "CPU use [percent]") in comments
    about = session._connection.execute("SELECT comment FROM duckdb_views() WHERE view_name = 'vm_load'").fetchall()
    assert about == [(VM_LOAD.description,)]


EVERY_VALUE = {
    pa.string(): "a",
    ENTITY: "b",
    TIMESTAMP: datetime(2026, 3, 1, tzinfo=UTC),
    pa.timestamp("us"): datetime(2026, 3, 1, 0, 0, 1),  # noqa: DTZ001 - a column without a zone
    pa.bool_(): True,
    pa.int8(): -8,
    pa.int64(): -(2**40),
    pa.uint64(): 2**63,
    pa.float32(): 0.5,
    pa.float64(): 0.1,
    pa.date32(): FIRST_DAY,
    pa.binary(): b"\x00\xff",
}
EVERY_TYPE = Table(
    "every_type",
    "A row",
    tuple(Column(f"c{place}", kind, 'It\'s "quoted"', nullable=place > 0) for place, kind in enumerate(EVERY_VALUE)),
    ("c0",),
)


def test_every_type_that_a_table_may_have_reads_back(tmp_path):
    values = list(EVERY_VALUE.values())
    plain = [[value, value] if place else ["x", "y"] for place, value in enumerate(values)]
    columns = [pa.array(each, column.type) for each, column in zip(plain, EVERY_TYPE.columns, strict=True)]
    lake = Lake(tmp_path)
    lake.write(EVERY_TYPE, Partition("acme", FIRST_DAY), pa.table(columns, names=EVERY_TYPE.column_names))
    with open_session(lake, "acme", [EVERY_TYPE], LIMITS) as session:
        assert rows(session, "SELECT * EXCLUDE (tenant, day) FROM every_type ORDER BY c0") == [
            ("x", *values[1:]),
            ("y", *values[1:]),
        ]
        kinds = [row[1] for row in rows(session, "DESCRIBE every_type")]
    assert kinds[:-2] == [sql_type(column) for column in EVERY_TYPE.columns]


def test_an_older_file_lacks_a_column(tmp_path):
    """Stops a new column from making old days unreadable, whichever file comes first."""
    lake = filled_lake(tmp_path, days=1)
    grown = replace(VM_LOAD, columns=(*VM_LOAD.columns, Column("new", pa.float64(), "New", nullable=True)))
    data = load_rows(FIRST_DAY + timedelta(1)).append_column("new", pa.array([0.5] * 6))
    lake.write(grown, Partition("acme", FIRST_DAY + timedelta(1)), data)
    with open_session(lake, "acme", [grown], LIMITS) as session:
        assert rows(session, "SELECT day, min(new) FROM vm_load GROUP BY day ORDER BY day") == [
            (FIRST_DAY, None),
            (FIRST_DAY + timedelta(1), 0.5),
        ]
    with open_session(lake, "acme", [VM_LOAD], LIMITS) as session:
        assert session.query("SELECT * FROM vm_load").num_rows == 12


def test_days_bound_the_files(lake):
    asked = [FIRST_DAY + timedelta(days=2), FIRST_DAY, date(2030, 1, 1)]
    with open_session(lake, "acme", TABLES, LIMITS, asked) as session:
        assert rows(session, PER_DAY) == [(FIRST_DAY, 6), (FIRST_DAY + timedelta(2), 6)]
    with open_session(lake, "acme", TABLES, LIMITS, []) as session:
        assert rows(session, PER_DAY) == []


def test_leftovers_of_killed_writers_are_not_read(tmp_path):
    lake = filled_lake(tmp_path, days=1)
    folder = tmp_path / "tenant=acme" / "vm_load"
    for junk in (".writing-day=2026-03-02.parquet-x", "day=2026-03-02.pdf", "day=2026-02-31.parquet", "x.parquet"):
        (folder / junk).write_bytes(b"junk")
    with open_session(lake, "acme", TABLES, LIMITS) as session:
        assert rows(session, PER_DAY) == [(FIRST_DAY, 6)]


def test_a_link_to_another_tenants_file_is_not_read(tmp_path):
    """Stops a link inside the folder from being a way around the wall."""
    lake = filled_lake(tmp_path, ("acme", "acme2"), days=1)
    theirs = lake.path("vm_load", Partition("acme2", FIRST_DAY))
    (tmp_path / "tenant=acme" / "vm_load" / "day=2026-03-02.parquet").symlink_to(theirs)
    with open_session(lake, "acme", TABLES, LIMITS) as session:
        assert rows(session, PER_DAY) == [(FIRST_DAY, 6)]


def test_a_link_as_the_root_works(lake, tmp_path):
    (tmp_path / "link").symlink_to(lake.root)
    with open_session(Lake(tmp_path / "link"), "acme", TABLES, LIMITS) as session:
        assert session.query("FROM vm_load").num_rows == 18


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_parquet('{other}')",
        "SELECT * FROM read_parquet('{up}')",
        "SELECT * FROM read_csv('{beside}')",
        "SELECT * FROM lake",
        "COPY (SELECT 1) TO '{beside}'",
        "ATTACH '{beside}'",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET lock_configuration = false",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE PERSISTENT SECRET x (TYPE s3)",
    ],
)
def test_the_wall_holds_without_the_check(lake, session, sql):
    """Stops one mistake in the check from opening the wall: DuckDB itself refuses."""
    other = lake.path("vm_load", Partition("acme2", FIRST_DAY))
    up = lake.tenant_folder("acme") / ".." / "tenant=acme2" / "vm_load" / other.name
    names = {"other": other, "up": up, "beside": lake.root / "beside.csv"}
    with pytest.raises(duckdb.Error):
        session._connection.execute(
            sql.format(**{name: str(path).replace("'", "''") for name, path in names.items()})
        ).fetchall()
    assert not (lake.root / "beside.csv").exists()


@pytest.mark.parametrize("tenant", ["../acme2", "acme' OR '1'='1", "acme/../acme2", "ACME", "acme\n", ""])
def test_a_tenant_id_that_is_sql_or_a_path_is_refused(lake, tenant):
    with pytest.raises(InvalidInput, match="is not a tenant id"):
        open_session(lake, tenant, TABLES, LIMITS)


def test_a_tenant_sees_no_row_of_another(lake, session):
    assert rows(session, "SELECT DISTINCT tenant FROM vm_load") == [("acme",)]
    assert session.query("SELECT * FROM vm_load WHERE tenant = 'acme2'").num_rows == 0


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM vm_load", '"nothing" not found'),
        ("SELECT CAST('x' AS INT)", "Could not convert string 'x'"),
        ("SELECT error('own words')", "own words"),
        ("SELECT ?", "Values were not provided"),
        ("SELECT (" * 2000, "expression depth|syntax error"),
    ],
)
def test_what_duckdb_cannot_run_is_explained_in_its_words(session, sql, said):
    with pytest.raises(InvalidInput, match=said) as caught:
        session.query(sql)
    assert len(str(caught.value).splitlines()) <= 5


def test_too_many_rows_give_none(session):
    assert session.query("SELECT * FROM range(1000)").num_rows == 1000
    with pytest.raises(QueryOverLimit, match="more than 1000 rows"):
        session.query("SELECT * FROM range(1001)")


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
        "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3",
    ],
)
def test_an_endless_query_is_stopped(session, sql):
    began = time.monotonic()
    with pytest.raises(QueryOverLimit, match="longer than 2 s"):
        session.query(sql)
    assert time.monotonic() - began < 10
    assert rows(session, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT list(range) FROM range(100000000)",
        "SELECT count(*) FROM (SELECT range FROM range(100000000) ORDER BY hash(range) LIMIT 90000000)",
        "SELECT repeat('x', 1000000) FROM range(900)",
    ],
)
def test_a_query_that_needs_too_much_memory_is_stopped(patient_session, sql):
    """Stops a query from filling memory, or spilling to the disk instead."""
    with pytest.raises(QueryOverLimit, match="more than 256 MB"):
        patient_session.query(sql)
    assert rows(patient_session, "SELECT 1") == [(1,)]


def test_python_variables_are_no_tables(session):
    """Stops a query from reading the data that the calling program holds under a table's name."""
    frame = pa.table({"secret": [1]})
    with pytest.raises(QueryRefused, match="no table 'frame'"):
        session.query("SELECT * FROM frame")
    with pytest.raises(duckdb.Error, match="frame does not exist"):
        session._connection.sql("SELECT * FROM frame")
    assert frame.num_rows == 1


def test_many_queries_in_one_session(session):
    """Stops a query that failed, at whatever stage, or was left half read from breaking the next one."""
    failing = [
        ("SELECT * FROM range(1001)", QueryOverLimit),
        ("SELECT CAST(vm_id AS INT) FROM vm_load", InvalidInput),
        ("SELECT error('x') FROM range(5000)", InvalidInput),
        ("SELECT nothing FROM vm_load", InvalidInput),
        ("SELEC 1", InvalidInput),
        ("COPY vm_load TO 'x'", QueryRefused),
        ("WITH duckdb_views AS (SELECT 1) SELECT 1", QueryRefused),
        ("SELECT list(range) FROM range(100000000)", QueryOverLimit),
    ]
    for sql, kind in failing * 3:
        with pytest.raises(kind):
            session.query(sql)
        assert rows(session, "SELECT count(*) FROM vm_load") == [(18,)]
        assert rows(session, "WITH a AS (SELECT 1 AS x) SELECT x FROM a") == [(1,)]


IN_A_SMALL_PROCESS = """
import resource, sys
from pathlib import Path
from resources.lake.lake import Lake
from resources.lake.warehouse import QueryLimits, QueryOverLimit, open_session
with open_session(Lake(Path(sys.argv[1])), "acme", [], QueryLimits(1000, 60, 256, 1)) as session:
    session.query("SELECT 1")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 1_000_000_000,) * 2)
    for bomb in ("repeat('x', 4000000000)", "repeat(repeat('x', 60000), 60000)", "repeat('x', 3000000000) || 'y'"):
        try:
            session.query(f"SELECT length({bomb})")
        except QueryOverLimit as error:
            print(error)
        assert session.query("SELECT 1 AS x").to_pylist() == [{"x": 1}]
"""


def test_one_huge_text_meets_the_limit_of_its_process(tmp_path):
    """Stops memory that DuckDB does not count, that of one text, from ending a process that is limited from outside."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_SMALL_PROCESS, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.count("needs more than 256 MB")) == (0, 3), done.stderr[-2000:]


def damages() -> dict[str, object]:
    return {
        "empty": lambda content: b"",
        "garbage": lambda content: b"x" * 5000,
        "truncated": lambda content: content[: len(content) // 2],
        "half footer": lambda content: content[:-300],
        "broken footer": lambda content: content[:-200] + b"\xff" * 150 + content[-50:],
        "wrong footer length": lambda content: content[:-8] + b"\xff\xff\xff\x7fPAR1",
        "broken pages": lambda content: content[:100] + b"\xff" * 600 + content[700:],
    }


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("kind", list(damages()))
def test_a_damaged_file_harms_only_its_day(tmp_path, kind, number):
    """Stops one damaged file, be it the first of the table, from making a tenant's tables unusable."""
    lake = filled_lake(tmp_path / "home" / "lake")
    day = FIRST_DAY + timedelta(days=number)
    path = lake.path("vm_load", Partition("acme", day))
    path.write_bytes(damages()[kind](path.read_bytes()))
    others = [(each, 6, 2) for each in (FIRST_DAY + timedelta(days=n) for n in range(3)) if each != day]
    every = "SELECT day, count(cpu_percent), count(DISTINCT vm_id) FROM vm_load {} GROUP BY day ORDER BY day"
    with open_session(lake, "acme", TABLES, LIMITS) as session:
        with pytest.raises(CorruptPartition) as caught:
            session.query(every.format(""))
        assert f"lake/tenant=acme/vm_load/day={day}.parquet is damaged" in str(caught.value)
        assert f"WHERE day <> DATE '{day}'" in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
        assert rows(session, every.format(f"WHERE day <> DATE '{day}'")) == others
        assert rows(session, "SELECT count(*) FROM notes") == [(0,)]
        assert len(rows(session, "DESCRIBE vm_load")) == 7


def test_a_file_replaced_after_opening_is_read_anew(tmp_path):
    """Stops a session from mixing the footer of an old file with the bytes of a new one."""
    lake = filled_lake(tmp_path, days=1)
    with open_session(lake, "acme", TABLES, LIMITS) as session:
        assert rows(session, "SELECT max(cpu_percent), count(*) FROM vm_load") == [(1.0, 6)]
        more = load_rows(FIRST_DAY, [f"vm-{number}" for number in range(50)], level=7.0)
        lake.write(VM_LOAD, Partition("acme", FIRST_DAY), more)
        assert rows(session, "SELECT max(cpu_percent), min(cpu_percent), count(*) FROM vm_load") == [(7.0, 7.0, 150)]


def test_a_long_history_costs_only_the_days_asked(tmp_path):
    """Stops the cost of a query from growing with the age of the lake: other days' files are not opened."""
    lake = filled_lake(tmp_path, days=1)
    first = lake.path("vm_load", Partition("acme", FIRST_DAY))
    for back in range(1, 400):
        os.link(first, first.with_name(f"day={FIRST_DAY - timedelta(days=back)}.parquet"))
    unreadable = first.with_name(f"day={FIRST_DAY - timedelta(days=400)}.parquet")
    unreadable.write_bytes(b"no file that is opened")
    with open_session(lake, "acme", TABLES, LIMITS) as session:
        assert rows(session, "SELECT count(*) FROM vm_load WHERE day = DATE '2026-03-01'") == [(6,)]
        between = "SELECT count(*) FROM vm_load WHERE day BETWEEN DATE '2026-02-01' AND DATE '2026-03-01'"
        assert rows(session, between) == [(6 * 29,)]


def test_a_closed_session_answers_nothing(lake):
    with open_session(lake, "acme", TABLES, LIMITS) as session:
        pass
    with pytest.raises((InvalidInput, duckdb.Error)):
        session.query("SELECT 1")
