"""The histogram of residuals and the line that is carried on from it, against sorted samples."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from analytics_assets.kernels.anomaly.scores_kernel import (
    BINS,
    BULK,
    LEAST_LINE,
    PARETO_SHARE,
    PRIOR_POINTS,
    RARE_SHARE,
    SHOULDER,
    TAIL,
    alarm_line,
    bin_of,
    prior_histogram,
    rare_distance,
)

FIVE_MINUTES_MS = 300_000.0


def histogram_of(residuals: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount([bin_of(float(r)) for r in residuals], minlength=BINS).astype(float)


def plain_line(residuals: NDArray[np.float64]) -> float:
    """The line from exact quantiles, as its definition has it."""
    bulk, shoulder, tail = (math.log(np.quantile(residuals, 1 - share)) for share in (BULK, SHOULDER, TAIL))
    growth = shoulder - bulk
    pareto = shoulder + PARETO_SHARE * growth * math.log(SHOULDER / RARE_SHARE) / math.log(BULK / SHOULDER)
    carried_on = tail + (tail - shoulder) * math.log(TAIL / RARE_SHARE) / math.log(SHOULDER / TAIL)
    return max(LEAST_LINE, math.exp(min(pareto, carried_on)))


@pytest.mark.parametrize("tail", ["normal", "exponential", "lognormal", "pareto", "few anomalies"])
def test_line_is_that_of_the_sorted_residuals(tail: str) -> None:
    random = np.random.default_rng(1)
    residuals = {
        "normal": np.abs(random.normal(0, 2, 20_000)),
        "exponential": random.exponential(1, 20_000),
        "lognormal": random.lognormal(0, 1, 20_000),
        "pareto": 0.5 * (1 + random.pareto(2, 20_000)),
        "few anomalies": np.where(random.random(20_000) < 0.02, 80, np.abs(random.normal(0, 1, 20_000))),
    }[tail]
    line = alarm_line(histogram_of(residuals), float(len(residuals)), rare_distance(FIVE_MINUTES_MS))
    assert line == pytest.approx(plain_line(residuals), rel=0.1)


def test_line_of_a_pareto_tail_is_exceeded_as_rarely_as_wanted() -> None:
    residuals = 0.5 * (1 + np.random.default_rng(2).pareto(2, 2_000_000))
    line = alarm_line(histogram_of(residuals[:20_000]), 20_000.0, rare_distance(FIVE_MINUTES_MS))
    assert RARE_SHARE / 2 < np.mean(residuals > line) < RARE_SHARE * 3


def test_anomalies_in_the_tail_do_not_lift_the_line_out_of_reach() -> None:
    """A metric with real anomalies in one point of fifty keeps finding the next of their kind."""
    random = np.random.default_rng(3)
    residuals = np.where(random.random(20_000) < 0.02, 80, np.abs(random.normal(0, 1, 20_000)))
    assert alarm_line(histogram_of(residuals), 20_000.0, rare_distance(FIVE_MINUTES_MS)) < 40


def test_coarser_points_may_alarm_at_less() -> None:
    residuals = histogram_of(np.random.default_rng(4).lognormal(0, 1, 20_000))
    lines = [
        alarm_line(residuals, 20_000.0, rare_distance(step))
        for step in (1_000.0, FIVE_MINUTES_MS, 12 * FIVE_MINUTES_MS)
    ]
    assert lines[0] == lines[1] > lines[2]


def test_every_residual_has_a_bin() -> None:
    assert [bin_of(0.0), bin_of(1e-300), bin_of(1e300)] == [0, 0, BINS - 1]
    assert [bin_of(r) for r in (0.05, 0.5, 5.0, 50.0)] == sorted({bin_of(r) for r in (0.05, 0.5, 5.0, 50.0)})


def test_prior_is_a_whole_distribution() -> None:
    prior = prior_histogram()
    assert (prior >= 0).all()
    assert prior.sum() == pytest.approx(PRIOR_POINTS)
    assert LEAST_LINE <= alarm_line(prior, float(prior.sum()), rare_distance(FIVE_MINUTES_MS)) < 20


def test_empty_histogram_of_zero_residuals_has_the_least_line() -> None:
    histogram = np.zeros(BINS)
    histogram[0] = 100.0
    assert alarm_line(histogram, 100.0, rare_distance(FIVE_MINUTES_MS)) == LEAST_LINE
