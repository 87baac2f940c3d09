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
from functools import partial

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.anomaly.multivariate_calibration import (
    Floats,
    MultivariateDefaults,
    calibrate,
    calibrations,
    evenly_spaced,
    first_state,
    nothing_known,
)
from analytics_assets.kernels.anomaly.residuals import checked_instants, checked_reference, standardized_residuals

LEAST_LINE = 0.1
"""Least alarm line, as a joint deviation: that of metrics that never moved."""


DEFAULTS = MultivariateDefaults()


@dataclass(frozen=True)
class MultivariateScores:
    """What is known of each step that was asked for, by `step` and `metric` of the input."""

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
    first_step: int = 0,
) -> MultivariateScores:
    """Return the scores of `values` [step, metric] at the instants `ts_ms` [step], which never fall.

    NaN and infinite values are missing; a metric may be missing throughout, or begin late. `reference`
    [step] marks the steps known to be normal: then only these are learned from, and nothing is scored before
    there are `first_steps` of them. Only the steps from `first_step` on are returned, exactly as they are
    without it; it saves the explanations of the others. Raises ValueError where the shapes do not fit or
    `ts_ms` falls.
    """
    from analytics_assets.kernels.anomaly.multivariate_kernel import jumps_from_recent, keep_finite, score_block

    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(f"values have the shape {values.shape}; give a matrix [step, metric] of at least one metric")
    checked_instants(ts_ms, len(values))
    mask = checked_reference(reference, len(ts_ms))
    if not 0 <= first_step <= len(ts_ms):
        raise ValueError(f"first_step is {first_step}; give one of the {len(ts_ms)} steps, or their number for none")
    if len(ts_ms) == 0:
        return MultivariateScores(np.zeros(0), np.zeros(0, np.bool_), np.zeros(values.shape, np.float32))
    rows = np.array(values.T, np.float64, order="C")
    keep_finite(rows)
    # Without a reference, steps before there was anything to measure teach nothing.
    trusted = mask if reference is not None else np.asarray(~np.isnan(rows).all(axis=0))
    residuals = standardized_residuals(ts_ms, rows, reference)
    np.abs(residuals, out=residuals)
    jumps = jumps_from_recent(rows)

    metrics, steps = rows.shape
    joint, line = np.zeros(steps), np.full(steps, np.inf)
    explanations = np.where(np.isnan(rows[:, first_step:].T), np.float32(np.nan), np.float32(0))
    state = first_state(metrics)
    score = partial(
        score_block, ts_ms, rows, residuals, jumps, defaults.weights, state, joint, first_step, explanations
    )
    factor = defaults.line_factor_without_reference if reference is None else 1.0
    schedule = list(calibrations(ts_ms, trusted, defaults))
    blocks = [at for at, _ in schedule] + [steps]
    score(tuple(nothing_known()), 0, blocks[0])
    for (at, learn_from), end in zip(schedule, blocks[1:], strict=True):
        sample = evenly_spaced(learn_from)
        usual = calibrate(
            rows.take(sample, axis=1),
            residuals.take(sample, axis=1),
            jumps.take(sample, axis=1) if end > first_step else None,  # they only explain
        )
        scored = learn_from[learn_from >= blocks[0]]
        if len(scored) >= defaults.first_steps:
            line[at:] = max(LEAST_LINE, factor * _quantile(joint[scored], defaults.line_share))
        score(tuple(usual), at, end)
    scores = joint[first_step:] / line[first_step:]
    return MultivariateScores(scores, scores >= 1, explanations)


def _quantile(values: Floats, share: float) -> float:
    """Return the quantile at `share`, with linear interpolation; one rank is partitioned far faster than two."""
    place = share * (len(values) - 1)
    rank = int(place)
    parted = np.partition(values, rank)
    low, high = float(parted[rank]), float(parted[rank + 1 :].min(initial=np.inf))
    return low if place == rank else low + (place - rank) * (high - low)


def explaining_metrics(explanations: NDArray[np.floating], count: int) -> list[tuple[int, float]]:
    """Return the `count` metrics that explain an interval best, and the share of the whole that each has.

    `explanations` are the interval's rows [step, metric]. The best come first, of equal ones the first
    column; metrics that do not deviate are left out, so fewer than `count` may come.
    """
    size = np.where(np.isnan(explanations), 0.0, explanations).astype(np.float64).sum(axis=0)
    total = float(size.sum())
    order = np.argsort(-size, kind="stable")[:count]
    return [(int(metric), float(size[metric]) / total) for metric in order if size[metric] > 0]
