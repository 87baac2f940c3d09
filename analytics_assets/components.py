"""What a component is: a processor, analyzer, visualizer or reporter type that pipelines name.

A component file declares one `COMPONENT`: its parameters, what it reads, the table it makes, and
`compute`, which turns one partition's inputs into that table. Nothing here or there knows Dagster;
`assets.py` makes an asset out of a component instance.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from resources.errors import InvalidInput
from resources.inventory.source import InventorySource
from resources.lake.lake import Facts, Lake
from resources.lake.partition_file import MissingPartition
from resources.lake.table import Table
from resources.lake.warehouse import QueryLimits, TenantSession, open_session
from resources.monitoring.selector import parse_selector
from resources.monitoring.source import MetricSource
from resources.partition import Partition

Stage = Literal["processors", "analyzers", "visualizers", "reporters"]
STAGES: tuple[Stage, ...] = ("processors", "analyzers", "visualizers", "reporters")


class Parameters(BaseModel):
    """Base of a component's parameters: every field has a default, a range and a description with its unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_numbers(cls, given: Any) -> Any:
        """Refuse `true` and text where a number is meant: pydantic would take them for 1 and for what they spell."""
        for name, value in given.items() if isinstance(given, dict) else ():
            field = cls.model_fields.get(name)
            if field is not None and field.annotation in (int, float) and isinstance(value, bool | str):
                raise ValueError(f"{name} is {value!r}; give a number, without quotes")
        return given


def _series_selector(text: str) -> str:
    try:
        parse_selector(text)
    except InvalidInput as error:
        raise ValueError(str(error)) from error
    return text


SelectorText = Annotated[str, AfterValidator(_series_selector)]
"""A parameter that is a metric's name or a series selector; checked when the pipeline loads."""


class NoParameters(Parameters):
    """A component that has nothing to set."""


@dataclass(frozen=True)
class Input:
    """What a component reads under the name `role`: instances of one of the components `accepts`.

    Exactly one instance, unless `many` (one or more); `optional` allows none at all.
    """

    role: str
    accepts: tuple[str, ...]
    description: str
    many: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Result:
    """What `compute` returns: the rows of the table and what is worth saying about them.

    `files` (extension -> content) are stored beside the partition; `preview_svg` (at most 20 kB)
    and `numbers` (name -> figure, plotted over partitions) are shown in Dagster's UI.
    """

    data: pa.Table
    facts: Facts
    files: Mapping[str, bytes] = field(default_factory=dict)
    preview_svg: str | None = None
    numbers: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Component:
    """A component type.

    `name` is how pipelines name it; `description` says what it answers and by which method;
    `table` declares what one instance stores; `formats` are the output formats it makes.
    """

    name: str
    stage: Stage
    title: str
    description: str
    parameters: type[Parameters]
    inputs: tuple[Input, ...]
    table: Table
    compute: "Callable[[Workplace, Any], Result]"
    formats: tuple[str, ...] = ("parquet",)
    reads: tuple[str, ...] = ()
    """Outside sources it reads: `metrics`, `inventory`."""


@dataclass(frozen=True)
class Instance:
    """A component with an id, parameter values and inputs: one asset and one table.

    `inputs` names, for each role of the component, the instances read under it.
    """

    id: str
    component: Component
    parameters: Parameters
    inputs: "Mapping[str, tuple[Instance, ...]]" = field(default_factory=dict)
    title: str = ""
    description: str = ""

    @property
    def table(self) -> Table:
        return self.component.table.named(table_name(self.id))

    @property
    def upstream(self) -> "tuple[Instance, ...]":
        """Every instance read under any role, each once, by id."""
        found = {instance.id: instance for instances in self.inputs.values() for instance in instances}
        return tuple(found[name] for name in sorted(found))


def table_name(instance_id: str) -> str:
    """Return the table and asset name of an instance id: `cpu-trend` stores table `cpu_trend`."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", instance_id):
        raise InvalidInput(
            f"{instance_id!r} is not an instance id. Use a-z, 0-9, '-' and '_', beginning with a letter, "
            "at most 63 characters."
        )
    return instance_id.replace("-", "_")


@dataclass
class Workplace:
    """What `compute` may use to make one partition: its inputs in the lake, and the sources.

    Reads through it are remembered, so that the days found and missing go into the facts.
    """

    partition: Partition
    instance: Instance
    lake: Lake
    metrics: MetricSource
    inventory: InventorySource
    limits: QueryLimits
    resolution_seconds: int
    minimum_coverage: float
    days_read: set[date] = field(default_factory=set)
    days_missing: set[date] = field(default_factory=set)
    _sessions: "dict[tuple[date, ...] | None, TenantSession]" = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)

    def tables(self, role: str) -> Sequence[Table]:
        """Return the tables of the instances that are read under `role`."""
        return [instance.table for instance in self.instance.inputs.get(role, ())]

    def read(self, role: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return this partition's own day of the single table under `role`.

        Raises:
            MissingPartition: it was not materialized.
        """
        return self.lake.read_day(self._single(role), self.partition, columns)

    def read_window(
        self, role: str, days: int, columns: Sequence[str] | None = None, keys: tuple[str, str] | None = None
    ) -> pa.Table:
        """Return the `days` days ending with this one, with a `day` column; missing days are remembered.

        `keys` keeps the entities between two ids, both included: what a large tenant is read by, part after part.

        Raises:
            MissingPartition: this partition's own day is not there.
        """
        table = self._single(role)
        wanted = self.partition.trailing_days(days)
        data, found = self.lake.read(table, self.partition.tenant, wanted, columns, keys)
        if self.partition.day not in found:
            raise MissingPartition(
                f"table {table.name} holds nothing for {self.partition.tenant} on {self.partition.day}. "
                f"Materialize {table.name} for that day first."
            )
        self.days_read.update(found)
        self.days_missing.update(set(wanted) - set(found))
        return data

    def entities(self, role: str, days: int) -> list[str]:
        """Return the ids, sorted, of all entities in the `days` days ending with this one."""
        return self.lake.keys(self._single(role), self.partition.tenant, self.partition.trailing_days(days))

    def facts_of(self, role: str) -> Facts:
        """Return the facts stored with this day's partition of the single table under `role`."""
        return self.lake.footer(self._single(role).name, self.partition)[1]

    def facts(self, **more: Any) -> Facts:
        """Return facts for a result: the days read so far, and what `more` adds (`as_of_ms`, samples, notes)."""
        return Facts(
            days_read=tuple(day.isoformat() for day in sorted(self.days_read)),
            days_missing=tuple(day.isoformat() for day in sorted(self.days_missing)),
            **more,
        )

    def as_of_ms(self, role: str) -> int:
        """Return the instant this day's data under `role` pretend to be at, the day's end unless they say otherwise."""
        stored = self.facts_of(role).as_of_ms
        return stored if stored is not None else self.partition.end_ms

    def query(self, sql: str, days: Sequence[date] | None = None) -> pa.Table:
        """Return the rows of one SELECT over the upstream tables of this tenant, as views by table name.

        `days` are the days whose files may be opened (all stored ones if None): pass the window that
        the statement selects, so that its cost does not grow with the age of the lake.
        """
        key = None if days is None else tuple(sorted(days))
        if key is not None:
            self._remember(key)
        if key not in self._sessions:
            tables = [instance.table for instance in self.instance.upstream]
            self._sessions[key] = self._open.enter_context(
                open_session(self.lake, self.partition.tenant, tables, self.limits, key, commented=False)
            )
        return self._sessions[key].run(sql)

    def _remember(self, days: Sequence[date]) -> None:
        tables = [instance.table.name for instance in self.instance.upstream]
        stored = {day for day in days if any(self.lake.has(table, self.partition.tenant, day) for table in tables)}
        self.days_read.update(stored)
        self.days_missing.update(set(days) - stored)

    def __enter__(self) -> "Workplace":
        return self

    def __exit__(self, *_: object) -> None:
        self._sessions.clear()
        self._open.close()

    def _single(self, role: str) -> Table:
        tables = self.tables(role)
        if len(tables) != 1:
            raise InvalidInput(
                f"instance {self.instance.id}: {len(tables)} inputs under {role!r} where one is read. "
                "Name one in the pipeline file."
            )
        return tables[0]
