"""The check before DuckDB's wall: one SELECT, wherever in it the forbidden part hides."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import InvalidInput
from resources.lake.guard import (
    MAX_CHARACTERS,
    REFUSED_FUNCTIONS,
    SCHEMA_TABLES,
    TABLE_FUNCTIONS,
    QueryRefused,
    check_select,
    first_lines,
)
from resources.partition import Partition
from tests.resources.lake.scenario import FIRST_DAY

ONE_SELECT = [
    "SELECT 1",
    "FROM vm_load",
    "TABLE vm_load",
    "VALUES (1)",
    "DESCRIBE vm_load",
    "SUMMARIZE vm_load",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    'SELECT * FROM "VM_Load"',
    "(SELECT 1) UNION ALL (SELECT 2)",
    "SELECT 1; -- that was it",
    "/* ; */ SELECT ';' AS \"a;b\"",
    "WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 FROM a) SELECT * FROM b",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT * FROM t",
    "SELECT * FROM range(3), unnest([1, 2]), generate_series(1, 2)",
    "SELECT * FROM vm_load PIVOT (avg(cpu_percent) FOR vm_id IN ('vm-a'))",
    "SELECT * FROM information_schema.columns",
    "SELECT quantile_cont(cpu_percent, 0.95) OVER (PARTITION BY vm_id) FROM vm_load",
]


@pytest.mark.parametrize("sql", ONE_SELECT)
def test_one_select_in_any_of_its_forms_is_accepted(session, sql):
    assert session.query(sql).num_columns


OTHER_STATEMENTS = [
    ("", "empty"),
    ("-- nothing", "empty"),
    ("SELECT 1; SELECT 2", "SELECT, SELECT"),
    ("SELECT 1; DROP VIEW vm_load", "SELECT, DROP"),
    ("SET threads = 8", "SET"),
    ("RESET threads", "SET"),
    ("PRAGMA version", "PRAGMA"),
    ("CALL pragma_version()", "CALL"),
    ("EXPLAIN SELECT 1", "EXPLAIN"),
    ("EXPLAIN ANALYZE SELECT * FROM vm_load", "EXPLAIN"),
    ("ATTACH 'x.db'", "ATTACH"),
    ("INSTALL httpfs", "LOAD"),
    ("LOAD httpfs", "LOAD"),
    ("CREATE TABLE x AS SELECT 1", "CREATE"),
    ("DROP VIEW vm_load", "DROP"),
    ("INSERT INTO vm_load VALUES (1)", "INSERT"),
    ("BEGIN", "TRANSACTION"),
    ("CHECKPOINT", "CALL"),
    ("EXECUTE x", "EXECUTE"),
    ("EXPORT DATABASE 'x'", "EXPORT"),
    ("PIVOT vm_load ON vm_id USING avg(cpu_percent)", "PIVOT"),
    ("SELECT 1\0; DROP VIEW vm_load", "NUL"),
    ("SELECT '" + "x" * MAX_CHARACTERS + "'", "longer than"),
]


@pytest.mark.parametrize(("sql", "named"), OTHER_STATEMENTS)
def test_anything_else_is_refused_by_its_name(session, sql, named):
    """Stops statements that write, change the session, or run as a second one."""
    with pytest.raises(QueryRefused, match=f"the query .*{named}"):
        session.query(sql)


LEAKS = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('{own}')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_parquet('{other}')",
    "SELECT * FROM '{own}'",
    "SELECT * FROM '{other}'",
    "SELECT * FROM '{up}'",
    "SELECT * FROM glob('*')",
    "SELECT * FROM parquet_metadata('{own}')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM duckdb_views()",
    "SELECT * FROM duckdb_views",
    "SELECT * FROM information_schema.views",
    "SELECT * FROM pg_catalog.pg_views",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_logs",
    "SELECT * FROM enable_logging()",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('vm_load')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT * FROM python_arrow_scan(1)",
    "SELECT * FROM histogram(duckdb_views, sql)",
    "SELECT * FROM checkpoint()",
    "SELECT current_setting('allowed_directories')",
    "SELECT main.current_setting('allowed_directories')",
    "SELECT 'secret_directory'.current_setting()",
    "SELECT list_transform(['secret_directory'], lambda x: current_setting(x))",
    "SELECT getvariable('x'), write_log('x')",
    "SELECT json_serialize_plan('SELECT * FROM vm_load')",
    "SELECT pg_get_viewdef(1)",
    "SELECT sleep_ms(100000)",
    "SHOW secret_directory",
    "SELECT * FROM (SHOW secret_directory)",
    "SHOW DATABASES",
    "WITH duckdb_views AS (SELECT * FROM duckdb_views) SELECT sql FROM duckdb_views",
    "SELECT * FROM duckdb_views, (WITH duckdb_views AS (SELECT 1) SELECT * FROM duckdb_views)",
    "WITH \"x.csv\" AS (SELECT 1) SELECT * FROM 'x.csv'",
    "WITH x AS (SELECT content FROM read_text('/etc/passwd')) SELECT * FROM x",
    "SELECT (SELECT content FROM read_text('/etc/passwd'))",
    "SELECT 1 WHERE EXISTS (FROM read_text('/etc/passwd'))",
    "SELECT * FROM vm_load SEMI JOIN read_csv('/etc/passwd') USING (vm_id)",
    "SELECT * FROM acme2.vm_load",
    "SELECT * FROM lake",
]


@pytest.mark.parametrize("sql", LEAKS)
def test_no_query_reads_files_settings_or_the_catalogs_text(lake, session, sql):
    """Stops a query from reading another tenant's data, the host's files, or where on the host the lake lies."""
    own = lake.path("vm_load", Partition("acme", FIRST_DAY))
    other = lake.path("vm_load", Partition("acme2", FIRST_DAY))
    up = own.parent / ".." / ".." / "tenant=acme2" / "vm_load" / own.name
    names = {"own": own, "other": other, "up": up}
    filled = sql.format(**{name: str(path).replace("'", "''") for name, path in names.items()})
    with pytest.raises(QueryRefused):
        session.query(filled)


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from([*"();'\"*,", "select", "from", "vm_load", "with", "--"])).map(" ".join)
)
def test_any_text_is_answered_or_refused(session, sql):
    """Stops text that brings another error than the two that callers catch, or names the host's folders."""
    said = ""
    try:
        session.query(sql)
    except InvalidInput as error:
        said = str(error)
    assert "[l]ab" not in said


HARMLESS_THOUGH_NOT_PURE = {
    "currval",
    "current_connection_id",
    "current_query",
    "current_query_id",
    "current_transaction_id",
    "error",
    "gen_random_uuid",
    "random",
    "setseed",
    "stats",
    "uuid",
    "uuidv4",
    "uuidv7",
    "vector_type",
}
"""Functions that DuckDB marks as having side effects, read one by one: they tell or change nothing of the host."""

HIDING_PLACES = [
    "SELECT {}",
    "SELECT 1 FROM vm WHERE {} = 'x'",
    "SELECT count(*) FROM vm GROUP BY {}",
    "SELECT count(*) FROM vm GROUP BY ALL HAVING {} = 'x'",
    "SELECT count(*) FILTER ({} = 'x') FROM vm",
    "SELECT string_agg(cpu, {}) FROM vm",
    "SELECT list(cpu ORDER BY {}) FROM vm",
    "SELECT 1 FROM vm QUALIFY row_number() OVER (PARTITION BY {}) = 1",
    "SELECT sum(cpu) OVER w FROM vm WINDOW w AS (ORDER BY {})",
    "SELECT sum(cpu) OVER (ORDER BY cpu ROWS BETWEEN length({}) PRECEDING AND CURRENT ROW) FROM vm",
    "SELECT 1 FROM vm ORDER BY {}",
    "SELECT 1 FROM vm LIMIT length({})",
    "SELECT 1 FROM vm LIMIT 1 OFFSET length({})",
    "SELECT DISTINCT ON ({}) cpu FROM vm",
    "SELECT CASE WHEN true THEN {} END",
    "SELECT CASE {} WHEN 'x' THEN 1 END",
    "SELECT [{}]",
    "SELECT {{'a': {}}}",
    "SELECT MAP {{'a': {}}}",
    "SELECT [{} for x in [1]]",
    "SELECT list_transform([1], lambda x: {})",
    "SELECT CAST({} AS BLOB)",
    "SELECT TRY({})",
    "SELECT coalesce(NULL, {})",
    "SELECT 'x' IN ({})",
    "SELECT 'x' BETWEEN {} AND 'z'",
    "SELECT ['x'][length({})]",
    "SELECT * REPLACE ({} AS cpu) FROM vm",
    "SELECT COLUMNS(lambda c: c = {}) FROM vm",
    "SELECT (SELECT {})",
    "SELECT 1 WHERE 1 = ANY (SELECT length({}))",
    "SELECT EXISTS (SELECT {})",
    "SELECT * FROM (SELECT {})",
    "SELECT * FROM vm, LATERAL (SELECT {})",
    "SELECT * FROM vm a JOIN vm b ON {} = 'x'",
    "SELECT * FROM range(length({}))",
    "SELECT * FROM unnest([{}])",
    "SELECT unnest([{}])",
    "VALUES ({})",
    "SELECT * FROM (VALUES ({})) t(x)",
    "SELECT 1 UNION ALL SELECT {}",
    "SELECT '1' UNION ALL SELECT '2' ORDER BY {}",
    "SELECT * FROM (SELECT 1 EXCEPT SELECT length({}))",
    "WITH a AS (SELECT {}) SELECT * FROM a",
    "WITH a AS MATERIALIZED (SELECT {}) SELECT 1",
    "WITH RECURSIVE a AS (SELECT 'x' AS x UNION ALL SELECT {} FROM a) SELECT * FROM a",
    "SELECT * FROM (PIVOT (SELECT {} AS p) ON p IN ('a') USING count(*))",
    "SELECT * FROM (SELECT {} AS p) UNPIVOT (v FOR n IN (p))",
    "DESCRIBE SELECT {}",
    "SUMMARIZE SELECT {}",
    "FROM (DESCRIBE SELECT {})",
]


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as opened:
        opened.execute("CREATE VIEW vm AS SELECT 'a' AS vm_id, '1' AS cpu")
        yield opened


@pytest.mark.parametrize("place", HIDING_PLACES)
def test_a_forbidden_part_is_found_wherever_it_hides(connection, place):
    """Stops a clause that the walk over the syntax tree does not reach; the same query without it is accepted."""
    check_select(connection, place.format("'x'"), ["vm"])
    for hidden in (
        "current_setting('secret_directory')",
        "Current_Setting ('secret_directory')",
        "\"current_setting\"('secret_directory')",
        "main.current_setting('secret_directory')",
        "system.main.current_setting('secret_directory')",
        "('secret_directory').current_setting()",
        "(SELECT content FROM read_text('/etc/passwd'))",
        "(SELECT max(sql) FROM duckdb_views)",
        "(FROM 'x.csv')",
    ):
        with pytest.raises(QueryRefused):
            check_select(connection, place.format(hidden), ["vm"])


def test_every_table_function_but_the_chosen_ones_is_refused(connection):
    """Stops a later DuckDB from bringing a function that reads files or the catalog and is let through."""
    found = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ('table', 'table_macro')"
    ).fetchall()
    others = {name for (name,) in found} - TABLE_FUNCTIONS
    assert {"read_parquet", "read_text", "glob", "duckdb_settings", "query"} <= others
    for name in others:
        for written in (f'"{name}"(1)', f'"{name.upper()}"(1)', f'main."{name}"(1)', f'system.main."{name}"(1)'):
            with pytest.raises(QueryRefused, match="reads from"):
                check_select(connection, "FROM " + written, ["vm"])


def test_every_catalog_view_but_the_chosen_ones_is_refused(connection):
    """Stops a view of DuckDB's own, under its short or its full name or behind a CTE of its name, from being read."""
    views = connection.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE internal").fetchall()
    assert ("information_schema", "views") in views
    for schema, view in views:
        full = f'"{schema}"."{view}"'
        behind = f'WITH "{view}" AS (SELECT 1) FROM "{view}"'  # noqa: S608 - DuckDB's own names
        asked = [f"FROM system.{full}", f'FROM "{view}"', behind]
        for sql in asked if (schema, view) in SCHEMA_TABLES else [*asked, f"FROM {full}"]:
            with pytest.raises(QueryRefused):
                check_select(connection, sql, ["vm"])


def test_every_function_with_side_effects_was_looked_at(connection):
    """Stops a later DuckDB from bringing a scalar function that acts on the host, unseen."""
    found = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE has_side_effects"
    ).fetchall()
    assert {name for (name,) in found} <= HARMLESS_THOUGH_NOT_PURE | REFUSED_FUNCTIONS


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'read_text(''/etc/passwd'')' AS \"current_setting('x')\" FROM vm",
        "SELECT 1 -- ; COPY vm TO 'x'",
        "SELECT /* read_text('/etc/passwd'); */ $$; DROP VIEW vm$$",
        "SELECT $a$'$a$, E'\\'; --', '--', '/*'",
        "SELECT 1;;",
        'SELECT vm_id AS "duckdb_views" FROM "VM"',
    ],
)
def test_text_and_comments_are_not_taken_for_sql(connection, sql):
    """Stops a check that searches the text from refusing quoted words."""
    check_select(connection, sql, ["vm"])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; COPY vm TO 'x'",
        "SELECT '\\'; COPY vm TO 'x' --'",
        "SELECT 1 /* ; */; SET threads = 2",
        "SELECT $a$ $b$ $a$; DROP VIEW vm; --$a$",
        "SELECT '' ; ATTACH 'x' --",
        "COPY (SELECT 1) TO 'x'",
        "cOpY vm TO 'x'",
        "WITH x AS (DELETE FROM vm) SELECT 1 FROM vm2",
        "PREPARE x AS SELECT 1",
        "CREATE OR REPLACE VIEW vm AS SELECT 2",
        "COMMENT ON VIEW vm IS 'x'",
        "VACUUM",
        "USE main",
        "IMPORT DATABASE 'x'",
        "DETACH memory",
        "ALTER VIEW vm RENAME TO x",
        "UPDATE vm SET cpu = 1",
        "MERGE INTO vm USING vm AS v ON true WHEN MATCHED THEN DELETE",
    ],
)
def test_hostile_quoting_hides_no_statement(connection, sql):
    """Stops a second or writing statement behind quotes and comments that look closed."""
    with pytest.raises(QueryRefused):
        check_select(connection, sql, ["vm"])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 50_000 + "1" + ")" * 50_000,
        "SELECT " + "1+" * 90_000 + "1",
        "SELECT 1 WHERE " + "NOT " * 40_000 + "true",
        "SELECT * FROM " + "(SELECT * FROM " * 9_000 + "vm" + ")" * 9_000,
        "SELECT " + "[" * 90_000 + "]" * 90_000,
        "SELECT " + "(SELECT " * 15_000 + "1" + ")" * 15_000,
        "SELECT 'a" + "'" * (MAX_CHARACTERS - 20),
        "SELECT" + " /*" * 60_000,
    ],
)
def test_huge_and_deeply_nested_text_is_refused_and_ends_nothing(connection, sql):
    """Stops text that exhausts the stack of the parser or of the check and so ends the process."""
    with pytest.raises(InvalidInput):
        check_select(connection, sql, ["vm"])
    check_select(connection, "SELECT 1 FROM vm", ["vm"])


def test_the_check_leaves_nothing_open(connection):
    """Stops a half-read result of the check from breaking the next query on the connection."""
    for _ in range(50):
        check_select(connection, "WITH a AS (SELECT 1) SELECT * FROM a, vm", ["vm"])
        with pytest.raises(QueryRefused):
            check_select(connection, "WITH duckdb_views AS (SELECT 1) SELECT 1", ["vm"])
        assert connection.sql("SELECT count(*) FROM range(10)").fetchall() == [(10,)]


def test_what_duckdb_said_is_kept_short():
    assert first_lines("a\n\n b\nc\nd\ne\nf\n") == "a\n b\nc\nd\ne"
    assert first_lines(MemoryError()) == "MemoryError"
