"""How unusual the metrics of one entity are together, step by step, and which of them explain it.

A metric adds to the joint deviation of a step in two ways. It is far from what its own past led to expect
(`residuals`): so many of the metric's usual residuals, fewer where its residuals were large all day. And it no
longer goes with the other metrics: a ridge regression on their usual covariance predicts each from the others, and
counts how many of its usual errors it is off, fewer where it was off for weeks. Both count by their logarithms. The
joint deviation is the mean of the metrics that deviate most, so a single metric, however far off, weighs little
(judge it alone), and several at once weigh much; it rises fast and falls slowly. The alarm line is the high quantile
of the usual joint deviations. What is usual is learned from the steps that `reference` marks as known to be normal;
without a reference from the last weeks, and the line is higher.

Everything is causal: the score of a step uses that step and those before it, also of the reference.

Method: own combination, chosen on the Server Machine Dataset (Su et al. 2019, OmniAnomaly) and the Application
Server Dataset (Li et al. 2021, InterFusion). Regressing each variable on all others by the inverse of their
covariance: Lauritzen (1996), "Graphical Models", chapter 5.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.anomaly.multivariate_calibration import (
    Floats,
    MultivariateDefaults,
    State,
    calibrate,
    calibrations,
    evenly_spaced,
    nothing_known,
)
from analytics_assets.kernels.anomaly.residuals import checked_instants, checked_reference, standardized_residuals

LARGEST_VALUE = 1e100

LEAST_LINE = 0.1
"""Least alarm line, as a joint deviation: that of metrics that never moved."""


DEFAULTS = MultivariateDefaults()


@dataclass(frozen=True)
class MultivariateScores:
    """What is known of each step, by `step` and `metric` of the input."""

    score: Floats
    """[step]: joint deviation over the alarm line; 0 while too little is known, and where all metrics are missing."""

    alarm: NDArray[np.bool_]
    """[step]: whether the score is at least 1."""

    explanations: NDArray[np.float32]
    """[step, metric]: how much each metric deviates, from its own past and from its last few points.

    The square of a logarithm, so that the mean over an interval is ruled by its worst steps; at least 0, NaN
    where the metric is missing, 0 while too little is known.
    """


def multivariate_scores(
    ts_ms: NDArray[np.int64],
    values: NDArray[np.floating],
    reference: NDArray[np.bool_] | None = None,
    defaults: MultivariateDefaults = DEFAULTS,
) -> MultivariateScores:
    """Return the scores of `values` [step, metric] at the instants `ts_ms` [step], which never fall.

    NaN and infinite values are missing; a metric may be missing throughout, or begin late. `reference`
    [step] marks the steps known to be normal: then only these are learned from, and nothing is scored before
    there are `first_steps` of them. Raises ValueError where the shapes do not fit or `ts_ms` falls.
    """
    from analytics_assets.kernels.anomaly.multivariate_kernel import jumps_from_recent, score_steps

    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(f"values have the shape {values.shape}; give a matrix [step, metric] of at least one metric")
    checked_instants(ts_ms, len(values))
    mask = checked_reference(reference, len(ts_ms))
    if len(ts_ms) == 0:
        return MultivariateScores(np.zeros(0), np.zeros(0, np.bool_), np.zeros(values.shape, np.float32))
    trusted = mask if reference is not None else np.ones(len(ts_ms), np.bool_)
    matrix = np.where(np.isfinite(values), np.clip(values, -LARGEST_VALUE, LARGEST_VALUE), np.nan).astype(np.float64)
    residuals = np.ascontiguousarray(np.abs(standardized_residuals(ts_ms, np.ascontiguousarray(matrix.T), reference)).T)
    jumps = jumps_from_recent(matrix)

    steps, metrics = matrix.shape
    joint, line = np.zeros(steps), np.full(steps, np.inf)
    explanations = np.where(np.isnan(residuals), np.float32(np.nan), np.float32(0))
    state = State(np.zeros(metrics), np.zeros(metrics, np.int64), np.zeros(metrics), np.zeros(1))
    factor = defaults.line_factor_without_reference if reference is None else 1.0
    usual, begin, first = nothing_known(), 0, steps
    for at, learn_from in calibrations(ts_ms, trusted, defaults):
        score_steps(ts_ms, matrix, residuals, jumps, begin, at, usual, defaults, state, joint, explanations)
        first, begin = min(first, at), at
        sample = evenly_spaced(learn_from)
        usual = calibrate(matrix[sample], residuals[sample], jumps[sample])
        scored = learn_from[learn_from >= first]
        if len(scored) >= defaults.first_steps:
            line[at:] = max(LEAST_LINE, factor * float(np.quantile(joint[scored], defaults.line_share)))
    score_steps(ts_ms, matrix, residuals, jumps, begin, steps, usual, defaults, state, joint, explanations)
    score = joint / line
    return MultivariateScores(score, score >= 1, explanations)


def explaining_metrics(explanations: NDArray[np.floating], count: int) -> list[tuple[int, float]]:
    """Return the `count` metrics that explain an interval best, and the share of the whole that each has.

    `explanations` are the interval's rows [step, metric]. The best come first, of equal ones the first
    column; metrics that do not deviate are left out, so fewer than `count` may come.
    """
    size = np.where(np.isnan(explanations), 0.0, explanations).astype(np.float64).sum(axis=0)
    total = float(size.sum())
    order = np.argsort(-size, kind="stable")[:count]
    return [(int(metric), float(size[metric]) / total) for metric in order if size[metric] > 0]
