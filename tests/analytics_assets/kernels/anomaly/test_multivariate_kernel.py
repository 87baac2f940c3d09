"""The compiled loop against a slow one that follows the definitions, and the schedule of what is learned when."""

import math

import numpy as np
import pytest
from numba.core import types

from analytics_assets.kernels.anomaly import multivariate_kernel
from analytics_assets.kernels.anomaly.multivariate import multivariate_scores
from analytics_assets.kernels.anomaly.multivariate_calibration import (
    SAMPLE_STEPS,
    MultivariateDefaults,
    calibrate,
    calibrations,
    evenly_spaced,
    first_state,
    nothing_known,
)
from analytics_assets.kernels.anomaly.multivariate_kernel import (
    distances,
    jumps_from_recent,
    score_block,
    sizes,
    sum_of_largest,
)

STEP_MS = 60_000
ONE_DAY = MultivariateDefaults(memory_days=1.0)
DEFAULTS = MultivariateDefaults(most=3, break_weight=0.7, rise=0.4, fall=0.1, noise_days=0.5, memory_days=20.0)


def entity(steps, metrics, seed):
    """Values [metric, step] with gaps that follow a common load, residuals that stand for theirs, and a pause."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(steps) + 0.3 * rng.standard_normal((metrics, steps))
    values[rng.random(values.shape) < 0.1] = np.nan
    residuals = np.where(np.isnan(values), np.nan, rng.exponential(1.0, values.shape))
    ts = np.arange(steps, dtype=np.int64) * STEP_MS
    ts[steps // 2 :] += 7 * 86_400_000
    return ts, values, residuals


def oracle(ts, values, residuals, usual, defaults):
    """Joint deviations and explanations from the definitions, one dictionary entry at a time."""
    metrics, steps = values.shape
    recent, count, drift = [0.0] * metrics, [0] * metrics, [0.0] * metrics
    last_few = [None] * metrics
    smoothed = 0.0
    joint, explanations = [0.0] * steps, np.full((steps, metrics), np.nan)
    for i in range(steps):
        elapsed = min(ts[i] - ts[i - 1], 3_600_000) / 86_400_000 if i else 0.0
        there = [j for j in range(metrics) if not math.isnan(values[j, i])]
        positions = {}
        for j in there:
            z = max(-30, min(30, (values[j, i] - usual.center[j]) / usual.spread[j]))
            positions[j] = math.copysign(math.log1p(abs(z)), z) - usual.position_mean[j]
        found = []
        for j in there:
            jump = 0.0 if last_few[j] is None else abs(values[j, i] - last_few[j])
            last_few[j] = values[j, i] if last_few[j] is None else 0.7 * last_few[j] + 0.3 * values[j, i]
            noise = max(1, (recent[j] + 0.1) / (usual.residual_mean[j] + 0.1))
            own = math.log1p(residuals[j, i] / usual.residual_scale[j] / noise)
            explanations[i, j] = (own + math.log1p(jump / usual.jump_scale[j])) ** 2
            error = abs(sum(at * usual.prediction[k, j] for k, at in positions.items()))
            broken = math.log1p(error / usual.break_scale[j] / math.exp(max(0, drift[j])))
            floors = math.log(usual.residual_floor[j]), math.log(usual.break_floor[j])
            found.append(max(0, own - floors[0]) + defaults.break_weight * max(0, broken - floors[1]))
            rate = 1 - math.exp(-elapsed / defaults.memory_days)
            drift[j] += rate * (math.log(error + 0.1) - usual.break_level[j] - drift[j])
            count[j] += 1
            rate = max(1 - math.exp(-elapsed / defaults.noise_days), 1 / count[j])
            recent[j] += rate * (residuals[j, i] - recent[j])
        if there:
            largest = sorted(found)[-defaults.most :]
            now = sum(largest) / len(largest)
            smoothed += (defaults.rise if now > smoothed else defaults.fall) * (now - smoothed)
            joint[i] = smoothed
    return joint, explanations


@pytest.mark.parametrize("metrics", [1, 2, 5])
def test_the_loop_does_what_the_definitions_say(metrics):
    """Also when the steps come in blocks: what is carried from one to the next is all that the next one needs."""
    ts, values, residuals = entity(300, metrics, seed=metrics)
    jumps = jumps_from_recent(values)
    usual = calibrate(*(np.ascontiguousarray(rows[:, :200]) for rows in (values, residuals, jumps)))
    expected, explained = oracle(ts, values, residuals, usual, DEFAULTS)
    for first in (0, 100, 300):
        joint, explanations, state = (
            np.zeros(300),
            np.full((300 - first, metrics), np.nan, np.float32),
            first_state(metrics),
        )
        for begin, end in [(0, 1), (1, 170), (170, 300)]:
            score_block(
                ts,
                values,
                residuals,
                jumps,
                DEFAULTS.weights,
                state,
                joint,
                first,
                explanations,
                tuple(usual),
                begin,
                end,
            )
        assert joint == pytest.approx(np.array(expected))
        assert explanations == pytest.approx(explained[first:], rel=1e-5, nan_ok=True)


def test_before_anything_is_known_only_the_residuals_are_remembered():
    _, values, residuals = entity(50, 2, seed=1)
    ts = np.arange(50, dtype=np.int64) * STEP_MS
    joint, explanations, state = np.zeros(50), np.zeros((50, 2), np.float32), first_state(2)
    jumps, nothing = jumps_from_recent(values), tuple(nothing_known())
    score_block(ts, values, residuals, jumps, DEFAULTS.weights, state, joint, 0, explanations, nothing, 0, 50)
    assert not joint.any()
    assert not explanations.any()
    assert state[0] == pytest.approx(np.nanmean(residuals, axis=1))


def test_the_prediction_from_the_others_is_the_ridge_regression():
    """Against solving the regression of each metric on the others, with the same penalty."""
    _, values, residuals = entity(400, 4, seed=9)
    values = np.where(np.isnan(values), 0.0, values)
    usual = calibrate(values, residuals, jumps_from_recent(values))
    z = (values.T - usual.center) / usual.spread
    positions = np.copysign(np.log1p(np.abs(z)), z) - usual.position_mean
    covariance = np.cov(positions.T, bias=True)
    penalty = np.diag(np.diag(covariance) + 1e-3)
    for j in range(4):
        others = [k for k in range(4) if k != j]
        solved = np.linalg.solve((covariance + penalty)[np.ix_(others, others)], covariance[others, j])
        assert positions @ usual.prediction[:, j] == pytest.approx(positions[:, j] - positions[:, others] @ solved)


def test_a_metric_without_values_or_change_has_a_scale_that_does_no_harm():
    values = np.stack([np.full(100, np.nan), np.full(100, 5.0), np.zeros(100), np.arange(100.0)])
    residuals = np.where(np.isnan(values), np.nan, 0.0)
    usual = calibrate(values, residuals, jumps_from_recent(values))
    assert np.isinf(usual.spread[0])
    assert np.isinf(usual.jump_scale[0])
    assert all(scale > 0 for scale in (*usual.spread, *usual.residual_scale, *usual.jump_scale, *usual.break_scale))
    assert all(np.isfinite(part).all() for part in usual if part is not usual.spread and part is not usual.jump_scale)


def test_without_jumps_all_else_is_the_same():
    _, values, residuals = entity(300, 3, seed=5)
    with_jumps, without = calibrate(values, residuals, jumps_from_recent(values)), calibrate(values, residuals, None)
    assert np.isinf(without.jump_scale).all()
    assert all(
        np.array_equal(a, b) for a, b in zip(without, with_jumps._replace(jump_scale=without.jump_scale), strict=True)
    )


ROWS = {
    "one value": [[4.0, np.nan, np.nan]],
    "none, and a constant": [[np.nan] * 3, [2.0] * 3],
    "two sides": [[-100.0, -3.0, 0.0, 0.5, 1.0, 1.0, 2.0, 50.0, np.nan]],
    "many, with gaps": np.where(
        np.random.default_rng(2).random((4, 700)) < [[0.0], [0.1], [0.5], [0.99]],
        np.nan,
        np.random.default_rng(3).standard_t(2, (4, 700)),
    ),
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS.keys())
def test_usual_distances_and_sizes_are_those_of_the_sorted_values(rows):
    """The distances are never sorted: stops an end of the row from being left out wrongly."""
    ordered = np.sort(np.array(rows), axis=1)
    for row, *found in zip(ordered, *distances(ordered), strict=True):
        there = row[~np.isnan(row)]
        if len(there) == 0:
            assert found == [0, 0, 0, 0]
            continue
        middle = np.quantile(there, 0.5, method="lower")
        off = np.abs(there - middle)
        usual = off.mean() + np.quantile(off, 0.98, method="lower") / 3
        assert found == pytest.approx([len(there), middle, np.ptp(there), usual])
    ordered = np.sort(np.abs(np.array(rows)), axis=1)
    for row, *found in zip(ordered, *sizes(ordered, 0.9), strict=True):
        there = row[~np.isnan(row)]
        if len(there) == 0:
            assert found == [0, 0, 0]
            continue
        at_share, high = np.quantile(there, [0.9, 0.98], method="lower")
        assert found == pytest.approx([there.mean(), at_share, there.mean() + high / 3])


@pytest.mark.parametrize("count", [0, 1, 3, 4, 20])
def test_the_largest_are_summed(count):
    found = np.random.default_rng(count).integers(0, 5, count).astype(float)  # with ties
    room = np.full(3, 9.0)  # left from the step before
    assert sum_of_largest(found, room) == pytest.approx(sum(sorted(found)[-3:]))


def test_compiled_code_is_kept_with_no_type_that_an_upgrade_could_break():
    """Numba keeps the types of arguments on disk by their classes: one that moved makes the next version crash."""
    values = np.random.default_rng(0).standard_normal((800, 3))
    multivariate_scores(np.arange(800, dtype=np.int64) * STEP_MS, values)

    def plain(kind):
        if isinstance(kind, types.BaseTuple):
            return not isinstance(kind, types.BaseNamedTuple) and all(plain(part) for part in kind)
        return isinstance(kind, types.Array | types.Number | types.Boolean | types.NoneType)

    loops = {name: loop for name, loop in vars(multivariate_kernel).items() if hasattr(loop, "nopython_signatures")}
    assert loops["score_block"].nopython_signatures
    for name, loop in loops.items():
        for signature in loop.nopython_signatures:
            assert all(plain(kind) for kind in (*signature.args, signature.return_type)), (name, signature)


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
