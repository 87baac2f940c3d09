"""The nodes: their own demand and size, from 5-minute rows of the system load."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.capacity_model.rows import Demand, ResourceRows, Supply, resource_rows
from analytics_assets.kernels.coverage import sample_counts
from analytics_assets.kernels.matrix import Grid, entity_ids, locate, place, row_max, row_mean, row_quantile

UNITS = {"cpu": "cores", "memory": "bytes"}
USED = {"cpu": "cpu_cores", "memory": "memory_bytes"}
TOTALS = {"cpu": "cpu_cores_total", "memory": "memory_total_bytes"}
COLUMNS = (
    "node_id",
    "ts",
    "scope",
    *(f"{stem}_{which}" for stem in USED.values() for which in ("mean", "max")),
    *TOTALS.values(),
    "samples_seen",
    "samples_expected",
)


@dataclass(frozen=True)
class NodeCapacity:
    """The nodes, their rows by resource, and the samples behind them."""

    nodes: tuple[str, ...]
    rows: Mapping[str, ResourceRows]
    seen: int
    expected: int


def node_capacity(load: pa.Table, grid: Grid, parameters: CapacityParameters, minimum_coverage: float) -> NodeCapacity:
    """Return the capacity of the nodes of `load`, of which rows of another scope than `node` are left out."""
    own = load.filter(pc.equal(load.column("scope").cast(pa.string()), "node"))
    nodes = entity_ids(own.column("node_id"))
    cells = locate(own.column("node_id"), own.column("ts"), grid, nodes)
    counts = sample_counts(cells, own.column("samples_seen"), own.column("samples_expected"))
    rows = {}
    for resource, unit in UNITS.items():
        mean = place(cells, own.column(f"{USED[resource]}_mean")).reshape(len(nodes), -1, grid.steps_per_hour)
        most = place(cells, own.column(f"{USED[resource]}_max")).reshape(mean.shape)
        seen = counts.seen_where(~np.isnan(mean).reshape(len(nodes), -1))
        demand = Demand(row_mean(mean), row_max(most), row_quantile(mean, 0.95), seen, counts.expected_per_entity)
        size = _last_known(place(cells, own.column(TOTALS[resource])))
        missing = np.full(len(nodes), None, dtype=object)
        missing[~(size > 0)] = f"the node's {resource} size is not measured"
        supply = Supply(np.where(size > 0, size, np.nan), np.full(len(nodes), np.nan), missing)
        rows[resource] = resource_rows(resource, unit, demand, supply, parameters, minimum_coverage, node=True)
    return NodeCapacity(nodes, rows, int(counts.seen.sum(dtype=np.float64)), int(counts.expected.sum(dtype=np.float64)))


def _last_known(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each row's last value that is there, NaN where none is."""
    known = ~np.isnan(values)
    last = values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    return np.asarray(values[np.arange(len(values)), last], np.float64)
