"""What was measured, hour by hour, of each entity and of all together: what forecasts are made of and held against."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.analyzers.forecast_model.bounds import (
    NODE_SIZES,
    PERCENT,
    VM_SIZES,
    WHOLE_PERCENT,
    Sizes,
    bounds,
    sizes_of,
    total_bound,
)
from analytics_assets.components import Workplace
from analytics_assets.kernels.coverage import SampleCounts, has_recent, sample_counts
from analytics_assets.kernels.matrix import (
    HOUR_MS,
    HOURS_PER_DAY,
    Grid,
    days_of,
    entity_ids,
    locate,
    place,
    positions,
    row_mean,
    within,
)
from analytics_assets.kernels.totals import total_of
from analytics_assets.measured_metrics import measured_metrics
from resources.partition import PLATFORM

ENTITY_KINDS = ("vm", "node", "tenant", "cluster")
CLUSTER = "all"
ADDITIVE_UNITS = ("bytes", "bytes/s", "cores", "1/s")
"""Units whose values add up; percentages and ratios do not."""

RECENT_HOURS = 2 * HOURS_PER_DAY
"""An entity without a value in so many hours does not count in the bound of the total."""


@dataclass(frozen=True)
class History:
    """One metric of some entities of one kind, hour by hour, until `end_ms`.

    `hours` [entity, hour] has NaN where there is no value; `seen` and `expected` [entity] are the
    samples behind it. `capacity` [entity] bounds the metric, NaN for none; it is at least what was seen
    since the entity has its size.
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
    VMs that only the inventory knows are there, without a value.

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
    step_ms = HOUR_MS if hourly else workplace.resolution_seconds * 1000
    grid = Grid.ending(workplace.as_of_ms("samples"), window_days, step_ms)
    days = days_of(grid, workplace.partition)
    rows = within(workplace.read_window("samples", days, [*counted, *means]), grid)
    inventory = None
    if workplace.tables("inventory") and key == "vm_id":
        inventory = workplace.read_window("inventory", days, ["vm_id", "valid_from", *VM_SIZES.values()])
    entities = entity_ids(rows.column(key))
    if inventory is not None:
        entities = tuple(sorted({*entities, *entity_ids(workplace.read("inventory", ["vm_id"]).column("vm_id"))}))
    if not entities:
        return
    cells = locate(rows.column(key), rows.column("ts"), grid, entities)
    counts = sample_counts(cells, rows.column("samples_seen"), rows.column("samples_expected"))
    sizes = _node_sizes(workplace, metrics, days, entities)
    if inventory is not None:
        sizes = _sizes(inventory, "vm_id", "valid_from", {m: c for m, c in VM_SIZES.items() if m in metrics}, entities)
    for metric, unit in metrics.items():
        if not hourly:
            rows = workplace.read_window("samples", days, [key, "ts", f"{metric}_mean"])
            cells = locate(rows.column(key), rows.column("ts"), grid, entities)
        placed = place(cells, rows.column(f"{metric}_mean"))
        yield from _of_metric(workplace, metric, unit, placed, counts, grid, entities, sizes.get(metric))


def _of_metric(
    workplace: Workplace,
    metric: str,
    unit: str,
    placed: NDArray[np.float32],
    counts: SampleCounts,
    grid: Grid,
    entities: Sequence[str],
    sizes: Sizes | None,
) -> Iterator[History]:
    vms = workplace.instance.inputs["samples"][0].table.primary_key[0] == "vm_id"
    platform = workplace.partition.tenant == PLATFORM
    seen, expected = counts.seen_where(np.isfinite(placed)), counts.expected_per_entity
    shape = (len(entities), grid.count // grid.steps_per_hour, grid.steps_per_hour)
    hours = placed if grid.steps_per_hour == 1 else row_mean(placed.reshape(shape)).astype(np.float32)
    starts = grid.start_ms + HOUR_MS * np.arange(hours.shape[1])
    if metric in WHOLE_PERCENT:
        sizes = Sizes(np.full(len(entities), PERCENT), Sizes.unknown(len(entities)).since_ms)
    capacity = bounds(sizes or Sizes.unknown(len(entities)), hours, starts)
    kind = "vm" if vms else "node"
    yield History(kind, entities, metric, unit, hours, seen, expected, capacity, grid.end_ms)
    if unit in ADDITIVE_UNITS:
        whole: dict[str, Any] = {"kind": "tenant", "entities": [workplace.partition.tenant]}
        if platform and not vms:
            whole = {"kind": "cluster", "entities": [CLUSTER]}
        total = total_of(hours, workplace.minimum_coverage).astype(np.float32)
        recent = has_recent(hours, RECENT_HOURS)
        bound = total_bound(capacity, total[-RECENT_HOURS:], recent)
        # As in the sum, what has ended is no gap.
        due = counts.ended_where(~has_recent(hours, HOURS_PER_DAY)).expected_per_entity
        yield History(
            **whole, metric=metric, unit=unit, hours=total[None], seen=seen.sum(keepdims=True),
            expected=due.sum(keepdims=True), capacity=bound, end_ms=grid.end_ms,
        )  # fmt: skip


def _node_sizes(
    workplace: Workplace, metrics: Mapping[str, str], days: int, entities: Sequence[str]
) -> dict[str, Sizes]:
    """Return the sizes that the rows of nodes tell beside `metrics`; none of VMs, whose sizes the inventory knows."""
    if workplace.partition.tenant != PLATFORM:
        return {}  # what a tenant has on a node is no size of the node
    names = workplace.tables("samples")[0].column_names
    told = {metric: size for metric, size in NODE_SIZES.items() if metric in metrics and size in names}
    if not told:
        return {}
    rows = workplace.read_window("samples", days, ["node_id", "ts", *told.values()])
    return _sizes(rows, "node_id", "ts", told, entities)


def _sizes(rows: pa.Table, key: str, time: str, told: Mapping[str, str], entities: Sequence[str]) -> dict[str, Sizes]:
    """Return the sizes by metric: `told` names the column of each."""
    entity = positions(rows.column(key), entities)
    since = np.asarray(rows.column(time).cast(pa.int64()).combine_chunks(), np.int64)
    return {
        metric: sizes_of(entity, since, np.asarray(rows.column(name).cast(pa.float64()).to_numpy()), len(entities))
        for metric, name in told.items()
    }
