"""Figures: running a figure's SQL, remembering its hash, and storing the figures as rows.

A figure's SQL carries its days and names its tables literally, so that the stored text is all
that `novacron-analytics query` needs to make the figure again.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

from analytics_assets.charts.table import result_sha256
from analytics_assets.reports.document import REPORT, Figure, Kind, Place

Run = Callable[[str, Sequence[date]], pa.Table]
"""Runs one SELECT over the tenant's views; the days bound the files that are opened."""

CHARTS = """
SELECT chart_id, title, alt, unit, sql, status, reason, rows, result_sha256, svg
FROM {charts}
WHERE {days}
ORDER BY chart_id
"""


def ask(
    run: Run,
    figure_id: str,
    title: str,
    template: str,
    days: Sequence[date],
    tables: Mapping[str, str],
    *,
    section: Place = "evidence",
    kind: Kind = "table",
    empty: str = "no row is of this kind on this day",
) -> Figure:
    """Run a figure's SQL and return the figure.

    `template` holds `{days}`, where the condition on the days goes, and `{role}` for each of
    `tables` (role -> table name, or a subquery in parentheses); `empty` is the reason to give
    where there is no row.
    """
    sql = fill(template, days, tables)
    data = run(sql, days)
    return Figure(
        id=figure_id,
        section=section,
        kind=kind,
        title=title,
        sql=sql,
        rows=data.num_rows,
        result_sha256=result_sha256(data),
        data=data,
        reason=None if data.num_rows else empty,
    )


def fill(template: str, days: Sequence[date], tables: Mapping[str, str]) -> str:
    """Return a figure's SQL with its tables and days written out."""
    return template.format_map({**tables, "days": day_condition(days)}).strip()


def day_condition(days: Sequence[date]) -> str:
    """Return the SQL condition that selects `days`, which follow each other without a gap."""
    first, last = min(days), max(days)
    if first == last:
        return f"day = DATE '{first.isoformat()}'"
    return f"day BETWEEN DATE '{first.isoformat()}' AND DATE '{last.isoformat()}'"


def identifier(table: str) -> str:
    """Return a table's name as SQL takes it; only a name that is also an SQL word needs quotes."""
    return f'"{table}"' if table in _reserved_words() else table


@cache
def _reserved_words() -> frozenset[str]:
    with duckdb.connect(":memory:") as session:
        found = session.execute("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'")
        return frozenset(word for (word,) in found.fetchall())


def stored_charts(run: Run, tables: Iterable[str], day: date) -> list[Figure]:
    """Return the charts of `day` in each of the charts `tables`, each a figure with the chart's own SQL."""
    figures = []
    for table in tables:
        for row in run(fill(CHARTS, [day], {"charts": identifier(table)}), [day]).to_pylist():
            missing = row["status"] != "ok" or not row["svg"]
            figures.append(
                Figure(
                    id=f"{table}.{row['chart_id']}",
                    section="evidence",
                    kind="chart",
                    title=row["title"],
                    sql=row["sql"].strip(),
                    rows=row["rows"],
                    result_sha256=row["result_sha256"],
                    reason=(row["reason"] or "the chart has no drawing") if missing else None,
                    unit=row["unit"],
                    alt=row["alt"],
                    svg=None if missing else row["svg"],
                )
            )
    return figures


def plain(value: Any) -> Any:
    """Return a value as JSON holds it: days and instants as ISO text (UTC), numbers that are not finite as null."""
    if isinstance(value, datetime):
        return (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def plain_table(figure: Figure) -> dict[str, list[Any]]:
    """Return a figure's result as `{"columns": [...], "rows": [[...]]}`."""
    columns = [[plain(value) for value in column.to_pylist()] for column in figure.data.itercolumns()]
    return {"columns": figure.data.column_names, "rows": [list(row) for row in zip(*columns, strict=True)]}


def report_rows(figures: Sequence[Figure]) -> pa.Table:
    """Return the figures as rows of the `REPORT` table."""
    columns: dict[str, list[Any]] = {name: [] for name in REPORT.column_names}
    for position, figure in enumerate(figures, start=1):
        row = {
            "position": position,
            "figure_id": figure.id,
            "section": figure.section,
            "kind": figure.kind,
            "title": figure.title,
            "sql": figure.sql,
            "status": figure.status,
            "reason": figure.reason,
            "rows": figure.rows,
            "result_sha256": figure.result_sha256,
            "value": _value(figure),
        }
        for name, value in row.items():
            columns[name].append(value)
    arrays = []
    for column in REPORT.columns:
        text = pa.types.is_dictionary(column.type)
        array = pa.array(columns[column.name], pa.string() if text else column.type)
        arrays.append(array.cast(column.type) if text else array)
    return pa.Table.from_arrays(arrays, schema=REPORT.schema())


def _value(figure: Figure) -> str | None:
    if figure.kind == "chart":
        return None
    if figure.kind == "number" and figure.data.num_columns == 1 and figure.rows == 1:
        return json.dumps(plain(figure.data.column(0)[0].as_py()))
    return json.dumps(plain_table(figure), ensure_ascii=False, separators=(",", ":"))
