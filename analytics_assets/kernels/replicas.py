"""Counters that are seen twice: by two servers that scrape one target, or through two exporters of one total.

Their labels differ (`replica`, `prometheus`, `instance`), and so do those of counters that count
different things and are to be added. Only their values tell: those of one counter, seen at nearly
the same times, lie between one another all day and fall together. Others may for a moment, but
they began at other times and grow at other rates.

So two are replicas if at the end of every step of the grid the value of each is between those that
the other has at the ends of the step before and of the step after. Steps around which the other
lacks a sample or began again tell nothing. Counters that hardly rise would agree by chance: it
takes `RISES` steps around which both rose.
"""

from collections.abc import Sequence

import numpy as np

from analytics_assets.kernels.samples import BoolArray, FloatArray, IntArray

RISES = 6
"""Steps around which a counter and its replica must have risen."""


def replicas(values: Sequence[FloatArray]) -> list[int]:
    """Return for each of `values` the number of the first that shows the same, its own where none does.

    Each is [counter, step], the last value of the step or NaN without a sample: one counter, or a
    family of counters in the same order everywhere. Families are replicas as a whole or not at all.
    """
    first: list[int] = []
    for number, own in enumerate(values):
        earlier = (other for other in range(number) if first[other] == other)
        first.append(next((other for other in earlier if _same(own, values[other])), number))
    return first


def _same(one: FloatArray, other: FloatArray) -> bool:
    return _follows(one, other) and _follows(other, one)


def _follows(one: FloatArray, other: FloatArray) -> bool:
    """Return whether `one` is between its neighbours in `other` wherever that can be told, and often enough."""
    before, own, after = other[:, :-2], other[:, 1:-1], other[:, 2:]
    value, value_before = one[:, 1:-1], one[:, :-2]
    told = (before <= own) & (own <= after) & ~np.isnan(value)  # a comparison with NaN is false
    if np.any(told & ((value < before) | (value > after))):
        return False
    risen = told & (before < after) & (value_before < value)
    return int(np.count_nonzero(risen.any(axis=0))) >= RISES


def speakers(covered_ms: FloatArray, doubtful: BoolArray, samples: IntArray, tolerance_ms: int) -> IntArray:
    """Return which of some replicas speaks in each step; all arguments but the last are [replica, step].

    The one with the most samples, except where it covers clearly less time than another does, or
    took its increase over a gap in which another saw more.
    """
    order = np.argsort(-samples.sum(axis=1), kind="stable")
    covered, unsure = covered_ms[order], doubtful[order]
    sure = (covered > 0) & ~unsure
    eligible = np.where(sure.any(axis=0), sure, covered > 0)
    best = np.where(eligible, covered, 0.0).max(axis=0)
    speaks = eligible & (covered >= best - tolerance_ms)
    chosen: IntArray = order[speaks.argmax(axis=0)]
    return chosen
