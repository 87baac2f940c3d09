"""What bounds a metric from above: the present size of what it is of, but never below what it was seen at."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENT = 100.0
WHOLE_PERCENT = ("cpu_percent", "memory_percent")
"""Metrics that 100 percent bounds."""

VM_SIZES = {"memory_bytes": "memory_bytes", "disk_bytes": "disk_bytes"}
"""Metrics of a VM that its size bounds, and the column of that size in the inventory."""

NODE_SIZES = {"cpu_cores": "cpu_cores_total", "memory_bytes": "memory_total_bytes"}
"""The same of a node, and the column beside the metric."""

SAME_SHARE = 1e-3
"""Sizes closer than this, as a share, are one size: some are measured and stored in few digits."""


@dataclass(frozen=True)
class Sizes:
    """Size of some entities now [entity], NaN where none is known, and since when it has been that, in ms."""

    size: NDArray[np.float64]
    since_ms: NDArray[np.int64]

    @classmethod
    def unknown(cls, entities: int) -> "Sizes":
        return cls(np.full(entities, np.nan), np.full(entities, np.iinfo(np.int64).min))


def sizes_of(entity: NDArray[np.int64], ts_ms: NDArray[np.int64], values: NDArray[np.float64], entities: int) -> Sizes:
    """Return the last of the `values` above 0 of each entity (-1: of none), and since when it was that.

    A size that never changed has been that for ever. Rows may come in any order.
    """
    found = Sizes.unknown(entities)
    known = np.flatnonzero((entity >= 0) & (values > 0))
    order = known[np.lexsort((known, ts_ms[known], entity[known]))]
    who, value = entity[order], values[order]
    found.size[who] = value
    changed = np.zeros(len(order), np.bool_)
    changed[1:] = (who[1:] == who[:-1]) & (np.abs(value[1:] - value[:-1]) > SAME_SHARE * value[1:])
    found.since_ms[who[changed]] = ts_ms[order][changed]
    return found


def bounds(sizes: Sizes, hours: NDArray[np.floating[Any]], start_ms: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what bounds each row of `hours` [entity, hour], whose hours start at `start_ms`; NaN where nothing does.

    A value that was seen at the present size is possible: the bound is at least the highest finite one of them.
    """
    at_this_size = start_ms[None, :] >= sizes.since_ms[:, None]
    highest = np.max(np.where(at_this_size & np.isfinite(hours), hours, -np.inf), axis=1, initial=-np.inf)
    return np.where(np.isnan(sizes.size), np.nan, np.maximum(sizes.size, highest))


def total_bound(
    bound: NDArray[np.float64], total: NDArray[np.floating[Any]], present: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the bound [1] of a sum: the sum of the `bound` of what is `present`, NaN if one is unknown.

    It is at least `total` [hour], the sums of the last hours; older ones may be of other entities.
    """
    if not present.any() or np.isnan(bound[present]).any():
        return np.array([np.nan])
    highest = np.max(total, initial=-np.inf, where=~np.isnan(total))
    return np.array([max(float(bound[present].sum()), float(highest))])
