"""Which columns an analysis needs of a file, and the rows that were read.

The names of a file's columns are held against what is needed before anything is read, and whatever
is wrong with them is refused by name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from portal.analyze.times import IntArray, TimeReader
from resources.errors import InvalidInput

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


ROW_NUMBERS = re.compile(r"(__index_level_\d+__)?")
"""Columns without a name of their own: pandas writes the numbers of a table's rows so. They measure nothing."""


class Kind(Enum):
    """What a column holds: ids, times, numbers (NaN where missing), or yes and no."""

    TEXT = "text"
    TIME = "time"
    NUMBER = "number"
    FLAG = "yes or no"


@dataclass(frozen=True)
class Wanted:
    """The columns an analysis must have and may have; with `rest`, all others are read as numbers too.

    `named` says which of the file's columns is ours where the names differ, `hint` what else to do about one that
    is not there.
    """

    required: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)
    rest: bool = False
    named: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""

    def find(self, theirs: Sequence[str], path: Path) -> "Found":
        """Return at which of the file's columns ours are.

        Raises:
            InvalidInput: one is not there, or is there twice, or nothing is left to be measured.
        """
        unknown = sorted(set(self.named) - {*self.required, *self.optional})
        if unknown:
            known = ", ".join((*self.required, *self.optional))
            raise InvalidInput(f"--column {unknown[0]!r}: there is no such column to name. Columns: {known}.")
        positions: dict[str, int] = {}
        for ours in (*self.required, *self.optional):
            name = self.named.get(ours, ours)
            if theirs.count(name) > 1:
                raise InvalidInput(
                    f"{path} has {theirs.count(name)} columns {name!r}: which is {ours}? Rename or remove one."
                )
            if name in theirs:
                positions[ours] = theirs.index(name)
            elif ours in self.required or ours in self.named:
                way_out = "" if ours in self.named else f" Say which one it is with --column {ours}=THEIRS{self.hint}."
                raise InvalidInput(f"{path} has no column {name!r}. It has: {listed(theirs)}.{way_out}")
        others = [place for place in range(len(theirs)) if place not in positions.values()]
        kinds = {**self.required, **self.optional}
        if self.rest:
            for place in [place for place in others if not ROW_NUMBERS.fullmatch(theirs[place])]:
                name = theirs[place]
                if theirs.count(name) > 1 or name in positions:
                    raise InvalidInput(f"{path} has two columns {name!r}. Rename or remove one.")
                positions[name] = place
                kinds[name] = Kind.NUMBER
                others.remove(place)
        ordered = {ours: positions[ours] for ours in sorted(positions, key=positions.__getitem__)}
        return Found(ordered, {ours: kinds[ours] for ours in ordered}, tuple(theirs[place] for place in others))


@dataclass(frozen=True)
class Found:
    """Our columns by their place in the file, what each holds, and the file's columns that nobody needs."""

    positions: Mapping[str, int]
    kinds: Mapping[str, Kind]
    ignored: tuple[str, ...]

    def of(self, kind: Kind) -> list[str]:
        """Return our columns of one kind, in the file's order."""
        return [name for name, each in self.kinds.items() if each is kind]


@dataclass(frozen=True)
class Rows:
    """The rows of a file, in its order.

    `texts` are codes into distinct texts, in order of first appearance. `ts_ms` are milliseconds since
    the epoch (empty without a time column), `ts` the same as they stood in the file. `numbers` are NaN
    where missing or infinite; `infinite` counts the latter. `id_types` are the types that the texts had.
    """

    path: Path
    count: int
    texts: Mapping[str, pa.DictionaryArray]
    ts_ms: IntArray
    ts: pa.ChunkedArray
    numbers: Mapping[str, FloatArray]
    flags: Mapping[str, BoolArray]
    times: TimeReader
    id_types: Mapping[str, pa.DataType]
    ignored: tuple[str, ...]
    infinite: int

    def codes(self, name: str) -> NDArray[np.int32]:
        """Return which of `names(name)` each row has."""
        return np.asarray(self.texts[name].indices)

    def names(self, name: str) -> list[str]:
        """Return the distinct texts of a column, in order of first appearance."""
        texts: list[str] = self.texts[name].dictionary.to_pylist()
        return texts

    def ids(self, name: str, codes: NDArray[np.integer]) -> pa.DictionaryArray:
        """Return the ids with these codes, encoded, with the type that they had in the file."""
        distinct = self.texts[name].dictionary.cast(self.id_types[name])
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), distinct)


def listed(names: Sequence[str], most: int = 40) -> str:
    """Return the names of columns for a message."""
    shown = ", ".join(repr(name[:60]) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "") if names else "none"
