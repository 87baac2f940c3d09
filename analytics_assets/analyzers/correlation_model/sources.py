"""Samples of VMs and nodes as matrices on one grid, read one metric at a time to keep a large tenant's memory small."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.components import Workplace
from analytics_assets.kernels.coverage import sample_counts
from analytics_assets.kernels.matrix import Floats, Grid, entity_ids, locate, place, positions, row_mean, within
from resources.partition import PLATFORM

Read = Callable[[Sequence[str]], pa.Table]
"""Returns the window's rows with the named columns."""


@dataclass(frozen=True)
class Source:
    """Samples of one tenant's VMs, or of the platform's nodes: a matrix [entity, step] per metric.

    `seen` and `expected` count their samples.
    """

    kind: str
    tenant: str
    entities: tuple[str, ...]
    matrices: dict[str, Floats]
    seen: int
    expected: int


def read_source(
    kind: str, tenant: str, key: str, metrics: Sequence[str], read: Read, grid: Grid, rows_per_step: int = 1
) -> Source:
    """Return the samples of `metrics` (stems of their columns) of the entities in the column `key`.

    `rows_per_step` rows make a step of `grid`: their mean.
    """
    fine = Grid(grid.start_ms, grid.step_ms // rows_per_step, grid.count * rows_per_step)
    rows = within(read([key, "ts", "samples_seen", "samples_expected"]), grid)
    entities = entity_ids(rows.column(key))
    cells = locate(rows.column(key), rows.column("ts"), fine, entities)
    counts = sample_counts(cells, rows.column("samples_seen"), rows.column("samples_expected"))
    matrices = {}
    for metric in metrics:
        rows = read([key, "ts", f"{metric}_mean"])
        cells = locate(rows.column(key), rows.column("ts"), fine, entities)
        values = place(cells, rows.column(f"{metric}_mean"))
        values[~np.isfinite(values)] = np.nan
        if rows_per_step > 1:
            values = row_mean(values.reshape(len(entities), grid.count, rows_per_step)).astype(np.float32)
        matrices[metric] = values
    return Source(
        kind,
        tenant,
        entities,
        matrices,
        int(counts.seen.sum(dtype=np.float64)),
        int(counts.expected.sum(dtype=np.float64)),
    )


@dataclass(frozen=True)
class Placement:
    """On which of `nodes` each entity was in each step: `code` [entity, step] is the place in `nodes`, -1 unknown."""

    nodes: tuple[str, ...]
    code: NDArray[np.int32]

    @property
    def last(self) -> NDArray[np.int32]:
        """The last known code of each entity, -1 where it never was."""
        if not self.code.size:
            return np.full(len(self.code), -1, np.int32)
        known = self.code >= 0
        step = self.code.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
        return np.asarray(self.code[np.arange(len(self.code)), step])


def placement(read: Read, grid: Grid, vms: Sequence[str]) -> Placement:
    """Return on which node each of `vms` was in each step of `grid`."""
    rows = read(["vm_id", "ts", "node_id"])
    nodes = entity_ids(rows.column("node_id"))
    code = positions(rows.column("node_id"), nodes)
    cells = locate(rows.column("vm_id"), rows.column("ts"), grid, vms)
    where = place(cells, pa.chunked_array([pa.array(code.astype(np.float32), mask=code < 0)]))
    return Placement(nodes, np.where(np.isnan(where), -1, where).astype(np.int32))


def tenants_samples(workplace: Workplace, days: int) -> tuple[list[tuple[str, Read]], tuple[str, ...]]:
    """Return how to read the samples of every tenant that has the day, for the platform, and notes on whose they are.

    The facts get the days that were read and those that a tenant lacks; notes name the tenants that are left out since
    they do not have the day (yet), and those that lack other days.
    """
    lake, table = workplace.lake, workplace.tables("samples")[0]
    wanted = set(workplace.partition.trailing_days(days))
    readers: list[tuple[str, Read]] = []
    left_out, partly = [], []
    for tenant in lake.tenants():
        if tenant == PLATFORM:
            continue
        stored = wanted.intersection(lake.days(table.name, tenant))
        if stored:
            workplace.days_missing.update(wanted - stored)
        if workplace.partition.day not in stored:
            left_out.append(tenant)
            continue
        workplace.days_read.update(stored)
        if stored != wanted:
            partly.append(f"{tenant} ({len(stored)} of {len(wanted)} days)")

        def read(columns: Sequence[str], tenant: str = tenant) -> pa.Table:
            return lake.read(table, tenant, sorted(wanted), columns)[0]

        readers.append((tenant, read))
    notes = [f"VMs are those of {len(readers)} tenant(s): {', '.join(name for name, _ in readers) or 'none'}"]
    if left_out:
        notes.append(
            f"{len(left_out)} tenant(s) have no {table.name} of the day and are left out: {', '.join(left_out)}. "
            "Materialize it for them, then this day of the platform again"
        )
    if partly:
        notes.append(f"tenants without all days of the window: {', '.join(partly)}")
    return readers, tuple(notes)
