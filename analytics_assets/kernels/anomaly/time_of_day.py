"""What a metric usually is at a time of the day: the median of the same hours of the days before."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from analytics_assets.kernels.anomaly.recurrence import AROUND_MS

DAYS = 7
"""Days before that are looked at, fewer where the series is shorter."""


def usual_at(values: NDArray[np.floating[Any]], step_ms: int, first: int, last: int) -> NDArray[np.float64]:
    """Return the usual value at each of the steps from `first` to `last` of `values` [step], on a grid of `step_ms`.

    Values up to an hour before and after the same time of the days before count, none of its own day. NaN where
    there is none.
    """
    per_day, around = 86_400_000 // step_ms, AROUND_MS // step_ms
    days = [day for day in range(1, DAYS + 1) if last - day * per_day >= 0]
    usual = np.full(last - first + 1, np.nan)
    if not days:
        return usual
    finite = np.where(np.isfinite(values[: last + 1]), values[: last + 1], np.nan).astype(np.float64)
    before = DAYS * per_day + around
    padded = np.concatenate([np.full(before, np.nan), finite])
    near = [
        sliding_window_view(padded[before + first - day * per_day - around :], 2 * around + 1)[: len(usual)]
        for day in days
    ]
    all_near = np.concatenate(near, axis=1)
    known = np.isfinite(all_near).any(axis=1)
    usual[known] = np.nanmedian(all_near[known], axis=1)
    return usual
