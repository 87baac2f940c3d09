"""Which of many series move together, and with what lag, beyond what chance and autocorrelation give.

Coefficients of all pairs at a lag are one matrix product. Per tile of rows, whose results stay in the
processor's cache, the best lag so far is kept, so that no more than one result per pair is ever stored.

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
from numba import njit
from numpy.typing import NDArray

TILE_ROWS = 256
"""Rows of a tile: enough for the matrix product's speed, few enough for the cache."""

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

    `left` and `right` are residuals [series, step] on the same steps, with mean 0 and length 1, and 0 where one is
    missing: a gap weakens a coefficient and never makes one. A coefficient is the sum of the products of the
    steps that overlap at the lag. Of lags as good, the shorter one is taken, then the positive one. If both
    are the same array, half of the work is done.
    """
    if left.shape[1] != right.shape[1] or not 0 <= maximum_lag < max(left.shape[1], 1):
        raise ValueError(f"{left.shape[1]} and {right.shape[1]} steps do not allow lags up to {maximum_lag}")
    ahead = _best_of_followers(right, left, maximum_lag)
    follows, follows_lag = ahead.coefficient.T, ahead.lag.T
    if left is right:
        leads, leads_lag = ahead.coefficient, ahead.lag
    else:
        behind = _best_of_followers(left, right, maximum_lag)
        leads, leads_lag = behind.coefficient, behind.lag
    stronger = np.abs(follows) > np.abs(leads)
    first = stronger | ((np.abs(follows) == np.abs(leads)) & (follows_lag <= leads_lag))
    # Rounding may carry a series' product with itself over 1.
    return LagCorrelations(np.where(first, follows, leads).clip(-1, 1), np.where(first, follows_lag, -leads_lag))


def _best_of_followers(late: Matrix, early: Matrix, maximum_lag: int) -> LagCorrelations:
    """Return the best lag from 0 on by which the rows of `late` follow those of `early`."""
    steps = late.shape[1]
    best = LagCorrelations(np.zeros((len(late), len(early)), np.float32), np.zeros((len(late), len(early)), np.int32))
    products = np.empty((min(TILE_ROWS, len(late)), len(early)), np.float32)
    for start in range(0, len(late), TILE_ROWS):
        tile = slice(start, min(start + TILE_ROWS, len(late)))
        found = products[: tile.stop - start]
        for lag in range(maximum_lag + 1):
            np.matmul(late[tile, lag:], early[:, : steps - lag].T, out=found)
            _keep_best(found, lag, best.coefficient[tile], best.lag[tile])
    return best


@njit(cache=True)
def _keep_best(products, lag, coefficient, best_lag):  # type: ignore[no-untyped-def]
    """Take the products where they are further from 0 than the coefficients of the lags before."""
    for row in range(products.shape[0]):
        for column in range(products.shape[1]):
            better = abs(products[row, column]) > abs(coefficient[row, column])
            coefficient[row, column] = products[row, column] if better else coefficient[row, column]
            best_lag[row, column] = lag if better else best_lag[row, column]


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
    weights = 1 - np.arange(1, left.shape[1] + 1, dtype=np.float32) / np.float32(steps)
    return np.asarray(left * weights @ right.T)


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the q value of each test: the least false discovery rate at which it counts as a discovery."""
    order = np.argsort(p_values, kind="stable")
    ranked = p_values[order] * len(p_values) / np.arange(1, len(p_values) + 1)
    q_values = np.empty(len(p_values))
    q_values[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return q_values
