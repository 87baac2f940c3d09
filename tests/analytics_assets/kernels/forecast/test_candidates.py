import numpy as np
import pytest

from analytics_assets.kernels.forecast import daily_candidates as daily
from analytics_assets.kernels.forecast import hourly_candidates as hourly
from analytics_assets.kernels.forecast.plan import DAILY, HOURLY
from tests.analytics_assets.kernels.forecast.series import daily_job, office_hours


def hours_ahead(series, horizon=168, origin_days=0, floor=0.0):
    """Return the forecasts by candidate, made `origin_days` days before the end of `series`, among other origins."""
    origins = np.array(sorted({0, 1, origin_days}))
    out = np.empty((len(origins), horizon, len(HOURLY.candidates)))
    hourly.hourly_candidates(np.asarray(series, float), origins, floor, out, np.empty(len(origins)))
    return dict(zip(HOURLY.candidates, out[origins.tolist().index(origin_days)].T, strict=True))


def days_ahead(series, horizon=28, floor=0.0):
    out = np.empty((horizon, len(DAILY.candidates)))
    daily.daily_candidates(np.asarray(series, float), len(series), floor, out)
    return dict(zip(DAILY.candidates, out.T, strict=True))


def median(values, weights):
    """The oracle: sort, sum the weights, take the value at one half."""
    known = sorted((value, weight) for value, weight in zip(values, weights, strict=True) if not np.isnan(value))
    half, below = sum(weight for _, weight in known) / 2, 0.0
    for place, (value, weight) in enumerate(known):
        below += weight
        if below > half * (1 + 1e-9):
            return value
        if below >= half * (1 - 1e-9):
            return (value + next(later for later, other in known[place + 1 :] if other > 0)) / 2
    return np.nan


def test_absolute_candidates_are_weighted_medians_over_days():
    """An off-by-one in the day, hour or weekday of the past would repeat the wrong hours."""
    series = np.random.default_rng(1).gamma(2, 10, 40 * 24)
    series[np.random.default_rng(2).random(len(series)) < 0.1] = np.nan
    found = hours_ahead(series)
    age = np.arange(28)
    for at in (0, 5, 23, 24, 60, 167):
        ahead, hour = divmod(at, 24)
        past = np.array([series[len(series) - 24 * (back + 1) + hour] for back in age])
        same = (age + 1 + ahead) % 7 == 0
        assert found["recent_days"][at] == median(past, 0.5 ** (age / 1.5))
        assert found["weekday_profile"][at] == median(past, 0.5 ** (age / 14) * np.where(same, 8, 1))
        assert found["hour_of_week"][at] == median(past, same * 1.0)
        assert found["seasonal_naive"][at] == past[~np.isnan(past)][0]


def test_the_last_value_pulls_the_next_hours_and_then_lets_go():
    series = np.full(14 * 24, 10.0)
    series[-1] = 20.0
    found = hours_ahead(series)["recent_days_last_value"]
    assert found[:3] == pytest.approx([10 + 10 * 0.8, 10 + 10 * 0.8**2, 10 + 10 * 0.8**3])
    assert found[100] == pytest.approx(10, abs=1e-6)


def test_a_job_at_a_fixed_hour_keeps_its_height_and_its_hour():
    """Smoothing over neighbouring hours would spread it."""
    found = hours_ahead(daily_job(noise=1.0))
    for name in ("recent_days", "week_level_profile", "hours_level_profile", "settling_level_profile"):
        assert found[name][2] == pytest.approx(60, abs=3)
        assert found[name][[1, 3]] == pytest.approx([10, 10], abs=3)


def test_noise_has_no_shape():
    """Repeating the noise of the past as if it were a daily cycle costs accuracy: the shape is shrunk away."""
    noise = np.random.default_rng(3).normal(100, 10, (20, 28 * 24))
    shapes = [np.std(hours_ahead(row)["week_level_profile"][:24]) for row in noise]
    medians = [np.std(np.median(row.reshape(28, 24), axis=0)) for row in noise]
    assert np.mean(shapes) < 0.6 * np.mean(medians)


def test_level_rules_follow_a_level_shift_at_once():
    series = daily_job()
    series[-12:] += 100
    found = hours_ahead(series)
    assert found["hours_level_profile"][30] == pytest.approx(110)
    assert found["settling_level_profile"][0] == pytest.approx(110, abs=15)
    assert found["settling_level_profile"][160] == pytest.approx(10, abs=1)


def test_weekdays_are_counted_back_from_the_origin():
    found = hours_ahead(office_hours(noise=0.0))["hour_of_week"].reshape(7, 24)
    assert found[:5, 12] == pytest.approx(60)
    assert found[5:, 12] == pytest.approx(20)


def test_nothing_after_the_origin_is_read():
    """A backtest that sees its own truth chooses the wrong rules and promises too much."""
    series = daily_job(noise=5)
    changed = series.copy()
    changed[-240:] = 1e6
    alone = hours_ahead(series[:-240])
    for name, values in hours_ahead(series, origin_days=10).items():
        assert np.array_equal(values, hours_ahead(changed, origin_days=10)[name]), name
        assert np.array_equal(values, alone[name]), name


def test_missing_hours_take_the_level_and_empty_series_are_nan():
    series = daily_job()
    series[5::24] = np.nan
    assert hours_ahead(series)["recent_days"][5] == pytest.approx(10)
    assert all(np.isnan(values).all() for values in hours_ahead(np.full(40 * 24, np.nan)).values())
    assert all(np.isnan(values).all() for values in hours_ahead(np.ones(20)).values())


def test_no_candidate_is_below_its_floor():
    falling = np.linspace(50, 0.1, 28 * 24)
    falling[-3:] = 0
    assert min(values.min() for values in hours_ahead(falling).values()) >= 0
    shrinking = days_ahead(np.linspace(50, 0.1, 56), 90)
    assert shrinking["line"].min() == 0
    cold = hours_ahead(np.full(14 * 24, -5.0), floor=-np.inf)
    assert all(values == pytest.approx(-5) for values in cold.values())


def test_daily_levels_and_weekdays():
    week = np.array([30.0, 30, 30, 30, 30, 10, 10])
    found = days_ahead(np.tile(week, 8), 14)
    assert found["seasonal_naive"] == pytest.approx(np.tile(week, 2))
    ages = np.arange(56)
    level = median(np.tile(week, 8)[::-1], 0.5 ** (ages / 7))
    assert found["long_level"][0] - found["long_level"][6] == pytest.approx(20)
    assert found["long_level"][0] == pytest.approx(level + 0, abs=20)


def test_daily_level_has_a_memory():
    series = np.r_[np.full(40, 10.0), np.full(4, 50.0)]
    found = days_ahead(series, 90)
    assert found["short_level"][50] == 50
    assert found["long_level"][50] == 10
    assert days_ahead(np.r_[series[:-1], np.nan], 90)["short_level"][0] == 50


def test_lines_go_on_from_the_first_step_ahead():
    """An off-by-one in the age of the values would lag one day behind at every lead."""
    days = 20 + 0.5 * np.arange(56) + np.tile([0, 0, 0, 0, 0, 3, 3], 8)
    truth = 20 + 0.5 * np.arange(56, 146) + np.tile([0, 0, 0, 0, 0, 3, 3], 13)[:90]
    assert days_ahead(days, 90)["line"] == pytest.approx(truth, abs=1.0)
    assert days_ahead(20 + 0.5 * np.arange(56), 90)["line"] == pytest.approx(20 + 0.5 * np.arange(56, 146), abs=0.2)
    hours = 20 + np.arange(28 * 24) / 24
    assert hours_ahead(hours)["line_profile"] == pytest.approx(20 + np.arange(28 * 24, 35 * 24) / 24, abs=0.1)
