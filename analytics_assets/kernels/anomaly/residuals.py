"""How far each point of a series is from what its own past led to expect, in usual errors.

Four predictions are made of every point from the points before it: the level of the last two weeks,
the same on a logarithmic scale (asinh of the value over its mean size), the profile of the time of
day (five-minute slots, on the logarithmic scale, moved by how far the last hour was off it) once a
slot was seen on two days, and the mean of the last few points. The error of each is divided by the
usual error of the same prediction, half of it that of the same hour of the day; the residual is the
power mean (exponent 4) of the four, so one prediction that fails badly is enough to be seen.

The hour of the week is used only where, after two weeks, it at least halves the error that the time
of day leaves: it moves the profile then, and a point that it explains is not far off, whatever the
other predictions say, be it the jump of every Saturday at midnight.

What is learned from one point is clipped at four usual errors: an anomaly hardly moves the baseline
it is judged by, and a new level is learned in days.

Everything is causal: the residual of a point uses that point and those before it. The cost is a
pass over the series; memory is constant.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_NO_REFERENCE = np.zeros(0, np.bool_)


def standardized_residuals(
    ts_ms: IntArray, values: NDArray[np.floating[Any]], reference: BoolArray | None = None
) -> FloatArray:
    """Return the residuals of `values` [point] or [series, point], all series at the instants `ts_ms` [point].

    About 1 is usual, the sign tells the direction; NaN where a value is missing or infinite, 0 while
    there are too few points to judge. `ts_ms` never falls; `reference` [point] marks points known to
    be normal, which are learned from without clipping.
    """
    from analytics_assets.kernels.anomaly.residuals_kernel import replay_residuals

    checked_instants(ts_ms, values.shape[-1])
    mask = checked_reference(reference, len(ts_ms))
    rows = np.atleast_2d(values)
    result = np.empty(rows.shape)
    novelty, no_evidence = np.empty(len(ts_ms)), np.zeros((0, 3))
    for row in range(len(rows)):
        replay_residuals(ts_ms, rows[row], mask, 0, (0.0, 0.0), result[row, :], novelty, no_evidence)
    return result.reshape(values.shape)


def checked_instants(ts_ms: IntArray, points: int) -> None:
    """Raise ValueError unless there is an instant for each of the `points`, in order of time."""
    if len(ts_ms) != points:
        raise ValueError(f"{len(ts_ms)} instants for {points} values; give one ts_ms for each value")
    if len(ts_ms) > 1 and bool(np.any(ts_ms[1:] < ts_ms[:-1])):
        at = int(np.argmax(ts_ms[1:] < ts_ms[:-1])) + 1
        raise ValueError(f"ts_ms falls at position {at}; sort the points by time first")


def checked_reference(reference: BoolArray | None, points: int) -> BoolArray:
    """Return `reference`, empty if there is none; raise ValueError if it is not one flag for each point."""
    if reference is None:
        return _NO_REFERENCE
    if len(reference) != points:
        raise ValueError(f"{len(reference)} reference flags for {points} points; give one for each")
    return np.asarray(reference, np.bool_)
