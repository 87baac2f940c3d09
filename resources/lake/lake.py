"""The lake: every table of every tenant, one Parquet file per tenant and day.

    tenant=<tenant>/<table>/day=<YYYY-MM-DD>.parquet

Tenant first, so that one folder is what a tenant may see, and what is deleted when it leaves.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resources.errors import PermanentFailure
from resources.lake.partition_file import DAMAGE, KeyRange, MissingPartition, corrupt, gone, read_columns
from resources.lake.storage import LocalStorage
from resources.lake.table import Table
from resources.partition import TENANT_PATTERN, Partition, check_tenant

ROW_GROUP_ROWS = 250_000
"""Between 150,000 and 500,000 rows the file is smallest and one entity is still quick to read."""

LOOK_BLOCKS, LOOK_ROWS = 16, 1024
"""How many runs of rows, of what length, are looked at to choose a column's encoding."""

DISTINCT_SHARE = 0.5
"""Above this share of distinct values a dictionary holds nearly the data again: random float32
values take 5.7 bytes with it and 3.3 split by byte, rounded ones 1.3 with it and 2.1 split."""

FACTS_KEY = b"novacron.facts"

TABLE_PATTERN = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Facts:
    """What a partition records of its own making; stored in the Parquet file's footer.

    `as_of_ms` is the instant the data pretend to be at. `samples_seen` and `samples_expected` are
    counted where the data came from measurements, `samples_most` is the most that was ever seen of
    this day by the same recipe, where that is more; `series` is how many series they were,
    `read_methods` how the source was read and `warnings` what it warned of: with any, samples may be
    missing. `recipe` tells one set of parameters from another, where samples were collected.
    `days_read` and `days_missing` say which days of a trailing window were there.
    `low_coverage` names the tables of this day that this was made from and that are below the least
    coverage, or were read with warnings.
    `notes` are sentences a reader must know.
    """

    as_of_ms: int | None = None
    samples_seen: int | None = None
    samples_expected: int | None = None
    samples_most: int | None = None
    series: int | None = None
    read_methods: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    recipe: str | None = None
    low_coverage: tuple[str, ...] = ()
    days_read: tuple[str, ...] = ()
    days_missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> float | None:
        """Samples seen over samples expected, 0 to 1; None where nothing was expected."""
        if not self.samples_expected:
            return None
        return min(1.0, (self.samples_seen or 0) / self.samples_expected)

    def to_json(self) -> str:
        kept = {name: value for name, value in vars(self).items() if value not in (None, ())}
        return json.dumps(kept, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Facts":
        stored: dict[str, Any] = json.loads(text)
        fields: dict[str, Any] = {}
        for name, value in stored.items():
            fields[name] = tuple(value) if isinstance(value, list) else value
        return cls(**fields)


@dataclass(frozen=True)
class Stored:
    """What one stored partition is: its place, size, content hash and facts."""

    path: Path
    rows: int
    bytes: int
    sha256: str
    facts: Facts = field(default_factory=Facts)


class Lake:
    """Writes and reads tables under one root; all storage goes through `LocalStorage`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.storage = LocalStorage(root)

    @staticmethod
    def relative_path(table: str, tenant: str, day: date, extension: str = "parquet") -> str:
        """Return where a partition lies below the root. Files of other extensions lie beside it."""
        if not TABLE_PATTERN.fullmatch(table) or not re.fullmatch(r"[a-z0-9]{1,8}", extension):
            raise PermanentFailure(f"{table}.{extension} is not the name of a table's file.")
        return f"tenant={check_tenant(tenant)}/{table}/day={day.isoformat()}.{extension}"

    def path(self, table: str, partition: Partition, extension: str = "parquet") -> Path:
        return self.storage.location(self.relative_path(table, partition.tenant, partition.day, extension))

    def tenant_folder(self, tenant: str) -> Path:
        return self.storage.location(f"tenant={check_tenant(tenant)}")

    def write(
        self,
        table: Table,
        partition: Partition,
        data: pa.Table,
        facts: Facts | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Stored:
        """Check `data` against `table` and store it as `partition`, in place of what was there.

        `files` (extension -> content, such as a report's PDF) are stored beside the partition
        before it; what an earlier write put there and this one did not is removed. The same
        arguments give the same bytes.

        Raises:
            TableViolation: the data break the declaration; nothing is written.
            TransientFailure: the disk is full or the folder cannot be written; the old data stay.
        """
        facts = facts or Facts()
        content = encode(table, data, facts)
        relative = self.relative_path(table.name, partition.tenant, partition.day)
        beside = {
            self.relative_path(table.name, partition.tenant, partition.day, extension): file
            for extension, file in sorted((files or {}).items())
        }
        for place, file in beside.items():
            self.storage.put(place, file)
        self.storage.put(relative, content)
        folder, _, own_name = relative.rpartition("/")
        for name in self.storage.names(folder):
            place = f"{folder}/{name}"
            if name.startswith(own_name.removesuffix("parquet")) and place != relative and place not in beside:
                self.storage.delete(place)
        return Stored(
            path=self.path(table.name, partition),
            rows=data.num_rows,
            bytes=content.size,
            sha256=hashlib.sha256(content).hexdigest(),
            facts=facts,
        )

    def read(
        self,
        table: Table,
        tenant: str,
        days: Sequence[date],
        columns: Sequence[str] | None = None,
        keys: tuple[str, str] | None = None,
    ) -> tuple[pa.Table, list[date]]:
        """Return the rows of the stored ones among `days`, oldest first, and the days that are stored.

        The rows of a day keep their order, and a `day` column (date32) comes last. A nullable
        column that an older file lacks is null there. `keys` keeps the rows whose first key column,
        which must be text, lies between the two, both included; only row groups with such rows are read.

        Raises:
            CorruptPartition: a file is damaged or misses a column that must have values.
        """
        wanted = list(columns) if columns is not None else table.column_names
        schema = pa.schema([table.column(name).field() for name in wanted])
        parts, found = [], []
        for day in sorted(set(days)):
            relative = self.relative_path(table.name, tenant, day)
            if self.storage.exists(relative):
                key = None if keys is None else KeyRange(table.order[0], *keys)
                part = read_columns(self.storage.location(relative), schema, key)
                parts.append(part.append_column("day", pa.repeat(pa.scalar(day, pa.date32()), part.num_rows)))
                found.append(day)
        if not parts:
            return schema.append(pa.field("day", pa.date32())).empty_table(), []
        return pa.concat_tables(parts).unify_dictionaries(), found

    def keys(self, table: Table, tenant: str, days: Sequence[date]) -> list[str]:
        """Return the distinct values of the first key column, which must be text, in the stored ones among `days`.

        Raises:
            CorruptPartition: as `read`.
        """
        found: set[str] = set()
        for day in sorted(set(days)):
            data, _ = self.read(table, tenant, [day], [table.order[0]])
            found.update(pc.unique(data.column(0)).to_pylist())
        return sorted(found)

    def read_day(self, table: Table, partition: Partition, columns: Sequence[str] | None = None) -> pa.Table:
        """Return one partition's rows.

        Raises:
            MissingPartition: it was never stored.
            CorruptPartition: its file is damaged.
        """
        data, found = self.read(table, partition.tenant, [partition.day], columns)
        if not found:
            self._check_stored(table.name, partition)
        return data.drop_columns(["day"])

    def stored(self, table: str, partition: Partition) -> Stored:
        """Return what is stored as `partition`, read from the file itself.

        Raises:
            MissingPartition, CorruptPartition: as `read_day`.
        """
        self._check_stored(table, partition)
        relative = self.relative_path(table, partition.tenant, partition.day)
        content = self.storage.read(relative)
        rows, facts = read_footer(self.storage.location(relative), content)
        return Stored(self.storage.location(relative), rows, len(content), hashlib.sha256(content).hexdigest(), facts)

    def footer(self, table: str, partition: Partition) -> tuple[int, Facts]:
        """Return a stored partition's number of rows and facts, without reading its data.

        Raises:
            MissingPartition, CorruptPartition: as `read_day`.
        """
        self._check_stored(table, partition)
        return read_footer(self.path(table, partition))

    def _check_stored(self, table: str, partition: Partition) -> None:
        if not self.has(table, partition.tenant, partition.day):
            raise MissingPartition(
                f"table {table} holds nothing for {partition.tenant} on {partition.day}. "
                f"Materialize {table} for that day first."
            )

    def has(self, table: str, tenant: str, day: date) -> bool:
        """Return whether that partition is stored."""
        return self.storage.exists(self.relative_path(table, tenant, day))

    def tenants(self) -> list[str]:
        """Return the tenants that have a folder, sorted."""
        names = (name.removeprefix("tenant=") for name in self.storage.names("") if name.startswith("tenant="))
        return [name for name in names if TENANT_PATTERN.fullmatch(name)]

    def tables(self, tenant: str) -> list[str]:
        """Return the names of the tables that `tenant` has a folder for, sorted."""
        return [name for name in self.storage.names(f"tenant={check_tenant(tenant)}") if TABLE_PATTERN.fullmatch(name)]

    def days(self, table: str, tenant: str) -> list[date]:
        """Return the days stored for a tenant's table, oldest first; files of other names are not the lake's."""
        names = self.storage.names(f"tenant={check_tenant(tenant)}/{table}")
        return [day for name in names if (day := _day_of(name)) is not None]


def encode(table: Table, data: pa.Table, facts: Facts) -> pa.Buffer:
    """Return the Parquet bytes of `data` as `table`: checked, sorted, with nothing of the clock in them."""
    conformed = table.conform(data)
    metadata = {**(conformed.schema.metadata or {}), FACTS_KEY: facts.to_json().encode()}
    split = [name for name in conformed.column_names if _hardly_repeats(conformed.column(name))]
    sink = pa.BufferOutputStream()
    pq.write_table(
        conformed.replace_schema_metadata(metadata),
        sink,
        compression="zstd",
        compression_level=3,
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=[name for name in conformed.column_names if name not in split],
        column_encoding=dict.fromkeys(split, "BYTE_STREAM_SPLIT"),
        write_statistics=True,
        write_page_checksum=True,
        version="2.6",
    )
    return sink.getvalue()


def _hardly_repeats(column: pa.ChunkedArray) -> bool:
    """Return whether a column of floats has so many distinct values that a dictionary of them is no gain.

    Whole runs of rows are looked at, from all over the column: neighbours often share a value.
    """
    if not pa.types.is_floating(column.type):
        return False
    step = max(LOOK_ROWS, len(column) // LOOK_BLOCKS)
    looked = pa.chunked_array(
        [chunk for start in range(0, len(column), step) for chunk in column.slice(start, LOOK_ROWS).chunks],
        column.type,
    ).drop_null()
    return len(looked.unique()) > DISTINCT_SHARE * len(looked)


def read_footer(path: Path, content: bytes | None = None) -> tuple[int, Facts]:
    """Return the rows and facts in the Parquet footer of `path`, or of its `content` if that was read.

    Raises:
        MissingPartition: there is no such file.
        CorruptPartition: it is damaged.
    """
    try:
        metadata: Any = pq.read_metadata(path if content is None else pa.BufferReader(content))
        return metadata.num_rows, Facts.from_json((metadata.metadata or {}).get(FACTS_KEY, b"{}"))
    except FileNotFoundError as error:
        raise gone(path) from error
    except DAMAGE as error:
        raise corrupt(path, error) from error


def _day_of(name: str) -> date | None:
    match = re.fullmatch(r"day=(\d{4}-\d{2}-\d{2})\.parquet", name, re.ASCII)
    try:
        return date.fromisoformat(match.group(1)) if match else None
    except ValueError:
        return None  # the shape of a day that no calendar has
