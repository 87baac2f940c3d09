"""Values that hold from an instant on (sizes, states) as matrices over the steps of a grid."""

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import Grid


def held_values(
    entity: NDArray[np.int64], since_ms: NDArray[np.int64], values: NDArray[np.float64], shape: tuple[int, Grid]
) -> NDArray[np.float32]:
    """Return [entity, step]: the last of `values` that held at the step's end; NaN before the first.

    Rows may come in any order; of two of one entity with the same instant the later row counts.
    NaN in `values` is "not known from then on": a row replaces all of the one before. `shape` is the
    number of entities and the grid.
    """
    entities, grid = shape
    step = (since_ms - grid.start_ms) // grid.step_ms
    told = np.flatnonzero((entity >= 0) & (step < grid.count))
    order = told[np.lexsort((told, since_ms[told], entity[told]))]
    # Positions in this order grow with time within an entity, so the highest so far is the one that holds.
    position = np.full((entities, grid.count), -1, dtype=np.int32)
    position[entity[order], np.maximum(step[order], 0)] = np.arange(len(order), dtype=np.int32)
    np.maximum.accumulate(position, axis=1, out=position)
    chosen = np.append(values[order], np.nan).astype(np.float32)
    return chosen[position]


def latest_values(
    entity: NDArray[np.int64], since_ms: NDArray[np.int64], values: NDArray[np.float64], entities: int
) -> NDArray[np.float64]:
    """Return each entity's value in its latest row, NaN where that says none or there is no row."""
    known = np.flatnonzero(entity >= 0)
    order = known[np.lexsort((known, since_ms[known], entity[known]))]
    latest = np.full(entities, np.nan)
    latest[entity[order]] = values[order]
    return latest
