"""The lines of an inventory file, CSV or JSON, taken apart but not yet understood.

A line that cannot be taken apart is an entry with a problem and no cells; only what makes the file
as a whole unreadable is raised.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources.errors import InvalidInput
from resources.inventory.cells import BadCell, check_columns, shown

SUFFIXES = (".csv", ".json", ".jsonl")
SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True)
class Entry:
    """One row of the file: its line, its cells by the file's columns, and what is wrong with the row as a whole.

    With `misplaced`, a cell may stand under another column than its own.
    """

    line: int
    cells: Mapping[str, object] = field(default_factory=dict)
    problem: str = ""
    misplaced: bool = False


def entries(path: Path, content: bytes) -> Iterator[Entry]:
    """Yield the rows of an inventory file, by the format that its name ends with.

    Bytes that are not UTF-8 stay in the cells as lone surrogates, so that only their row is refused.

    Raises:
        InvalidInput: the file is UTF-16 text or empty, has unknown columns (CSV), or is not JSON.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InvalidInput(f"inventory file {path} is UTF-16 text. Save it as UTF-8.")
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    if not text.strip():
        raise InvalidInput(f"inventory file {path} is empty. Write its columns' names, or [] for no VMs.")
    suffix = path.suffix.lower()
    if suffix == ".csv":
        yield from _csv(path, text)
    elif suffix == ".jsonl":
        yield from _json_lines(text)
    else:
        yield from _json_list(path, text)


def _csv(path: Path, text: str) -> Iterator[Entry]:
    """Yield the rows of a CSV file. A row is a line: a cell with a line break in it would be refused anyway, and
    this way a forgotten quote spoils its own row, not all that follow."""
    lines = (
        (number, line.rstrip("\n"))
        for number, line in enumerate(io.StringIO(text, newline=None), start=1)
        if line.strip()
    )
    number, line = next(lines)
    separator = max(SEPARATORS, key=line.count)
    header, problem = _split(line, separator)
    try:
        if problem:
            raise BadCell(problem)
        check_columns(header)
    except BadCell as error:
        raise InvalidInput(
            f"inventory file {path}, line {number}: {error}. Nothing of it is used until that is mended."
        ) from None
    for number, line in lines:
        cells, problem = _split(line, separator)
        if not problem and len(cells) != len(header):
            problem = f"{len(cells)} cells where the header has {len(header)}"
        if problem or any(cells):
            yield Entry(number, dict(zip(header, cells, strict=False)), problem, misplaced=bool(problem))


def _split(line: str, separator: str) -> tuple[list[str], str]:
    """Return a line's cells, and what is wrong with its quotes if they are; the cells are then a guess."""
    cells, problem = line.split(separator), ""
    if '"' in line:
        try:
            cells = next(csv.reader([line], delimiter=separator, strict=True))
        except csv.Error as error:
            problem = f"its quotes are wrong: {error}"
    return [cell.strip() for cell in cells], problem


def _json_lines(text: str) -> Iterator[Entry]:
    for line, part in enumerate(text.split("\n"), start=1):
        if part.strip():
            try:
                yield _entry(line, _DECODER.decode(part))
            except (ValueError, RecursionError) as error:
                yield Entry(line, problem=_no_json(error))


def _json_list(path: Path, text: str) -> Iterator[Entry]:
    """Yield the objects of a list, one by one: the standard reader would not say where each of them began."""
    position, line, ended, count = _blanks(text, 0), 1, 0, 0
    try:
        if text[position : position + 1] != "[":
            raise ValueError("it does not begin with [")
        position = _blanks(text, position + 1)
        while text[position : position + 1] != "]":
            if count:
                if text[position : position + 1] != ",":
                    raise ValueError("a comma or ] is missing")
                position = _blanks(text, position + 1)
            line, ended = line + text.count("\n", ended, position), position
            value, position = _DECODER.raw_decode(text, position)
            yield _entry(line, value)
            count, position = count + 1, _blanks(text, position)
        if text[position + 1 :].strip():
            raise ValueError("something follows the list's ]")
    except (ValueError, RecursionError) as error:
        at = line + text.count("\n", ended, position)
        raise InvalidInput(
            f"inventory file {path} is not a JSON list of objects: near line {at}, {_no_json(error)}. "
            "Nothing of it is used until that is mended (one object a line would be a .jsonl file)."
        ) from None


def _blanks(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\n", "\r"):
        position += 1
    return position


def _no_json(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    said = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return f"it is not JSON: {said}"


def _entry(line: int, value: object) -> Entry:
    if not isinstance(value, _Pairs):
        return Entry(line, problem=f"{shown(value)} is not an object")
    cells = dict(value)
    if len(cells) < len(value):
        return Entry(line, cells, "a name occurs twice in the object", misplaced=True)
    try:
        check_columns(list(cells))
    except BadCell as error:
        return Entry(line, cells, str(error))
    return Entry(line, cells)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object before its names were looked at, so that one that occurs twice is seen."""


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no value of JSON")


# Numbers stay the text they were written as: nothing is rounded, and CSV and JSON are understood alike.
_DECODER = json.JSONDecoder(object_pairs_hook=_Pairs, parse_float=str, parse_int=str, parse_constant=_no_constant)
