"""The samples that a day is judged by: the day and the window before it, a block of entities at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.components import Workplace
from analytics_assets.kernels.matrix import Grid, locate, place
from resources.partition import DAY_MS

ENTITIES_AT_ONCE = 850
"""About a row group of five-minute rows of a day: fewer read each row group more than once, more take more memory."""


@dataclass(frozen=True)
class History:
    """A block of entities: `values` (metric -> [entity, step]) over the window and the day.

    `samples_seen` and `samples_expected` are the day's, by entity.
    """

    entities: tuple[str, ...]
    values: Mapping[str, NDArray[np.float32]]
    samples_seen: NDArray[np.int64]
    samples_expected: NDArray[np.int64]


def window_grid(workplace: Workplace, role: str, window_days: int) -> Grid:
    """Return the steps from `window_days` before the day to the last one that the day's data reach."""
    step_ms = workplace.resolution_seconds * 1000
    start_ms = workplace.partition.start_ms - window_days * DAY_MS
    return Grid(start_ms, step_ms, max(0, (workplace.as_of_ms(role) - start_ms) // step_ms))


def blocks(
    workplace: Workplace,
    role: str,
    grid: Grid,
    window_days: int,
    metrics: Sequence[str],
    key: str,
    entity_days: int,
) -> Iterator[History]:
    """Yield the history of the entities that have a row in the last `entity_days` days, in the order of their ids."""
    entities = workplace.entities(role, entity_days)
    columns = [key, "ts", "samples_seen", "samples_expected", *(f"{metric}_mean" for metric in metrics)]
    day_step = window_days * DAY_MS // grid.step_ms
    for start in range(0, len(entities), ENTITIES_AT_ONCE):
        block = tuple(entities[start : start + ENTITIES_AT_ONCE])
        rows = workplace.read_window(role, window_days + 1, columns, keys=(block[0], block[-1]))
        cells = locate(rows.column(key), rows.column("ts"), grid, block)
        today = (cells.cell >= 0) & (cells.cell % max(grid.count, 1) >= day_step)
        entity = cells.cell[today] // max(grid.count, 1)
        yield History(
            entities=block,
            values={metric: place(cells, rows.column(f"{metric}_mean")) for metric in metrics},
            samples_seen=_sum(rows.column("samples_seen"), today, entity, len(block)),
            samples_expected=_sum(rows.column("samples_expected"), today, entity, len(block)),
        )


def _sum(
    values: pa.ChunkedArray, chosen: NDArray[np.bool_], entity: NDArray[np.int64], entities: int
) -> NDArray[np.int64]:
    return np.bincount(entity, np.asarray(values)[chosen], entities).astype(np.int64)
