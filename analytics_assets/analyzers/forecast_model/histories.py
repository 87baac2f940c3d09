"""What was measured, hour by hour, of each entity and of all together: what forecasts are made of and held against."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.analyzers.forecast_model.totals import ADDITIVE_UNITS, summed
from analytics_assets.analyzers.metric_trends import measured_metrics
from analytics_assets.components import Workplace
from analytics_assets.kernels.coverage import SampleCounts, sample_counts
from analytics_assets.kernels.held_values import latest_values
from analytics_assets.kernels.matrix import HOUR_MS, Grid, entity_ids, locate, place, positions, row_mean
from resources.partition import PLATFORM

ENTITY_KINDS = ("vm", "node", "tenant", "cluster")
CLUSTER = "all"
SIZES = {"memory_bytes": "memory_bytes", "disk_bytes": "disk_bytes"}
"""Metrics of a VM that its size in the inventory bounds, and the column of that size."""

PERCENT = 100.0
WHOLE_PERCENT = ("cpu_percent", "memory_percent")
"""Metrics that 100 percent bounds."""


@dataclass(frozen=True)
class History:
    """One metric of some entities of one kind, hour by hour, until `end_ms`.

    `hours` [entity, hour] has NaN where there is no value; `seen` and `expected` [entity] are the
    samples behind it. `capacity` [entity] bounds the metric, NaN for none.
    """

    kind: str
    entities: Sequence[str]
    metric: str
    unit: str
    hours: NDArray[np.float32]
    seen: NDArray[np.int64]
    expected: NDArray[np.int64]
    capacity: NDArray[np.float64]
    end_ms: int


def histories(workplace: Workplace, window_days: int, wanted: Sequence[str]) -> Iterator[History]:
    """Yield each metric (those `wanted`, or all) of the entities, and of all together, over the window.

    The window ends with the last whole hour of the data. Of 5-minute rows one metric is read at a time.

    Raises:
        MissingPartition: the day itself was not materialized.
        InvalidInput: a wanted metric is not measured.
    """
    source = workplace.instance.inputs["samples"][0]
    key = source.table.primary_key[0]
    metrics = measured_metrics(source.table, wanted)
    hourly = source.component.name == "vm_resources_hourly"
    counted = [key, "ts", "samples_seen", "samples_expected"]
    means = [f"{metric}_mean" for metric in metrics] if hourly else []
    rows = workplace.read_window("samples", window_days, [*counted, *means])
    step_ms = HOUR_MS if hourly else workplace.resolution_seconds * 1000
    grid = Grid.ending(workplace.as_of_ms("samples"), window_days, step_ms)
    entities = entity_ids(rows.column(key))
    if not entities:
        return
    cells = locate(rows.column(key), rows.column("ts"), grid, entities)
    counts = sample_counts(cells, rows.column("samples_seen"), rows.column("samples_expected"))
    inventory = workplace.read("inventory") if workplace.tables("inventory") and key == "vm_id" else None
    for metric, unit in metrics.items():
        if not hourly:
            rows = workplace.read_window("samples", window_days, [key, "ts", f"{metric}_mean"])
            cells = locate(rows.column(key), rows.column("ts"), grid, entities)
        placed = place(cells, rows.column(f"{metric}_mean"))
        yield from _of_metric(workplace, metric, unit, placed, counts, grid, entities, inventory)


def _of_metric(
    workplace: Workplace,
    metric: str,
    unit: str,
    placed: NDArray[np.float32],
    counts: SampleCounts,
    grid: Grid,
    entities: Sequence[str],
    inventory: pa.Table | None,
) -> Iterator[History]:
    vms = workplace.instance.inputs["samples"][0].table.primary_key[0] == "vm_id"
    platform = workplace.partition.tenant == PLATFORM
    seen, expected = counts.seen_where(~np.isnan(placed)), counts.expected_per_entity
    shape = (len(entities), grid.count // grid.steps_per_hour, grid.steps_per_hour)
    hours = placed if grid.steps_per_hour == 1 else row_mean(placed.reshape(shape)).astype(np.float32)
    capacity = _capacity(metric, entities, inventory)
    kind = "vm" if vms else "node"
    yield History(kind, entities, metric, unit, hours, seen, expected, capacity, grid.end_ms)
    if unit in ADDITIVE_UNITS and (vms or platform):
        whole: dict[str, Any] = {"kind": "tenant", "entities": [workplace.partition.tenant]}
        if not vms:
            whole = {"kind": "cluster", "entities": [CLUSTER]}
        yield History(
            **whole, metric=metric, unit=unit, hours=summed(hours)[None], seen=seen.sum(keepdims=True),
            expected=expected.sum(keepdims=True), capacity=np.array([np.nan]), end_ms=grid.end_ms,
        )  # fmt: skip


def _capacity(metric: str, entities: Sequence[str], inventory: pa.Table | None) -> NDArray[np.float64]:
    """Return what bounds the metric of each entity, NaN where nothing is known to."""
    if metric in WHOLE_PERCENT:
        return np.full(len(entities), PERCENT)
    if inventory is None or metric not in SIZES:
        return np.full(len(entities), np.nan)
    sizes = np.asarray(inventory.column(SIZES[metric]).cast(pa.float64()).to_numpy(), np.float64)
    since = np.asarray(inventory.column("valid_from").cast(pa.int64()).combine_chunks(), np.int64)
    latest = latest_values(positions(inventory.column("vm_id"), entities), since, sizes, len(entities))
    return np.where(latest > 0, latest, np.nan)
