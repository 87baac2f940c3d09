"""Samples of VMs and nodes as matrices on one grid, read one metric at a time to keep a large tenant's memory small."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.kernels.coverage import sample_counts
from analytics_assets.kernels.matrix import Floats, Grid, entity_ids, locate, place, positions, row_mean

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
    rows = read([key, "ts", "samples_seen", "samples_expected"])
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


def last_nodes(read: Read, grid: Grid, entities: Sequence[str]) -> tuple[tuple[str | None, ...], NDArray[np.bool_]]:
    """Return the node each VM was last on, and in which steps [VM, step] it was there."""
    rows = read(["vm_id", "ts", "node_id"])
    nodes = entity_ids(rows.column("node_id"))
    code = positions(rows.column("node_id"), nodes)
    cells = locate(rows.column("vm_id"), rows.column("ts"), grid, entities)
    where = place(cells, pa.chunked_array([pa.array(code.astype(np.float32), mask=code < 0)]))
    known = ~np.isnan(where)
    last = where.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1) if where.size else np.zeros(len(entities), np.int64)
    held = where[np.arange(len(entities)), last] if where.size else np.full(len(entities), np.nan)
    names = tuple(None if np.isnan(value) else nodes[int(value)] for value in held)
    return names, where == held[:, None]
