"""Says which rows of a file cannot be read, and why: the slow, exact look at a file that Arrow refused."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from portal.analyze.columns import FALSE, TRUE, Found, Kind
from portal.analyze.times import LAST_TIME, NO_TIME, TimeReader
from resources.errors import InvalidInput
from resources.monitoring.traces.delimited import MISSING, NUMBER

INFINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})

SHOWN = 3
"""Bad rows that are told one by one."""

OPEN_QUOTE = "a quote that opens there may never be closed"

TEXT_LENGTH = 60
LINES_AT_ONCE = 10_000

TIMES = (
    f"Write ISO 8601 from 1970 to {LAST_TIME} such as 2026-03-01T00:05:00Z, or the seconds since 1970 (or ms, us, ns; "
    "outside of the years 2000 to 2099 say which with --time-unit)"
)
WAYS_OUT = {
    Kind.TEXT: "Give every row an id, as text or a whole number",
    Kind.TIME: TIMES,
    Kind.NUMBER: "Write a number with a decimal point (1 and 0 for true and false), or nothing where there is none",
    Kind.FLAG: "Write true or false",
}


def refuse_csv(path: Path, separator: str, width: int, found: Found, times: TimeReader, arrow: str) -> NoReturn:
    """Raise `InvalidInput` that names the lines of a CSV file that are bad."""
    problems: list[str] = []
    count, seen, way_out = 0, 0, "Correct or remove them"
    try:
        for lines in _csv_lines(path, separator):
            seen += len(lines)
            bad_times = _bad_times([fields for _, fields in lines], found, times)
            for (line, fields), bad_time in zip(lines, bad_times, strict=True):
                problem, ours = _line_problem(fields, separator, width, found, bad_time)
                if not problem:
                    continue
                count += 1
                if count == 1 and ours is not None:
                    way_out = _way_out(ours, found)
                if len(problems) < SHOWN:
                    problems.append(f"line {line}: {problem}")
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}. Fetch it again.") from error
    if not seen:
        raise InvalidInput(f"{path} has a header and no rows. Write rows into it.")
    if not count:
        raise InvalidInput(f"{path} cannot be read: {_one_line(arrow)}. Is it CSV with a header?")
    raise InvalidInput(_message(path, "lines", problems, count, way_out))


def refuse_parquet(path: Path, names: list[str], found: Found, times: TimeReader, arrow: str) -> NoReturn:
    """Raise `InvalidInput` that names the rows of a Parquet file that are bad."""
    theirs = {name: names[place] for name, place in found.positions.items()}
    problems: list[str] = []
    count, row, way_out = 0, 0, "Correct or remove them"
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=list(theirs.values())):
                columns = [(ours, batch.column(name).to_pylist()) for ours, name in theirs.items()]
                times_ms = {
                    ours: _parquet_times(batch.column(theirs[ours]), times, path) for ours in found.of(Kind.TIME)
                }
                for place in range(batch.num_rows):
                    row += 1
                    for ours, values in columns:
                        bad_time = ours in times_ms and times_ms[ours][place] == NO_TIME
                        problem = _value_problem(ours, values[place], found.kinds[ours], bad_time)
                        if not problem:
                            continue
                        count += 1
                        way_out = _way_out(ours, found) if count == 1 else way_out
                        if len(problems) < SHOWN:
                            problems.append(f"row {row}: {problem}")
                        break
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{path} cannot be read: {_one_line(str(error))}. Fetch it again.") from error
    if not count:
        raise InvalidInput(f"{path} cannot be read: {_one_line(arrow)}. Fetch it again.")
    raise InvalidInput(_message(path, "rows", problems, count, way_out))


def _csv_lines(path: Path, separator: str) -> Iterator[list[tuple[int, list[str]]]]:
    """Yield the lines that are not empty, some at a time, with the numbers that they begin at."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.reader(text, delimiter=separator)
        line = 1
        try:
            next(reader, None)
            line = reader.line_num + 1
            lines = []
            for fields in reader:
                if fields:
                    lines.append((line, fields))
                line = reader.line_num + 1
                if len(lines) == LINES_AT_ONCE:
                    yield lines
                    lines = []
            if lines:
                yield lines
        except csv.Error as error:
            raise InvalidInput(f"{path}, line {line}: {error}; {OPEN_QUOTE}. Correct or remove it.") from error


def _bad_times(lines: list[list[str]], found: Found, times: TimeReader) -> list[bool]:
    places = [found.positions[name] for name in found.of(Kind.TIME)]
    if not places:
        return [False] * len(lines)
    texts = [fields[places[0]] if places[0] < len(fields) else "" for fields in lines]
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    return [bool(bad) for bad in times.to_ms(pa.array(texts, pa.string())) == NO_TIME]


def _way_out(ours: str, found: Found) -> str:
    """Return what to do about a bad value of one of our columns."""
    way_out = WAYS_OUT[found.kinds[ours]]
    if ours in found.dispensable:
        way_out += f", or leave the column out with --ignore {found.dispensable[ours][:TEXT_LENGTH]!r}"
    return way_out


def _line_problem(
    fields: list[str], separator: str, width: int, found: Found, bad_time: bool
) -> tuple[str, str | None]:
    """Return what is wrong with a line and in which of our columns; nothing where it is right."""
    if len(fields) != width:
        swallowed = len(fields) < width and any(character in fields[-1] for character in f"{separator}\r\n")
        more = f"; {OPEN_QUOTE}" if swallowed else ""
        return f"{len(fields)} fields where the header has {width}{more}", None
    for ours, place in found.positions.items():
        field, kind = fields[place], found.kinds[ours]
        if "\n" in field or "\r" in field:
            return f"{ours} has a line break in quotes, which is not supported", None
        if any("\udc80" <= character <= "\udcff" for character in field):
            return f"{ours} is not UTF-8 text", None
        problem = _value_problem(ours, field, kind, bad_time)
        if problem:
            return problem, ours
    return "", None


def _value_problem(ours: str, value: Any, kind: Kind, bad_time: bool) -> str:
    """Return what is wrong with one value, nothing where it is right."""
    text = "" if value is None else str(value)
    shown = f"{ours} = {text[:TEXT_LENGTH]!r}"
    if kind is Kind.TEXT:
        if isinstance(value, float | dict | list):
            return f"{shown} is no id (a text or a whole number)"
        return "" if text else f"{ours} is missing"
    if kind is Kind.TIME:
        return (f"{shown} is no time" if text.strip() else f"{ours} is missing") if bad_time else ""
    if kind is Kind.FLAG:
        return "" if text.strip().lower() in TRUE | FALSE else f"{shown} is neither true nor false"
    if isinstance(value, bool):
        return ""
    if isinstance(value, dict | list):
        return f"{shown} is not a number"
    number = text.strip()
    fine = (
        text in MISSING
        or (number.isascii() and NUMBER.fullmatch(number))
        or number.lower().lstrip("+-") in ("nan", *INFINITE)
    )
    return "" if fine else f"{shown} is not a number"


def _parquet_times(column: pa.Array, times: TimeReader, path: Path) -> list[int]:
    try:
        found: list[int] = times.to_ms(column).tolist()
    except pa.ArrowException as error:
        raise InvalidInput(f"{path}: the times are of type {column.type}, which is none. {TIMES}.") from error
    return found


def _message(path: Path, what: str, problems: list[str], count: int, way_out: str) -> str:
    more = f"; and {count - len(problems):,} more {what}" if count > len(problems) else ""
    return f"{path}, {'; '.join(problems)}{more}. {way_out}. Nothing was analysed."


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300].rstrip(".")
