"""Reading the CSV and Parquet files of `analyze`, a block at a time.

Of a file with some rows that cannot be read nothing is used: `refused_lines.py` says which rows
those are. Arrow parses the blocks; only what the analysis needs is kept.
"""

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from portal.analyze.columns import FALSE, TRUE, Found, Kind, Rows, Wanted
from portal.analyze.refused_lines import refuse_csv, refuse_parquet
from portal.analyze.times import NO_TIME, IntArray, TimeReader
from resources.errors import InvalidInput
from resources.lake.table import ENTITY
from resources.monitoring.traces.columns import SEPARATORS
from resources.monitoring.traces.delimited import BOM, MISSING, split_fields

CSV, CSV_GZ, PARQUET = "csv", "csv.gz", "parquet"
FORMATS = {".csv": CSV, ".csv.gz": CSV_GZ, ".parquet": PARQUET, ".pq": PARQUET}

BLOCK_BYTES = 16 << 20
"""CSV text that is parsed at once, and the longest line there may be."""

BLOCK_ROWS = 500_000

UNREADABLE = (pa.ArrowException, OSError, EOFError, gzip.BadGzipFile)


class _BadRows(Exception):
    """A block has rows that are not what their columns hold; which, a second look has to say."""


def format_of(path: Path) -> str:
    """Return which format a file's name stands for; `InvalidInput` where it stands for none."""
    for ending, name in FORMATS.items():
        if path.name.lower().endswith(ending):
            return name
    raise InvalidInput(f"{path} is neither CSV nor Parquet by its name. Name it {', '.join(FORMATS)}.")


def read_rows(path: Path, wanted: Wanted, time_unit: str = "auto") -> Rows:
    """Return the rows of a CSV or Parquet file.

    Raises:
        InvalidInput: the file is not there, is empty, lacks a column, or has rows that are not what
            their columns hold; the message names the file, the rows, the column and the value.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist" if not path.exists() else "is not a plain file"
        raise InvalidInput(f"{path} {what}. Name one CSV or Parquet file.")
    form = format_of(path)
    if not path.stat().st_size:
        raise InvalidInput(f"{path} is empty. Write a header and rows into it.")
    times = TimeReader(time_unit)
    if form == PARQUET:
        names = _parquet_names(path)
        found = wanted.find(names, path)
        blocks = _parquet_blocks(path, names, found)
    else:
        separator, names = read_header(path)
        found = wanted.find(names, path)
        blocks = _csv_blocks(path, separator, len(names), found)
    gathered = _Gathered(found, times)
    try:
        for block in blocks:
            gathered.add(block)
    except (_BadRows, *UNREADABLE) as error:
        refusing = TimeReader(time_unit)
        if form == PARQUET:
            refuse_parquet(path, names, found, refusing, str(error))
        refuse_csv(path, separator, len(names), found, refusing, str(error))
    rows = gathered.rows(path)
    if not rows.count:
        raise InvalidInput(f"{path} has a header and no rows. Write rows into it.")
    return rows


def _open_bytes(path: Path) -> IO[bytes]:
    """Return a CSV file's bytes, unpacked."""
    return gzip.open(path, "rb") if format_of(path) == CSV_GZ else path.open("rb")  # type: ignore[return-value]


def read_header(path: Path) -> tuple[str, list[str]]:
    """Return the separator of a CSV file and the names of its columns."""
    try:
        with _open_bytes(path) as file:
            start = file.readline(1 << 20)
    except UNREADABLE as error:
        raise InvalidInput(f"{path} cannot be read: {error}. Fetch it again.") from error
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InvalidInput(f"{path} is UTF-16 text. Save it as UTF-8.")
    first, old_line_end, _ = start.removeprefix(BOM).rstrip(b"\r\n").partition(b"\r")
    try:
        header = first.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} does not begin with a line of UTF-8 text. Is it another format?") from None
    if "\0" in header or not header.strip():
        raise InvalidInput(f"{path} does not begin with a header. Write the names of its columns into line 1.")
    if old_line_end:
        raise InvalidInput(
            f"{path} has lines that end with CR, as on old Macs. Convert them: tr '\\r' '\\n' < OLD > NEW."
        )
    separator = max(SEPARATORS, key=header.count)
    return separator, split_fields(header, separator)


def _parquet_names(path: Path) -> list[str]:
    try:
        names: list[str] = pq.read_schema(path).names
    except UNREADABLE as error:
        raise InvalidInput(f"{path} is not a Parquet file: {str(error).splitlines()[0]} Fetch it again.") from error
    return names


def _csv_blocks(path: Path, separator: str, width: int, found: Found) -> Iterator[dict[str, pa.Array]]:
    fields = [f"field{place}" for place in range(width)]
    types = {Kind.TEXT: ENTITY, Kind.TIME: ENTITY, Kind.NUMBER: pa.float64(), Kind.FLAG: ENTITY}
    ours = {fields[place]: name for name, place in found.positions.items()}
    with (
        pa.input_stream(str(path), compression="gzip" if format_of(path) == CSV_GZ else None) as stream,
        pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(column_names=fields, skip_rows=1, block_size=BLOCK_BYTES),
            parse_options=pacsv.ParseOptions(delimiter=separator),
            convert_options=pacsv.ConvertOptions(
                column_types={field: types[found.kinds[name]] for field, name in ours.items()},
                include_columns=list(ours),
                null_values=list(MISSING),
                strings_can_be_null=False,
            ),
        ) as reader,
    ):
        for batch in reader:
            yield {name: batch.column(field) for field, name in ours.items()}


def _parquet_blocks(path: Path, names: list[str], found: Found) -> Iterator[dict[str, pa.Array]]:
    theirs = {name: names[place] for name, place in found.positions.items()}
    texts = [theirs[name] for name in found.of(Kind.TEXT)]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        for batch in file.iter_batches(batch_size=BLOCK_ROWS, columns=list(theirs.values())):
            yield {ours: batch.column(name) for ours, name in theirs.items()}


class _Gathered:
    """What was read so far of the columns that are needed."""

    def __init__(self, found: Found, times: TimeReader) -> None:
        self.found, self.times, self.count, self.infinite = found, times, 0, 0
        self.codes: dict[str, list[np.ndarray]] = {name: [] for name in found.of(Kind.TEXT)}
        self.distinct: dict[str, dict[str, int]] = {name: {} for name in found.of(Kind.TEXT)}
        self.id_types: dict[str, pa.DataType] = {}
        self.ts_ms: list[IntArray] = []
        self.ts: list[pa.Array] = []
        self.numbers: dict[str, list[np.ndarray]] = {name: [] for name in found.of(Kind.NUMBER)}
        self.flags: dict[str, list[np.ndarray]] = {name: [] for name in found.of(Kind.FLAG)}

    def add(self, block: Mapping[str, pa.Array]) -> None:
        """Take what is needed of a block; `_BadRows` where it is not what it should be."""
        self.count += len(next(iter(block.values())))
        for name, kind in self.found.kinds.items():
            column = block[name]
            if kind is Kind.TEXT:
                self._add_texts(name, column)
            elif kind is Kind.TIME:
                ts_ms = self.times.to_ms(column)
                if (ts_ms == NO_TIME).any():
                    raise _BadRows("a time is none")
                self.ts_ms.append(ts_ms)
                self.ts.append(column)
            elif kind is Kind.NUMBER:
                self.numbers[name].append(self._numbers(column))
            else:
                self.flags[name].append(_flags(column))

    def _add_texts(self, name: str, column: pa.Array) -> None:
        if pa.types.is_nested(column.type) or pa.types.is_floating(column.type):
            raise _BadRows(f"an id is {column.type}")
        is_text = pa.types.is_dictionary(column.type) or pa.types.is_large_string(column.type)
        self.id_types.setdefault(name, pa.string() if is_text else column.type)
        encoded = column.cast(pa.string()).dictionary_encode() if column.type != ENTITY else column
        texts = encoded.dictionary.to_pylist()
        if encoded.null_count or "" in texts or None in texts:
            raise _BadRows("an id is missing")
        distinct = self.distinct[name]
        place = np.array([distinct.setdefault(text, len(distinct)) for text in texts], dtype=np.int32)
        self.codes[name].append(place[np.asarray(encoded.indices)])

    def _numbers(self, column: pa.Array) -> np.ndarray:
        if pa.types.is_nested(column.type) or pa.types.is_temporal(column.type):
            raise _BadRows(f"a number is {column.type}")
        if _is_text(column.type):
            texts = column.cast(pa.large_string())
            missing = pc.is_in(texts, value_set=pa.array(MISSING, pa.large_string()))
            column = pc.if_else(missing, pa.scalar(None, pa.large_string()), pc.utf8_trim_whitespace(texts))
        values: np.ndarray = np.asarray(column.cast(pa.float64(), safe=False).fill_null(np.nan))
        infinite = np.isinf(values)
        if infinite.any():
            self.infinite += int(infinite.sum())
            values = np.where(infinite, np.nan, values)
        return values

    def rows(self, path: Path) -> Rows:
        """Return all that was read; to be called once, as it gives the parts up."""

        def joined(parts: dict[str, list[np.ndarray]], dtype: type) -> dict[str, np.ndarray]:
            return {name: np.concatenate(parts.pop(name) or [np.empty(0, dtype)]) for name in list(parts)}

        codes = joined(self.codes, np.int32)
        texts = {
            name: pa.DictionaryArray.from_arrays(pa.array(codes[name], pa.int32()), pa.array(list(known), pa.string()))
            for name, known in self.distinct.items()
        }
        return Rows(
            path=path,
            count=self.count,
            texts=texts,
            ts_ms=np.concatenate(self.ts_ms or [np.empty(0, np.int64)]),
            ts=pa.chunked_array(self.ts) if self.ts else pa.chunked_array([], pa.string()),
            numbers=joined(self.numbers, np.float64),
            flags=joined(self.flags, np.bool_),
            times=self.times,
            id_types=self.id_types,
            ignored=self.found.ignored,
            infinite=self.infinite,
        )


def _is_text(kind: pa.DataType) -> bool:
    """Return whether values are texts, encoded or not."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _flags(column: pa.Array) -> np.ndarray:
    if pa.types.is_nested(column.type) or pa.types.is_temporal(column.type):
        raise _BadRows(f"yes or no is {column.type}")
    encoded = column.cast(pa.string()).dictionary_encode() if column.type != ENTITY else column
    words = [(text or "").strip().lower() for text in encoded.dictionary.to_pylist()]
    if not set(words) <= TRUE | FALSE:
        raise _BadRows("neither yes nor no")
    known = np.array([*(word in TRUE for word in words), False], dtype=bool)
    flags: np.ndarray = known[np.asarray(encoded.indices.fill_null(len(words)))]
    return flags
