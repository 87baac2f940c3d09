"""How rows are written for people and programs: aligned text, CSV, JSON, Parquet.

Values are written whole. A 4-byte float is written as the shortest number that reads back as it,
times as ISO 8601 in UTC; what JSON has no number for (NaN, infinity) is null there.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa


def as_table(data: pa.Table) -> bytes:
    """Return aligned columns: numbers to the right, nulls as nothing, control characters made visible."""
    columns = [[name, *map(_text, values)] for name, values in zip(data.column_names, _values(data), strict=True)]
    return _lines(columns, [_is_number(field.type) for field in data.schema]).encode()


def aligned(header: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[str] = ()) -> str:
    """Return rows of plain values as aligned text; the columns named in `numbers` go to the right."""
    columns = [[name, *(_text(row[place]) for row in rows)] for place, name in enumerate(header)]
    return _lines(columns, [name in numbers for name in header])


def as_csv(data: pa.Table) -> bytes:
    """Return RFC 4180 text with a header. Nulls are empty; text stays as it is, also if it begins with =, +, - or @."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(data.column_names)
    writer.writerows(zip(*([_flat(value) for value in values] for values in _values(data)), strict=True))
    return text.getvalue().encode()


def as_json(data: pa.Table) -> bytes:
    """Return a list of objects, one row a line; a name that occurs twice gets `_2` and so on."""
    names = _distinct(data.column_names)
    rows = zip(*_values(data), strict=True)
    lines = (json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, allow_nan=False) for row in rows)
    return ("[" + ",\n ".join(lines) + "]\n").encode()


def as_parquet(data: pa.Table) -> bytes:
    """Return a Parquet file of the rows."""
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(data.rename_columns(_distinct(data.column_names)), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


FORMATS: dict[str, Callable[[pa.Table], bytes]] = {
    "table": as_table,
    "csv": as_csv,
    "json": as_json,
    "parquet": as_parquet,
}


def _values(data: pa.Table) -> list[list[Any]]:
    """Return each column as values that JSON has: numbers, text, true and false, null, lists, objects."""
    columns = []
    for column in data.columns:
        kind = column.type
        if pa.types.is_float32(kind):
            shortest = column.cast(pa.string()).to_pylist()
            columns.append([None if value is None else _plain(float(value)) for value in shortest])
        elif pa.types.is_timestamp(kind) and kind.unit == "ns":
            micros = column.cast(pa.timestamp("us", kind.tz), safe=False)
            columns.append([_plain(value) for value in micros.to_pylist()])
        else:
            columns.append([_plain(value) for value in column.to_pylist()])
    return columns


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return str(value)


def _flat(value: Any) -> Any:
    """Return a value for one cell of text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _text(value: Any) -> str:
    text = "" if value is None else str(_flat(value))
    if text.isprintable():
        return text
    # An escape sequence in a VM's name must not reach the terminal.
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _lines(columns: list[list[str]], right: list[bool]) -> str:
    from rich.cells import cell_len

    padded = []
    for cells, to_the_right in zip(columns, right, strict=True):
        widths = [cell_len(cell) for cell in cells]
        widest = max(widths)
        fill = [" " * (widest - width) for width in widths]
        rule = "-" * widest
        pairs = zip(fill, cells, strict=True)
        aligned_cells = [space + cell if to_the_right else cell + space for space, cell in pairs]
        padded.append([aligned_cells[0], rule, *aligned_cells[1:]])
    return "".join("  ".join(row).rstrip() + "\n" for row in zip(*padded, strict=True))


def _distinct(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        count, free = 1, name
        while free in found:
            count += 1
            free = f"{name}_{count}"
        found.append(free)
    return found
