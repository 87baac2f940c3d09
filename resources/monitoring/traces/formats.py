"""Which files a path stands for, and which format a file has."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from resources.errors import InvalidInput
from resources.monitoring.traces import bitbrains, columns, delimited, planetlab
from resources.monitoring.traces.columns import ColumnMap
from resources.monitoring.traces.rows import Block, Clock, printable

FORMATS = ("auto", "bitbrains", "planetlab", "columns")


@dataclass(frozen=True)
class Found:
    """A file to import; `name` is how reports call it: its path from the folder that was named on."""

    path: Path
    name: str


@dataclass(frozen=True)
class Reader:
    """A file whose format is known.

    `read` yields its blocks, of the VMs given or of all; `clock` says afterwards which time unit it
    has, `auto` where it has no timestamps. `context` is what besides the content makes its rows what they are.
    """

    format: str
    clock: Clock
    context: dict[str, Any]
    read: Callable[[pa.Array | None], Iterator[Block]]


def find_files(paths: Sequence[Path]) -> list[Found]:
    """Return the files that `paths` name, and those in the folders that they name, each once.

    The files of a folder come in order of their paths; hidden ones are left out.

    Raises:
        InvalidInput: a path does not exist or is no file, a folder is empty, or links lead in a circle.
    """
    found: dict[str, Found] = {}
    for path in paths:
        if not path.exists():
            raise InvalidInput(f"{path} does not exist. Check the path.")
        if path.is_dir():
            inside = sorted(_walk(path, ()), key=lambda file: file.relative_to(path).parts)
            if not inside:
                raise InvalidInput(f"{path} holds no files. Name the folder that the trace files are in.")
            root = path.absolute().name
            named = [Found(file, printable(f"{root}/{file.relative_to(path).as_posix()}")) for file in inside]
        else:
            named = [Found(path, printable(path.name))]
        for file in named:
            if not stat.S_ISREG(file.path.stat().st_mode):
                raise InvalidInput(f"{file.path} is not a regular file. Move it out of the way.")
            found.setdefault(os.path.realpath(file.path), file)
    return list(found.values())


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    place = os.path.realpath(folder)
    if place in above:
        raise InvalidInput(f"{folder} links back to {place}, which it lies in. Remove that link.")
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if not path.exists():
            raise InvalidInput(f"{path} is a link to nothing. Remove it.")
        if path.is_dir():
            yield from _walk(path, (*above, place))
        else:
            yield path


def recognise(path: Path, format: str, mapping: ColumnMap | None) -> Reader:
    """Return how `path` is read. `format` is one of `FORMATS`; with a mapping, `auto` means `columns`.

    Raises:
        InvalidInput: the file has no known format, or not the one that was asked for.
    """
    if not path.stat().st_size:
        raise InvalidInput(f"{path} is empty. Nothing was imported; fetch it again or leave it out.")
    if format == "auto" and mapping is not None:
        format = "columns"
    if path.suffix.lower() in (".parquet", ".pq"):
        if format in ("auto", "columns"):
            return _parquet(path, mapping or ColumnMap())
        raise InvalidInput(f"{path} is a Parquet file, not {format}. Leave --format out, or name other files.")
    header = delimited.read_header(path)
    if format in ("auto", "bitbrains") and bitbrains.is_bitbrains(header):
        return _text("bitbrains", path, bitbrains.layout(path, header), Clock("auto"), {"vm": path.stem})
    if format in ("auto", "planetlab") and planetlab.is_planetlab(path, header):
        context = {"vm": path.name, "day": str(planetlab.day_of(path))}
        return Reader("planetlab", Clock("auto"), context, lambda wanted: planetlab.read_blocks(path, wanted))
    names = delimited.split_fields(header, max(columns.SEPARATORS, key=header.count))
    if format == "columns" or (format == "auto" and {"ts", "vm_id"} <= set(names)):
        mapping = mapping or ColumnMap()
        layout, clock = columns.text_layout(path, header, mapping)
        return _text("columns", path, layout, clock, mapping.as_json())
    raise InvalidInput(
        f"{path} has no known format{'' if format == 'auto' else f' {format}'}: it begins with {header[:80]!r}. "
        "Looked for: bitbrains (first line with 'Timestamp [ms]' and 'CPU usage [%]' between ';'); planetlab (whole "
        "numbers, one a line, in a folder named by its day such as 20110303); columns (CSV or Parquet with columns "
        "ts and vm_id, or a mapping by --column or --map). If it is no trace file, move it out of the folder."
    )


def _text(name: str, path: Path, layout: delimited.Layout, clock: Clock, context: dict[str, Any]) -> Reader:
    return Reader(name, clock, context, lambda wanted: delimited.read_blocks(path, layout, clock, wanted))


def _parquet(path: Path, mapping: ColumnMap) -> Reader:
    mapping.positions(columns.parquet_names(path), path)
    clock = Clock("ms" if mapping.unit == "iso" else mapping.unit)
    return Reader(
        "columns", clock, mapping.as_json(), lambda wanted: columns.read_parquet(path, mapping, clock, wanted)
    )


def content_id(path: Path, reader: Reader, selection: dict[str, Any]) -> str:
    """Return what the import knows this file by: its content, and all else that decides which rows it gives."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    about = json.dumps([content, reader.format, reader.context, selection], sort_keys=True)
    return hashlib.sha256(about.encode()).hexdigest()
