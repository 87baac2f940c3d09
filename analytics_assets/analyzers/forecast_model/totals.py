"""What all entities of a partition use together, hour by hour, of metrics that can be added up."""

import numpy as np
from numpy.typing import NDArray

ADDITIVE_UNITS = ("bytes", "bytes/s", "cores", "1/s")
"""Units whose values add up; percentages and ratios do not."""

COMPLETE_SHARE = 0.9
"""Share of the entities there at an hour that must have a value for their sum to count."""


def summed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sum over the entities [hour] of `values` [entity, hour].

    An entity is there from its first value to its last. Those that are there but have no value are
    counted with the mean of the others of that hour, as long as they are few; where more than a
    tenth are missing, or nobody is there, the sum is NaN: a gap in the measuring is no dip.
    """
    present = ~np.isnan(values)
    begun = np.maximum.accumulate(present, axis=1)
    going_on = np.maximum.accumulate(present[:, ::-1], axis=1)[:, ::-1]
    alive = (begun & going_on).sum(axis=0)
    seen = present.sum(axis=0)
    total = np.where(present, values, np.float32(0)).sum(axis=0, dtype=np.float64)
    enough = (seen > 0) & (seen >= COMPLETE_SHARE * alive)
    return np.where(enough, total / np.maximum(seen, 1) * alive, np.nan).astype(np.float32)
