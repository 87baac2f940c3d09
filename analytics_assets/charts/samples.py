"""Reads any of the sample tables by one SELECT: entity, time, mean, peak and capacity of one metric.

The SELECT is text that anyone may run again: names are quoted, days are literal, and times are
computed as whole milliseconds, so that a session's time zone has no part in it. Means over several
buckets are exact decimal sums: adding floats would give other last digits in another order.
"""

from dataclasses import dataclass
from datetime import date

from resources.errors import InvalidInput
from resources.lake.table import Table

HOUR_MS = 3_600_000

CAPACITY_COLUMNS = {"memory_bytes": "memory_total_bytes", "cpu_cores": "cpu_cores_total"}
"""Metric stem -> the column that says how much there is of it."""


@dataclass(frozen=True)
class Samples:
    """A table of samples: what its entities are, and the width of its buckets."""

    table: Table
    entity_kind: str
    step_ms: int

    @property
    def entity_column(self) -> str:
        return f"{self.entity_kind}_id"

    @property
    def who(self) -> str:
        """What an entity is called in the singular."""
        return "VM" if self.entity_kind == "vm" else "node"

    def stems(self) -> list[str]:
        """Return the stems of its measured columns, in the table's order."""
        names = [name.removesuffix("_mean") for name in self.table.column_names if name.endswith("_mean")]
        return [name for name in names if f"{name}_max" in self.table.column_names]

    def unit(self, stem: str) -> str:
        return self.table.column(f"{stem}_mean").unit

    def chosen(self, stems: tuple[str, ...], default: tuple[str, ...]) -> list[str]:
        """Return `stems`, each once, or where none are given those of `default` that the table has.

        Raises:
            InvalidInput: one of `stems` is not a measured metric of the table.
        """
        known = self.stems()
        for stem in stems:
            if stem not in known:
                raise InvalidInput(
                    f"metrics: {stem!r} is not measured in table {self.table.name}. It has {', '.join(known)}."
                )
        return list(dict.fromkeys(stems)) or [stem for stem in default if stem in known]

    def select(self, stem: str, first: date, last: date, bucket_ms: int) -> str:
        """Return the SELECT of (entity, ts, mean, peak, capacity) for the days `first` to `last`.

        `ts` is the start of a bucket of `bucket_ms` (UTC, without zone); `mean` is the mean of the
        bucket's means, `peak` its highest maximum; both are null where nothing was measured.
        """
        entity = f"CAST({identifier(self.entity_column)} AS VARCHAR)"
        mean, peak = identifier(f"{stem}_mean"), identifier(f"{stem}_max")
        capacity = self._capacity(stem)
        source = f"FROM {identifier(self.table.name)}\n  WHERE {between(first, last)}"
        if bucket_ms <= self.step_ms:
            capacity_now = "100.0" if capacity == "100.0" else f"CAST({capacity} AS DOUBLE)"
            return (
                f"SELECT {entity} AS entity, make_timestamp_ms(epoch_ms(ts)) AS ts,\n"
                f"    CAST({mean} AS DOUBLE) AS mean, CAST({peak} AS DOUBLE) AS peak, {capacity_now} AS capacity\n"
                f"  {source}"
            )
        return (
            f"SELECT {entity} AS entity, make_timestamp_ms(epoch_ms(ts) // {bucket_ms} * {bucket_ms}) AS ts,\n"
            f"    CAST(avg(CAST({mean} AS DECIMAL(30, 6))) AS DOUBLE) AS mean,\n"
            f"    CAST(max({peak}) AS DOUBLE) AS peak, CAST(max({capacity}) AS DOUBLE) AS capacity\n"
            f"  {source}\n  GROUP BY 1, 2"
        )

    def _capacity(self, stem: str) -> str:
        if stem == "cpu_percent":
            return "100.0"
        column = CAPACITY_COLUMNS.get(stem, "")
        return identifier(column) if column in self.table.column_names else "NULL"


def samples_of(component: str, table: Table, resolution_seconds: int) -> Samples:
    """Return how to read `table`, which an instance of the processor `component` stores."""
    entity_kind = "node" if "vm_id" not in table.column_names else "vm"
    return Samples(table, entity_kind, HOUR_MS if component == "vm_resources_hourly" else resolution_seconds * 1000)


def identifier(name: str) -> str:
    """Return a table's or column's name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"


def between(first: date, last: date) -> str:
    """Return the condition that keeps the days `first` to `last`, both included."""
    return f"day BETWEEN DATE '{first.isoformat()}' AND DATE '{last.isoformat()}'"
