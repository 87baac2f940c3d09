"""Series that only ever count up, told from their own past, and their rates.

A counter's value says nothing: a burst or a standstill hardly shows in it, and a restart, which is
normal, shows as a cliff. Its rate says what it counted.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.anomaly.residuals import FloatArray, IntArray

COUNTER_CHANGES = 100
"""A series is a counter once it has changed so often, from one value to the next, without a fall but for resets."""

RISING_SHARE = 0.5
"""Least share of rises among them: what mostly stands still is as well judged by its value."""

RESET_SHARE = 0.5
"""A counter that begins again falls to less than this share of its last value."""

FREE_RESETS, CHANGES_PER_RESET = 2, 50
"""A counter begins again at most so often, and once more in so many changes."""


def counter_span(values: NDArray[np.floating[Any]]) -> tuple[int, int]:
    """Return from which point of a series on, and up to which, it is known to be a counter; equal if at none.

    The first 100 changes decide; a fall that is no reset, or too many resets, end it for good. Whether
    a point lies in the span depends on no later one. Missing values are passed over.
    """
    present = np.flatnonzero(np.isfinite(values))
    known = np.asarray(values, np.float64)[present]
    change = np.diff(known)
    reset = (change < 0) & (known[1:] < RESET_SHARE * known[:-1]) & (known[1:] >= 0)
    too_many = np.cumsum(reset) > FREE_RESETS + np.arange(len(change)) / CHANGES_PER_RESET
    wrong = ((change < 0) & ~reset) | (reset & too_many)
    honest = int(np.argmax(wrong)) if wrong.any() else len(change)
    rises = np.count_nonzero(change[:COUNTER_CHANGES] > 0)
    if honest < COUNTER_CHANGES or rises < RISING_SHARE * COUNTER_CHANGES:
        return len(values), len(values)
    begin = int(present[COUNTER_CHANGES])
    return begin, int(present[honest + 1]) if honest < len(change) else len(values)


def counter_rates(ts_ms: IntArray, values: NDArray[np.floating[Any]]) -> FloatArray:
    """Return by how much a counter rose per second since its last value; NaN where that is not known.

    It is not known of the first value, of a missing one, after a fall (nobody knows what was counted
    before the reset), and of two values at one instant.
    """
    rates = np.full(len(values), np.nan)
    present = np.flatnonzero(np.isfinite(values))
    change = np.diff(np.asarray(values, np.float64)[present])
    seconds = np.diff(ts_ms[present]) / 1000.0
    known = (change >= 0) & (seconds > 0)
    rates[present[1:][known]] = change[known] / seconds[known]
    return rates
