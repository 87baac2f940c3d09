"""A small lake of known samples, trends and capacity, and a workplace over it."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from analytics_assets.analyzers.metric_trends import TABLE as METRIC_TRENDS
from analytics_assets.components import Component, Instance, NoParameters, Parameters, Result, Workplace
from analytics_assets.processors.system_load import SYSTEM_LOAD
from analytics_assets.processors.vm_resources import VM_RESOURCES
from analytics_assets.processors.vm_resources_hourly import VM_RESOURCES_HOURLY
from resources.lake.lake import Lake
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.lake.warehouse import QueryLimits
from resources.partition import DAY_MS, Partition, day_start_ms

DAY = date(2026, 3, 14)
HOUR_MS = 3_600_000
HOSTILE = "</text><script>alert('1')</script>'; DROP TABLE x; --"

CAPACITY = Table(
    "capacity",
    "what an entity has and uses of a resource",
    (
        Column("entity_kind", ENTITY, "kind"),
        Column("entity_id", ENTITY, "entity"),
        Column("resource", ENTITY, "resource"),
        Column("status", ENTITY, "status"),
        Column("utilization_percent", pa.float64(), "demand over size", "percent", nullable=True),
    ),
    primary_key=("entity_kind", "entity_id", "resource"),
)


def source(name: str, table: Table, instance_id: str) -> Instance:
    """Return an instance of a component called `name` that stores `table`."""
    component = Component(name, "processors", name, "", NoParameters, (), table, _never)
    return Instance(instance_id, component, NoParameters())


def _never(workplace: Workplace, parameters: Any) -> Result:
    raise AssertionError("the scenario stores its tables itself")


HOURLY = source("vm_resources_hourly", VM_RESOURCES_HOURLY, "hours-of-vms")
GRID = source("vm_resources", VM_RESOURCES, "vm-resources")
LOAD = source("system_load", SYSTEM_LOAD, "system-load")
# The name of a query's own part must not hide a table.
TRENDS = source("metric_trends", METRIC_TRENDS, "trend")
MORE_TRENDS = source("metric_trends", METRIC_TRENDS, "sample")
SIZES = source("capacity", CAPACITY, "ranked")


def workplace(
    root: Path, component: Component, inputs: Mapping[str, tuple[Instance, ...]], parameters: Parameters | None = None,
    tenant: str = "acme", threads: int = 2,
) -> Workplace:  # fmt: skip
    """Return a workplace of `component` for the scenario's day over the lake at `root`."""
    instance = Instance("charts", component, parameters or component.parameters(), inputs)
    limits = QueryLimits(max_rows=1_000_000, timeout_seconds=60, memory_mb=512, threads=threads)
    return Workplace(
        Partition(tenant, DAY), instance, Lake(root), None, None, limits,  # type: ignore[arg-type]
        resolution_seconds=300, minimum_coverage=0.7,
    )  # fmt: skip


def store(root: Path, instance: Instance, data: pa.Table, tenant: str = "acme") -> None:
    """Store `data`, which needs the named columns only, by the days of its `ts`; without one, on DAY."""
    lake, table = Lake(root), instance.table
    if "ts" not in data.column_names:
        lake.write(table, Partition(tenant, DAY), _filled(table, data))
        return
    day = np.asarray(data.column("ts").cast(pa.int64())) // DAY_MS
    for number in np.unique(day):
        part = data.filter(pa.array(day == number))
        lake.write(table, Partition(tenant, date.fromordinal(int(number) + date(1970, 1, 1).toordinal())),
                   _filled(table, part))  # fmt: skip


def samples(
    values: Mapping[str, Sequence[float | None]], stem: str = "cpu_percent", entity: str = "vm_id",
    first_ms: int | None = None, step_ms: int = HOUR_MS,
) -> pa.Table:  # fmt: skip
    """Return rows of `stem` for each entity from its values, one a bucket; None leaves the row out, NaN is null."""
    first_ms = day_start_ms(DAY) if first_ms is None else first_ms
    ids, ts, mean = [], [], []
    for name, series in values.items():
        for index, value in enumerate(series):
            if value is not None:
                ids.append(name)
                ts.append(first_ms + index * step_ms)
                mean.append(value)
    means = np.array(mean, dtype=np.float32)
    return pa.table(
        {
            entity: pa.array(ids, pa.string()),
            "ts": pa.array(ts, pa.int64()).cast(TIMESTAMP),
            f"{stem}_mean": pa.array(means, from_pandas=True),
            f"{stem}_max": pa.array(means * 2, from_pandas=True),
        }
    )


def trend(entity: str, slope: float, direction: str, metric: str = "cpu_percent", kind: str = "vm") -> dict[str, Any]:
    """Return a row of `metric_trends`."""
    return {
        "entity_kind": kind, "entity_id": entity, "metric": metric, "unit": "percent", "status": "ok",
        "window_days": 28, "slope_per_day": slope, "slope_low_per_day": slope - 0.5, "slope_high_per_day": slope + 0.5,
        "direction": direction,
    }  # fmt: skip


def capacity(entity: str, percent: float | None, resource: str = "cpu") -> dict[str, Any]:
    """Return a row of `capacity`."""
    return {
        "entity_kind": "vm", "entity_id": entity, "resource": resource, "status": "ok", "utilization_percent": percent,
    }  # fmt: skip


def _filled(table: Table, data: pa.Table) -> pa.Table:
    """Return `data` with the columns it lacks: null where they may be, else 1 or the first allowed value."""
    for column in table.columns:
        if column.name in data.column_names:
            continue
        if column.nullable:
            values: pa.Array = pa.nulls(data.num_rows, column.type)
        elif pa.types.is_integer(column.type):
            values = pa.array([1] * data.num_rows, column.type)
        else:
            values = pa.array([column.values[0] if column.values else "x"] * data.num_rows, pa.string())
        data = data.append_column(column.name, values)
    types = {column.name: column.type for column in table.columns}
    arrays = {}
    for name in data.column_names:
        plain = pa.types.is_dictionary(types[name])
        arrays[name] = data.column(name) if plain else data.column(name).cast(types[name])
    return pa.table(arrays)
