"""The nodes: their own demand and size, from 5-minute rows of the system load, and all of them together."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from analytics_assets.analyzers.capacity_model.allocation import Allocated
from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.capacity_model.rows import RECENT_DAYS, Demand, Supply
from analytics_assets.analyzers.capacity_model.vms import in_total, total_demand
from analytics_assets.kernels.coverage import SampleCounts, sample_counts
from analytics_assets.kernels.matrix import (
    HOURS_PER_DAY,
    Grid,
    entity_ids,
    locate,
    place,
    row_max,
    row_mean,
    row_quantile,
)

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
class Nodes:
    """The nodes, and of each resource what they demand and have; `seen` and `expected` are their samples.

    `counted` (resource -> bool) are those whose size is in that of the cluster.
    """

    nodes: tuple[str, ...]
    demand: Mapping[str, Demand]
    supply: Mapping[str, Supply]
    counted: Mapping[str, NDArray[np.bool_]]
    seen: int
    expected: int

    def counted_names(self, resource: str) -> list[str]:
        """Return the nodes whose size of `resource` is in that of the cluster."""
        return [self.nodes[number] for number in np.flatnonzero(self.counted[resource])]

    def left_out(self, resource: str) -> list[str]:
        """Return the nodes whose size of `resource` is known and not in that of the cluster."""
        known = self.supply[resource].physical > 0
        return [self.nodes[number] for number in np.flatnonzero(known & ~self.counted[resource])]


def node_load(load: pa.Table, grid: Grid, allocated: Allocated, parameters: CapacityParameters) -> Nodes:
    """Return the nodes of `load`, of which rows of another scope than `node` are left out."""
    own = load.filter(pc.equal(load.column("scope").cast(pa.string()), "node"))
    nodes = entity_ids(own.column("node_id"))
    cells = locate(own.column("node_id"), own.column("ts"), grid, nodes)
    counts = without_ended(sample_counts(cells, own.column("samples_seen"), own.column("samples_expected")), grid)
    demand, supply, counted = {}, {}, {}
    shape = (len(nodes), grid.count // grid.steps_per_hour, grid.steps_per_hour)
    for resource in UNITS:
        mean = place(cells, own.column(f"{USED[resource]}_mean")).reshape(shape)
        most = place(cells, own.column(f"{USED[resource]}_max")).reshape(shape)
        seen = counts.seen_where(~np.isnan(mean).reshape(len(nodes), grid.count))
        demand[resource] = Demand(
            row_mean(mean),
            row_max(most),
            row_quantile(mean, 0.95),
            seen,
            counts.expected_per_entity,
            grid.steps_per_hour,
        )
        size = last_known(place(cells, own.column(TOTALS[resource])))
        missing = np.full(len(nodes), None, dtype=object)
        missing[~(size > 0)] = f"the node's {resource} size is not measured"
        # Where no tenant's inventory names any node, it is unknown what is allocated, and not nothing.
        none = 0.0 if allocated.by_node[resource] else np.nan
        held = np.array([allocated.by_node[resource].get(node, none) for node in nodes], dtype=np.float64)
        supply[resource] = Supply(np.where(size > 0, size, np.nan), held, missing, parameters.overcommit(resource))
        counted[resource] = in_total(size, demand[resource], np.zeros(len(nodes), np.bool_))
    seen_all, expected_all = (int(values.sum(dtype=np.float64)) for values in (counts.seen, counts.expected))
    return Nodes(nodes, demand, supply, counted, seen_all, expected_all)


def cluster(nodes: Nodes, resource: str, minimum_coverage: float) -> tuple[Demand, Supply]:
    """Return what all nodes whose size is known demand and have together.

    A node that has ended is in the demand until then, and not in the size.
    """
    supply, demand, counted = nodes.supply[resource], nodes.demand[resource], nodes.counted[resource]
    known = supply.physical > 0
    running = np.zeros(demand.mean.shape, dtype=np.float32)
    together = total_demand(demand, known, running, minimum_coverage)
    missing = np.array([None if known.any() else f"no node has a known {resource} size"], dtype=object)
    physical = np.array([supply.physical[counted].sum() if known.any() else np.nan])
    return together, Supply(physical, np.array([supply.allocated[counted].sum()]), missing, supply.overcommit)


def recent_shares(nodes: Nodes, resource: str) -> dict[str, float]:
    """Return each node's share of what all of them demanded in the last days, by their means."""
    used = np.nan_to_num(row_mean(nodes.demand[resource].mean[:, -RECENT_DAYS * HOURS_PER_DAY :]))
    used = np.where(nodes.counted[resource], used, 0.0)
    return dict(zip(nodes.nodes, (used / max(float(used.sum()), 1e-12)).tolist(), strict=True))


def without_ended(counts: SampleCounts, grid: Grid) -> SampleCounts:
    """Return the counts with nothing expected of what has ended: what sent no sample in the last day of `grid`.

    Where nothing sent one nobody measured, and nothing is known to have ended.
    """
    recent: NDArray[np.bool_] = np.any(counts.seen[:, -HOURS_PER_DAY * grid.steps_per_hour :] > 0, axis=1)
    return counts.ended_where(~recent) if recent.any() else counts


def last_known(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each row's last value that is there, NaN where none is."""
    known = ~np.isnan(values)
    last = values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    return np.asarray(values[np.arange(len(values)), last], np.float64)
