"""Text with one sample a line and its values between separators, under a header.

A block of lines is parsed at once by Arrow. Only a block in which that fails is taken apart line
by line, to find which line it was and to keep the others: both ways read a good line alike.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from resources.errors import InvalidInput
from resources.lake.table import ENTITY
from resources.monitoring.traces.rows import (
    TEXT_LENGTH,
    TEXTS,
    Block,
    Clock,
    FloatArray,
    Raw,
    Reject,
    check,
    constant,
    iso_to_ms,
)

BLOCK_BYTES = 4 << 20
"""Lines parsed at once: large enough for Arrow's speed, small enough that one bad line costs little."""

CAREFUL_BYTES = 4 << 10
"""A piece of a block this small is taken apart line by line when it does not parse."""

LONGEST_LINE = 64 << 20

MISSING = ("", "NaN", "nan", "NA", "N/A", "null", "NULL", "None")
"""What stands for no value."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Field:
    """Which of their columns fills one of ours, and what to multiply it by."""

    theirs: str
    scale: float = 1.0


@dataclass(frozen=True)
class Layout:
    """How a file of separated values is read.

    `positions` says at which field of a line each of our columns is. Without a `vm_id` among them,
    `vm_id` names the one VM of the file. With `iso`, timestamps are ISO 8601 texts, else numbers.
    """

    separator: str
    width: int
    positions: Mapping[str, int]
    scales: Mapping[str, float]
    iso: bool
    vm_id: str | None = None

    @property
    def texts(self) -> list[str]:
        """Our columns that are read as text."""
        return [name for name in self.positions if name in ("vm_id", *TEXTS) or (name == "ts" and self.iso)]

    @property
    def values(self) -> list[str]:
        """Our columns that are measured values or sizes."""
        return [name for name in self.positions if name not in ("vm_id", "ts", *TEXTS)]


def read_header(path: Path) -> str:
    """Return the first line of a text file, without its end and without a byte order mark.

    Raises:
        InvalidInput: the file is UTF-16, or is not text.
    """
    with path.open("rb") as file:
        start = file.read(1 << 16)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InvalidInput(f"{path} is UTF-16 text. Save it as UTF-8.")
    line = start.removeprefix(BOM).split(b"\n", 1)[0].rstrip(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} does not begin with a line of UTF-8 text.") from None


def split_fields(line: str, separator: str) -> list[str]:
    """Return the fields of one line, stripped of blanks and quotes."""
    fields = next(csv.reader([line], delimiter=separator), []) if '"' in line else line.split(separator)
    return [field.strip() for field in fields]


def read_blocks(path: Path, layout: Layout, clock: Clock, wanted: pa.Array | None) -> Iterator[Block]:
    """Yield the file's lines after the header in blocks; `wanted` are the VMs to read, None for all."""
    if wanted is not None and layout.vm_id is not None:
        if layout.vm_id not in wanted.to_pylist():
            return
        wanted = None
    for first_line, content in _line_blocks(path):
        yield from _read_block(content, first_line, layout, clock, wanted)


def _line_blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines with the number of the first of them; the header is line 1 and is left out."""
    with path.open("rb") as file:
        file.readline()
        line, rest = 2, b""
        while chunk := file.read(BLOCK_BYTES):
            end = chunk.rfind(b"\n") + 1
            if not end:
                rest += chunk
                if len(rest) > LONGEST_LINE:
                    raise InvalidInput(f"{path} has a line of more than {LONGEST_LINE >> 20} MB. It is no trace file.")
                continue
            content, rest = rest + chunk[:end], chunk[end:]
            yield line, content
            line += content.count(b"\n")
        if rest:
            yield line, rest


def _read_block(
    content: bytes, first_line: int, layout: Layout, clock: Clock, wanted: pa.Array | None
) -> Iterator[Block]:
    parsed = _parse_at_once(content, layout)
    if parsed is None:
        # Halving finds the few bad lines of a block 12 times sooner than taking all of it apart.
        middle = content.find(b"\n", len(content) // 2) + 1
        if len(content) <= CAREFUL_BYTES or middle in (0, len(content)):
            yield _read_line_by_line(content, first_line, layout, clock, wanted)
        else:
            second_line = first_line + content.count(b"\n", 0, middle)
            yield from _read_block(content[:middle], first_line, layout, clock, wanted)
            yield from _read_block(content[middle:], second_line, layout, clock, wanted)
        return
    count = parsed.num_rows
    lines = np.arange(first_line, first_line + count, dtype=np.int64)
    if wanted is not None:
        mask = pc.is_in(parsed.column("vm_id"), value_set=wanted)
        parsed, lines = parsed.filter(mask), lines[np.asarray(mask)]
    raw = _raw(parsed, lines, layout)
    kept: list[str] = []

    def text_of(line: int) -> str:
        if not kept:
            kept.extend(content.decode("utf-8", "replace").split("\n"))
        return kept[line - first_line].rstrip("\r")

    rows, rejects = check(raw, clock, text_of)
    yield Block(rows, tuple(rejects), count)


def _parse_at_once(content: bytes, layout: Layout) -> pa.Table | None:
    """Return the block's columns by our names, or None where some line needs a closer look."""
    names = [f"field{position}" for position in range(layout.width)]
    ours = {names[position]: name for name, position in layout.positions.items()}
    types = {theirs: _arrow_type(name, layout) for theirs, name in ours.items()}
    try:
        table = pacsv.read_csv(
            pa.BufferReader(content),
            read_options=pacsv.ReadOptions(column_names=names),
            parse_options=pacsv.ParseOptions(delimiter=layout.separator),
            convert_options=pacsv.ConvertOptions(
                column_types=types, include_columns=list(types), null_values=list(MISSING), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return None
    # Arrow leaves empty lines out: the rows would not be where their lines are.
    if table.num_rows != content.count(b"\n") + (not content.endswith(b"\n")):
        return None
    table = table.rename_columns([ours[name] for name in table.column_names]).unify_dictionaries().combine_chunks()
    for name in table.column_names:
        if table.schema.field(name).type == ENTITY:
            column = table.column(name).chunk(0)
            stripped = _stripped(column)
            table = table.set_column(table.column_names.index(name), name, stripped)
    if layout.iso and np.isnan(iso_to_ms(table.column("ts").combine_chunks())).any():
        return None
    return table


def _arrow_type(name: str, layout: Layout) -> pa.DataType:
    if name in layout.values or (name == "ts" and not layout.iso):
        return pa.float64()
    return pa.string() if name == "ts" else ENTITY


def _stripped(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return the texts without blanks around them, each once in the dictionary."""
    texts = pc.utf8_trim_whitespace(column.dictionary)
    if texts.equals(column.dictionary):
        return column
    encoded = texts.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(column.indices), encoded.dictionary)


def _raw(parsed: pa.Table, lines: np.ndarray, layout: Layout) -> Raw:
    def numbers(name: str) -> FloatArray:
        values: FloatArray = parsed.column(name).to_numpy()
        scale = layout.scales.get(name, 1.0)
        return values if scale == 1.0 else values * scale

    def texts(name: str) -> pa.DictionaryArray:
        column = parsed.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks else pa.array([], pa.string()).dictionary_encode()
        return column

    return Raw(
        lines=lines,
        vm_ids=constant(layout.vm_id, parsed.num_rows) if layout.vm_id is not None else texts("vm_id"),
        ts=iso_to_ms(parsed.column("ts").combine_chunks()) if layout.iso else numbers("ts"),
        values={name: numbers(name) for name in layout.values},
        texts={name: texts(name) for name in TEXTS if name in layout.positions},
    )


def _read_line_by_line(content: bytes, first_line: int, layout: Layout, clock: Clock, wanted: pa.Array | None) -> Block:
    asked_for = None if wanted is None else set(wanted.to_pylist())
    columns: dict[str, list[str | float]] = {name: [] for name in layout.positions}
    lines: list[int] = []
    shown: dict[int, str] = {}
    rejects: list[Reject] = []
    count = 0
    for line, encoded in enumerate(content.split(b"\n"), first_line):
        if not encoded.strip():
            continue
        count += 1
        text = encoded.decode("utf-8", "replace").rstrip("\r")
        try:
            values = _take_apart(encoded, layout, asked_for)
        except ValueError as error:
            rejects.append(Reject(line, str(error), text[:TEXT_LENGTH]))
            continue
        if values is None:
            continue
        for name, value in values.items():
            columns[name].append(value)
        lines.append(line)
        shown[line] = text
    parsed = pa.table(
        {
            name: pa.array(values, pa.float64() if _is_number(name, layout) else pa.string())
            for name, values in columns.items()
        }
    )
    for name in layout.texts:
        if name != "ts":
            encoded_column = parsed.column(name).combine_chunks().dictionary_encode()
            parsed = parsed.set_column(parsed.column_names.index(name), name, encoded_column)
    rows, out_of_range = check(_raw(parsed, np.array(lines, np.int64), layout), clock, shown.__getitem__)
    return Block(rows, tuple(sorted([*rejects, *out_of_range], key=lambda reject: reject.line)), count)


def _is_number(name: str, layout: Layout) -> bool:
    return name not in layout.texts


def _take_apart(encoded: bytes, layout: Layout, asked_for: set[str] | None) -> dict[str, str | float] | None:
    """Return the values of a line by our names, None if its VM was not asked for; ValueError says what is bad."""
    try:
        text = encoded.decode("utf-8").rstrip("\r")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    fields = split_fields(text, layout.separator)
    if len(fields) != layout.width:
        raise ValueError(f"{len(fields)} fields where the header has {layout.width}")
    if asked_for is not None and fields[layout.positions["vm_id"]] not in asked_for:
        return None
    values: dict[str, str | float] = {}
    for name, position in layout.positions.items():
        field = fields[position]
        if not _is_number(name, layout):
            if name == "ts" and np.isnan(iso_to_ms(pa.array([field]))[0]):
                raise ValueError(f"ts {field[:40]!r} is not a time" if field else "ts is missing")
            values[name] = field
        elif field in MISSING:
            values[name] = np.nan
        elif NUMBER.fullmatch(field):
            values[name] = float(field)
        else:
            raise ValueError(f"{name} = {field[:40]!r} is not a number")
    return values
