"""The compiled loops of `multivariate`: one pass over the steps of one entity, causal, a few numbers of state."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from analytics_assets.kernels.anomaly.multivariate_calibration import (
    DAY_MS,
    MATCH,
    WIDEST_STANDARD,
    Floats,
    MultivariateDefaults,
    State,
    Usual,
)

LONGEST_STEP_MS = 3_600_000.0
"""A gap counts as at most so long: one step after it must not replace what was learned."""

JUMP_RATE = 0.3
"""Weight of the last point in the mean of the last few that a jump is measured from."""


@njit(cache=True, nogil=True)
def deviation(usual_sizes: float) -> float:
    """Return how much a size counts, in logarithms, that is so many usual ones."""
    return math.log(1.0 + usual_sizes)


@njit(cache=True, nogil=True)
def position(value: float, center: float, spread: float) -> float:
    """Return where a value lies, in usual deviations on a logarithmic scale: sign(z) log(1 + |z|)."""
    z = (value - center) / spread
    z = max(-WIDEST_STANDARD, min(WIDEST_STANDARD, z))
    return math.copysign(deviation(abs(z)), z)


@njit(cache=True, nogil=True)
def jumps_from_recent(values: Floats) -> Floats:
    """Return the distances of `values` [step, metric] from the mean of the last few points; NaN where missing."""
    steps, metrics = values.shape
    jumps = np.full((steps, metrics), np.nan)
    recent = np.full(metrics, np.nan)
    for i in range(steps):
        for j in range(metrics):
            value = values[i, j]
            if math.isnan(value):
                continue
            if math.isnan(recent[j]):
                recent[j] = value
            jumps[i, j] = abs(value - recent[j])
            recent[j] += JUMP_RATE * (value - recent[j])
    return jumps


@njit(cache=True, nogil=True)
def score_steps(
    ts_ms: NDArray[np.int64],
    values: Floats,
    residuals: Floats,
    jumps: Floats,
    begin: int,
    end: int,
    usual: Usual,
    defaults: MultivariateDefaults,
    state: State,
    joint: Floats,
    explanations: NDArray[np.float32],
) -> None:
    """Fill `joint` and `explanations` for the steps `begin` to `end`.

    With `usual.center` empty nothing is known yet: only the state is updated.
    """
    metrics = values.shape[1]
    known = len(usual.center) > 0
    at, error, largest = np.zeros(metrics), np.zeros(metrics), np.zeros(defaults.most)
    rated_ms = rate = memory_rate = 0.0
    for i in range(begin, end):
        elapsed_ms = min(float(ts_ms[i] - ts_ms[i - 1]), LONGEST_STEP_MS) if i > 0 else 0.0
        if elapsed_ms != rated_ms:
            rated_ms = elapsed_ms
            rate = -math.expm1(-elapsed_ms / (defaults.noise_days * DAY_MS))
            memory_rate = -math.expm1(-elapsed_ms / (defaults.memory_days * DAY_MS))
        if known:
            error[:] = 0.0
            for k in range(metrics):
                value = values[i, k]
                at[k] = 0.0
                if not math.isnan(value):
                    at[k] = position(value, usual.center[k], usual.spread[k]) - usual.position_mean[k]
                    for j in range(metrics):
                        error[j] += at[k] * usual.prediction[k, j]
        largest[:] = 0.0
        present = 0
        for j in range(metrics):
            residual = residuals[i, j]
            if math.isnan(residual):
                continue
            present += 1
            if known:
                noisier = (state.recent_residual[j] + MATCH) / (usual.residual_mean[j] + MATCH)
                own = deviation(residual / (usual.residual_scale[j] * max(1.0, noisier)))
                moved = own + deviation(jumps[i, j] / usual.jump_scale[j])
                explanations[i, j] = moved * moved
                off = abs(error[j])
                drifted = math.exp(max(0.0, state.recent_break[j]))
                broken = deviation(off / (usual.break_scale[j] * drifted)) - usual.break_floor[j]
                drift = math.log(off + MATCH) - usual.break_level[j]
                state.recent_break[j] += memory_rate * (drift - state.recent_break[j])
                size = max(0.0, own - usual.residual_floor[j]) + defaults.break_weight * max(0.0, broken)
                k = defaults.most - 1
                if size > largest[k]:
                    while k > 0 and largest[k - 1] < size:
                        largest[k] = largest[k - 1]
                        k -= 1
                    largest[k] = size
            state.seen[j] += 1
            state.recent_residual[j] += max(rate, 1.0 / state.seen[j]) * (residual - state.recent_residual[j])
        if not known or present == 0:
            continue
        count = min(defaults.most, present)
        now = 0.0
        for k in range(count):
            now += largest[k] / count
        state.joint[0] += (defaults.rise if now > state.joint[0] else defaults.fall) * (now - state.joint[0])
        joint[i] = state.joint[0]
