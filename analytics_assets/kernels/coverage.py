"""How many samples there would be if none were missing.

An entity is expected to have sent samples at its own interval while it was there: from its first
sample to its last. That of a VM made at noon misses nothing, nor does one that was deleted then.
But where it begins with the first sample of all, or ends with the last of all, nobody can tell
whether there was nothing to measure or nobody who measured: then the whole of the window counts.
"""

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

TOGETHER_INTERVALS = 2
"""Entities whose first (last) samples are within so many intervals began (ended) together."""


def expected_samples(
    seen: IntArray,
    first_ms: IntArray,
    last_ms: IntArray,
    interval_ms: IntArray,
    window_ms: tuple[int, int],
    all_ms: tuple[int, int],
) -> IntArray:
    """Return how many samples of one metric each entity would have in `window_ms`, at least those `seen`.

    `first_ms`, `last_ms` and `interval_ms` are by entity (interval 0: not known, as of a single
    sample, which is expected just as it was seen); `all_ms` are the first and the last sample of
    anything in the window. An entity without a sample is expected to have none.
    """
    slack = TOGETHER_INTERVALS * interval_ms
    begin = np.where(first_ms <= all_ms[0] + slack, window_ms[0], first_ms)
    end = np.where(last_ms >= all_ms[1] - slack, window_ms[1], last_ms + interval_ms)
    known = (interval_ms > 0) & (seen > 0)
    count = np.rint((end - begin) / np.where(known, interval_ms, 1)).astype(np.int64)
    return np.maximum(np.where(known, count, 0), seen)
