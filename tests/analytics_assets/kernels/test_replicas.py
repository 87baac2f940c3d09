"""Counters seen twice are told from others that count for themselves."""

import numpy as np
import pytest

from analytics_assets.kernels.replicas import replicas, speakers

STEPS = 48


def seen(values, offset: float = 0.0, missing=()) -> np.ndarray:
    """One counter, a function of the step, as a server shows it that scrapes `offset` steps late."""
    found = np.array([[float(values(step + offset)) for step in range(STEPS)]])
    found[:, list(missing)] = np.nan
    return found


def growing(step: float) -> float:
    return 1000 + 7 * step + 3 * np.sin(step)


def restarted(step: float) -> float:
    return growing(step) if step < 20.3 else growing(step) - 1100


@pytest.mark.parametrize("counter", [growing, restarted])
@pytest.mark.parametrize("missing", [(), range(10, 15), range(30, STEPS), range(12)])
def test_one_counter_seen_by_two_servers_is_one(counter, missing):
    """Stops a pair of servers from counting twice, through a restart and where one of them was away."""
    assert replicas([seen(counter), seen(counter, 0.3, missing)]) == [0, 0]
    assert replicas([seen(counter, 0.6, missing), seen(counter)]) == [0, 0]


@pytest.mark.parametrize(
    "other",
    [
        lambda step: growing(step) + 50,
        lambda step: growing(step) * 1.02,
        lambda step: 1000 + 8 * step,
        lambda step: growing(step + 2),
        lambda step: growing(step) if step < 40 else growing(step) + 30,
    ],
)
def test_counters_that_count_for_themselves_stay_apart(other):
    """Stops two interfaces or probers from being taken for one."""
    assert replicas([seen(growing), seen(other)]) == [0, 1]


def test_what_one_shows_now_and_then_counts_as_well():
    """Stops a counter that goes other ways from being a replica because it is seldom seen while it does."""
    seldom = seen(lambda step: growing(step) + (500 if step > 24 else 0), missing=range(24, STEPS, 2))
    assert replicas([seen(growing), seldom]) == [0, 1]
    assert replicas([seldom, seen(growing)]) == [0, 1]


def test_too_little_seen_is_no_proof():
    """Stops counters that stand still, or rose together once or twice, from being one."""
    idle = seen(lambda step: 5.0)
    assert replicas([idle, idle.copy()]) == [0, 1]
    few = seen(lambda step: min(step, 5))
    assert replicas([few, few.copy()]) == [0, 1]
    enough = seen(lambda step: min(step, 7))
    assert replicas([enough, enough.copy()]) == [0, 0]
    never = np.full((1, STEPS), np.nan)
    assert replicas([seen(growing), never, seen(growing)[:, :2]][:2]) == [0, 1]


def test_a_family_is_a_replica_as_a_whole():
    """Stops two probers with equal counts but other sums from being one."""
    count, total = seen(growing), seen(lambda step: growing(step) / 3)
    slower = seen(lambda step: growing(step) / 2)
    one, same, other = np.vstack([count, total]), np.vstack([count, total]), np.vstack([count, slower])
    assert replicas([other, one, same, other.copy()]) == [0, 1, 1, 0]


def test_who_speaks_is_who_saw_more():
    """Stops the increase over one server's gap from hiding, or adding to, what the other saw meanwhile."""
    minute = 60_000.0
    covered = np.array([[5, 3, 0, 9, 5, 4], [5, 5, 5, 5, 5, 5]]) * minute
    doubtful = np.array([[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]], bool)
    samples = np.array([[9] * 6, [5] * 6])
    assert speakers(covered, doubtful, samples, 90_000).tolist() == [0, 1, 1, 1, 0, 0]
    assert speakers(covered[:, 3:4], np.ones((2, 1), bool), samples[:, 3:4], 90_000).tolist() == [0]
