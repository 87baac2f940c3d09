"""Reading one partition's Parquet file: chosen columns, and chosen keys where only some rows are wanted."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resources.errors import PermanentFailure

DAMAGE = (pa.ArrowException, OSError, ValueError, TypeError, AttributeError, KeyError)
"""What reading a damaged file raises: bytes that are not Parquet, or a footer that is not ours."""


class CorruptPartition(PermanentFailure):
    """A stored file that cannot be read or is not what its table declares; `path` names it."""

    def __init__(self, path: Path, reason: str, way_out: str = "To mend it,") -> None:
        self.path = path
        super().__init__(
            f"{path} is damaged: {reason.rstrip('.')}. The other partitions of this tenant are not touched by it. "
            f"{way_out} materialize this one again."
        )


class MissingPartition(PermanentFailure):
    """A partition that should have been stored earlier and was not."""


@dataclass(frozen=True)
class KeyRange:
    """The rows whose text `column` lies between `low` and `high`, both included."""

    column: str
    low: str
    high: str

    def row_groups(self, file: pq.ParquetFile) -> list[int]:
        """Return the row groups of `file` that may have such rows, by the statistics in its footer."""
        metadata = file.metadata
        place = [metadata.schema.column(number).path for number in range(metadata.num_columns)].index(self.column)
        chosen = []
        for number in range(metadata.num_row_groups):
            statistics = metadata.row_group(number).column(place).statistics
            known = statistics is not None and statistics.has_min_max
            if not known or (statistics.max >= self.low and statistics.min <= self.high):
                chosen.append(number)
        return chosen

    def rows_of(self, data: pa.Table) -> pa.Table:
        """Return the rows of `data` in the range."""
        inside = pa.chunked_array([self._inside(chunk) for chunk in data.column(self.column).chunks], pa.bool_())
        count = pc.sum(inside, min_count=0).as_py()
        first = pc.index(inside, True).as_py()
        if count and pc.all(inside.slice(first, count)).as_py():  # the rule, as rows are stored by this column
            return data.slice(first, count)
        return data.filter(inside)

    def _inside(self, values: pa.Array) -> pa.Array:
        if pa.types.is_dictionary(values.type):
            return self._inside(values.dictionary).take(values.indices)
        return pc.and_(pc.greater_equal(values, self.low), pc.less_equal(values, self.high))


def read_columns(path: Path, schema: pa.Schema, keys: KeyRange | None = None) -> pa.Table:
    """Return the columns of `schema` from the file `path`; a nullable one that it lacks is null.

    Raises:
        MissingPartition: there is no such file.
        CorruptPartition: it is damaged, or misses a column that must have values.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            stored = file.schema_arrow
            wanted = [name for name in schema.names if name in stored.names]
            if keys is None:
                data = file.read(columns=wanted)
            else:
                names = list(dict.fromkeys((*wanted, keys.column)))
                data = keys.rows_of(file.read_row_groups(keys.row_groups(file), columns=names))
    except FileNotFoundError as error:
        raise gone(path) from error
    except DAMAGE as error:
        raise corrupt(path, error) from error
    arrays = []
    for declared in schema:
        if declared.name in data.column_names:
            found = data.schema.field(declared.name).type
            if found != declared.type:
                raise CorruptPartition(path, f"column {declared.name} is {found}, declared {declared.type}")
            arrays.append(data.column(declared.name))
        elif declared.nullable:
            arrays.append(pa.nulls(data.num_rows, declared.type))
        else:
            raise CorruptPartition(path, f"column {declared.name} is missing")
    return pa.Table.from_arrays(arrays, schema=schema)


def gone(path: Path) -> MissingPartition:
    """Return the error of a file that is not there."""
    return MissingPartition(f"{path} is not there: never stored, or deleted just now. Materialize it first.")


def corrupt(path: Path, error: Exception) -> CorruptPartition:
    """Return the error of a file whose reading raised `error`."""
    return CorruptPartition(path, next(iter(str(error).splitlines()), "") or type(error).__name__)
