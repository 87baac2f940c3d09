"""What a stored chart is: its table, and the fingerprint of the query result that it shows."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from resources.lake.table import ENTITY, Column, Table

CHART = Table(
    "charts",
    "a chart: what it shows, the query that makes its data, and its drawing",
    (
        Column("chart_id", pa.string(), "Id of the chart, the same on every day"),
        Column("title", pa.string(), "Title in plain words, with the days covered"),
        Column("alt", pa.string(), "Text alternative: what the chart shows, in words"),
        Column("unit", pa.string(), "Unit of the values drawn"),
        Column("sql", pa.string(), "Query over the tenant's views that makes the chart's data"),
        Column("status", ENTITY, "Whether there was anything to draw", values=("ok", "no_data")),
        Column("reason", pa.string(), "Why nothing was drawn", nullable=True),
        Column("rows", pa.int32(), "Rows of the query's result", minimum=0),
        Column("result_sha256", pa.string(), "Fingerprint of the query's result"),
        Column("svg", pa.string(), "The drawing as SVG; null where nothing was drawn", nullable=True),
    ),
    primary_key=("chart_id",),
)
"""A component that stores charts names it: `CHART.named("heatmap_charts")`."""

SIGNIFICANT = 9
"""Digits of a float that count: sums of many floats differ in their last bits with the order of adding."""


@dataclass(frozen=True)
class Chart:
    """One row of a chart table; without `svg`, `reason` says why nothing was drawn."""

    chart_id: str
    title: str
    alt: str
    unit: str
    sql: str
    rows: int
    result_sha256: str
    svg: str | None = None
    reason: str | None = None

    @property
    def status(self) -> str:
        return "no_data" if self.svg is None else "ok"


def chart_rows(charts: Sequence[Chart]) -> pa.Table:
    """Return the charts as rows of `CHART`, in the order given."""
    rows = [{name: getattr(chart, name) for name in CHART.column_names} for chart in charts]
    fields = [pa.field(column.name, _plain(column.type), column.nullable) for column in CHART.columns]
    return pa.Table.from_pylist(rows, pa.schema(fields))


def result_sha256(table: pa.Table) -> str:
    """Return the SHA-256 of a query's result: its column names, kinds, and values in row order.

    It does not depend on how Arrow holds the rows (chunks, dictionaries, width of integers, unit
    and zone of timestamps). Floats count to 9 significant digits, NaN is one value, and -0 is 0.
    """
    digest = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind, values = _canonical(column)
        nulls = np.packbits(np.asarray(column.is_null().combine_chunks()), bitorder="little").tobytes()
        for part in (name.encode(), kind.encode(), str(len(column)).encode(), nulls, values):
            digest.update(f"{len(part)}:".encode())
            digest.update(part)
    return digest.hexdigest()


def _canonical(column: pa.ChunkedArray) -> tuple[str, bytes]:
    """Return the kind of a column and its values as bytes that any equal column has too."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        column, name = column.cast(pa.decimal128(38, 0) if kind == pa.uint64() else pa.int64()), "integer"
    elif pa.types.is_timestamp(kind):
        return "timestamp", _numbers(column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64()))
    elif pa.types.is_date(kind):
        return "date", _numbers(column.cast(pa.date32()).cast(pa.int32()))
    elif pa.types.is_floating(kind):
        shown = (None if value is None else f"{value + 0.0:.{SIGNIFICANT - 1}e}" for value in column.to_pylist())
        return "float", json.dumps(list(shown)).encode()
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text", json.dumps(column.to_pylist()).encode()
    else:
        name = str(kind)
    if name == "integer" and not pa.types.is_decimal(column.type):
        return name, _numbers(column)
    return name, json.dumps(column.to_pylist(), default=str, sort_keys=True).encode()


def _numbers(column: pa.ChunkedArray) -> bytes:
    values: np.ndarray = column.fill_null(0).combine_chunks().to_numpy(zero_copy_only=False)
    return values.astype("<i8").tobytes()


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
