"""What is usual of an entity's metrics together: learned from steps known to be normal, or from the past."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAY_MS = 86_400_000.0

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

    @property
    def weights(self) -> tuple[int, float, float, float, float, float]:
        """What `multivariate_kernel.score_block` needs of them."""
        return self.most, self.break_weight, self.rise, self.fall, self.noise_days, self.memory_days


class Usual(NamedTuple):
    """What is usual of each metric [metric], learned by `calibrate`."""

    center: Floats
    spread: Floats
    """Middle of the values and their usual deviation from it, in the metric's unit."""

    residual_mean: Floats
    residual_scale: Floats
    residual_floor: Floats
    """Usual residuals, and 1 + the median one in units of the scale: so much is nothing to report."""

    jump_scale: Floats
    """Usual distance from the last few points, in the metric's unit."""

    position_mean: Floats
    """Mean of the positions, see `multivariate_kernel.position`; a missing value has none and counts as 0."""

    prediction: Floats
    """[metric, metric]: a row of positions times this is each metric's error from the others' prediction."""

    break_level: Floats
    break_scale: Floats
    break_floor: Floats
    """Mean logarithm of that error, its usual size, and 1 + the error that is nothing to report in units of that."""


State = tuple[Floats, NDArray[np.int64], Floats, Floats]
"""What is carried from one block of steps to the next; the arrays are updated in place.

Mean residual of the last days [metric], and how many residuals there were [metric]; how much larger the errors from
the others were in the last weeks than usual, mean logarithm [metric]; the smoothed joint deviation [1].
"""


def first_state(metrics: int) -> State:
    """Return the state before the first step."""
    return np.zeros(metrics), np.zeros(metrics, np.int64), np.zeros(metrics), np.zeros(1)


def calibrations(
    ts_ms: NDArray[np.int64], trusted: NDArray[np.bool_], defaults: MultivariateDefaults
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield where to calibrate anew, and the trusted steps of the last `memory_days` before it.

    The first time is after `first_steps` trusted steps, then each time that there is a share `growth`
    more of them, and where trusted steps end with a tenth more: nothing better may come for long.
    """
    memory_ms = int(defaults.memory_days * DAY_MS)
    places = np.flatnonzero(trusted)
    places_ms = ts_ms[places]
    before = np.concatenate([[0], np.cumsum(trusted)])
    ends = np.flatnonzero(trusted[:-1] & ~trusted[1:]) + 1
    due = due_at_end = max(1, defaults.first_steps)
    at = 0
    while True:
        later = ends[(ends > at) & (before[ends] >= due_at_end)]
        at = min([int(np.searchsorted(before, due)), *later[:1].tolist()])
        if at >= len(trusted):
            return
        known = int(before[at])
        learn_from = places[np.searchsorted(places_ms, places_ms[known - 1] - memory_ms, side="right") : known]
        due = known + max(1, int(defaults.growth * len(learn_from)))
        due_at_end = known + max(1, int(END_GROWTH * len(learn_from)))
        yield at, learn_from


def calibrate(values: Floats, residuals: Floats, jumps: Floats | None) -> Usual:
    """Return what is usual in the steps of `values`, `residuals` and `jumps` [metric, step], missing ones NaN.

    Of a metric that has hardly a value there, the position and the jumps say nothing; nor do any jumps without `jumps`.
    """
    from analytics_assets.kernels.anomaly.multivariate_kernel import MATCH, centered_positions, distances, sizes

    # Sorting each row once is faster here than partitioning it at several ranks; missing values go last.
    count, middle, reach, distance = distances(np.sort(values, axis=1))
    few = count < LEAST_VALUES
    spread = distance + LEAST_SPREAD * reach
    spread[few | (reach == 0)] = np.inf
    residual_mean, residual_median, usual_residual = sizes(np.sort(residuals, axis=1), 0.5)
    residual_scale = LOGARITHM_FROM * (usual_residual + LEAST_RESIDUAL)
    jump_scale = np.full(len(values), np.inf)
    if jumps is not None:
        _, _, usual_jump = sizes(np.sort(jumps, axis=1), 0.5)
        least_jump = LEAST_JUMP * np.where(reach > 0, reach, np.abs(middle)) + TINY
        jump_scale = np.where(few, np.inf, LOGARITHM_FROM * (usual_jump + least_jump))

    centered, position_mean = centered_positions(values, middle, spread)
    covariance = centered @ centered.T / centered.shape[1]
    precision = np.linalg.inv(covariance + SHRINKAGE * np.diag(covariance.diagonal() + LEAST_VARIANCE))
    prediction = precision / precision.diagonal()
    errors = np.abs(prediction.T @ centered)
    break_level = np.log(errors + MATCH).mean(axis=1)
    errors.sort(axis=1)
    _, high_error, usual_error = sizes(errors, BREAK_SHARE)
    break_scale = usual_error + LEAST_BREAK
    return Usual(
        center=middle,
        spread=spread,
        residual_mean=residual_mean,
        residual_scale=residual_scale,
        residual_floor=1 + residual_median / residual_scale,
        jump_scale=jump_scale,
        position_mean=position_mean,
        prediction=np.ascontiguousarray(prediction),
        break_level=break_level,
        break_scale=break_scale,
        break_floor=1 + high_error / break_scale,
    )


def evenly_spaced(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return at most `SAMPLE_STEPS` of `steps`."""
    return steps[:: -(-len(steps) // SAMPLE_STEPS)]


def nothing_known() -> Usual:
    """Return what is usual before anything was seen: empty arrays."""
    none, square = np.zeros(0), np.zeros((0, 0))
    return Usual(none, none, none, none, none, none, none, square, none, none, none)
