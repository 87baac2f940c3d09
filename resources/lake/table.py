"""What a table is: its columns with type, unit, range and meaning, its key and its order.

A table is declared once, next to the component that makes it. The Arrow schema (units and
descriptions travel in the Parquet file), the check before writing, Dagster's column schema, the
DuckDB comments and the data dictionary all come from that declaration.
"""

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

    def field(self) -> pa.Field:
        about = {"description": self.description}
        if self.unit:
            about["unit"] = self.unit
        return pa.field(self.name, self.type, self.nullable, about)


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
        unknown = [name for name in (*self.primary_key, *self.sort_order) if name not in names]
        if unknown or len(set(names)) != len(names) or not self.primary_key:
            raise ValueError(f"table {self.name} is declared wrongly: {unknown or names}")
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
        return self.sort_order or self.primary_key

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

    def conform(self, data: pa.Table) -> pa.Table:
        """Return `data` checked, in the declared column and row order, as it will be stored.

        Raises:
            TableViolation: a column is missing or unknown, has another type, holds a null or NaN
                where none may be, leaves its range, or two rows share the primary key.
        """
        self._check_columns(data)
        arrays = []
        for column in self.columns:
            array = data.column(column.name)
            if pa.types.is_dictionary(column.type):
                array = _canonical_dictionary(array)
            else:
                array = array.combine_chunks()
            self._check_values(column, array)
            arrays.append(array)
        table = pa.Table.from_arrays(arrays, schema=self.schema())
        return self._in_order(table)

    def _check_columns(self, data: pa.Table) -> None:
        for name in data.column_names:
            if name not in self.column_names:
                raise TableViolation(
                    self.name, name, "column is not declared", data.num_rows, f"type {data.schema.field(name).type}"
                )
        for column in self.columns:
            if column.name not in data.column_names:
                raise TableViolation(
                    self.name, column.name, "column is missing", data.num_rows, f"columns {data.column_names}"
                )
            found = data.schema.field(column.name).type
            as_text = pa.types.is_dictionary(column.type) and pa.types.is_string(found)
            if found != column.type and not as_text:
                raise TableViolation(
                    self.name, column.name, f"type is {found}, declared {column.type}", data.num_rows, str(found)
                )

    def _check_values(self, column: Column, array: pa.Array) -> None:
        def refuse(problem: str, mask: Any) -> None:
            bad = np.flatnonzero(np.asarray(mask.fill_null(False)))
            example = f"row {bad[0]}: {array[int(bad[0])].as_py()!r}"
            raise TableViolation(self.name, column.name, problem, len(bad), example)

        if not column.nullable and array.null_count:
            refuse("null in a column that must have a value", array.is_null())
        if pa.types.is_floating(array.type) and pc.any(pc.is_nan(array)).as_py():
            refuse("NaN (a missing value is null)", pc.is_nan(array))
        if column.minimum is not None or column.maximum is not None:
            limits = pc.min_max(array)
            low, high = limits["min"].as_py(), limits["max"].as_py()
            if column.minimum is not None and low is not None and low < column.minimum:
                refuse(f"below the minimum {column.minimum:g}", pc.less(array, column.minimum))
            if column.maximum is not None and high is not None and high > column.maximum:
                refuse(f"above the maximum {column.maximum:g}", pc.greater(array, column.maximum))
        if column.values:
            stored = array.dictionary if pa.types.is_dictionary(array.type) else array
            allowed = pc.is_in(stored, value_set=pa.array(column.values, pa.string()))
            if not pc.all(pc.or_(allowed, stored.is_null())).as_py():
                text = array.cast(pa.string())
                refuse(
                    f"not one of {', '.join(column.values)}",
                    pc.invert(pc.is_in(text, value_set=pa.array(column.values, pa.string()))),
                )

    def _in_order(self, table: pa.Table) -> pa.Table:
        if table.num_rows < 2:
            return table
        keys = {name: _sort_key(table.column(name)) for name in {*self.order, *self.primary_key}}
        order = [keys[name] for name in self.order]
        if not _is_sorted(order):
            permutation = np.lexsort(order[::-1])
            table = table.take(pa.array(permutation))
            keys = {name: key[permutation] for name, key in keys.items()}
        self._check_unique([keys[name] for name in self.primary_key], table)
        return table

    def _check_unique(self, keys: list[np.ndarray], table: pa.Table) -> None:
        if self.order[: len(self.primary_key)] != self.primary_key:
            permutation = np.lexsort(keys[::-1])
        else:
            permutation = np.arange(table.num_rows)
        same = np.ones(table.num_rows - 1, dtype=bool)
        for key in keys:
            placed = key[permutation]
            same &= placed[1:] == placed[:-1]
        if same.any():
            row = int(permutation[int(np.flatnonzero(same)[0])])
            example = {name: table.column(name)[row].as_py() for name in self.primary_key}
            raise TableViolation(
                self.name, ", ".join(self.primary_key), "the primary key occurs twice", int(same.sum()), str(example)
            )


def _canonical_dictionary(array: pa.ChunkedArray) -> pa.DictionaryArray:
    """Encode so that the dictionary holds just the values in use, sorted: same rows, same bytes."""
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    whole = array.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], ENTITY)
    codes = whole.indices
    used = np.unique(np.asarray(codes.drop_null()))
    text = whole.dictionary.cast(pa.string())
    ranked = used[np.asarray(pc.sort_indices(text.take(pa.array(used, pa.int64()))))] if len(used) else used
    rank_of = np.zeros(len(text) + 1, dtype=np.int32)
    rank_of[ranked] = np.arange(len(ranked), dtype=np.int32)
    missing = np.asarray(codes.is_null())
    new_codes = rank_of[np.asarray(codes.fill_null(0))]
    indices = pa.array(new_codes, pa.int32(), mask=missing if missing.any() else None)
    return pa.DictionaryArray.from_arrays(indices, text.take(pa.array(ranked, pa.int64())))


def _sort_key(column: pa.ChunkedArray) -> np.ndarray:
    """Return integers or floats that order as the column's values do; nulls come first."""
    array = column.combine_chunks()
    if pa.types.is_dictionary(array.type):
        return np.asarray(array.indices.fill_null(-1))
    if pa.types.is_string(array.type):
        return np.asarray(_canonical_dictionary(pa.chunked_array([array])).indices.fill_null(-1))
    if pa.types.is_temporal(array.type):
        wide = array.cast(pa.int32()) if array.type.bit_width == 32 else array.cast(pa.int64())
        return np.asarray(wide.fill_null(np.iinfo(np.int32).min))
    return np.asarray(array.fill_null(False) if pa.types.is_boolean(array.type) else array.fill_null(-(2**31)))


def _is_sorted(keys: list[np.ndarray]) -> bool:
    tied = np.ones(len(keys[0]) - 1, dtype=bool)
    for key in keys:
        if np.any(tied & (key[1:] < key[:-1])):
            return False
        tied &= key[1:] == key[:-1]
    return True
