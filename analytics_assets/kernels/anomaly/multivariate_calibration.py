"""What is usual of an entity's metrics together: learned from steps known to be normal, or from the past."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import row_mean

Floats = NDArray[np.float64]

DAY_MS = 86_400_000.0

WIDEST_STANDARD = 30.0
"""A standardized value counts as at most so many usual deviations."""

MATCH = 0.1
"""Added to recent and usual sizes before they are compared, so that a quiet metric has no huge ratio."""

HIGH_SHARE = 0.98
"""A usual size is the mean plus a third of the quantile at this share: heavy tails count, single peaks do not."""

SAMPLE_STEPS = 2048
"""At most so many steps, evenly spaced, are looked at: what is usual needs no more."""

LOGARITHM_FROM = 3.0
"""Usual sizes from which on a residual or a jump counts by its logarithm."""

LEAST_RESIDUAL = 0.5
"""Least usual residual: that of a metric that hardly ever moved."""

LEAST_JUMP, LEAST_SPREAD = 0.003, 0.001
"""Least usual jump and deviation, as shares of the metric's range."""

SHRINKAGE = 1.0
"""Ridge on the covariance, as a share of each variance: two metrics that are one are believed half."""

LEAST_VARIANCE, LEAST_BREAK = 1e-3, 0.1
"""Least variance of a position, and least usual error of its prediction."""

BREAK_SHARE = 0.9
"""Errors of the prediction up to this quantile of the usual ones are nothing to report."""

END_GROWTH = 0.1
"""Share of more trusted steps that make learning worth while where they end."""

LEAST_VALUES = 30
"""A metric with fewer values in the sample has no usual spread: its position says nothing."""

TINY = 1e-12


class MultivariateDefaults(NamedTuple):
    """The parameters; one set for all data."""

    most: int = 6
    """The joint deviation is the mean of so many metrics, those that deviate most (of fewer, of all); a count."""

    break_weight: float = 0.8
    """Weight of a broken relation beside a deviation from the metric's own past."""

    rise: float = 0.3
    fall: float = 0.07
    """Weight of the newest step in the smoothed joint deviation, where that rises and where it falls."""

    noise_days: float = 1.0
    """Memory of how large a metric's residuals were lately, in days."""

    first_steps: int = 100
    """Steps to learn from before there is a joint deviation, and again before there is an alarm line."""

    growth: float = 0.5
    """What is usual is learned anew whenever there is this share more to learn from."""

    memory_days: float = 28.0
    """Days before the last step to learn from that count, and memory of how far relations were off lately, in days."""

    line_share: float = 0.985
    """The alarm line is the quantile of the usual joint deviations at this share."""

    line_factor_without_reference: float = 1.4
    """The alarm line is so much higher where nothing is known to be normal.

    Measured on 30 real VMs over three months: 0.6 alarms a day at 1.0, 0.17 at 1.4, 0.09 at 1.7.
    """


class Usual(NamedTuple):
    """What is usual of each metric [metric], learned by `calibrate`."""

    center: Floats
    spread: Floats
    """Middle of the values and their usual deviation from it, in the metric's unit."""

    residual_mean: Floats
    residual_scale: Floats
    residual_floor: Floats
    """Usual residuals, and the deviation (logarithm of 1 + it) of the median one: so much is nothing to report."""

    jump_scale: Floats
    """Usual distance from the last few points, in the metric's unit."""

    position_mean: Floats
    """Mean of the positions, see `multivariate_kernel.position`."""

    prediction: Floats
    """[metric, metric]: a row of positions times this is each metric's error from the others' prediction."""

    break_level: Floats
    break_scale: Floats
    break_floor: Floats
    """Mean logarithm of that error, its usual size, and the deviation that is nothing to report."""


class State(NamedTuple):
    """What is carried from one block of steps to the next; the arrays are updated in place."""

    recent_residual: Floats
    seen: NDArray[np.int64]
    """Mean residual of the last days [metric], and how many residuals there were."""

    recent_break: Floats
    """How much larger the errors from the others were in the last weeks than usual, mean logarithm [metric]."""

    joint: Floats
    """The smoothed joint deviation [1]."""


def calibrations(
    ts_ms: NDArray[np.int64], trusted: NDArray[np.bool_], defaults: MultivariateDefaults
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield where to calibrate anew, and the trusted steps of the last `memory_days` before it.

    The first time is after `first_steps` trusted steps, then each time that there is a share `growth`
    more of them, and where trusted steps end with a tenth more: nothing better may come for long.
    """
    memory_ms = int(defaults.memory_days * DAY_MS)
    places = np.flatnonzero(trusted)
    before = np.concatenate([[0], np.cumsum(trusted)])
    ends = np.flatnonzero(trusted[:-1] & ~trusted[1:]) + 1
    due = due_at_end = max(1, defaults.first_steps)
    at = 0
    while True:
        later = ends[(ends > at) & (before[ends] >= due_at_end)]
        at = min([int(np.searchsorted(before, due)), *later[:1].tolist()])
        if at >= len(trusted):
            return
        known = places[: before[at]]
        learn_from = known[ts_ms[known] > ts_ms[known[-1]] - memory_ms]
        due = len(known) + max(1, int(defaults.growth * len(learn_from)))
        due_at_end = len(known) + max(1, int(END_GROWTH * len(learn_from)))
        yield at, learn_from


def calibrate(values: Floats, residuals: Floats, jumps: Floats) -> Usual:
    """Return what is usual in the steps of `values`, `residuals` and `jumps` [step, metric], missing ones NaN.

    Of a metric that has hardly a value there, the position and the jumps say nothing.
    """
    value, residual, jump = (np.ascontiguousarray(matrix.T) for matrix in (values, residuals, jumps))
    lowest, middle, highest = _at_shares(value, 0.0, 0.5, 1.0)
    reach = highest - lowest
    spread = _sizes(np.abs(value - middle[:, None])).usual + LEAST_SPREAD * reach
    few = np.count_nonzero(~np.isnan(value), axis=1) < LEAST_VALUES
    spread[few | (reach == 0)] = np.inf
    residual_sizes = _sizes(residual)
    residual_scale = LOGARITHM_FROM * (residual_sizes.usual + LEAST_RESIDUAL)
    jump_scale = LOGARITHM_FROM * (_sizes(jump).usual + LEAST_JUMP * np.where(reach > 0, reach, np.abs(middle)) + TINY)
    jump_scale[few] = np.inf

    z = np.clip((value - middle[:, None]) / spread[:, None], -WIDEST_STANDARD, WIDEST_STANDARD)
    positions = np.where(np.isnan(z), 0.0, np.copysign(np.log(1 + np.abs(z)), z))
    position_mean = positions.mean(axis=1)
    positions -= position_mean[:, None]
    covariance = positions @ positions.T / positions.shape[1]
    precision = np.linalg.inv(covariance + SHRINKAGE * np.diag(np.diag(covariance) + LEAST_VARIANCE))
    prediction = precision / np.diag(precision)
    errors = np.abs(prediction.T @ positions)
    break_scale = _sizes(errors).usual + LEAST_BREAK
    return Usual(
        center=middle,
        spread=spread,
        residual_mean=residual_sizes.mean,
        residual_scale=residual_scale,
        residual_floor=np.log(1 + residual_sizes.median / residual_scale),
        jump_scale=jump_scale,
        position_mean=position_mean,
        prediction=np.ascontiguousarray(prediction),
        break_level=np.log(errors + MATCH).mean(axis=1),
        break_scale=break_scale,
        break_floor=np.log(1 + _at_shares(errors, BREAK_SHARE)[0] / break_scale),
    )


def evenly_spaced(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return at most `SAMPLE_STEPS` of `steps`."""
    return steps[:: -(-len(steps) // SAMPLE_STEPS)]


def nothing_known() -> Usual:
    """Return what is usual before anything was seen: empty arrays."""
    none, square = np.zeros(0), np.zeros((0, 0))
    return Usual(none, none, none, none, none, none, none, square, none, none, none)


class _Sizes(NamedTuple):
    mean: Floats
    median: Floats
    usual: Floats


def _sizes(rows: Floats) -> _Sizes:
    """Return what each row of sizes is like, 0 where it has none."""
    median, high = _at_shares(rows, 0.5, HIGH_SHARE)
    mean = row_mean(rows)
    mean = np.where(np.isnan(mean), 0.0, mean)
    return _Sizes(mean, median, mean + high / 3)


def _at_shares(rows: Floats, *shares: float) -> list[Floats]:
    """Return of each row the values that lie at the `shares` of its order, 0 where it has none.

    Sorting is faster here than what `row_quantiles` does, and no value between two is needed.
    """
    ordered = np.sort(rows, axis=1)  # NaN, a missing value, goes last
    last = rows.shape[1] - np.count_nonzero(np.isnan(rows), axis=1) - 1
    row = np.arange(len(rows))
    return [np.where(last < 0, 0.0, ordered[row, (share * np.maximum(last, 0)).astype(np.int64)]) for share in shares]
