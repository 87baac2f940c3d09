"""Which of many series move together, and with what lag, beyond what chance and autocorrelation give.

Coefficients of all pairs at a lag are one matrix product. Per tile of rows, whose results stay in the
processor's cache, the best lag so far is kept, so that no more than one result per pair is ever stored.

Floating-point sums depend on their order, and the order in a matrix product on the number of threads and of rows.
So series are first rounded to whole numbers, small enough that every sum of their products is exact: a
pair's result is then the same bytes on every machine and among whatever other series.

Two autocorrelated series seem related oftener than two of white noise: n correlated steps are worth
n / (1 + 2 sum of r_x(k) r_y(k)) independent ones (Bartlett 1946, "On the theoretical specification and
sampling properties of autocorrelated time-series"). The best of many lags is held against all of them
(Bonferroni), and of all pairs those are significant that keep the false discovery rate (Benjamini and
Hochberg 1995, "Controlling the false discovery rate").
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TILE_ROWS = 256
"""Rows of a tile: enough for the matrix product's speed, few enough for the cache."""

EXACT_LENGTH = 4095
"""Length below which two series of whole numbers have products whose every partial sum is exact: below 2^24."""

MEMORY_UNIT = 2.0**-18
"""Autocorrelations are rounded to it in `shared_memory`: products of 130,000 lags add up to less than 2^53 units."""

AUTOCORRELATION_SHARE = 0.25
"""Share of the steps up to which autocorrelation is counted."""

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class LagCorrelations:
    """Of all pairs [left, right]: the coefficient of the lag at which it is furthest from 0, and that lag.

    A lag above 0 says that right follows left by that many steps, below 0 that left follows right.
    """

    coefficient: Matrix
    lag: NDArray[np.int32]


@dataclass(frozen=True)
class Significance:
    """Of some pairs: how many independent steps their shared ones are worth, p of the best lag, and q of all tests."""

    effective_steps: NDArray[np.float64]
    p_value: NDArray[np.float64]
    q_value: NDArray[np.float64]


def lag_correlations(left: Matrix, right: Matrix, maximum_lag: int) -> LagCorrelations:
    """Return the best of the lags from -`maximum_lag` to `maximum_lag` for all pairs of rows.

    `left` and `right` are residuals [series, step] on the same steps, with mean 0 and length 1 (or all 0), and 0 where
    one is missing: a gap weakens a coefficient and never makes one. A coefficient is the sum of the products of
    the steps that overlap at the lag, of the residuals rounded to about 1/4000 of their length; rounding moves it
    by some 0.0001. Of lags as good, the shorter one is taken, then the positive one. If both are the same
    array, half of the work is done.
    """
    if left.shape[1] != right.shape[1] or not 0 <= maximum_lag < max(left.shape[1], 1):
        raise ValueError(f"{left.shape[1]} and {right.shape[1]} steps do not allow lags up to {maximum_lag}")
    whole_left = _whole_numbers(left)
    whole_right = whole_left if left is right else _whole_numbers(right)
    ahead = _best_of_followers(whole_right, whole_left, maximum_lag)
    follows, follows_lag = ahead.coefficient.T, ahead.lag.T
    if left is right:
        leads, leads_lag = ahead.coefficient, ahead.lag
    else:
        behind = _best_of_followers(whole_left, whole_right, maximum_lag)
        leads, leads_lag = behind.coefficient, behind.lag
    stronger = np.abs(follows) > np.abs(leads)
    first = stronger | ((np.abs(follows) == np.abs(leads)) & (follows_lag <= leads_lag))
    products = np.where(first, follows, leads)
    products /= _lengths(whole_left)[:, None] * _lengths(whole_right)
    # Rounding may carry a series' product with itself over 1.
    return LagCorrelations(products.clip(-1, 1), np.where(first, follows_lag, -leads_lag))


def _whole_numbers(residuals: Matrix) -> Matrix:
    """Return series of length 1 as whole numbers in proportion, of a length below `EXACT_LENGTH`."""
    # Rounding adds at most half a unit to each step, half of the root of their number to the length.
    scale = np.float32(EXACT_LENGTH - math.sqrt(residuals.shape[1]) / 2)
    return np.asarray(np.rint(residuals * scale))


def _lengths(whole: Matrix) -> Matrix:
    """Return the lengths of series of whole numbers, 1 for those that are all 0."""
    lengths = np.sqrt([np.dot(row, row) for row in whole], dtype=np.float32)
    return np.where(lengths > 0, lengths, np.float32(1))


def _best_of_followers(late: Matrix, early: Matrix, maximum_lag: int) -> LagCorrelations:
    """Return the best lag from 0 on by which the rows of `late` follow those of `early`, with its sum of products."""
    from analytics_assets.kernels.lag_correlation_kernel import keep_best

    steps = late.shape[1]
    best = LagCorrelations(np.zeros((len(late), len(early)), np.float32), np.zeros((len(late), len(early)), np.int32))
    products = np.empty((min(TILE_ROWS, len(late)), len(early)), np.float32)
    for start in range(0, len(late), TILE_ROWS):
        tile = slice(start, min(start + TILE_ROWS, len(late)))
        found = products[: tile.stop - start]
        for lag in range(maximum_lag + 1):
            np.matmul(late[tile, lag:], early[:, : steps - lag].T, out=found)
            keep_best(found, lag, best.coefficient[tile], best.lag[tile])
    return best


def autocorrelations(residuals: Matrix) -> Matrix:
    """Return the autocorrelations [series, lag] of residuals of length 1, from lag 1 to a quarter of the steps."""
    series, steps = residuals.shape
    lags = int(AUTOCORRELATION_SHARE * steps)
    padded = 1 << (steps + lags).bit_length()
    found = np.empty((series, lags), np.float32)
    for row in range(series):  # one at a time: the padded spectra of all would be large
        spectrum = np.fft.rfft(residuals[row].astype(np.float64), padded)
        power = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, padded)
        found[row] = power[1 : lags + 1]
    return found


def independent_movements(residuals: Matrix, autocorrelation: Matrix) -> NDArray[np.float64]:
    """Return in how many independent steps, each as large as the others, every series could have moved as it did.

    It is the participation ratio (sum of squares)^2 / sum of fourth powers, a third of the steps for
    normal noise, over the series' own 1 + 2 sum of r(k)^2. One spike is 1, and so is about one long burst: two
    such series agree perfectly at some lag, whatever they are. Series of no length have 0.
    """
    fourth = np.sum(np.square(np.square(residuals)), axis=1, dtype=np.float64)
    # White noise of n steps has squares of 1 / n by chance.
    memory = (
        np.sum(np.square(autocorrelation), axis=1, dtype=np.float64) - autocorrelation.shape[1] / residuals.shape[1]
    )
    together = 1 + 2 * np.maximum(memory, 0.0)
    return np.where(fourth > 0, 1 / np.where(fourth > 0, fourth * together, 1), 0.0)


def significance(
    coefficient: NDArray[np.floating[Any]],
    steps: NDArray[np.integer[Any]],
    products: NDArray[np.floating[Any]],
    lags_tested: int,
    spent_share: float = 0.0,
) -> Significance:
    """Return what the coefficients of some pairs, one dimension, are worth.

    `products` is the sum over the lags of the products of both series' autocorrelations (`shared_memory`),
    `lags_tested` the number of lags the best was chosen from, `spent_share` the share of the steps that was used up
    when cycles were removed. All pairs given are counted as tested; those without shared steps have p and q 1.
    """
    independent = steps * (1 - spent_share) / np.maximum(1 + 2 * products.astype(np.float64), 1.0)
    strength = np.arctanh(np.minimum(np.abs(coefficient.astype(np.float64)), 1 - 1e-9))
    deviations = strength * np.sqrt(np.maximum(independent - 3, 0.0))
    single = np.array([math.erfc(value) for value in deviations / math.sqrt(2)])
    p_value = np.minimum(single * lags_tested, 1.0)
    return Significance(independent, p_value, benjamini_hochberg(p_value))


def shared_memory(left: Matrix, right: Matrix, steps: int) -> Matrix:
    """Return for all pairs [left, right] the sum over lags of the products of their autocorrelations.

    Lag k of `steps` steps is weighted by 1 - k / steps, the share of the steps that have a partner at it.
    """
    weights = 1 - np.arange(1, left.shape[1] + 1) / steps
    units_left, units_right = np.rint(left * weights / MEMORY_UNIT), np.rint(right.astype(np.float64) / MEMORY_UNIT)
    return np.asarray(units_left @ units_right.T * MEMORY_UNIT**2, dtype=np.float32)


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the q value of each test: the least false discovery rate at which it counts as a discovery."""
    order = np.argsort(p_values, kind="stable")
    ranked = p_values[order] * len(p_values) / np.arange(1, len(p_values) + 1)
    q_values = np.empty(len(p_values))
    q_values[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return q_values
