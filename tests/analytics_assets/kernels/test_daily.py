import numpy as np

from analytics_assets.kernels.daily import daily_levels, without_hours_of_day, without_weekdays

HOURS = np.arange(24)
CYCLE = 20 * np.sin(HOURS / 24 * 2 * np.pi)


def test_a_whole_day_is_exactly_its_mean():
    hours = np.random.default_rng(2).normal(50, 5, (3, 240)).astype(np.float32)
    expected = hours.reshape(3, 10, 24).mean(axis=-1, dtype=np.float64)
    np.testing.assert_allclose(daily_levels(hours, 12), expected, rtol=1e-12)


def test_a_day_with_only_its_quiet_hours_is_not_a_drop():
    """A daily cycle and a half-seen day together used to look like a fall of the level."""
    hours = np.tile(50 + CYCLE, (1, 10))
    hours[0, 9 * 24 : 9 * 24 + 12] = np.nan  # the last day has only its lower half
    levels = daily_levels(hours, 12)
    assert abs(np.nanmean(hours[0, 9 * 24 :]) - 50) > 10
    np.testing.assert_allclose(levels[0], 50, atol=1e-9)


def test_a_day_with_too_few_hours_is_missing():
    hours = np.full((1, 48), 5.0)
    hours[0, :13] = np.nan
    levels = daily_levels(hours, 12)
    assert np.isnan(levels[0, 0])
    assert levels[0, 1] == 5


def test_a_ramp_with_gaps_keeps_its_slope():
    ramp = np.arange(240.0)[None, :] + np.tile(CYCLE, 10)
    ramp[0, 100:110] = np.nan
    np.testing.assert_allclose(np.diff(daily_levels(ramp, 12)[0]), 24, atol=0.5)


def test_all_hours_missing_is_missing_not_zero():
    assert np.isnan(daily_levels(np.full((2, 48), np.nan), 1)).all()


def test_a_strong_weekday_effect_is_taken_off_and_the_trend_kept():
    """Weekends would otherwise be noise that hides a slow growth."""
    days = np.arange(28)
    clean = 50 + 0.2 * days
    values = (clean - 30 * (days % 7 >= 5))[None, :] + np.random.default_rng(3).normal(0, 0.1, (1, 28))
    adjusted, spent = without_weekdays(values)
    assert spent[0] == 6
    assert np.std(adjusted[0] - clean) < 0.5


def test_noise_alone_is_rarely_taken_for_a_weekday_effect():
    values = np.random.default_rng(4).normal(0, 1, (2000, 28))
    adjusted, spent = without_weekdays(values)
    assert np.mean(spent > 0) < 0.02
    np.testing.assert_array_equal(adjusted[spent == 0], values[spent == 0])


def test_two_weeks_are_too_few_for_a_weekday_effect():
    values = np.tile([1.0, 1, 1, 1, 1, 9, 9], 2)[None, :]
    assert without_weekdays(values)[1][0] == 0


def test_a_cycle_of_hours_is_taken_off_and_trend_and_level_stay():
    hour = np.arange(72)
    cycle = np.where(hour % 24 < 6, -30.0, 10.0)
    values, spent = without_hours_of_day((50 + cycle + 0.5 * hour)[None, :].astype(np.float32))
    np.testing.assert_allclose(values[0], 50 + 0.5 * hour, atol=1e-4)
    assert spent[0] == 23


def test_one_day_cannot_tell_a_cycle_from_a_trend():
    ramp = np.arange(24, dtype=np.float32)[None, :]
    values, spent = without_hours_of_day(ramp)
    np.testing.assert_array_equal(values, ramp)
    assert spent[0] == 0


def test_hours_that_are_missing_stay_missing_and_the_others_keep_their_cycle():
    hours = np.tile(np.sin(np.arange(24) / 24 * 2 * np.pi), 3)[None, :].astype(np.float32)
    hours[0, [5, 29, 40]] = np.nan  # one hour is there on a single day only
    values, _ = without_hours_of_day(hours)
    np.testing.assert_array_equal(np.isnan(values), np.isnan(hours))
    np.testing.assert_allclose(values[~np.isnan(values)], 0, atol=0.1)
    assert np.isnan(without_hours_of_day(np.full((1, 48), np.nan, np.float32))[0]).all()
    assert without_hours_of_day(np.empty((0, 48), np.float32))[0].shape == (0, 48)
