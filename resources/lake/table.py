"""What a table is: its columns with type, unit, range and meaning, its key and its order.

A table is declared once, next to the component that makes it. The Arrow schema (units and
descriptions travel in the Parquet file), the check before writing, Dagster's column schema, the
DuckDB comments and the data dictionary all come from that declaration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resources.errors import PermanentFailure

TIMESTAMP = pa.timestamp("ms", tz="UTC")
ENTITY = pa.dictionary(pa.int32(), pa.string())
"""Ids that repeat over many rows: sorted and compared by their codes, not as text."""


class TableViolation(PermanentFailure):
    """Data that breaks its table's declaration; `table`, `column`, `rows` and `example` say where."""

    def __init__(self, table: str, column: str, problem: str, rows: int, example: str) -> None:
        self.table, self.column, self.problem = table, column, problem
        self.rows, self.example = rows, example
        super().__init__(
            f"table {table}, column {column}: {problem} in {rows} row(s), for example {example}. "
            "Nothing was written; correct what produced these rows."
        )


@dataclass(frozen=True)
class Column:
    """One column: `unit` is empty for ids, counts and text; `minimum`/`maximum` are inclusive."""

    name: str
    type: pa.DataType
    description: str
    unit: str = ""
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()

    @property
    def given_as(self) -> pa.DataType:
        """The type to make the column's values in: ids as plain text, which is encoded when it is stored."""
        return pa.string() if pa.types.is_dictionary(self.type) else self.type

    def field(self) -> pa.Field:
        about = {"description": self.description}
        if self.unit:
            about["unit"] = self.unit
        return pa.field(self.name, self.type, self.nullable, about)


def number(name: str, description: str, unit: str = "", **limits: Any) -> Column:
    """Return a column of float64 that may be null: a figure that a row may have no answer for."""
    return Column(name, pa.float64(), description, unit, nullable=True, **limits)


@dataclass(frozen=True)
class Table:
    """A declared table. `description` says what one row is.

    `primary_key` names the columns that no two rows of a partition share; rows are stored in
    `sort_order`, which is the primary key unless said otherwise. `measured` tables come from
    samples and carry a coverage.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    sort_order: tuple[str, ...] = ()
    measured: bool = False

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        keys = (*self.primary_key, *self.sort_order)
        unknown = [name for name in keys if name not in names]
        if unknown or len(set(names)) != len(names) or not self.primary_key:
            raise ValueError(f"table {self.name} is declared wrongly: {unknown or names}")
        empty = [name for name in keys if self.column(name).nullable]
        if empty:
            raise ValueError(f"table {self.name}: {empty} order or tell rows apart, so they cannot be nullable")
        reserved = {"tenant", "day"} & set(names)
        if reserved:
            raise ValueError(f"table {self.name}: {sorted(reserved)} come from the path")

    def named(self, name: str) -> "Table":
        """Return the same declaration under another name, as an instance of a component stores it."""
        return self if name == self.name else replace(self, name=name)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def order(self) -> tuple[str, ...]:
        """The columns that rows are sorted by; they end in the primary key, so that no two orders are right."""
        return tuple(dict.fromkeys((*self.sort_order, *self.primary_key)))

    def schema(self) -> pa.Schema:
        """Return the Arrow schema, with unit and description in each field's metadata."""
        about = {
            "table": self.name,
            "description": self.description,
            "primary_key": ",".join(self.primary_key),
        }
        return pa.schema([column.field() for column in self.columns], about)

    def empty(self) -> pa.Table:
        return self.schema().empty_table()

    def from_rows(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """Return a table of `rows`: column names to plain values, instants in milliseconds or as datetimes.

        What a row lacks, and NaN, is null.
        """
        arrays = {
            column.name: pa.array([row.get(column.name) for row in rows], column.given_as, from_pandas=True)
            for column in self.columns
        }
        return pa.table(arrays)

    def conform(self, data: pa.Table) -> pa.Table:
        """Return `data` checked, in the declared column and row order, as it will be stored.

        Text may come in any of Arrow's encodings of it; every other type must be the declared one.

        Raises:
            TableViolation: a column is missing, unknown or there twice, has another type, holds a
                null or NaN where none may be, leaves its range, or two rows share the primary key.
        """
        self._check_columns(data)
        arrays = []
        for column in self.columns:
            array = _stored_form(data.column(column.name), column.type)
            self._check_values(column, array)
            arrays.append(array)
        return self._in_order(pa.Table.from_arrays(arrays, schema=self.schema()))

    def row_order(self, columns: Mapping[str, pa.ChunkedArray]) -> np.ndarray:
        """Return the positions of rows with these key `columns` in the order in which they will be stored."""
        stored = {name: _stored_form(columns[name], self.column(name).type) for name in self.order}
        return np.lexsort([_sort_key(stored[name]) for name in reversed(self.order)])

    def _check_columns(self, data: pa.Table) -> None:
        found = data.schema.names
        for position, name in enumerate(found):
            if name not in self.column_names:
                problem = "column is not declared"
            elif name in found[:position]:
                problem = "column is there twice"
            else:
                continue
            raise TableViolation(self.name, name, problem, data.num_rows, f"type {data.schema.field(position).type}")
        for column in self.columns:
            if column.name not in found:
                raise TableViolation(self.name, column.name, "column is missing", data.num_rows, f"columns {found}")
            given = data.schema.field(column.name).type
            if given != column.type and not (_is_text(column.type) and _is_text(given)):
                raise TableViolation(
                    self.name, column.name, f"type is {given}, declared {column.type}", data.num_rows, str(given)
                )

    def _check_values(self, column: Column, array: pa.Array) -> None:
        def refuse(problem: str, mask: Any) -> None:
            bad = np.flatnonzero(np.asarray(mask.fill_null(False)))
            example = f"row {bad[0]}: {array[int(bad[0])].as_py()!r}"
            raise TableViolation(self.name, column.name, problem, len(bad), example)

        if not column.nullable and array.null_count:
            refuse("null in a column that must have a value", array.is_null())
        if pa.types.is_floating(array.type) or column.minimum is not None or column.maximum is not None:
            low, high, has_nan = _extremes(array)
            if has_nan:
                refuse("NaN (a missing value is null)", pc.is_nan(array))
            if column.minimum is not None and low is not None and low < column.minimum:
                refuse(f"below the minimum {column.minimum:g}", pc.less(array, column.minimum))
            if column.maximum is not None and high is not None and high > column.maximum:
                refuse(f"above the maximum {column.maximum:g}", pc.greater(array, column.maximum))
        if column.values:
            allowed = pa.array(column.values, pa.string())
            stored = array.dictionary if pa.types.is_dictionary(array.type) else array
            known = pc.or_(pc.is_in(stored, value_set=allowed), stored.is_null())
            if not np.asarray(known).all():
                unknown = pc.invert(pc.is_in(array.cast(pa.string()), value_set=allowed))
                refuse(f"not one of {', '.join(column.values)}", pc.and_(unknown, array.is_valid()))

    def _in_order(self, table: pa.Table) -> pa.Table:
        if table.num_rows < 2:
            return table
        keys = {name: _sort_key(table.column(name).chunk(0)) for name in self.order}
        in_order, same = _neighbours([keys[name] for name in self.order])
        if not in_order:
            permutation = np.lexsort([keys[name] for name in reversed(self.order)])
            table = table.take(pa.array(permutation))
            keys = {name: key[permutation] for name, key in keys.items()}
            same = _neighbours([keys[name] for name in self.order])[1]
        if set(self.order) != set(self.primary_key):
            # Rows of one key need not be neighbours in the stored order.
            self._check_unique([keys[name] for name in self.primary_key], table)
        elif same.any():
            self._refuse_duplicates(table, int(np.flatnonzero(same)[0]), int(same.sum()))
        return table

    def _check_unique(self, keys: list[np.ndarray], table: pa.Table) -> None:
        permutation = np.lexsort(keys[::-1])
        same = _neighbours([key[permutation] for key in keys])[1]
        if same.any():
            self._refuse_duplicates(table, int(permutation[np.flatnonzero(same)[0]]), int(same.sum()))

    def _refuse_duplicates(self, table: pa.Table, row: int, count: int) -> None:
        example = {name: table.column(name)[row].as_py() for name in self.primary_key}
        raise TableViolation(
            self.name, ", ".join(self.primary_key), "the primary key occurs twice", count, str(example)
        )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _stored_form(column: pa.ChunkedArray, declared: pa.DataType) -> pa.Array:
    """Return the column as one array of the declared type, however its text was encoded."""
    if pa.types.is_dictionary(declared):
        return _canonical_dictionary(column)
    if column.type != declared:
        column = column.cast(declared)
    # Combining copies, also a single chunk.
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _canonical_dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Encode so that the dictionary holds just the values in use, sorted, once: same rows, same bytes."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    if column.type != ENTITY:
        column = column.cast(ENTITY)
    whole = column.unify_dictionaries().combine_chunks()
    text, codes = whole.dictionary, whole.indices
    used = np.zeros(len(text), dtype=bool)
    used[np.asarray(codes.drop_null())] = True
    values = pc.unique(text.filter(pa.array(used))).drop_null()
    values = values.take(pc.sort_indices(values))
    if not values.equals(text):
        # A dictionary may name a value twice or hold a null, which is then a null like any other.
        codes = pc.index_in(text, value_set=values, skip_nulls=True).take(codes)
    return pa.DictionaryArray.from_arrays(codes, values)


def _extremes(array: pa.Array) -> tuple[Any, Any, bool]:
    """Return the least and greatest value and whether there is a NaN."""
    if not pa.types.is_floating(array.type):
        limits = pc.min_max(array)
        return limits["min"].as_py(), limits["max"].as_py(), False
    values = np.asarray(array.drop_null()) if array.null_count else np.asarray(array)
    if not len(values):
        return None, None, False
    # numpy's least value is NaN where there is one, and takes a fifth of the time of asking Arrow for both.
    low, high = float(values.min()), float(values.max())
    return low, high, low != low


def _sort_key(array: pa.Array) -> np.ndarray:
    """Return integers or floats that order as the column's values do; keys hold no nulls."""
    if pa.types.is_string(array.type):
        array = _canonical_dictionary(pa.chunked_array([array]))
    if pa.types.is_dictionary(array.type):
        return np.asarray(array.indices)
    if pa.types.is_temporal(array.type):
        array = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    return np.asarray(array)


def _neighbours(keys: list[np.ndarray]) -> tuple[bool, np.ndarray]:
    """Return whether rows are in the order of `keys`, and which rows have the same keys as the next."""
    same = np.ones(len(keys[0]) - 1, dtype=bool)
    in_order = True
    for key in keys:
        in_order = in_order and not np.any(same & (key[1:] < key[:-1]))
        same &= key[1:] == key[:-1]
    return in_order, same
