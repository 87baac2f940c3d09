"""From when to when a metric was out, as far as its values tell: at least half as far as at its peak.

Scores tell that something happened; they follow a new level within hours, and call the return to the
old one a deviation. The values at half of the peak's height tell how long it lasted.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

HALF = 0.5


def extent(values: NDArray[np.floating[Any]], peak: int, expected: float, quiet_steps: int) -> tuple[int, int, bool]:
    """Return the first and the last step of what peaks at the step `peak` of `values` [step], and whether it goes on.

    A step belongs to it whose value is at least half way from `expected` to the peak's. It ends before
    `quiet_steps` present values in a row that are not; missing values neither end nor lengthen it. It goes on if the
    values end before it does.
    """
    half = expected + HALF * (float(values[peak]) - expected)
    out = values >= half if values[peak] >= expected else values <= half
    there = np.isfinite(values)

    def edge(steps: range) -> tuple[int, bool]:
        last, quiet = peak, 0
        for step in steps:
            if out[step]:
                last, quiet = step, 0
            elif there[step]:
                quiet += 1
                if quiet == quiet_steps:
                    return last, False
        return last, True

    first, _ = edge(range(peak - 1, -1, -1))
    last, goes_on = edge(range(peak + 1, len(values)))
    return first, last, goes_on
