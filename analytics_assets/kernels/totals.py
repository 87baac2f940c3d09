"""What several entities use together, hour by hour, so that a gap in the measuring is no drop of the total."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.coverage import has_recent
from analytics_assets.kernels.matrix import HOURS_PER_DAY, Floats, row_mean


def total_of(values: Floats, minimum_share: float, off: NDArray[np.floating[Any]] | None = None) -> NDArray[np.float64]:
    """Return the sum over the entities [hour] of `values` [entity, hour], in which NaN and infinite ones are missing.

    An entity counts from its first hour with a value to its last (to the end, if that is within a
    day of it), but for the hours in which `off` [entity, hour] is 1; an hour it lacks in between
    counts with its own mean over the window: the others may be far smaller or larger. Hours in which
    fewer than `minimum_share` of those entities have a value, or none has, are NaN.
    """
    there = np.isfinite(values)
    known = np.where(there, values, values.dtype.type(np.nan))
    begun = np.maximum.accumulate(there, axis=1)
    not_over = np.maximum.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    not_over[has_recent(known, HOURS_PER_DAY), -HOURS_PER_DAY:] = True
    alive = begun & not_over
    if off is not None:
        alive &= (off != 1) | there
    enough = np.count_nonzero(there, axis=0) >= np.maximum(minimum_share * np.count_nonzero(alive, axis=0), 1)
    own = row_mean(known).astype(values.dtype)[:, None]
    filled = np.where(there, known, np.where(alive, own, values.dtype.type(0)))
    return np.where(enough, np.sum(filled, axis=0, dtype=np.float64), np.nan)
