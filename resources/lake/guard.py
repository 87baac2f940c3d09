"""What a query may be: exactly one SELECT, over the tables it was given and nothing else.

DuckDB's own wall keeps a query inside its tenant's folder. This check stands before it, because
inside that folder DuckDB would still write (COPY), and because its catalog, its settings and its
file functions would tell where on the host the folder lies. It allows what is known to be
harmless and refuses the rest, on the syntax tree that DuckDB itself parsed.
"""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

import duckdb

from resources.errors import InvalidInput

MAX_CHARACTERS = 200_000

TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree", "duckdb_columns"})
"""Functions that a FROM may name. Every other one reads files, the catalog, the log or the host."""

SCHEMA_TABLES = frozenset({("information_schema", "tables"), ("information_schema", "columns")})
"""Catalog tables that a FROM may name; `information_schema.views` would show where the files lie."""

SHOW_TABLES = frozenset({'"tables"', "__show_tables_expanded"})
"""What SHOW TABLES and a bare DESCRIBE look for; SHOW of a setting would show its value."""

REFUSED_FUNCTIONS = frozenset(
    {
        "current_setting",  # where the files lie
        "pg_get_viewdef",
        "json_serialize_plan",
        "getvariable",
        "write_log",
        "nextval",
        "setval",
        "sleep_ms",  # cannot be stopped by the time limit
        "pg_sleep",
    }
)


class QueryRefused(InvalidInput):
    """The text is not one SELECT over the tables it may ask."""


def first_lines(error: object) -> str:
    """Return what DuckDB said, without its hints for people who may change the session."""
    lines = [line.rstrip() for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines[:5]) or type(error).__name__


def check_select(connection: duckdb.DuckDBPyConnection, sql: str, tables: Collection[str]) -> None:
    """Return if `sql` is one SELECT that names nothing but `tables`, its own CTEs and harmless functions.

    Raises:
        QueryRefused: it is something else; the message says what.
        InvalidInput: it is not SQL.
    """
    if "\0" in sql or len(sql) > MAX_CHARACTERS:
        raise QueryRefused(f"the query holds a NUL or is longer than {MAX_CHARACTERS} characters. Shorten it.")
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise InvalidInput(f"the query is not SQL that DuckDB reads: {first_lines(error)}") from error
    kinds = [statement.type.name.replace("_", " ") for statement in statements]
    if kinds == ["MULTI"]:
        raise QueryRefused("the query is a PIVOT, which changes the session. Write SELECT with sum(...) FILTER (...).")
    if kinds != ["SELECT"]:
        given = ", ".join(kinds[:5]) or "empty"
        raise QueryRefused(f"the query is {given}{', ...' if len(kinds) > 5 else ''}. Exactly one SELECT is accepted.")
    nodes = list(_nodes(_tree(connection, sql)))
    names = {table.lower() for table in tables} | _own_names(connection, nodes)
    for node in nodes:
        _check_node(node, names)


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    try:
        rows = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
        tree = json.loads(rows[0][0])
    except (duckdb.Error, RecursionError, ValueError) as error:
        raise QueryRefused(f"the query cannot be checked: {first_lines(error)}. Nest it less deeply.") from error
    if tree["error"]:
        raise QueryRefused(f"the query cannot be checked: {tree.get('error_message')}. Write it as a plain SELECT.")
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _own_names(connection: duckdb.DuckDBPyConnection, nodes: list[dict[str, Any]]) -> set[str]:
    """Return the names of the query's CTEs.

    They are allowed anywhere in it, also where they are out of scope and mean something else: so
    none may be the name of a catalog view, or look like a file.
    """
    found = {
        entry["key"].lower()
        for node in nodes
        if isinstance(node.get("cte_map"), dict)
        for entry in node["cte_map"]["map"]
    }
    if found:
        rows = connection.execute("SELECT lower(view_name) FROM duckdb_views() WHERE internal").fetchall()
        wrong = sorted(name for name in found if (name,) in rows or not re.fullmatch(r"\w+", name))
        if wrong:
            raise QueryRefused(
                f"the query calls a CTE {wrong[0]!r}. Give it a name of letters that is not DuckDB's own."
            )
    return found


def _check_node(node: dict[str, Any], names: Collection[str]) -> None:
    kind = node.get("type")
    if kind == "SHOW_REF":
        if node["query"] is None and tuple(node["qualified_name"]["path"]) not in {(name,) for name in SHOW_TABLES}:
            raise QueryRefused("of SHOW, only SHOW TABLES is accepted. For one table write DESCRIBE and its name.")
    elif "table_name" in node:
        path = tuple(str(part).lower() for part in node["qualified_name"]["path"])
        if path not in SCHEMA_TABLES and not (len(path) == 1 and path[0] in names):
            raise QueryRefused(f"there is no table {'.'.join(path)!r} to ask. SHOW TABLES lists those that there are.")
    elif kind == "TABLE_FUNCTION":
        name = str(node["function"]["function_name"]).lower()
        if name not in TABLE_FUNCTIONS:
            raise QueryRefused(
                f"the query reads from {name}(), which is not open to queries. "
                f"It may read its tenant's tables and {', '.join(sorted(TABLE_FUNCTIONS))}."
            )
    elif str(node.get("function_name", "")).lower() in REFUSED_FUNCTIONS:
        raise QueryRefused(f"the query calls {node['function_name']}(), which is not open to queries.")
