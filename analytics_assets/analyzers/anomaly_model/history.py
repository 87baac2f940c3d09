"""The samples that a day is judged by: the day and the window before it, a block of entities at a time."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.components import Workplace
from analytics_assets.kernels.matrix import Grid, locate, place
from resources.partition import DAY_MS

VALUES_AT_ONCE = 50_000_000
"""Values of a block, all metrics and steps of its entities: 850 VMs, about a row group of a day's five-minute rows.

Fewer read each row group more than once, more take more memory.
"""


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
    at_once = max(1, VALUES_AT_ONCE // max(grid.count * len(metrics), 1))
    for start in range(0, len(entities), at_once):
        block = tuple(entities[start : start + at_once])
        rows = workplace.read_window(role, window_days + 1, columns, keys=(block[0], block[-1]))
        cells = locate(rows.column(key), rows.column("ts"), grid, block)
        seen, expected = _samples_of_day(
            rows, cells.cell, len(block), grid.count, min(day_step, grid.count), DAY_MS // grid.step_ms
        )
        yield History(
            entities=block,
            values={metric: place(cells, rows.column(f"{metric}_mean")) for metric in metrics},
            samples_seen=seen,
            samples_expected=expected,
        )


def read_ahead(blocks: Iterator[History]) -> Iterator[History]:
    """Yield the blocks, each of them read while the one before it is judged."""
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        upcoming = pool.submit(next, blocks, None)
        while (block := upcoming.result()) is not None:
            upcoming = pool.submit(next, blocks, None)
            yield block


def _samples_of_day(
    rows: pa.Table, cell: NDArray[np.int64], entities: int, steps: int, day_step: int, per_day: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the samples seen on the day and expected, by entity, buckets without a row included.

    A bucket would have as many as the entity's best one of the day, or of the day before where it has none; one that
    has no row before the day is expected from its first row on.
    """
    entity, step = cell // max(steps, 1), cell % max(steps, 1)
    today = (cell >= 0) & (step >= day_step)
    seen = np.bincount(entity[today], np.asarray(rows.column("samples_seen"))[today], entities).astype(np.int64)
    most, first = np.zeros(entities, np.int64), np.full(entities, steps, np.int64)
    each = np.asarray(rows.column("samples_expected")).astype(np.int64)
    np.maximum.at(most, entity[today], each[today])
    silent = (cell >= 0) & (step >= day_step - per_day) & (most[entity] == 0)
    np.maximum.at(most, entity[silent], each[silent])
    np.minimum.at(first, entity[cell >= 0], step[cell >= 0])
    return seen, np.maximum(most * (steps - np.maximum(first, day_step)), seen)
