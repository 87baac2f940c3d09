"""The storage tiers: space in use and capacity, from 5-minute rows of the storage utilization."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics_assets.analyzers.capacity_model.nodes import last_known, without_ended
from analytics_assets.analyzers.capacity_model.rows import Demand, Supply
from analytics_assets.kernels.coverage import sample_counts
from analytics_assets.kernels.matrix import Grid, entity_ids, locate, place, row_max, row_mean, row_quantile

COLUMNS = (
    "entity_kind", "entity_id", "ts", "used_bytes_mean", "used_bytes_max", "capacity_bytes", "samples_seen",
    "samples_expected",
)  # fmt: skip


@dataclass(frozen=True)
class Tiers:
    """The storage tiers, what is used of them and what there is."""

    tiers: tuple[str, ...]
    demand: Demand
    supply: Supply


def storage_tiers(rows: pa.Table, grid: Grid) -> Tiers:
    """Return the tiers of `rows`, of which those of volumes are left out.

    Samples are counted of all of a tier's metrics together.
    """
    own = rows.filter(pc.equal(rows.column("entity_kind").cast(pa.string()), "tier"))
    tiers = entity_ids(own.column("entity_id"))
    cells = locate(own.column("entity_id"), own.column("ts"), grid, tiers)
    counts = without_ended(sample_counts(cells, own.column("samples_seen"), own.column("samples_expected")), grid)
    shape = (len(tiers), grid.count // grid.steps_per_hour, grid.steps_per_hour)
    used = place(cells, own.column("used_bytes_mean")).reshape(shape)
    most = place(cells, own.column("used_bytes_max")).reshape(shape)
    size = last_known(place(cells, own.column("capacity_bytes")))
    missing = np.full(len(tiers), None, dtype=object)
    missing[~(size > 0)] = "the tier's capacity is neither measured nor set"
    demand = Demand(
        row_mean(used),
        row_max(most),
        row_quantile(used, 0.95),
        counts.seen_where(~np.isnan(used).reshape(len(tiers), grid.count)),
        counts.expected_per_entity,
        grid.steps_per_hour,
    )
    return Tiers(tiers, demand, Supply(np.where(size > 0, size, np.nan), np.full(len(tiers), np.nan), missing))
