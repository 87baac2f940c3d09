"""SQL over one tenant's tables: a DuckDB session that can see that tenant's files and nothing else.

Each table is a view with the declared columns, then `tenant` and `day`. The views list their files
and carry the declared schema, so that opening a session opens no file: a damaged one harms only
the queries that read its day, and `WHERE day = ...` opens the files of those days only.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType

import duckdb
import pyarrow as pa

from resources.errors import InvalidInput
from resources.lake.guard import check_select, first_lines
from resources.lake.lake import Lake
from resources.lake.partition_file import CorruptPartition
from resources.lake.table import Column, Table

BATCH_ROWS = 2048
"""Rows fetched at a time: DuckDB's own unit, so that a row of huge values is noticed early."""

SQL_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.large_string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
}

CALLERS_ERRORS = ("Parser", "Binder", "Catalog", "Conversion", "Out of Range", "Mismatch Type", "Invalid Input")
"""How DuckDB's message begins where the query itself is at fault; a damaged file that it does not
name gives a message of another kind."""


class QueryOverLimit(InvalidInput):
    """The query returns more rows, or takes more time or memory, than it may."""


@dataclass(frozen=True)
class QueryLimits:
    """What one query may take. Its result may hold `max_rows` rows and `memory_mb` MB."""

    max_rows: int
    timeout_seconds: int
    memory_mb: int
    threads: int


class TenantSession:
    """An open session; use it in a `with` statement."""

    def __init__(
        self, lake: Lake, tenant: str, tables: Sequence[Table], limits: QueryLimits, commented: bool = True
    ) -> None:
        self._root = lake.root.absolute()
        self._folder = lake.tenant_folder(tenant).absolute()
        self._limits = limits
        self._commented = commented
        self._files: dict[str, list[Path]] = {table.name: [] for table in tables}
        # No spilling to disk, no extensions from elsewhere, no Python variables as tables.
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "threads": limits.threads,
                "memory_limit": f"{limits.memory_mb}MB",
                "max_execution_time": limits.timeout_seconds * 1000,
                "temp_directory": "",
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_community_extensions": False,
                "allow_persistent_secrets": False,
                "python_enable_replacements": False,
            },
        )

    def __enter__(self) -> "TenantSession":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def query(self, sql: str) -> pa.Table:
        """Return the rows of the one SELECT in `sql`; times are UTC.

        Raises:
            QueryRefused: it is not one SELECT over the session's tables.
            InvalidInput: DuckDB cannot run it; the message holds DuckDB's own.
            QueryOverLimit: it returns too many rows, or takes too long or too much memory.
            CorruptPartition: a file it reads is damaged.
        """
        check_select(self._connection, sql, self._files)
        return self.run(sql)

    def run(self, sql: str) -> pa.Table:
        """Return the rows of `sql`, a SELECT of our own: as `query`, without the check of what it says.

        DuckDB's wall around the tenant's folder holds here too; the check costs about 3 ms.
        """
        batches: list[pa.RecordBatch] = []
        rows = size = 0
        try:
            reader = self._connection.sql(sql).to_arrow_reader(BATCH_ROWS)
            for batch in reader:
                rows += batch.num_rows
                size += batch.nbytes
                if rows > self._limits.max_rows:
                    raise QueryOverLimit(
                        f"the query returns more than {self._limits.max_rows} rows. "
                        "Add a LIMIT or a WHERE, or allow more rows (--max-rows, query_max_rows)."
                    )
                if size > self._limits.memory_mb * 1_000_000:
                    raise QueryOverLimit(self._too_large())
                batches.append(batch)
        # Arrow passes on what DuckDB says while rows are fetched as OSError.
        except (duckdb.Error, OSError, pa.ArrowException, MemoryError) as error:
            raise self._explain(error, sql) from error
        return pa.Table.from_batches(batches, reader.schema).combine_chunks()

    def _explain(self, error: BaseException, sql: str) -> InvalidInput | CorruptPartition:
        said = str(error)
        if "maximum execution time" in said:
            return QueryOverLimit(
                f"the query ran longer than {self._limits.timeout_seconds} s and was stopped. "
                "Ask for fewer days (WHERE day ...), or allow more time (query_timeout_seconds)."
            )
        if isinstance(error, MemoryError) or "Out of Memory" in said or "bad_alloc" in said:
            return QueryOverLimit(self._too_large())
        damaged = self._damaged_file(said, sql)
        if damaged is not None:
            return damaged
        return InvalidInput(f"the query failed: {self._without_folder(first_lines(said))}")

    def _too_large(self) -> str:
        return (
            f"the query needs more than {self._limits.memory_mb} MB. "
            "Ask for fewer columns or days, or allow more memory (query_memory_mb)."
        )

    def _damaged_file(self, said: str, sql: str) -> CorruptPartition | None:
        """Return the error that names the damaged file behind DuckDB's message, None if there is none."""
        named = re.search(re.escape(str(self._folder)) + r"/(\w+/day=[\d-]+\.parquet)", said)
        if named:
            return self._corrupt(self._folder / named.group(1), said)
        if said.startswith(tuple(f"{kind} Error" for kind in CALLERS_ERRORS)):
            return None
        for table in (table for table in self._files if table in sql.lower()):
            for path in self._files[table]:
                every_value = f"SELECT count(hash(t)) FROM {_name(table)} t WHERE day = DATE '{_day_text(path)}'"
                try:
                    self._connection.execute(every_value).fetchall()
                except duckdb.Error as error:
                    return self._corrupt(path, str(error))
        return None

    def _corrupt(self, path: Path, said: str) -> CorruptPartition:
        shown = Path(self._root.name) / path.relative_to(self._root)
        reason = self._without_folder(first_lines(said).splitlines()[0])
        return CorruptPartition(shown, reason, f"Leave it out with WHERE day <> DATE '{_day_text(path)}', or")

    def _without_folder(self, text: str) -> str:
        """Return `text` without the place of the lake on the host, which is not the tenant's to know."""
        for folder in (self._folder, self._root, self._root.parent):
            text = text.replace(f"{folder}/", "").replace(_no_glob(f"{folder}/"), "")
        return text

    def _add_view(self, table: Table, tenant: str, paths: Sequence[Path]) -> None:
        """Create the view of `table` over the files `paths`."""
        self._files[table.name] = list(paths)
        if paths:
            columns = ", ".join(_name(column.name) for column in table.columns)
            day = r"CAST(regexp_extract(novacron_file, 'day=(\d{4}-\d\d-\d\d)\.parquet$', 1) AS DATE)"
            schema = ", ".join(
                f"{_text(column.name)}: {{name: {_text(column.name)}, type: {_text(sql_type(column))}, "
                "default_value: NULL}"
                for column in table.columns
            )
            source = (
                f"read_parquet([{', '.join(_text(_no_glob(str(path))) for path in paths)}], "
                f"filename = 'novacron_file', hive_partitioning = false, schema = MAP {{{schema}}})"
            )
        else:
            columns = ", ".join(f"CAST(NULL AS {sql_type(column)}) AS {_name(column.name)}" for column in table.columns)
            day, source = "CAST(NULL AS DATE)", "range(0)"
        view = _name(table.name)
        statements = [
            f"CREATE VIEW {view} AS "
            f"SELECT {columns}, CAST({_text(tenant)} AS VARCHAR) AS tenant, {day} AS day FROM {source}",
            f"COMMENT ON VIEW {view} IS {_text(table.description)}",
        ]
        for column in table.columns if self._commented else ():
            about = f"{column.description} [{column.unit}]" if column.unit else column.description
            statements.append(f"COMMENT ON COLUMN {view}.{_name(column.name)} IS {_text(about)}")
        self._connection.execute(";".join(statements))

    def _wall_in(self) -> None:
        """Allow this tenant's folder only, for good: nothing after this can change a setting."""
        self._connection.execute("SET TimeZone = 'UTC'")
        # DuckDB looks here for the pattern of a file name as well as for the file it finds by it.
        allowed = {f"{self._folder}/", _no_glob(f"{self._folder}/")}
        self._connection.execute(f"SET allowed_directories = [{', '.join(map(_text, sorted(allowed)))}]")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")


def open_session(
    lake: Lake,
    tenant: str,
    tables: Sequence[Table],
    limits: QueryLimits,
    days: Sequence[date] | None = None,
    commented: bool = True,
) -> TenantSession:
    """Return a session over `tables` of `tenant`: one view per table, by its name.

    A view holds the days stored now; `days` bounds them, so that the cost does not grow with the
    lake's age. A column that a file lacks is NULL; a table that has no file is an empty view. Columns
    carry their descriptions unless not `commented`, which opens sooner.

    Raises:
        InvalidInput: `tenant` is not a tenant id.
    """
    session = TenantSession(lake, tenant, tables, limits, commented)
    try:
        for table in tables:
            stored = lake.days(table.name, tenant)
            wanted = stored if days is None else sorted(set(stored).intersection(days))
            paths = [lake.root.absolute() / lake.relative_path(table.name, tenant, day) for day in wanted]
            session._add_view(table, tenant, paths)
        session._wall_in()
    except BaseException:
        session.__exit__(None, None, None)
        raise
    return session


def sql_type(column: Column) -> str:
    """Return the DuckDB type that `column` has in its view."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP WITH TIME ZONE" if kind.tz else "TIMESTAMP"
    return SQL_TYPES[kind]


def _day_text(path: Path) -> str:
    return path.name.removeprefix("day=").removesuffix(".parquet")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _no_glob(path: str) -> str:
    """Return a pattern that matches just `path`: DuckDB reads every file name as a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", path)
