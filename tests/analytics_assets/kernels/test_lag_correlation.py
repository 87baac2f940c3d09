import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels import lag_correlation
from analytics_assets.kernels.cycle_residuals import cycle_residuals
from analytics_assets.kernels.lag_correlation import (
    autocorrelations,
    benjamini_hochberg,
    independent_movements,
    lag_correlations,
    shared_memory,
    significance,
)

HOURS, DAYS, LAGS = 24, 14, 12

THREAD_SETTINGS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def unit(values):
    values = values - values.mean(axis=1, keepdims=True)
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def oracle(left, right, maximum_lag):
    """Coefficient and lag of two series, lag by lag from the shortest, the positive one of two before the other."""
    best = (0.0, 0)
    for lag in sorted(range(-maximum_lag, maximum_lag + 1), key=lambda lag: (abs(lag), -lag)):
        total = sum(float(left[at]) * float(right[at + lag]) for at in range(len(left)) if 0 <= at + lag < len(left))
        if abs(total) > abs(best[0]) + 1e-6:
            best = (total, lag)
    return best


def ar1(rng, series, steps, rho):
    shocks = rng.standard_normal((series, steps + 200))
    values = np.zeros_like(shocks)
    for step in range(1, steps + 200):
        values[:, step] = rho * values[:, step - 1] + shocks[:, step]
    return values[:, 200:]


def all_pairs(values):
    """Coefficients, lags and significance of all pairs of raw series, as an analyzer would ask for them."""
    rest = cycle_residuals(values, HOURS, 0)
    found = lag_correlations(rest.values, rest.values, LAGS)
    pairs = np.triu_indices(len(values), 1)
    memory = autocorrelations(rest.values)
    steps = values.shape[1]
    worth = significance(
        found.coefficient[pairs],
        steps - np.abs(found.lag[pairs]),
        shared_memory(memory, memory, steps)[pairs],
        2 * LAGS + 1,
        rest.spent / steps,
    )
    return found, worth


@pytest.mark.parametrize("tile_rows", [1, 2, 256])
def test_coefficients_and_lags_are_those_of_the_definition(monkeypatch, tile_rows):
    """Tiles, both directions and different numbers of series on the two sides."""
    monkeypatch.setattr(lag_correlation, "TILE_ROWS", tile_rows)
    rng = np.random.default_rng(1)
    left, right = unit(rng.standard_normal((5, 40))), unit(rng.standard_normal((3, 40)))
    found = lag_correlations(left, right, 6)
    for i in range(5):
        for j in range(3):
            coefficient, lag = oracle(left[i], right[j], 6)
            assert found.lag[i, j] == lag
            assert found.coefficient[i, j] == pytest.approx(coefficient, abs=5e-4)


def test_one_array_against_itself_is_as_two():
    """Half of the work must not be another answer."""
    values = unit(np.random.default_rng(2).standard_normal((20, 60)))
    once, twice = lag_correlations(values, values, 8), lag_correlations(values, values.copy(), 8)
    assert np.array_equal(once.lag, twice.lag)
    assert np.array_equal(once.coefficient, twice.coefficient)
    assert np.array_equal(once.lag, -once.lag.T)


@pytest.mark.parametrize("steps", [2016, 8000])
def test_a_pair_is_the_same_among_few_and_among_many(steps):
    """A sum's last bits depend on its order, and that of a matrix product on its shape: ranks would change with it."""
    values = unit(ar1(np.random.default_rng(10), 40, steps, 0.9))
    memory = autocorrelations(values)
    few, many = lag_correlations(values[:3], values[:3], 8), lag_correlations(values, values, 8)
    assert np.array_equal(few.coefficient, many.coefficient[:3, :3])
    assert np.array_equal(few.lag, many.lag[:3, :3])
    shared = shared_memory(memory, memory, steps)
    assert np.array_equal(shared_memory(memory[:3], memory[:3], steps), shared[:3, :3])
    weights = 1 - np.arange(1, memory.shape[1] + 1) / steps
    assert shared[0, 1] == pytest.approx(np.sum(memory[0] * weights * memory[1]), abs=1e-3)


HASH_OF_ALL = """
import hashlib, sys
import numpy as np
from analytics_assets.kernels.lag_correlation import autocorrelations, lag_correlations, shared_memory
values = np.cumsum(np.random.default_rng(11).standard_normal((300, 2016)), axis=1)
values -= values.mean(axis=1, keepdims=True)
values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
found, memory = lag_correlations(values, values, 4), autocorrelations(values)
parts = found.coefficient, found.lag, shared_memory(memory, memory, 2016)
sys.stdout.write(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""


def test_the_number_of_threads_does_not_change_a_byte():
    """A day computed again on another machine would look changed."""
    hashes = {
        subprocess.run(
            [sys.executable, "-c", HASH_OF_ALL],
            env={**os.environ, **dict.fromkeys(THREAD_SETTINGS, threads)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(hashes) == 1
    assert len(hashes.pop()) == 64


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(2, 3000), st.sampled_from([0.0, 1.0, 30.0]))
def test_no_sum_of_products_is_beyond_what_is_exact(seed, steps, peakedness):
    """Whole numbers beyond 2^24 are rounded in float32, and the order would count again."""
    shocks = np.random.default_rng(seed).standard_normal((3, steps))
    whole = lag_correlation._whole_numbers(unit(np.sign(shocks) * np.abs(shocks) ** peakedness + 1e-3 * shocks))
    assert np.array_equal(whole, np.rint(whole))
    assert np.sqrt(np.square(whole.astype(np.float64)).sum(axis=1)).max() < 4096


def test_the_sign_of_the_lag_says_who_follows():
    first = np.random.default_rng(3).standard_normal(500)
    values = unit(np.array([first, np.roll(first, 3)]))
    found = lag_correlations(values, values, 10)
    assert found.lag[0, 1] == 3
    assert found.lag[1, 0] == -3
    assert found.coefficient[0, 1] > 0.95


def test_no_coefficient_is_beyond_1():
    """Rounding made 1.0000001 of a series that another one copies."""
    values = np.repeat(unit(np.random.default_rng(9).standard_normal((200, 501))), 2, axis=0)
    assert lag_correlations(values, values, 2).coefficient.max() == 1


def test_series_that_are_all_zero_correlate_with_nothing():
    found = lag_correlations(np.zeros((2, 50), np.float32), unit(np.random.default_rng(4).random((2, 50))), 5)
    assert not found.coefficient.any()
    assert not found.lag.any()


def test_no_series_and_lags_that_do_not_fit():
    assert lag_correlations(np.zeros((0, 50), np.float32), np.zeros((3, 50), np.float32), 5).lag.shape == (0, 3)
    with pytest.raises(ValueError, match="do not allow"):
        lag_correlations(np.zeros((1, 5), np.float32), np.zeros((1, 5), np.float32), 5)


def test_two_with_the_same_day_are_unrelated():
    """Both are busy at noon and idle on Sundays: without taking the cycle off, every pair of machines correlates."""
    rng = np.random.default_rng(5)
    working = np.where(np.arange(DAYS) % 7 < 5, 1.0, 0.3).repeat(HOURS)
    cycle = working * (20 + 15 * np.sin(2 * np.pi * np.arange(DAYS * HOURS) / HOURS))
    values = cycle * rng.uniform(0.5, 2, (30, 1)) + rng.standard_normal((30, DAYS * HOURS))
    assert np.corrcoef(values)[np.triu_indices(30, 1)].min() > 0.9
    _, worth = all_pairs(values)
    assert worth.q_value.min() > 0.05


def test_shocks_in_common_are_found_at_their_lag():
    """The second answers what happens to the first three steps later; the others do not."""
    rng = np.random.default_rng(6)
    shocks = ar1(rng, 1, DAYS * HOURS, 0.5)[0]
    values = ar1(rng, 20, DAYS * HOURS, 0.5)
    values[4] += 1.5 * shocks
    values[11] += 1.5 * np.roll(shocks, 3)
    found, worth = all_pairs(values)
    pairs = np.transpose(np.triu_indices(20, 1))
    assert [tuple(pair) for pair in pairs[worth.q_value <= 0.05]] == [(4, 11)]
    assert found.lag[4, 11] == 3
    assert found.coefficient[4, 11] > 0.4


@pytest.mark.parametrize("rho", [0.0, 0.9, 1.0])
def test_autocorrelated_noise_makes_no_discoveries(rho):
    """Of 12 sets of unrelated series, none may show a pair: random walks are the hardest."""
    discoveries = [
        int(np.count_nonzero(all_pairs(ar1(np.random.default_rng(seed), 25, DAYS * HOURS, rho))[1].q_value <= 0.05))
        for seed in range(12)
    ]
    assert sum(count > 0 for count in discoveries) <= 1


def test_without_the_correction_autocorrelated_noise_would_be_found():
    """This is what the effective number of steps is for."""
    values = unit(ar1(np.random.default_rng(7), 40, 2000, 0.95))
    found = lag_correlations(values, values, LAGS)
    pairs = np.triu_indices(40, 1)
    memory = autocorrelations(values)
    steps = np.full(len(pairs[0]), 2000)
    naive = significance(found.coefficient[pairs], steps, np.zeros(len(steps)), 25)
    fair = significance(found.coefficient[pairs], steps, shared_memory(memory, memory, 2000)[pairs], 25)
    assert np.mean(naive.q_value <= 0.05) > 0.5
    assert not np.any(fair.q_value <= 0.05)
    # Bartlett: (1 - r^2) / (1 + r^2) of the steps are independent.
    assert np.median(fair.effective_steps) == pytest.approx(2000 * (1 - 0.95**2) / (1 + 0.95**2), rel=0.2)


def test_autocorrelations_are_those_of_the_definition():
    values = unit(ar1(np.random.default_rng(8), 3, 100, 0.7))
    found = autocorrelations(values)
    assert found.shape == (3, 25)
    for lag in (1, 2, 25):
        assert found[:, lag - 1] == pytest.approx(np.sum(values[:, lag:] * values[:, :-lag], axis=1), abs=1e-6)


def test_a_spike_and_a_burst_are_one_movement_and_noise_is_many():
    """At some lag, one spike agrees perfectly with any other: disks that are read once a week did."""
    steps = np.arange(1000)
    series = np.array(
        [
            steps == 500,
            (steps >= 300) & (steps < 340),
            steps % 50 == 0,
            np.random.default_rng(1).standard_normal(1000),
            ar1(np.random.default_rng(2), 1, 1000, 0.9)[0],
        ],
        float,
    )
    values = np.concatenate([unit(series), np.zeros((1, 1000), np.float32)])
    spike, burst, spikes, white, slow, none = independent_movements(values, autocorrelations(values))
    assert spike == pytest.approx(1, abs=0.1)
    assert burst < 3
    assert spikes > 2
    assert white == pytest.approx(333, rel=0.15)
    assert slow == pytest.approx(333 * (1 - 0.81) / (1 + 0.81), rel=0.5)
    assert none == 0


def test_p_is_that_of_fishers_z():
    worth = significance(np.array([0.5, 0.1, 0.0, 1.0]), np.array([103, 103, 103, 2]), np.zeros(4), 1)
    z = math.atanh(0.5) * math.sqrt(100)
    assert worth.p_value[0] == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-6)
    assert worth.p_value[1] == pytest.approx(math.erfc(math.atanh(0.1) * 10 / math.sqrt(2)), rel=1e-6)
    assert worth.p_value[2:].tolist() == [1, 1]  # no coefficient; too few steps for any
    many = significance(np.array([0.5]), np.array([103]), np.zeros(1), 49)
    assert many.p_value[0] == pytest.approx(49 * worth.p_value[0], rel=1e-6)
    memory = significance(np.array([0.5]), np.array([103]), np.array([0.5]), 1, spent_share=0.5)
    assert memory.effective_steps[0] == pytest.approx(103 * 0.5 / 2)
    lively = significance(np.array([0.5]), np.array([103]), np.array([-0.4]), 1)
    assert lively.effective_steps[0] == 103  # never worth more than there are


@settings(max_examples=100)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.001, 0.5))
def test_q_values_choose_what_benjamini_and_hochberg_choose(p_values, rate):
    ordered = sorted(p_values)
    passing = [place for place, p in enumerate(ordered, start=1) if p * len(ordered) / place <= rate]
    chosen = ordered[passing[-1] - 1] if passing else -1.0
    q_values = benjamini_hochberg(np.array(p_values))
    assert [q <= rate for q in q_values] == [p <= chosen for p in p_values]


def test_no_tests_have_no_q_values():
    assert benjamini_hochberg(np.empty(0)).shape == (0,)
