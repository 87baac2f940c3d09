"""The search for level changes as machine code. Only `change_points.py` imports this, because it needs numba."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FindChanges = Callable[[Floats, Floats, int, int, float, float, Ints, Floats], None]

_AROUND = 5
_ODD_SDS = 5.0
_MAD_TO_SD = 1.4826
_HIGHEST_AUTOCORRELATION = 0.95
_ROUNDING = 1e-9
_TINY = 1e-300


def _native(function: F) -> F:
    """Compile `function` for use in `_find_changes`; numba's own types do not say that it stays callable as it was."""
    return cast(F, njit(function))


@_native
def _smallest(values: Floats, count: int, rank: int) -> float:
    """Return the value of that `rank`, from 0, among `values[:count]`, which it reorders (Hoare 1961, FIND).

    numpy's median does the same in machine code, and takes seconds longer to compile.
    """
    low = 0
    high = count - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i = low
        j = high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                kept = values[i]
                values[i] = values[j]
                values[j] = kept
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    found: float = values[rank]
    return found


@_native
def _median(values: Floats, count: int) -> float:
    """Return the median of `values[:count]`, which it reorders."""
    upper = _smallest(values, count, count // 2)
    return upper if count % 2 else 0.5 * (upper + _smallest(values, count, count // 2 - 1))


@_native
def _without_odd_ones(y: Floats, n: int, cleaned: Floats, off: Floats, apart: Floats) -> None:
    """Write `y[:n]` to `cleaned`, values far from the median of the `_AROUND` around them replaced by it."""
    around = np.empty(_AROUND)
    for i in range(n):
        begin = min(max(i - _AROUND // 2, 0), n - _AROUND)
        for j in range(_AROUND):
            value = y[begin + j]
            k = j
            while k > 0 and around[k - 1] > value:
                around[k] = around[k - 1]
                k -= 1
            around[k] = value
        cleaned[i] = around[_AROUND // 2]
        off[i] = abs(y[i] - cleaned[i])
        apart[i] = off[i]
    limit = _ODD_SDS * _MAD_TO_SD * _median(apart, n)
    for i in range(n):
        if off[i] <= limit:
            cleaned[i] = y[i]


@_native
def _best_places(z: Floats, n: int, side: int, most: int, cost: Floats, last: Ints) -> None:
    """Fill `last[k, e]`: where the last of `k` changes of `z[:e]` is when they leave the least squares."""
    sums = np.zeros(n + 1)
    squares = np.zeros(n + 1)
    for i in range(n):
        sums[i + 1] = sums[i] + z[i]
        squares[i + 1] = squares[i] + z[i] * z[i]
    for e in range(side, n + 1):
        cost[0, e] = squares[e] - sums[e] * sums[e] / e
    for k in range(1, most + 1):
        for e in range((k + 1) * side, n + 1):
            least = np.inf
            for s in range(k * side, e - side + 1):
                total = sums[e] - sums[s]
                left = cost[k - 1, s] + squares[e] - squares[s] - total * total / (e - s)
                if left < least:
                    least = left
                    last[k, e] = s
            cost[k, e] = least


@_native
def _levels(z: Floats, n: int, places: Ints, changes: int, jumps: Floats, residuals: Floats) -> None:
    """Write the changes of the mean at `places[:changes]` to `jumps`, and what the means leave to `residuals`."""
    begin = 0
    before = 0.0
    for k in range(changes + 1):
        end = places[k] if k < changes else n
        mean = 0.0
        for i in range(begin, end):
            mean += z[i]
        mean /= end - begin
        for i in range(begin, end):
            residuals[i] = z[i] - mean
        if k > 0:
            jumps[k - 1] = mean - before
        before = mean
        begin = end


@_native
def _innovation_squares(residuals: Floats, n: int) -> float:
    """Return the summed squares of what first-order autocorrelation, as strong as fits best, leaves of `residuals`."""
    product = 0.0
    power = 0.0
    for i in range(1, n):
        product += residuals[i] * residuals[i - 1]
        power += residuals[i - 1] * residuals[i - 1]
    r = min(max(product / power, 0.0), _HIGHEST_AUTOCORRELATION) if power > 0 else 0.0
    total: float = residuals[0] * residuals[0] * (1 - r * r)
    for i in range(1, n):
        innovation = residuals[i] - r * residuals[i - 1]
        total += innovation * innovation
    return total


@_native
def _slope_within(y: Floats, t: Floats, n: int, places: Ints, changes: int, pairs: Floats) -> float:
    """Return the median slope of all pairs of points that share a level."""
    count = 0
    begin = 0
    for k in range(changes + 1):
        end = places[k] if k < changes else n
        for i in range(begin, end):
            for j in range(i + 1, end):
                pairs[count] = (y[j] - y[i]) / (t[j] - t[i])
                count += 1
        begin = end
    return _median(pairs, count)


@_native
def _score(
    z: Floats,
    n: int,
    changes: int,
    last: Ints,
    change_cost: float,
    least_jump: float,
    least_squares: float,
    places: Ints,
    jumps: Floats,
    residuals: Floats,
) -> float:
    """Return how badly the best levels with so many `changes` explain `z[:n]`; infinite if a jump is too small.

    `places` and `jumps` become those of the changes.
    """
    place = n
    for k in range(changes, 0, -1):
        place = last[k, place]
        places[k - 1] = place
    _levels(z, n, places, changes, jumps, residuals)
    squares = max(_innovation_squares(residuals, n), least_squares)
    deviation = math.sqrt(squares / (n - 2 * changes - 1))
    for k in range(changes):
        if abs(jumps[k]) < least_jump * deviation:
            return np.inf
    return n * math.log(squares / n) + change_cost * math.log(n) * changes * n / (n - 2 * changes - 3)


@_native
def _first_slope(start: int, robust: float, y: Floats, t: Floats, n: int, pairs: Floats) -> float:
    """Return the slope to begin with: none, the robust one of the whole row, or the median step between neighbours.

    The steps between neighbours hardly see the falls of a sawtooth, which hide its slope from the robust one.
    """
    if start < 2:
        return robust * start
    for i in range(n - 1):
        pairs[i] = (y[i + 1] - y[i]) / (t[i + 1] - t[i])
    return _median(pairs, n - 1)


def _find_changes(
    values: Floats,
    robust_slopes: Floats,
    minimum: int,
    side: int,
    change_cost: float,
    least_jump: float,
    steps: Ints,
    heights: Floats,
) -> None:
    width, room = values.shape[1], steps.shape[1]
    y, t, line, z, off = (np.empty(width), np.empty(width), np.empty(width), np.empty(width), np.empty(width))
    residuals, pairs, jumps = np.empty(width), np.empty(width * (width - 1) // 2), np.empty(room + 1)
    cost, last = np.empty((room + 1, width + 1)), np.zeros((room + 1, width + 1), np.int64)
    places, chosen = np.zeros(room + 1, np.int64), np.zeros(room + 1, np.int64)
    for row in range(values.shape[0]):
        n = 0
        largest = 0.0
        for i in range(width):
            if not np.isnan(values[row, i]):
                y[n] = values[row, i]
                t[n] = i
                largest = max(largest, abs(y[n]))
                n += 1
        # Each change takes two of the degrees of freedom, and one at least must be left.
        most = min(room, n // side - 1, (n - 4) // 2)
        if most < 1 or n < max(minimum, _AROUND):
            continue
        # Squares this small are the rounding of the arithmetic.
        least_squares = n * (_ROUNDING * largest) ** 2 + _TINY
        best = np.inf
        for start in range(3):
            slope = _first_slope(start, robust_slopes[row], y, t, n, pairs)
            if start > 0 and slope == 0.0:
                continue
            for _ in range(2):
                for i in range(n):
                    line[i] = y[i] - slope * t[i]
                _without_odd_ones(line, n, z, off, residuals)
                _best_places(z, n, side, most, cost, last)
                own_best = np.inf
                own_changes = 0
                for changes in range(most + 1):
                    score = _score(
                        z, n, changes, last, change_cost, least_jump, least_squares, places, jumps, residuals
                    )
                    if slope != 0.0:
                        score += change_cost * math.log(n)
                    if score < own_best:
                        own_best = score
                        own_changes = changes
                        for k in range(changes):
                            chosen[k] = places[k]
                    if score < best:
                        best = score
                        for k in range(room):
                            steps[row, k] = np.int64(t[places[k]]) if k < changes else -1
                            heights[row, k] = jumps[k] if k < changes else np.nan
                if own_changes == 0:
                    # Within the one level the slope is that of the whole row, which is tried anyway.
                    break
                slope = _slope_within(y, t, n, chosen, own_changes, pairs)


@cache
def find_changes() -> FindChanges:
    """Return the compiled search, which fills its last two arguments; compiled once and kept beside this file."""
    signature = "void(float64[:,::1], float64[::1], int64, int64, float64, float64, int64[:,::1], float64[:,::1])"
    try:
        return cast(FindChanges, njit(signature, nogil=True, cache=True)(_find_changes))
    except RuntimeError:
        # Neither beside this file nor under the home may anything be written: some seconds for each process.
        return cast(FindChanges, njit(signature, nogil=True)(_find_changes))
