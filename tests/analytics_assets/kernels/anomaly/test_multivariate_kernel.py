"""The compiled loop against a slow one that follows the definitions, and the schedule of what is learned when."""

import math

import numpy as np
import pytest

from analytics_assets.kernels.anomaly.multivariate_calibration import (
    SAMPLE_STEPS,
    MultivariateDefaults,
    State,
    calibrate,
    calibrations,
    evenly_spaced,
    nothing_known,
)
from analytics_assets.kernels.anomaly.multivariate_kernel import jumps_from_recent, score_steps

STEP_MS = 60_000
ONE_DAY = MultivariateDefaults(memory_days=1.0)
DEFAULTS = MultivariateDefaults(most=3, break_weight=0.7, rise=0.4, fall=0.1, noise_days=0.5, memory_days=20.0)


def entity(steps, metrics, seed):
    """Values with gaps that follow a common load, residuals that stand for theirs, and instants with a pause."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((steps, 1)) + 0.3 * rng.standard_normal((steps, metrics))
    values[rng.random(values.shape) < 0.1] = np.nan
    residuals = np.where(np.isnan(values), np.nan, rng.exponential(1.0, values.shape))
    ts = np.arange(steps, dtype=np.int64) * STEP_MS
    ts[steps // 2 :] += 7 * 86_400_000
    return ts, values, residuals


def fresh(metrics):
    return State(np.zeros(metrics), np.zeros(metrics, np.int64), np.zeros(metrics), np.zeros(1))


def oracle(ts, values, residuals, usual, defaults):
    """Joint deviations and explanations from the definitions, one dictionary entry at a time."""
    steps, metrics = values.shape
    recent, count, drift = [0.0] * metrics, [0] * metrics, [0.0] * metrics
    last_few = [None] * metrics
    smoothed = 0.0
    joint, explanations = [0.0] * steps, np.full(values.shape, np.nan)
    for i in range(steps):
        elapsed = min(ts[i] - ts[i - 1], 3_600_000) / 86_400_000 if i else 0.0
        there = [j for j in range(metrics) if not math.isnan(values[i, j])]
        positions = {}
        for j in there:
            z = max(-30, min(30, (values[i, j] - usual.center[j]) / usual.spread[j]))
            positions[j] = math.copysign(math.log1p(abs(z)), z) - usual.position_mean[j]
        sizes = []
        for j in there:
            jump = 0.0 if last_few[j] is None else abs(values[i, j] - last_few[j])
            last_few[j] = values[i, j] if last_few[j] is None else 0.7 * last_few[j] + 0.3 * values[i, j]
            noise = max(1, (recent[j] + 0.1) / (usual.residual_mean[j] + 0.1))
            own = math.log1p(residuals[i, j] / usual.residual_scale[j] / noise)
            explanations[i, j] = (own + math.log1p(jump / usual.jump_scale[j])) ** 2
            error = abs(sum(at * usual.prediction[k, j] for k, at in positions.items()))
            broken = math.log1p(error / usual.break_scale[j] / math.exp(max(0, drift[j])))
            sizes.append(
                max(0, own - usual.residual_floor[j]) + defaults.break_weight * max(0, broken - usual.break_floor[j])
            )
            rate = 1 - math.exp(-elapsed / defaults.memory_days)
            drift[j] += rate * (math.log(error + 0.1) - usual.break_level[j] - drift[j])
            count[j] += 1
            rate = max(1 - math.exp(-elapsed / defaults.noise_days), 1 / count[j])
            recent[j] += rate * (residuals[i, j] - recent[j])
        if there:
            largest = sorted(sizes)[-defaults.most :]
            now = sum(largest) / len(largest)
            smoothed += (defaults.rise if now > smoothed else defaults.fall) * (now - smoothed)
            joint[i] = smoothed
    return joint, explanations


@pytest.mark.parametrize("metrics", [1, 2, 5])
def test_the_loop_does_what_the_definitions_say(metrics):
    """Also when the steps come in blocks: what is carried from one to the next is all that the next one needs."""
    ts, values, residuals = entity(300, metrics, seed=metrics)
    jumps = jumps_from_recent(values)
    usual = calibrate(values[:200], residuals[:200], jumps[:200])
    expected, explained = oracle(ts, values, residuals, usual, DEFAULTS)
    joint, explanations, state = np.zeros(300), np.full(values.shape, np.nan, np.float32), fresh(metrics)
    for begin, end in [(0, 1), (1, 170), (170, 300)]:
        score_steps(ts, values, residuals, jumps, begin, end, usual, DEFAULTS, state, joint, explanations)
    assert joint == pytest.approx(np.array(expected))
    assert explanations == pytest.approx(explained, rel=1e-5, nan_ok=True)


def test_before_anything_is_known_only_the_residuals_are_remembered():
    ts, values, residuals = entity(50, 2, seed=1)
    ts = np.arange(50, dtype=np.int64) * STEP_MS
    joint, explanations, state = np.zeros(50), np.zeros(values.shape, np.float32), fresh(2)
    score_steps(
        ts, values, residuals, jumps_from_recent(values), 0, 50, nothing_known(), DEFAULTS, state, joint, explanations
    )
    assert not joint.any()
    assert state.recent_residual == pytest.approx(np.nanmean(residuals, axis=0))


def test_the_prediction_from_the_others_is_the_ridge_regression():
    """Against solving the regression of each metric on the others, with the same penalty."""
    _, values, residuals = entity(400, 4, seed=9)
    values = np.where(np.isnan(values), 0.0, values)
    usual = calibrate(values, residuals, jumps_from_recent(values))
    z = (values - usual.center) / usual.spread
    positions = np.copysign(np.log1p(np.abs(z)), z) - usual.position_mean
    covariance = np.cov(positions.T, bias=True)
    penalty = np.diag(np.diag(covariance) + 1e-3)
    for j in range(4):
        others = [k for k in range(4) if k != j]
        solved = np.linalg.solve((covariance + penalty)[np.ix_(others, others)], covariance[others, j])
        assert positions @ usual.prediction[:, j] == pytest.approx(positions[:, j] - positions[:, others] @ solved)


def test_a_metric_without_values_or_change_has_a_scale_that_does_no_harm():
    values = np.column_stack([np.full(100, np.nan), np.full(100, 5.0), np.zeros(100), np.arange(100.0)])
    residuals = np.where(np.isnan(values), np.nan, 0.0)
    usual = calibrate(values, residuals, jumps_from_recent(values))
    assert np.isinf(usual.spread[0])
    assert np.isinf(usual.jump_scale[0])
    assert all(scale > 0 for scale in (*usual.spread, *usual.residual_scale, *usual.jump_scale, *usual.break_scale))
    assert all(np.isfinite(part).all() for part in usual if part is not usual.spread and part is not usual.jump_scale)


def test_what_is_usual_is_learned_when_there_is_half_more_to_learn_from():
    ts = np.arange(1000, dtype=np.int64) * STEP_MS
    found = list(calibrations(ts, np.ones(1000, bool), MultivariateDefaults()))
    assert [at for at, _ in found] == [100, 150, 225, 337, 505, 757]
    assert all(np.array_equal(steps, np.arange(at)) for at, steps in found)


def test_only_the_memory_counts():
    """Stops growth over years from making the baseline ever older."""
    ts = np.arange(60, dtype=np.int64) * 86_400_000
    found = list(calibrations(ts, np.ones(60, bool), MultivariateDefaults(first_steps=10, memory_days=10)))
    assert [at for at, _ in found] == [10, 15, 20, 25, 30, 35, 40, 45, 50, 55]
    assert found[-1][1].tolist() == list(range(45, 55))


def test_the_end_of_the_reference_is_learned_and_nothing_after_it():
    trusted = np.arange(1000) < 400
    trusted[700:710] = True
    ts = np.arange(1000, dtype=np.int64) * STEP_MS
    found = list(calibrations(ts, trusted, MultivariateDefaults()))
    assert [at for at, _ in found] == [100, 150, 225, 337, 400]  # ten more of 400 are not worth it
    assert found[-1][1].tolist() == list(range(400))


def test_a_schedule_never_depends_on_what_comes_later():
    rng = np.random.default_rng(4)
    trusted = rng.random(3000) < np.repeat([0.9, 0.0, 0.5, 1.0, 0.1, 0.0], 500)
    ts = np.cumsum(rng.integers(0, 3 * STEP_MS, 3000))
    whole = [(at, steps.tolist()) for at, steps in calibrations(ts, trusted, ONE_DAY)]
    for cut in (0, 1, 99, 101, 500, 501, 1750, 2999):
        part = [(at, steps.tolist()) for at, steps in calibrations(ts[:cut], trusted[:cut], ONE_DAY)]
        assert part == [entry for entry in whole if entry[0] < cut]


@pytest.mark.parametrize("count", [1, SAMPLE_STEPS, SAMPLE_STEPS + 1, 10 * SAMPLE_STEPS + 3])
def test_a_sample_is_evenly_spaced_and_never_larger_than_it_may_be(count):
    sample = evenly_spaced(np.arange(count))
    assert len(sample) <= SAMPLE_STEPS
    assert len(sample) > min(count, SAMPLE_STEPS) / 2
    assert len(set(np.diff(sample).tolist())) <= 1
