"""What a metric usually is at a time of the day: the median of the same hours of the days before."""

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from analytics_assets.kernels.anomaly.recurrence import AROUND_MS
from analytics_assets.kernels.matrix import row_median

DAYS = 7
"""Days before that are looked at, fewer where the series is shorter."""


def usual_at(values: NDArray[np.floating[Any]], step_ms: int, first: int, last: int) -> NDArray[np.float64]:
    """Return the usual value at each of the steps from `first` to `last` of `values` [step], on a grid of `step_ms`.

    Values up to an hour before and after the same time of the days before count, none of its own day; where there is
    none, all values before `first`; NaN where there are none either.
    """
    per_day, around, count = 86_400_000 // step_ms, AROUND_MS // step_ms, last - first + 1
    finite = np.where(np.isfinite(values[: last + 1]), values[: last + 1], np.nan).astype(np.float64)
    before = DAYS * per_day + around
    padded = np.concatenate([np.full(before, np.nan), finite])
    begins = (before + first - day * per_day - around for day in range(1, DAYS + 1))
    near = [sliding_window_view(padded[begin:], 2 * around + 1)[:count] for begin in begins]
    usual = row_median(np.concatenate(near, axis=1))
    return np.where(np.isnan(usual), _median(finite[:first]), usual)


def _median(values: NDArray[np.float64]) -> float:
    present = values[np.isfinite(values)]
    return float(np.median(present)) if len(present) else math.nan
