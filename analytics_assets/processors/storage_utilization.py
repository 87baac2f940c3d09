"""Answers: how full is each volume and storage tier, how fast does it fill, and what is read and written?

For a tenant a row is the volume of a VM: its disk space in use and what was read and written. For
the platform a row is a storage tier of a node: the same, with operations per second, latency, and
how well it deduplicates and compresses where a metric of that is named. What a source does not
measure is null, with a note, never zero.

Method: raw samples go on the grid (`kernels/gridding.py`). Bytes read and written are the increases
of counters, each in the bucket in which it ends, so that the day's sum is exact but for an increase
that begins more than an hour before midnight and ends after it: that is in no day (the number
`counters_without_start` counts the counters that may have one). Where a source has only rates, a
sample stands for the seconds since the one before, at most two intervals, in the bucket in which it
was taken: what a bucket holds may have been moved before it. Latency quantiles come from the exporter's
histogram (`kernels/histogram.py`) and are as fine as its bounds. Growth is against the last bucket
with a value, at most a day before. Growth per day is the median, over the hours, of the change
against the same hour of the day before: robust, and blind to what comes and goes within a day. A
single day foretells nothing, so there is a fill rate here but no day on which it is full.
"""

from typing import Annotated

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator

from analytics_assets.components import Component, Input, Parameters, Result, Workplace
from analytics_assets.processors.sampled import FloatArray, as_of_ms, is_over, last_place, seen_and_expected
from analytics_assets.processors.storage_measures import (
    Collected,
    Rows,
    together,
)
from analytics_assets.processors.storage_tiers import TierKey, capacity_of, collect_tiers, shown
from analytics_assets.processors.storage_volumes import capacity_at, collect_volumes
from resources.errors import InvalidInput
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.monitoring.selector import parse_selector
from resources.partition import PLATFORM

Bytes = Annotated[float, Field(gt=0, le=2.0**80)]


class StorageUtilizationParameters(Parameters):
    """What may be set of storage utilization."""

    growth_minimum_hours: int = Field(
        6,
        ge=1,
        le=24,
        description="Hours with a value both on the day and on the day before that a growth per day needs, in hours.",
    )
    tier_capacity_bytes: dict[str, Bytes] = Field(
        {},
        description="Capacity of a storage tier on each node by the tier's name, in bytes, above 0; for tiers without "
        "a sample of capacity_metric.",
    )
    capacity_metric: str = Field(
        "",
        max_length=1000,
        description="Series selector of a gauge with labels tier and node_id: capacity in bytes. Empty: none.",
    )
    dedup_metric: str = Field(
        "",
        max_length=1000,
        description="Series selector of a gauge with labels tier and node_id: bytes before by bytes after "
        "deduplication, a ratio. Empty: none.",
    )
    compression_metric: str = Field(
        "",
        max_length=1000,
        description="Series selector of a gauge with labels tier and node_id: bytes before by bytes after "
        "compression, a ratio. Empty: none.",
    )

    @field_validator("capacity_metric", "dedup_metric", "compression_metric")
    @classmethod
    def _is_a_selector(cls, value: str) -> str:
        if value:
            try:
                name = parse_selector(value).name
            except InvalidInput as error:
                raise ValueError(str(error)) from error
            if name is None:
                raise ValueError(f"{shown(value)} names no metric, but one is to fill a column")
        return value


def _number(name: str, description: str, unit: str, wide: bool = False, minimum: float | None = 0) -> Column:
    kind = pa.float64() if wide else pa.float32()
    return Column(name, kind, description, unit, nullable=True, minimum=minimum)


def _direction(direction: str, past: str, gerund: str) -> tuple[Column, ...]:
    return (
        _number(
            f"{direction}_bytes_per_second_mean", f"Rate of {gerund}: mean over the time its samples cover", "bytes/s"
        ),
        _number(f"{direction}_bytes_per_second_max", f"Rate of {gerund}: highest between two samples", "bytes/s"),
        _number(
            f"{past}_bytes",
            f"Bytes {past}, told by samples of the bucket: since the one before each, also over a gap; they add up",
            "bytes",
            wide=True,
        ),
    )


def _latency(operation: str) -> tuple[Column, ...]:
    return (
        _number(f"{operation}_latency_count", f"Operations whose {operation} latency was counted", "", wide=True),
        _number(f"{operation}_latency_seconds_mean", f"Latency of a {operation}: mean", "s"),
        *(
            _number(f"{operation}_latency_seconds_p{share}", f"Latency of a {operation}: {share} % were faster", "s")
            for share in (50, 95, 99)
        ),
    )


STORAGE_UTILIZATION = Table(
    "storage_utilization",
    "a VM's volume (tenant) or a storage tier of a node (platform) in one bucket of the grid",
    (
        Column("entity_kind", ENTITY, "What the row is about", values=("volume", "tier")),
        Column("entity_id", ENTITY, "The VM of a volume; tier/node of a tier, with '/' and '%' in names as %2F, %25"),
        Column("tier", ENTITY, "Storage tier", nullable=True),
        Column("node_id", ENTITY, "Node of the tier, or that the VM ran on", nullable=True),
        Column("ts", TIMESTAMP, "Start of the bucket, UTC"),
        _number("used_bytes_mean", "Space in use: mean over the bucket", "bytes", wide=True),
        _number("used_bytes_max", "Space in use: highest sample in the bucket", "bytes", wide=True),
        _number("capacity_bytes", "Size of the VM's disks at the bucket's start; of a tier as last measured that day, "
                "before its first sample as in that", "bytes", wide=True),
        _number("used_share", "Mean space in use by capacity; above 1 where more is used than was sold", ""),
        _number("growth_bytes", "Change of mean space in use since the last bucket with a value, null if that is more "
                "than a day before", "bytes", wide=True, minimum=None),
        _number("growth_bytes_per_day", "Median over the day's hours so far of the change against the same hour of "
                "the day before; one value a day", "bytes/day", wide=True, minimum=None),
        _number("fill_share_per_day", "Growth per day by capacity", "1/day", minimum=None),
        _number("read_iops_mean", "Reads per second: mean over the bucket", "1/s"),
        _number("read_iops_max", "Reads per second: highest sample in the bucket", "1/s"),
        _number("write_iops_mean", "Writes per second: mean over the bucket", "1/s"),
        _number("write_iops_max", "Writes per second: highest sample in the bucket", "1/s"),
        _number("other_iops_mean", "Operations per second other than reads and writes: sum of their means", "1/s"),
        *_direction("read", "read", "reading"),
        *_direction("write", "written", "writing"),
        Column("read_share", pa.float32(), "Bytes read by bytes read and written; null without either", "",
               nullable=True, minimum=0, maximum=1),
        *_latency("read"),
        *_latency("write"),
        _number("dedup_ratio", "Bytes before by bytes after deduplication", ""),
        _number("compression_ratio", "Bytes before by bytes after compression", ""),
        Column("doubtful", pa.bool_(), "A counter grew over a gap: how much is true, in which bucket is not known"),
        Column("samples_seen", pa.int32(), "Samples of all metrics in the bucket", minimum=1),
        Column("samples_expected", pa.int32(), "Samples a complete bucket would have", minimum=1),
    ),
    primary_key=("entity_kind", "entity_id", "ts"),
    measured=True,
)  # fmt: skip


def compute(workplace: Workplace, parameters: StorageUtilizationParameters) -> Result:
    """Collect the day's samples of the tenant's volumes, or of the platform's tiers."""
    partition, resolution = workplace.partition, workplace.resolution_seconds
    tiers: dict[str, TierKey] = {}
    if partition.tenant == PLATFORM:
        selectors = {
            "capacity_bytes": parameters.capacity_metric,
            "dedup_ratio": parameters.dedup_metric,
            "compression_ratio": parameters.compression_metric,
        }
        hours = parameters.growth_minimum_hours
        found, tiers = collect_tiers(workplace.metrics, partition, resolution, hours, selectors)
        rows = together(found.measures, resolution)
        ts = partition.start_ms + rows.bucket * resolution * 1000
        capacity = capacity_of(rows, tiers, parameters.tier_capacity_bytes)
        unused = sorted(set(parameters.tier_capacity_bytes) - {key.tier for key in tiers.values()})
        if unused and len(rows.entity):
            found.notes.append(f"tier_capacity_bytes names what sent no sample: {', '.join(map(shown, unused[:5]))}.")
    else:
        found = collect_volumes(workplace.metrics, partition, resolution, parameters.growth_minimum_hours)
        rows = together(found.measures, resolution)
        ts = partition.start_ms + rows.bucket * resolution * 1000
        capacity = capacity_at(rows, ts, workplace.read("inventory", ["vm_id", "valid_from", "disk_bytes"]))
    unsized = len(rows.entities) - len(np.unique(rows.entity[~np.isnan(capacity)]))
    if unsized:
        found.notes.append(
            f"The capacity of {unsized} of {len(rows.entities)} {'tiers' if tiers else 'volumes'} is unknown: "
            "their used_share and fill_share_per_day are null."
        )
    if found.impossible:
        found.notes.append(
            f"{found.impossible} sample(s) were no amount (negative, not a number, or beyond any) and were left out."
        )
    over = is_over(workplace.metrics, partition, found.last_ts_ms)
    seen, expected = None, None
    if rows.present:
        place = node_of(rows, tiers)
        seen, expected = seen_and_expected(rows.present, place, partition, over)
    facts = workplace.facts(
        as_of_ms=as_of_ms(partition, found.last_ts_ms, resolution, over),
        samples_seen=seen,
        samples_expected=expected,
        notes=tuple(found.notes),
    )
    data = to_table(rows, ts, capacity, tiers)
    return Result(data, facts, numbers=_numbers(rows, found, data))


def node_of(rows: Rows, tiers: dict[str, TierKey]) -> NDArray[np.int64]:
    """Return a number for the node of each entity, where it was last, -1 where that is unknown."""
    if not tiers:
        return last_place(rows.entity, rows.place, len(rows.entities))
    nodes = sorted({key.node for key in tiers.values() if key.node})
    code = {name: number for number, name in enumerate(nodes)}
    return np.array([code.get(tiers[name].node, -1) for name in rows.entities], np.int64)


def to_table(rows: Rows, ts: NDArray[np.int64], capacity: FloatArray, tiers: dict[str, TierKey]) -> pa.Table:
    """Return the rows as `storage_utilization`; `tiers` is empty for volumes."""
    size = np.where(capacity > 0, capacity, np.nan)
    read, written = rows.column("read_bytes"), rows.column("written_bytes")
    moved = np.where(read + written > 0, read + written, np.nan)
    columns = {
        **rows.columns,
        "capacity_bytes": capacity,
        "used_share": rows.column("used_bytes_mean") / size,
        "fill_share_per_day": rows.column("growth_bytes_per_day") / size,
        "read_share": read / moved,
    }
    count, codes = len(rows.entity), pa.array(rows.entity.astype(np.int32))
    arrays: dict[str, pa.Array] = {
        "entity_kind": _named(np.zeros(count, np.int32), ["tier" if tiers else "volume"]),
        "entity_id": pa.DictionaryArray.from_arrays(codes, pa.array(rows.entities, pa.string())),
        "ts": pa.array(ts, pa.int64()).cast(TIMESTAMP),
        "doubtful": pa.array(rows.doubtful),
        "samples_seen": pa.array(rows.seen.astype(np.int32)),
        "samples_expected": pa.array(rows.expected.astype(np.int32)),
    }
    if tiers:
        keys = [tiers[name] for name in rows.entities]
        arrays["tier"] = pa.array([key.tier for key in keys], pa.string()).take(codes)
        arrays["node_id"] = pa.array([key.node or None for key in keys], pa.string()).take(codes)
    else:
        arrays["tier"] = pa.nulls(count, pa.string())
        arrays["node_id"] = _named(rows.place.astype(np.int32), rows.places)
    for column in STORAGE_UTILIZATION.columns:
        if column.name in columns:
            arrays[column.name] = pa.array(columns[column.name], column.type, from_pandas=True)
    return pa.table(
        {
            column.name: arrays[column.name] if column.name in arrays else pa.nulls(count, column.type)
            for column in STORAGE_UTILIZATION.columns
        }
    )


def _named(codes: NDArray[np.int32], names: list[str] | tuple[str, ...]) -> pa.Array:
    """Return names by code, null below 0."""
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(names, pa.string()))


def _numbers(rows: Rows, found: Collected, data: pa.Table) -> dict[str, int | float]:
    numbers: dict[str, int | float] = {
        "entities": len(rows.entities),
        "doubtful_buckets": int(rows.doubtful.sum()),
        "late_samples": found.late,
        "repeated_samples": found.repeated,
        "impossible_samples": found.impossible,
        "frozen_twin_samples": found.frozen,
        "suspect_counters": found.suspect,
        "counters_without_start": found.without_start,
    }
    used, growth = _last(rows, "used_bytes_mean"), _last(rows, "growth_bytes_per_day")
    if len(used):
        numbers["used_tb"] = float(used.sum()) / 1e12
    if len(growth):
        numbers["growth_gb_per_day"] = float(growth.sum()) / 1e9
    slowest = _slowest_p95(rows)
    if slowest is not None:
        numbers["slowest_tier_p95_latency_seconds"] = slowest
    return numbers


def _last(rows: Rows, name: str) -> FloatArray:
    """Return the last value that each entity has in a column; those without any are left out."""
    values = rows.column(name)
    known = np.flatnonzero(~np.isnan(values))
    entity = rows.entity[known]
    return values[known[np.flatnonzero(np.r_[entity[1:] != entity[:-1], True])]] if len(known) else values[known]


def _slowest_p95(rows: Rows) -> float | None:
    """Return the 95th percentile of reads or writes of the tier where it is highest, of its buckets the median."""
    p95 = np.fmax(rows.column("read_latency_seconds_p95"), rows.column("write_latency_seconds_p95"))
    known = np.flatnonzero(~np.isnan(p95))
    first = np.flatnonzero(np.diff(rows.entity[known])) + 1
    return max((float(np.median(own)) for own in np.split(p95[known], first) if len(own)), default=None)


COMPONENT = Component(
    name="storage_utilization",
    stage="processors",
    title="Storage utilization processor",
    description="Space in use, growth and fill rate, bytes read and written of each volume of a tenant's VMs; for the "
    "platform of each storage tier of a node, with operations per second, latency, deduplication and compression.",
    parameters=StorageUtilizationParameters,
    inputs=(Input("inventory", ("vm_inventory",), "how large the disks of the tenant's VMs are"),),
    table=STORAGE_UTILIZATION,
    compute=compute,
    reads=("metrics",),
)
