from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from analytics_assets.kernels.forecast.forecasts import forecast
from analytics_assets.kernels.forecast.plan import DAILY, HOURLY
from tests.analytics_assets.kernels.forecast.series import HOURS, daily_job, fleet, office_hours

VALUES = ("mean", "lo80", "hi80", "lo95", "hi95")
EVERYTHING = (*VALUES, "backtest_mae", "model", "backtest_mase", "status", "reason")


def rows_of(found, rows=slice(None)):
    return {name: getattr(found, name)[rows].tolist() for name in EVERYTHING}


def assert_same(first, second):
    for name in EVERYTHING:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_a_clean_cycle_is_repeated_exactly_and_surely():
    found = forecast(daily_job()[None], HOURLY, 168)
    assert found.status.tolist() == ["ok"]
    np.testing.assert_array_equal(found.mean[0], np.tile(daily_job(days=1), 7))
    np.testing.assert_allclose(found.hi95[0] - found.lo95[0], 0, atol=2)


def test_office_hours_start_again_after_the_weekend():
    """The last day alone says that tomorrow is a holiday too."""
    found = forecast(np.array([office_hours(seed) for seed in range(5)]), HOURLY, 168)
    by_day = found.mean.reshape(5, 7, 24)
    assert by_day[:, :5, 8:18].mean() == pytest.approx(60, abs=4)
    assert by_day[:, 5:, 8:18].mean() == pytest.approx(20, abs=4)


@pytest.mark.parametrize(("plan", "horizon"), [(HOURLY, 168), (DAILY, 90)])
def test_neither_order_of_rows_nor_threads_nor_chunks_change_a_byte(plan, horizon, monkeypatch):
    """Sums of floats depend on their order: what is learned from a fleet must not."""
    rows = fleet(40)
    history = rows if plan is HOURLY else np.nanmean(rows.reshape(40, -1, 24), axis=2)
    small = replace(plan, fleet_sample=15)
    once = rows_of(forecast(history, small, horizon))
    order = np.random.default_rng(5).permutation(40)
    shuffled = rows_of(forecast(history[order], small, horizon))
    assert_same({name: [values[row] for row in order] for name, values in once.items()}, shuffled)
    monkeypatch.setattr("analytics_assets.kernels.forecast.fleet.SERIES_AT_ONCE", 7)
    assert_same(once, rows_of(forecast(history, small, horizon, threads=2)))


def test_groups_do_not_touch_each_other():
    """Another metric (or tenant, in another call) must not change a byte."""
    rows = fleet(12)
    groups = np.array(["cpu"] * 6 + ["memory"] * 6)
    both = forecast(rows, HOURLY, 48, groups)
    assert_same(rows_of(both, slice(0, 6)), rows_of(forecast(rows[:6], HOURLY, 48)))
    assert_same(rows_of(both, slice(6, 12)), rows_of(forecast(rows[6:], HOURLY, 48)))


def test_the_fleet_helps_a_series_too_young_to_judge_its_rules():
    """Without history of its own a series takes what is usual in its group."""
    rows = fleet(30, seed=7)
    rows[0, : HOURS - 30] = np.nan
    found = forecast(rows, HOURLY, 24)
    assert found.status[0] == "ok"
    assert np.isfinite(found.mean[0]).all()
    assert (found.hi80[0] > found.lo80[0]).all()
    assert np.isnan(found.backtest_mae[1:]).sum() == 0


def test_the_unit_does_not_matter():
    rows = fleet(6)
    plain, scaled = forecast(rows, HOURLY, 72), forecast(rows * 1024, HOURLY, 72)
    for name in VALUES:
        np.testing.assert_allclose(getattr(scaled, name), 1024 * getattr(plain, name), rtol=1e-9)
    assert plain.model.tolist() == scaled.model.tolist()


@pytest.mark.parametrize(("plan", "horizon", "steps"), [(HOURLY, 168, HOURS), (DAILY, 90, 56)])
def test_a_constant_series_gives_its_constant_without_width(plan, horizon, steps):
    found = forecast(np.array([np.full(steps, 7.3), np.zeros(steps)]), plan, horizon)
    for name in VALUES:
        assert (getattr(found, name)[0] == 7.3).all()
        assert (getattr(found, name)[1] == 0).all()
    assert np.isnan(found.backtest_mase).all()  # no naive error to compare with


def test_intervals_are_nested_hold_the_mean_and_keep_their_bounds():
    rows = fleet(30, seed=2)
    capacity = np.full(30, 40.0)
    capacity[:3] = np.nan
    found = forecast(rows, HOURLY, 168, capacity=capacity)
    ordered = [found.lo95, found.lo80, found.mean, found.hi80, found.hi95]
    for lower, upper in pairwise(ordered):
        assert (lower <= upper).all()
    assert found.lo95.min() >= 0
    assert found.hi95[3:].max() <= 40
    assert found.hi95[:3].max() > 40


def test_a_series_that_was_negative_is_not_cut_at_zero():
    found = forecast(fleet(4) - 200, HOURLY, 24)
    assert (found.mean < -50).all()
    assert (found.lo95 <= found.mean).all()


@pytest.mark.parametrize("hours", [24, 30, 50, 80])
def test_short_histories_have_an_answer_with_width(hours):
    rows = np.array([daily_job(noise=3, seed=seed)[-hours:] for seed in range(3)])
    found = forecast(rows, HOURLY, 168)
    assert found.status.tolist() == ["ok"] * 3
    assert np.isfinite(found.mean).all()
    assert (found.hi80 > found.lo80).mean() > 0.9


def test_no_answer_has_a_reason():
    rows = np.full((5, HOURS), np.nan)
    rows[1, -20:] = 1.0
    rows[2, : -8 * 24] = 1.0
    rows[3] = daily_job()
    rows[3, 100] = np.inf
    rows[4] = daily_job()
    found = forecast(rows, HOURLY, 24)
    assert found.status.tolist() == ["no_data", "insufficient_data", "insufficient_data", "degenerate", "ok"]
    assert found.reason.tolist() == [
        "no value in the history",
        "20 hours with a value; a forecast needs 24",
        "no value in the last 7 days before the forecast",
        "infinite values: the metric has no scale",
        None,
    ]
    for name in VALUES:
        assert np.isnan(getattr(found, name)[:4]).all()
        assert np.isfinite(getattr(found, name)[4]).all()


def test_a_broken_row_does_not_spoil_the_fleet():
    rows = fleet(5)
    broken = np.vstack([rows, np.full(HOURS, np.inf), np.full(HOURS, np.nan)])
    assert_same(rows_of(forecast(rows, HOURLY, 24)), rows_of(forecast(broken, HOURLY, 24), slice(0, 5)))


def test_gaps_and_a_late_start_cost_little():
    whole = np.array([daily_job(noise=1, seed=seed) for seed in range(4)])
    gaps = whole.copy()
    gaps[:, : HOURS // 2] = np.nan
    gaps[:, -200:-150] = np.nan
    np.testing.assert_allclose(forecast(gaps, HOURLY, 24).mean, forecast(whole, HOURLY, 24).mean, atol=4)


def test_wrong_arguments_are_refused_by_name():
    rows = fleet(2)
    with pytest.raises(ValueError, match="horizon is 169 steps; the h plan reaches from 1 to 168"):
        forecast(rows, HOURLY, 169)
    with pytest.raises(ValueError, match="horizon is 0"):
        forecast(rows, DAILY, 0)
    with pytest.raises(ValueError, match="groups has 1 entries for 2 series"):
        forecast(rows, HOURLY, 24, ["a"])
    with pytest.raises(ValueError, match="capacity has 3 entries"):
        forecast(rows, HOURLY, 24, capacity=np.ones(3))


def test_no_series_is_no_forecast():
    found = forecast(np.empty((0, HOURS)), HOURLY, 24)
    assert found.mean.shape == (0, 24)


def test_a_mostly_silent_series_alone_has_finite_intervals():
    """Errors without measure over a scale of nearly nothing once made the widening infinite minus infinite."""
    rng = np.random.default_rng(4)
    silent = np.where(rng.random((6, HOURS)) < 0.01, rng.gamma(1, 1e6, (6, HOURS)), rng.random((6, HOURS)) * 1e-300)
    silent[3:] = rng.random((3, HOURS)) * 1e-320
    for row in silent:
        found = forecast(row[None], HOURLY, 168)
        for name in VALUES:
            assert np.isfinite(getattr(found, name)).all()


def test_the_promised_error_is_near_the_one_that_follows():
    rows = np.array([daily_job(noise=6, seed=seed) for seed in range(60)])
    found = forecast(rows[:, :-168], HOURLY, 168)
    naive = np.abs(rows[:, 24:-168] - rows[:, : -24 - 168]).mean(axis=1)
    actual = np.abs(found.mean - rows[:, -168:]).mean(axis=1) / naive
    assert np.median(found.backtest_mase) == pytest.approx(np.median(actual), rel=0.1)


@pytest.mark.parametrize(("plan", "horizon"), [(HOURLY, 168), (DAILY, 28)])
def test_intervals_hold_what_they_promise_on_noise(plan, horizon):
    """Quantiles of in-sample errors alone would be too narrow."""
    rng = np.random.default_rng(11)
    rows = 50 + rng.standard_t(4, (80, (56 + 7) * plan.steps_per_day + horizon)) * 5
    found = forecast(rows[:, :-horizon], plan, horizon)
    truth = rows[:, -horizon:]
    inside80 = ((truth >= found.lo80) & (truth <= found.hi80)).mean()
    inside95 = ((truth >= found.lo95) & (truth <= found.hi95)).mean()
    assert 0.77 <= inside80 <= 0.86
    assert 0.93 <= inside95 <= 0.98


def test_intervals_grow_beyond_the_leads_that_were_tried():
    rng = np.random.default_rng(12)
    walk = 500 + np.cumsum(rng.normal(0, 3, (30, 56)), axis=1)
    found = forecast(walk, DAILY, 90)
    width = (found.hi80 - found.lo80).mean(axis=0)
    assert width[80] > width[20] > width[2]


def growing(noise, seed, steps_per_day, days):
    """Disks that fill at different speeds [series, step]."""
    rng = np.random.default_rng(seed)
    steps = days * steps_per_day
    slopes = rng.uniform(0.3, 1.2, (40, 1))
    return 20 + slopes * np.arange(steps) / steps_per_day + rng.normal(0, noise, (40, steps))


@pytest.mark.parametrize(("plan", "horizon"), [(HOURLY, 168), (DAILY, 90)])
@pytest.mark.parametrize("noise", [0.05, 0.5])
def test_steady_growth_is_followed_and_its_intervals_hold(plan, horizon, noise):
    """Rules that repeat a level say of every filling disk that it stays as it is, and are sure of it."""
    rows = growing(noise, 5, plan.steps_per_day, 56 + 90)
    end = 56 * plan.steps_per_day
    truth = rows[:, end : end + horizon]
    found = forecast(rows[:, :end], plan, horizon)
    last_value = np.abs(rows[:, end - 1 : end] - truth).mean()
    assert np.abs(found.mean - truth).mean() < 0.3 * last_value
    assert 0.7 <= ((truth >= found.lo80) & (truth <= found.hi80)).mean() <= 0.9
    assert ((truth >= found.lo95) & (truth <= found.hi95)).mean() >= 0.88


@pytest.mark.parametrize("days", [14, 20, 28])
@pytest.mark.parametrize(("plan", "horizon"), [(HOURLY, 168), (DAILY, 14)])
def test_a_clear_leak_is_followed_from_two_weeks_on(days, plan, horizon):
    """Stops a leak from being forecast to stay as it is until there are five weeks of it."""
    hours = 20 + 0.12 * np.arange((days + 14) * 24) + np.random.default_rng(days).normal(0, 0.3, (days + 14) * 24)
    steps = hours if plan is HOURLY else hours.reshape(-1, 24).mean(axis=1)
    end = days * plan.steps_per_day
    found = forecast(steps[None, :end], plan, horizon)
    truth = steps[end : end + horizon]
    assert found.model[0] == plan.candidates[-1]
    assert found.mean[0] == pytest.approx(truth, abs=1.5)
    assert ((truth >= found.lo95[0]) & (truth <= found.hi95[0])).mean() > 0.6


@pytest.mark.parametrize("days", [14, 20, 28])
def test_errors_at_origins_with_less_than_a_week_before_them_are_no_promise(days):
    """Stops the repeated week from having twenty times the error of the repeated week."""
    level = 50 - 8.0 * (np.arange(days) % 7 >= 5)
    found = forecast((level + np.random.default_rng(3).normal(0, 0.06, days))[None], DAILY, 14)
    assert found.model[0] == "seasonal_naive"
    assert found.backtest_mase[0] < 1.5


def test_one_growing_series_is_not_outvoted_by_a_flat_fleet():
    rng = np.random.default_rng(6)
    flat = 50 + rng.normal(0, 0.1, (60, 56))
    growth = growing(0.1, 7, 1, 56 + 90)[0]
    found = forecast(np.vstack([flat, growth[None, :56]]), DAILY, 90)
    assert found.mean[60] == pytest.approx(growth[56:], abs=3)
    assert np.abs(found.mean[:60] - 50).max() < 1
    assert found.hi80[:60].max() < 51


def test_the_promise_of_each_block_is_its_own():
    """One promise for all leads is too high for the next day and too low for the last of a week."""
    rng = np.random.default_rng(8)
    walk = 500 + np.cumsum(rng.normal(0, 3, (40, 63 * 24)), axis=1)
    found = forecast(walk[:, : 56 * 24], HOURLY, 168)
    error = np.abs(found.mean - walk[:, 56 * 24 :])
    for first, end in HOURLY.interval_blocks:
        promised = found.backtest_mae[:, first:end].mean()
        assert promised == pytest.approx(error[:, first:end].mean(), rel=0.35)
    assert found.backtest_mae[:, 100].mean() > 2 * found.backtest_mae[:, 10].mean()
    beyond = forecast(walk.reshape(40, -1, 24).mean(axis=2), DAILY, 40).backtest_mae
    assert np.isfinite(beyond[:, :28]).all()
    assert np.isnan(beyond[:, 28:]).all()
