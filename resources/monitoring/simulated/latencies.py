"""Latencies as an exporter counts them: histograms whose buckets, sum and count tell the same story.

The latencies of the operations of one sample are log-logistic with shape 4 about their median: a
long tail, and a share below any bound that needs no more than multiplying and dividing, so that it
is the same to the last bit on every processor.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.simulated.clock import Clock
from resources.monitoring.simulated.nodes import Node

Array = NDArray[np.float64]

STORAGE_BOUNDS = tuple(0.001 * 2**step for step in range(10))
"""Upper bounds in seconds, as NovaCron's exporter has them: 1 to 512 ms."""
NETWORK_BOUNDS = tuple(0.0001 * 2**step for step in range(10))
"""The same for latencies between nodes: 0.1 to 51.2 ms."""
MEAN_OF_MEDIAN = 1.1107207345395915
"""The mean of a log-logistic distribution of shape 4 by its median: pi / 4 / sin(pi / 4)."""
COUNT, SUM, BUCKETS = 0, 1, 2
"""Where an array of latencies has what: counts, sums, and from `BUCKETS` on the buckets, without the infinite one."""


def observed(operations: Array, median: Array, bounds: tuple[float, ...]) -> Array:
    """Return what each sample adds to the count, the sum and the buckets.

    `operations` and `median` are histogram x sample; the result is histogram x what x sample.
    """
    added = np.empty((len(operations), BUCKETS + len(bounds), operations.shape[1]))
    fourth = median * median
    fourth *= fourth
    added[:, COUNT] = operations
    added[:, SUM] = operations * median * MEAN_OF_MEDIAN
    for position, bound in enumerate(bounds):
        below = bound * bound * bound * bound
        added[:, BUCKETS + position] = operations * (below / (below + fourth))
    return added


def whole(total: Array, median: Array) -> Array:
    """Return counters of whole operations: `total` (as `observed`) as it was when the last one ended.

    A sample has at least one operation, so that one ended within the sample, at its mean latency.
    """
    counters = np.floor(total)
    counters[:, SUM] = total[:, SUM] - (total[:, COUNT] - counters[:, COUNT]) * (median * MEAN_OF_MEDIAN)
    return counters


class SinceRestart:
    """The sum of what a node's samples add, since its exporter was last restarted.

    `added` gives it for a node and day, samples last. A day needs those before it back to the
    restart, of which only the last sum is kept.
    """

    def __init__(self, clock: Clock, added: Callable[[Node, int], Array]) -> None:
        self.clock = clock
        self.added = added
        self._end = lru_cache(maxsize=8192)(self._sum_to_end)

    def total(self, node: Node, day: int) -> Array:
        """Return the sum at each sample of `day`."""
        added, restart = self.added(node, day), self._restart(node, day)
        total = np.cumsum(added, axis=-1)
        if day:
            total += self._end(node, day - 1)
        if restart is not None:
            total[..., restart:] = np.cumsum(added[..., restart:], axis=-1)
        return total

    def _sum_to_end(self, node: Node, day: int) -> Array:
        added, restart = self.added(node, day), self._restart(node, day)
        # Summed in the same order as in `total`, for the same last bit.
        end = np.cumsum(added[..., restart or 0 :], axis=-1)[..., -1:].copy()
        if restart is None and day:
            end += self._end(node, day - 1)
        return end

    def _restart(self, node: Node, day: int) -> int | None:
        """Return the sample of `day` at which the exporter of `node` was restarted."""
        begin = day * self.clock.per_day
        return next((at - begin for at in node.restarts if begin <= at < begin + self.clock.per_day), None)
