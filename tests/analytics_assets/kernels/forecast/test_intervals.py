import numpy as np
import pytest

from analytics_assets.kernels.forecast.backtest import Layout, backtest, try_candidates
from analytics_assets.kernels.forecast.fleet import learn
from analytics_assets.kernels.forecast.intervals import LAPLACE, learn_inflation, offsets, widened
from analytics_assets.kernels.forecast.plan import DAILY, HOURLY
from tests.analytics_assets.kernels.forecast.series import daily_job

UNKNOWN = np.full((3, 4), np.nan)


def record_of(rows, rehearsals=(0,), horizon=168):
    layout = Layout.of(HOURLY, horizon, rehearsals)
    fleet = np.zeros((len(rehearsals), len(layout.weight_blocks), len(HOURLY.candidates)))
    return backtest(rows, try_candidates(rows, HOURLY, layout), HOURLY, layout, fleet), layout


def test_hours_with_larger_errors_have_wider_intervals():
    """One scale for all hours is too wide at night and too narrow when the job runs."""
    rng = np.random.default_rng(0)
    series = daily_job(noise=1)
    series[2::24] += rng.normal(0, 20, len(series[2::24]))
    record, layout = record_of(series[None])
    width = offsets(record, 0, UNKNOWN, HOURLY, layout)[0]
    assert width[2, 2] - width[2, 1] > 5 * (width[10, 2] - width[10, 1])


def test_without_errors_a_laplace_distribution_of_the_spread_is_assumed():
    series = np.random.default_rng(1).normal(50, 5, 30)
    record, layout = record_of(series[None], horizon=24)
    assert record.errors.sum() <= 6
    ends = offsets(record, 0, UNKNOWN[:1], HOURLY, layout)[0, 12]
    assert ends[3] > ends[2] > 0 > ends[1] > ends[0]
    assert ends[3] / ends[2] == pytest.approx(LAPLACE[3] / LAPLACE[2], rel=0.6)


def test_inflation_is_the_factor_that_makes_the_aimed_share_lie_inside():
    rows = np.array([daily_job(noise=5, seed=seed) for seed in range(60)])
    record, layout = record_of(rows, (0, 7))
    fleet = np.tile(np.array([-0.5, -0.25, 0.25, 0.5]), (2, 3, 1))
    truth = np.full((60, 2, 168), np.nan)
    truth[:, 1] = rows[:, -168:]
    factors = learn_inflation(record, truth, fleet, HOURLY, layout)
    ends = widened(offsets(record, 1, fleet[1], HOURLY, layout), factors, layout)
    error = truth[:, 1] - record.forecast[:, 1]
    for block, (first, end) in enumerate(layout.interval_blocks):
        for level, (low, high), aim in ((0, (1, 2), 0.81), (1, (0, 3), 0.9525)):
            inside = (error >= ends[..., low]) & (error <= ends[..., high])
            assert factors[block, level] > 1
            assert inside[:, first:end].mean() == pytest.approx(aim, abs=0.01)


def test_inflation_never_narrows_and_is_bounded():
    rows = np.array([daily_job(noise=5, seed=seed) for seed in range(10)])
    record, layout = record_of(rows, (0, 7))
    truth = np.full((10, 2, 168), np.nan)
    truth[:, 1] = record.forecast[:, 1]
    assert (learn_inflation(record, truth, np.full((2, 3, 4), np.nan), HOURLY, layout) == 1).all()
    truth[:, 1] += 1e6
    assert (learn_inflation(record, truth, np.full((2, 3, 4), np.nan), HOURLY, layout) == HOURLY.most_inflation).all()


def test_one_series_is_a_fleet():
    """A tenant with a single VM has nothing to shrink towards but itself."""
    fleet, record = learn(daily_job(noise=5)[None], HOURLY, 168, 1)
    assert record.forecast.shape == (1, 4, 168)
    assert np.isfinite(fleet.ratios).all()
    assert np.isfinite(fleet.quantiles).all()
    assert ((fleet.inflation >= 1) & (fleet.inflation <= 3)).all()


def test_far_daily_blocks_take_the_factors_of_the_last_one_known():
    rng = np.random.default_rng(3)
    fleet, _ = learn(rng.normal(50, 5, (20, 56)), DAILY, 90, 1)
    assert fleet.inflation[3:].tolist() == [fleet.inflation[2].tolist()] * 2
