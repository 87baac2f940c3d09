"""Any CSV or Parquet file with one sample a row, by a mapping of our columns to theirs.

    [columns]
    ts = {from = "time", unit = "s"}
    cpu_percent = "cpu_usage_pct"
    memory_bytes = {from = "mem_usage_kb", scale = 1024}

A column of ours that the mapping leaves out is taken under its own name where the file has it.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resources.errors import InvalidInput
from resources.lake.table import ENTITY
from resources.monitoring.metrics import VM_COLUMNS
from resources.monitoring.traces.delimited import Field, Layout, split_fields
from resources.monitoring.traces.rows import SIZES, TEXTS, Block, Clock, FloatArray, Raw, check, iso_to_ms

OURS = ("ts", "vm_id", *VM_COLUMNS, *SIZES, *TEXTS)
UNITS = ("auto", "s", "ms", "iso")
SEPARATORS = (",", ";", "\t", "|")
PARQUET_ROWS = 500_000
"""Rows of a Parquet file that are in memory at once."""


@dataclass(frozen=True)
class ColumnMap:
    """Our column -> theirs; `unit` of the timestamps: `s`, `ms`, `iso`, or `auto` by what they look like."""

    fields: Mapping[str, Field] = field(default_factory=dict)
    unit: str = "auto"

    def __post_init__(self) -> None:
        for name in self.fields:
            if name not in OURS:
                raise InvalidInput(f"{name!r} is not a column of ours. The columns are: {', '.join(OURS)}.")
        if self.unit not in UNITS:
            raise InvalidInput(f"{self.unit!r} is not a time unit. Use one of {', '.join(UNITS)}.")

    def as_json(self) -> dict[str, Any]:
        """Return what identifies this mapping."""
        return {"unit": self.unit, **{name: [f.theirs, f.scale] for name, f in sorted(self.fields.items())}}

    def positions(self, theirs: Sequence[str], path: Path) -> dict[str, int]:
        """Return at which of the file's columns `theirs` each of ours is.

        Raises:
            InvalidInput: a mapped column is not in the file or is there twice, or the file has no
                timestamp, no VM, or nothing that we could keep.
        """
        found = {}
        for ours in OURS:
            name = self.fields[ours].theirs if ours in self.fields else ours
            if theirs.count(name) > 1:
                raise InvalidInput(f"{path} has {theirs.count(name)} columns {name!r}: which is {ours}? Rename one.")
            if name in theirs:
                found[ours] = theirs.index(name)
            elif ours in self.fields:
                raise InvalidInput(f"{path} has no column {name!r} for {ours}. It has: {', '.join(theirs)}.")
        for needed in ("ts", "vm_id"):
            if needed not in found:
                raise InvalidInput(
                    f"{path} has no column {needed}. It has: {', '.join(theirs)}. "
                    f"Say which one it is with --column {needed}=THEIRS or in a --map file."
                )
        if not set(found) & {*VM_COLUMNS, *SIZES}:
            raise InvalidInput(
                f"{path} has no column that could be imported. It has: {', '.join(theirs)}. "
                f"Say with --column OURS=THEIRS which are our columns: {', '.join((*VM_COLUMNS, *SIZES))}."
            )
        return found

    def scales(self) -> dict[str, float]:
        return {name: mapped.scale for name, mapped in self.fields.items()}


def read_map(path: Path) -> ColumnMap:
    """Return the mapping in a TOML file; `InvalidInput` says what is wrong with it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"cannot read the mapping {path}: {error}.") from error
    columns = content.get("columns")
    if set(content) != {"columns"} or not isinstance(columns, dict):
        raise InvalidInput(f"{path} must hold one table [columns] and nothing else.")
    fields, unit = {}, "auto"
    for ours, value in columns.items():
        given = {"from": value} if isinstance(value, str) else value
        allowed = {"from", "unit"} if ours == "ts" else {"from", "scale"}
        if not isinstance(given, dict) or not set(given) <= allowed or not isinstance(given.get("from", ours), str):
            more = 'unit = "s"' if ours == "ts" else "scale = 1024"
            raise InvalidInput(
                f"{path}: {ours} = {value!r} is not a column. "
                f'Write {ours} = "their column" or {ours} = {{from = "their column", {more}}}.'
            )
        unit = given.get("unit", unit)
        fields[ours] = Field(str(given.get("from", ours)), _scale(given.get("scale", 1), ours))
    return ColumnMap(fields, unit)


def parse_columns(options: Sequence[str], unit: str = "auto") -> ColumnMap:
    """Return the mapping that options such as `memory_bytes=mem_kb*1024` make."""
    fields = {}
    for option in options:
        ours, equals, theirs = option.partition("=")
        if not equals or not theirs:
            raise InvalidInput(f"--column {option!r} is not OURS=THEIRS or OURS=THEIRS*SCALE.")
        match = re.fullmatch(r"(.+)\*([0-9.eE+-]+)", theirs)
        fields[ours.strip()] = (
            Field(match.group(1).strip(), _scale(match.group(2), ours)) if match else Field(theirs.strip())
        )
    return ColumnMap(fields, unit)


def _scale(value: Any, ours: str) -> float:
    try:
        scale = float(value)
    except (TypeError, ValueError):
        scale = 0.0
    if isinstance(value, bool) or not 0 < scale < 1e30:
        raise InvalidInput(f"the scale {value!r} of {ours} is not a positive number.")
    return scale


def text_layout(path: Path, header: str, mapping: ColumnMap) -> tuple[Layout, Clock]:
    """Return how a text file with this header is read. Its separator is the one that the header has most of."""
    separator = max(SEPARATORS, key=header.count)
    names = split_fields(header, separator)
    positions = mapping.positions(names, path)
    iso = mapping.unit == "iso" or (mapping.unit == "auto" and _looks_iso(path, separator, positions["ts"]))
    layout = Layout(separator, len(names), positions, mapping.scales(), iso)
    return layout, Clock("ms" if iso else mapping.unit)


def _looks_iso(path: Path, separator: str, position: int) -> bool:
    """Return whether one of the first lines has a date where the timestamp is."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for _, line in zip(range(20), file, strict=False):
            fields = split_fields(line, separator)
            if position < len(fields) and re.match(r"\d{4}-\d{2}-\d{2}", fields[position]):
                return True
    return False


def parquet_names(path: Path) -> list[str]:
    """Return the columns of a Parquet file; `InvalidInput` says that it is none."""
    try:
        names: list[str] = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{path} is not a Parquet file: {str(error).splitlines()[0]}.") from error
    return names


def read_parquet(path: Path, mapping: ColumnMap, clock: Clock, wanted: pa.Array | None) -> Iterator[Block]:
    """Yield the rows of a Parquet file in blocks; `wanted` are the VMs to read, None for all."""
    names = parquet_names(path)
    ours_of = {names[position]: ours for ours, position in mapping.positions(names, path).items()}
    scales = mapping.scales()
    first = 1
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS, columns=list(ours_of)):
                yield _parquet_block(path, batch, first, ours_of, scales, clock, wanted)
                first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{path} cannot be read: {str(error).splitlines()[0]}. Fetch it again.") from error


def _parquet_block(
    path: Path,
    batch: pa.RecordBatch,
    first: int,
    ours_of: Mapping[str, str],
    scales: Mapping[str, float],
    clock: Clock,
    wanted: pa.Array | None,
) -> Block:
    columns = {ours: batch.column(theirs) for theirs, ours in ours_of.items()}
    lines = np.arange(first, first + batch.num_rows, dtype=np.int64)
    vm_ids = _encoded(columns.pop("vm_id"))
    if wanted is not None:
        mask = pc.is_in(vm_ids, value_set=wanted)
        vm_ids, lines = vm_ids.filter(mask), lines[np.asarray(mask)]
        columns = {name: column.filter(mask) for name, column in columns.items()}
    try:
        ts = _times(columns.pop("ts"), clock)
        values = {
            name: np.asarray(column.cast(pa.float64(), safe=False).fill_null(np.nan)) * scales.get(name, 1.0)
            for name, column in columns.items()
            if name not in TEXTS
        }
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(f"{path} holds no numbers where they are needed: {error}.") from error
    texts = {name: _encoded(column) for name, column in columns.items() if name in TEXTS}

    def text_of(line: int) -> str:
        row = batch.slice(line - first, 1).to_pylist()[0]
        return ", ".join(f"{name}={value}" for name, value in row.items())

    rows, rejects = check(Raw(lines, vm_ids, ts, values, texts), clock, text_of)
    return Block(rows, tuple(rejects), len(lines))


def _encoded(column: pa.Array) -> pa.DictionaryArray:
    return column.cast(pa.string()).dictionary_encode().cast(ENTITY)


def _times(column: pa.Array, clock: Clock) -> FloatArray:
    if pa.types.is_timestamp(column.type):
        clock.unit = "ms"
        return np.asarray(
            pc.floor_temporal(column, unit="millisecond")
            .cast(pa.timestamp("ms", column.type.tz))
            .cast(pa.int64())
            .cast(pa.float64())
            .fill_null(np.nan)
        )
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        clock.unit = "ms"
        return iso_to_ms(column.cast(pa.string()))
    return np.asarray(column.cast(pa.float64()).fill_null(np.nan))
