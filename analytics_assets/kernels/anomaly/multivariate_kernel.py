"""The compiled loops of `multivariate`. Imported where they are used: they need numba.

They are given arrays, plain tuples and numbers only: compiled code is kept on disk together with the types of its
arguments, and that of a named tuple cannot be read any more once its class was moved or renamed.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAY_MS = 86_400_000.0

LARGEST_VALUE = 1e100
"""Larger values count as this, so that squares of them are numbers."""

WIDEST_STANDARD = 30.0
"""A standardized value counts as at most so many usual deviations."""

MATCH = 0.1
"""Added to recent and usual sizes before they are compared, so that a quiet metric has no huge ratio."""

HIGH_SHARE = 0.98
"""A usual size is the mean plus a third of the quantile at this share: heavy tails count, single peaks do not."""

LONGEST_STEP_MS = 3_600_000.0
"""A gap counts as at most so long: one step after it must not replace what was learned."""

JUMP_RATE = 0.3
"""Weight of the last point in the mean of the last few that a jump is measured from."""


@njit(cache=True, nogil=True)
def keep_finite(values: Floats) -> None:
    """Make infinite `values` [metric, step] missing ones, NaN, and those beyond `LARGEST_VALUE` that."""
    for j in range(values.shape[0]):
        for i in range(values.shape[1]):
            value = values[j, i]
            values[j, i] = max(-LARGEST_VALUE, min(LARGEST_VALUE, value)) if math.isfinite(value) else math.nan


@njit(cache=True, nogil=True)
def jumps_from_recent(values: Floats) -> Floats:
    """Return the distances of `values` [metric, step] from the mean of the last few points; NaN where missing."""
    metrics, steps = values.shape
    jumps = np.empty((metrics, steps))
    recent = np.full(metrics, np.nan)
    for i in range(steps):
        for j in range(metrics):
            value = values[j, i]
            if math.isnan(recent[j]):
                recent[j] = value
            jumps[j, i] = abs(value - recent[j])
            if not math.isnan(value):
                recent[j] += JUMP_RATE * (value - recent[j])
    return jumps


@njit(cache=True, nogil=True)
def last_value(ordered: Floats) -> int:
    """Return the place of the last value of a row in ascending order, missing ones at its end; -1 if it has none."""
    last = len(ordered) - 1
    while last >= 0 and math.isnan(ordered[last]):
        last -= 1
    return last


@njit(cache=True, nogil=True)
def distances(ordered: Floats) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """Return of rows [metric, step] in ascending order how many values there are, and of these what is usual.

    That is their median, their range and the usual distance from the median. Missing values are at the end
    of a row; all is 0 where it has no other.
    """
    metrics = len(ordered)
    values, middle, reach, usual = np.zeros(metrics, np.int64), np.zeros(metrics), np.zeros(metrics), np.zeros(metrics)
    for j in range(metrics):
        row = ordered[j]
        last = last_value(row)
        if last < 0:
            continue
        values[j] = last + 1
        middle[j] = row[int(0.5 * last)]
        reach[j] = row[last] - row[0]
        total = 0.0
        for i in range(last + 1):
            total += abs(row[i] - middle[j])
        # The farthest values are at the ends: leave out so many that the quantile is the farthest of those left.
        low, high = 0, last
        for _ in range(last - int(HIGH_SHARE * last)):
            if middle[j] - row[low] > row[high] - middle[j]:
                low += 1
            else:
                high -= 1
        usual[j] = total / (last + 1) + max(middle[j] - row[low], row[high] - middle[j]) / 3
    return values, middle, reach, usual


@njit(cache=True, nogil=True)
def sizes(ordered: Floats, share: float) -> tuple[Floats, Floats, Floats]:
    """Return of rows of sizes [metric, step] in ascending order the mean, the quantile at `share` and the usual size.

    Missing values are at the end of a row; all three are 0 where it has no other.
    """
    metrics = len(ordered)
    mean, at_share, usual = np.zeros(metrics), np.zeros(metrics), np.zeros(metrics)
    for j in range(metrics):
        row = ordered[j]
        last = last_value(row)
        if last < 0:
            continue
        total = 0.0
        for i in range(last + 1):
            total += row[i]
        mean[j] = total / (last + 1)
        at_share[j] = row[int(share * last)]
        usual[j] = mean[j] + row[int(HIGH_SHARE * last)] / 3
    return mean, at_share, usual


@njit(cache=True, nogil=True)
def position(value: float, center: float, spread: float) -> float:
    """Return where a value lies, in usual deviations on a logarithmic scale: sign(z) log(1 + |z|)."""
    z = (value - center) / spread
    z = max(-WIDEST_STANDARD, min(WIDEST_STANDARD, z))
    return math.copysign(math.log(1.0 + abs(z)), z)


@njit(cache=True, nogil=True)
def centered_positions(values: Floats, center: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Return the positions of `values` [metric, step], 0 if missing, less their mean, and that of each metric."""
    metrics, steps = values.shape
    positions, mean = np.empty((metrics, steps)), np.zeros(metrics)
    for j in range(metrics):
        for i in range(steps):
            value = values[j, i]
            positions[j, i] = 0.0 if math.isnan(value) else position(value, center[j], spread[j])
            mean[j] += positions[j, i]
        mean[j] /= steps
        for i in range(steps):
            positions[j, i] -= mean[j]
    return positions, mean


@njit(cache=True, nogil=True)
def sum_of_largest(sizes: Floats, largest: Floats) -> float:
    """Return the sum of as many of the `sizes` as `largest` has room for, those that are largest, all at least 0."""
    if len(sizes) <= len(largest):
        return float(sizes.sum())
    largest[:] = 0.0
    for size in sizes:
        k = len(largest) - 1
        if size > largest[k]:
            while k > 0 and largest[k - 1] < size:
                largest[k] = largest[k - 1]
                k -= 1
            largest[k] = size
    return float(largest.sum())


@njit(cache=True, nogil=True)
def score_block(
    ts_ms: NDArray[np.int64],
    values: Floats,
    residuals: Floats,
    jumps: Floats,
    weights: tuple[int, float, float, float, float, float],
    state: tuple[Floats, NDArray[np.int64], Floats, Floats],
    joint: Floats,
    explain_from: int,
    explanations: NDArray[np.float32],
    usual: tuple[Floats, ...],
    begin: int,
    end: int,
) -> None:
    """Fill `joint` [step] for the steps `begin` to `end`, and `explanations` for those from `explain_from` on.

    `values`, `residuals` and `jumps` are [metric, step], `explanations` [step, metric] with `explain_from` first.
    `weights`, `state` and `usual` are those of `multivariate_calibration` as plain tuples; the arrays of `state`
    are updated. With no metric in `usual` nothing is known yet: then these are all that is updated.
    """
    (
        center,
        spread,
        residual_mean,
        residual_scale,
        residual_floor,
        jump_scale,
        position_mean,
        prediction,
        break_level,
        break_scale,
        break_floor,
    ) = usual
    most, break_weight, rise, fall, noise_days, memory_days = weights
    recent_residual, seen, recent_break, smoothed = state
    metrics = len(values)
    known = len(center) > 0
    error, deviating, largest = np.zeros(metrics), np.zeros(metrics), np.zeros(most)
    rated_ms = rate = memory_rate = 0.0
    for i in range(begin, end):
        elapsed_ms = min(float(ts_ms[i] - ts_ms[i - 1]), LONGEST_STEP_MS) if i > 0 else 0.0
        if elapsed_ms != rated_ms:
            rated_ms = elapsed_ms
            rate = -math.expm1(-elapsed_ms / (noise_days * DAY_MS))
            memory_rate = -math.expm1(-elapsed_ms / (memory_days * DAY_MS))
        if known:
            error[:] = 0.0
            for k in range(metrics):
                value = values[k, i]
                if not math.isnan(value):
                    at = position(value, center[k], spread[k]) - position_mean[k]
                    for j in range(metrics):
                        error[j] += at * prediction[k, j]
        present = count = 0
        for j in range(metrics):
            residual = residuals[j, i]
            if math.isnan(residual):
                continue
            present += 1
            if known:
                noisier = max(1.0, (recent_residual[j] + MATCH) / (residual_mean[j] + MATCH))
                own = 1.0 + residual / (residual_scale[j] * noisier)
                off = abs(error[j])
                # Most steps have nothing to report, and logarithms are most of the cost.
                size = math.log(own / residual_floor[j]) if own > residual_floor[j] else 0.0
                if 1.0 + off / break_scale[j] > break_floor[j]:
                    drifted = math.exp(max(0.0, recent_break[j]))
                    broken = (1.0 + off / (break_scale[j] * drifted)) / break_floor[j]
                    size += break_weight * math.log(max(1.0, broken))
                recent_break[j] += memory_rate * (math.log(off + MATCH) - break_level[j] - recent_break[j])
                if i >= explain_from:
                    moved = math.log(own) + math.log(1.0 + jumps[j, i] / jump_scale[j])
                    explanations[i - explain_from, j] = moved * moved
                if size > 0:
                    deviating[count] = size
                    count += 1
            seen[j] += 1
            recent_residual[j] += max(rate, 1.0 / seen[j]) * (residual - recent_residual[j])
        if not known or present == 0:
            continue
        now = sum_of_largest(deviating[:count], largest) / min(most, present)
        smoothed[0] += (rise if now > smoothed[0] else fall) * (now - smoothed[0])
        joint[i] = smoothed[0]
