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
from resources.monitoring.traces.delimited import MISSING

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


ROW_NUMBERS = re.compile(r"(__index_level_\d+__)?")
"""Columns without a name of their own: pandas writes the numbers of a table's rows so. They measure nothing."""


TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0"})
FALSE = frozenset({"false", "f", "no", "n", "0", "0.0", *(word.lower() for word in MISSING)})
"""How a yes-or-no column may be written, in small letters; what is missing is no."""


class Kind(Enum):
    """What a column holds: ids, times, numbers (NaN where missing), or yes and no."""

    TEXT = "text"
    TIME = "time"
    NUMBER = "number"
    FLAG = "yes or no"


SERIES_PARTS = {"metric": Kind.TEXT, "stat": Kind.TEXT}
"""Columns that often tell series apart: where a file has them, a series must not have several."""


WAY_OUT = "Say which one it is with --column {column}=THEIRS"
WAYS_OUT = {
    "series": f"{WAY_OUT}; where all rows are one series, add a column {{column}} with the same name in every row"
}
"""What to do about a column that is not there, with {column} for its name; that of most, and those of some."""


@dataclass(frozen=True)
class Wanted:
    """The columns an analysis must have and may have; with `rest`, all others are read as numbers too.

    `named` says which of the file's columns is ours where the names differ, `ignore` which of the file's are to be
    left out, and `ways_out` what to do about one that is not there, where that is not as for most.
    """

    required: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)
    rest: bool = False
    named: Mapping[str, str] = field(default_factory=dict)
    ignore: Sequence[str] = ()
    ways_out: Mapping[str, str] = field(default_factory=dict)

    def find(self, theirs: Sequence[str], path: Path) -> "Found":
        """Return at which of the file's columns ours are.

        Raises:
            InvalidInput: one is not there, or is there twice, or is to be left out, or is two of ours.
        """
        for name in self.ignore:
            if name not in theirs:
                raise InvalidInput(f"--ignore {name!r}: {path} has no such column. It has: {listed(theirs)}.")
            if name in (self.named.get(ours, ours) for ours in self.required):
                raise InvalidInput(f"--ignore {name!r}: this column is needed. Leave out another one.")
        unknown = sorted(set(self.named) - {*self.required, *self.optional})
        if unknown:
            known = ", ".join((*self.required, *self.optional))
            raise InvalidInput(f"--column {unknown[0]!r}: there is no such column to name. Columns: {known}.")
        positions: dict[str, int] = {}
        for ours in (*self.required, *self.optional):
            name = self.named.get(ours, ours)
            if name in self.ignore or self._gives_way(ours):
                continue
            if theirs.count(name) > 1:
                raise InvalidInput(
                    f"{path} has {theirs.count(name)} columns {name!r}: which is {ours}? Rename or remove one."
                )
            if name in theirs:
                self._refuse_second_use(theirs.index(name), ours, positions, name, path)
                positions[ours] = theirs.index(name)
            elif ours in self.required or ours in self.named:
                way_out = {**WAYS_OUT, **self.ways_out}.get(ours, WAY_OUT).format(column=ours)
                way_out = "" if ours in self.named else f" {way_out}."
                raise InvalidInput(f"{path} has no column {name!r}. It has: {listed(theirs)}.{way_out}")
        others = [place for place in range(len(theirs)) if place not in positions.values()]
        kinds = {**self.required, **self.optional}
        if self.rest:
            for place in [place for place in others if self._is_metric(theirs[place])]:
                name = theirs[place]
                if theirs.count(name) > 1:
                    raise InvalidInput(f"{path} has two columns {name!r}. Rename or remove one.")
                if name in positions:
                    raise InvalidInput(
                        f"{path} has a column {name!r} besides {theirs[positions[name]]!r}, which --column names so. "
                        f"Leave it out with --ignore {name!r}, or rename it."
                    )
                positions[name] = place
                kinds[name] = Kind.NUMBER
                others.remove(place)
        ordered = {ours: positions[ours] for ours in sorted(positions, key=positions.__getitem__)}
        return Found(
            ordered,
            {ours: kinds[ours] for ours in ordered},
            tuple(theirs[place] for place in others),
            {ours: theirs[place] for ours, place in ordered.items() if ours not in self.required},
        )

    def _gives_way(self, ours: str) -> bool:
        """Return whether one that need not be there has the name of a column that is another one by --column."""
        return ours in self.optional and ours not in self.named and ours in self.named.values()

    def _refuse_second_use(self, place: int, ours: str, positions: Mapping[str, int], name: str, path: Path) -> None:
        for before in (other for other, taken in positions.items() if taken == place):
            change = before if before in self.named else ours  # one that is not named so is what its name says
            raise InvalidInput(
                f"{path}: column {name!r} is used for both {before} and {ours}. "
                f"Name another one with --column {change}=THEIRS; the file must have a column for each."
            )

    def _is_metric(self, name: str) -> bool:
        return name not in self.ignore and not ROW_NUMBERS.fullmatch(name)


@dataclass(frozen=True)
class Found:
    """Our columns by their place in the file, what each holds, the file's columns that nobody needs, and what the
    file calls those of ours that it need not have.
    """

    positions: Mapping[str, int]
    kinds: Mapping[str, Kind]
    ignored: tuple[str, ...]
    dispensable: Mapping[str, str]

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


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return the names of columns for a message."""
    shown = ", ".join(repr(name[:60]) for name in names[:most])
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "") if names else "none"
