"""The loop of `lag_correlation` as machine code. Imported where it is used: it needs numba."""

from numba import njit


@njit(cache=True)
def keep_best(products, lag, coefficient, best_lag):  # type: ignore[no-untyped-def]
    """Take the products where they are further from 0 than the coefficients of the lags before."""
    for row in range(products.shape[0]):
        for column in range(products.shape[1]):
            better = abs(products[row, column]) > abs(coefficient[row, column])
            coefficient[row, column] = products[row, column] if better else coefficient[row, column]
            best_lag[row, column] = lag if better else best_lag[row, column]
