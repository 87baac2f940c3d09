"""All pairs of 1,000 series with lags of up to 24 steps, both ways, against the 25 bare matrix products.

Two weeks of hours and one week of 5 minutes. The product of a lag holds both directions: who follows
and who leads. The peer computes the 25 products, each into the same array, and looks at none of them.
"""

import numpy as np

from analytics_assets.kernels.cycle_residuals import cycle_residuals
from analytics_assets.kernels.lag_correlation import autocorrelations, lag_correlations, shared_memory, significance
from benchmarks.report import Outcome, best, side_by_side

MAXIMUM_LAG = 24
GRIDS = (("14 days of hours", 14, 24), ("7 days of 5 minutes", 7, 288))


def run(quick: bool) -> list[Outcome]:
    """Return seconds of both for each grid, and of all that leads from samples to q values."""
    series = 200 if quick else 1000
    outcomes = []
    for name, days, steps_per_day in GRIDS:
        steps = days * steps_per_day
        noise = np.random.default_rng(1).standard_normal((series, steps)).astype(np.float32)
        values = cycle_residuals(noise, steps_per_day, 0).values
        product = np.empty((series, series), np.float32)

        def bare(values: np.ndarray = values, product: np.ndarray = product, steps: int = steps) -> None:
            for lag in range(MAXIMUM_LAG + 1):
                np.matmul(values[:, lag:], values[:, : steps - lag].T, out=product)

        def ours(values: np.ndarray = values) -> None:
            lag_correlations(values, values, MAXIMUM_LAG)

        def whole(noise: np.ndarray = noise, steps: int = steps, steps_per_day: int = steps_per_day) -> None:
            rest = cycle_residuals(noise, steps_per_day, 0)
            found = lag_correlations(rest.values, rest.values, MAXIMUM_LAG)
            memory = autocorrelations(rest.values)
            pairs = np.triu_indices(series, 1)
            shared = np.full(len(pairs[0]), steps)
            products = shared_memory(memory, memory, steps)[pairs]
            significance(found.coefficient[pairs], shared, products, 2 * MAXIMUM_LAG + 1, rest.spent / steps)

        mine, peer = side_by_side(ours, bare)
        what = f"best lag of all pairs of {series:,} series, {name}"
        outcomes.append(Outcome(what, mine, "s", peer, "25 matrix products", "<= 3"))
        outcomes.append(Outcome(f"from samples to q values, {name}", best(whole, 3), "s"))
    return outcomes
