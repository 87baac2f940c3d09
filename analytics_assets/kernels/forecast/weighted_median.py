"""Weighted medians and quantiles of a few values, compiled: the arithmetic that all candidates share.

An `order` is what `ascending` returns: the positions of the values that are there, smallest first,
equal values by position. Weights belong to positions.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Order = NDArray[np.int64]

TIE = 1e-9
"""Cumulative weights this close to one half, as a share of the whole, count as one half."""


@njit(cache=True, nogil=True)
def ascending(values: Vector, order: Order) -> int:
    """Write the positions of the `values` that are not NaN into `order`, smallest first; return how many.

    Insertion sort: fast for the few dozen values of a window and stable, so ties keep their place.
    """
    count = 0
    for position in range(len(values)):
        value = values[position]
        if np.isnan(value):
            continue
        at = count
        while at > 0 and values[order[at - 1]] > value:
            order[at] = order[at - 1]
            at -= 1
        order[at] = position
        count += 1
    return count


@njit(cache=True, nogil=True)
def median_of_few(values: Vector, order: Order) -> float:
    """Return the plain median of a few values without NaN; `order` is room to sort them in."""
    count = ascending(values, order)
    low, high = float(values[order[(count - 1) // 2]]), float(values[order[count // 2]])
    return low if low == high else 0.5 * low + 0.5 * high


@njit(cache=True, nogil=True)
def weighted_median(values: Vector, weights: Vector, order: Order, count: int) -> float:
    """Return the value at which half of the weight lies below; the mean of two where it lies between them.

    NaN where no value has a weight.
    """
    total = 0.0
    for at in range(count):
        total += weights[order[at]]
    if total <= 0:
        return np.nan
    below = 0.0
    for at in range(count):
        below += weights[order[at]]
        if below >= 0.5 * total * (1 - TIE):
            value = float(values[order[at]])
            if below <= 0.5 * total * (1 + TIE):
                for after in range(at + 1, count):
                    if weights[order[after]] > 0:
                        other = float(values[order[after]])
                        return value if value == other else 0.5 * value + 0.5 * other
            return value
    return float(values[order[count - 1]])


@njit(cache=True, nogil=True)
def weighted_quartile_range(values: Vector, weights: Vector, order: Order, count: int) -> float:
    """Return the distance between the values below which a quarter and three quarters of the weight lie."""
    total = 0.0
    for at in range(count):
        total += weights[order[at]]
    below, low, found = 0.0, 0.0, False
    for at in range(count):
        below += weights[order[at]]
        if not found and below >= 0.25 * total:
            low, found = float(values[order[at]]), True
        if below >= 0.75 * total:
            return float(values[order[at]]) - low
    return 0.0


@njit(cache=True, nogil=True)
def interpolated_median(values: Vector, weights: Vector, order: Order) -> float:
    """Return the median of `values` with the weight of each spread around it: linear between midpoints.

    Smoother in the weights than the plain weighted median. Equal neighbours give just that value.
    NaN values take no part; NaN where none is there.
    """
    count = ascending(values, order)
    if count == 0:
        return np.nan
    total = 0.0
    for at in range(count):
        total += weights[order[at]]
    if total <= 0:
        return np.nan
    half, below, before, middle_before = 0.5 * total, 0.0, float(values[order[0]]), 0.0
    for at in range(count):
        value, weight = float(values[order[at]]), float(weights[order[at]])
        middle = below + 0.5 * weight
        if middle >= half:
            if at == 0 or value == before:
                return value
            return before + (value - before) * (half - middle_before) / (middle - middle_before)
        below += weight
        before, middle_before = value, middle
    return before


@njit(cache=True, nogil=True)
def quantile_of_sorted(ordered: Vector, count: int, share: float) -> float:
    """Return the quantile at `share` of the first `count` values, which are sorted; linear between two."""
    place = share * (count - 1)
    low = int(place)
    high = min(low + 1, count - 1)
    first, second = float(ordered[low]), float(ordered[high])
    return first if first == second else first + (second - first) * (place - low)
