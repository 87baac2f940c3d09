import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.anomaly.counter_rates import COUNTER_CHANGES, counter_rates, counter_span
from analytics_assets.kernels.anomaly.scores import score_series
from tests.analytics_assets.kernels.anomaly.planted_series import STEPS_PER_DAY, Floats, instants, normal


def counted(days: int, seed: int) -> Floats:
    """What a request counter counts in each step."""
    return np.diff(normal("counter", days, seed), prepend=0.0)


def test_counter_is_known_after_a_hundred_changes() -> None:
    values = normal("counter", 3, seed=1)
    assert counter_span(values) == (COUNTER_CHANGES, len(values))
    assert counter_span(values[:COUNTER_CHANGES]) == (COUNTER_CHANGES, COUNTER_CHANGES)


@pytest.mark.parametrize("kind", ["flat", "constant", "daily", "weekly", "lognormal", "a fifth missing"])
def test_gauges_are_no_counters(kind: str) -> None:
    """A gauge that is taken for a counter is judged by its slope, and its level is lost."""
    begin, end = counter_span(normal(kind, 7, seed=2))
    assert begin == end


def test_resets_are_allowed_and_other_falls_are_not() -> None:
    values = np.cumsum(counted(3, seed=3))
    reset, fall = values.copy(), values.copy()
    reset[400:] -= values[399]
    fall[400:] -= 0.2 * values[399]
    assert counter_span(reset) == (COUNTER_CHANGES, len(values))
    assert counter_span(fall) == (COUNTER_CHANGES, 400)


def test_sawtooth_is_no_counter() -> None:
    """A queue that fills and is emptied every hour restarts more often than any process."""
    begin, end = counter_span(np.tile(np.arange(1.0, 13.0), 100))
    assert begin == end


def test_rates_are_per_second_and_unknown_over_resets() -> None:
    ts = np.array([0, 10_000, 10_000, 30_000, 40_000, 50_000], np.int64)
    rates = counter_rates(ts, np.array([5.0, 25.0, 26.0, np.nan, 56.0, 3.0]))
    assert np.array_equal(rates, [np.nan, 2.0, np.nan, np.nan, 1.0, np.nan], equal_nan=True)


@pytest.mark.parametrize(("factor", "sign"), [(5.0, 1), (0.0, -1)])
def test_burst_and_standstill_of_a_counter_alarm(factor: float, sign: int) -> None:
    """Neither shows in a total of millions."""
    amounts = counted(28, seed=4)
    at = 24 * STEPS_PER_DAY
    amounts[at : at + 12] *= factor
    scores = score_series(instants(len(amounts)), np.cumsum(amounts))
    assert scores.alarm[at]
    assert np.sign(scores.excess[at]) == sign


def test_restart_of_a_counter_does_not_alarm() -> None:
    values = np.cumsum(counted(28, seed=5))
    at = 24 * STEPS_PER_DAY
    values[at:] -= values[at - 1]
    assert not score_series(instants(len(values)), values).alarm.any()


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), fall=st.integers(1, 399), cut=st.integers(0, 400))
def test_whether_a_point_is_of_a_counter_depends_on_no_later_one(seed: int, fall: int, cut: int) -> None:
    random = np.random.default_rng(seed)
    values = np.cumsum(random.exponential(1, 400))
    values[fall:] -= random.choice([0.0, 0.3, 1.0]) * values[fall - 1]
    values[random.random(400) < 0.1] = np.nan
    begin, end = counter_span(values)
    part = counter_span(values[:cut])
    inside = np.arange(cut)
    assert np.array_equal((inside >= part[0]) & (inside < part[1]), (inside >= begin) & (inside < end))
    ts = instants(400)
    assert np.array_equal(score_series(ts, values).score[:cut], score_series(ts[:cut], values[:cut]).score)


@pytest.mark.parametrize("values", [[], [1.0], [np.nan] * 5, [np.inf, 1.0]])
def test_edges(values: list[float]) -> None:
    data = np.array(values)
    assert counter_span(data) == (len(data), len(data))
    assert np.isnan(counter_rates(instants(len(data)), data)).all()
