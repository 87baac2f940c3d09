import numpy as np
import pytest

from analytics_assets.kernels.cycle_residuals import cycle_residuals

HOURS = 24


def hours(days):
    return np.arange(days * HOURS)


def daily(days, size=10.0):
    return size * np.sin(2 * np.pi * hours(days) / HOURS)


def rows(*series):
    return np.array(series)


def oracle(series, days, kinds):
    """Day medians off, then each kind's medians by hour, in the size of the day; then centred, to length 1; no gaps."""
    by_day = series.reshape(days, HOURS)
    by_day = by_day - np.array([[np.median(day)] for day in by_day])
    for kind in kinds:
        cycle = np.array([np.median(by_day[kind, hour]) for hour in range(HOURS)])
        for day in kind:
            by_day[day] -= cycle * (by_day[day] @ cycle) / (cycle @ cycle)
    flat = by_day.reshape(-1)
    spread = 1.4826 * np.median(np.abs(flat - np.median(flat)))
    flat = np.clip(flat - np.median(flat), -5 * spread, 5 * spread)
    flat = flat - flat.mean()
    return flat / np.sqrt(np.sum(flat**2))


@pytest.mark.parametrize(
    ("days", "kinds"),
    [
        (3, []),
        (6, [[0, 1, 2, 3, 4, 5]]),
        (14, [[0, 1, 2, 3, 4, 7, 8, 9, 10, 11], [5, 6, 12, 13]]),
        (28, [list(range(day, 28, 7)) for day in range(7)]),
    ],
)
def test_residuals_are_those_of_the_definition(days, kinds):
    series = np.random.default_rng(days).standard_t(2, days * HOURS)
    found = cycle_residuals(rows(series), HOURS, 0)
    assert found.values[0] == pytest.approx(oracle(series, days, kinds), abs=1e-6)
    assert found.spent == days * (2 if kinds else 1) + len(kinds) * HOURS


def test_the_weekend_is_where_the_first_weekday_says():
    """From a Saturday on, days 0 and 1 are the weekend; taken for working days, its other cycle would remain."""
    weekend = np.isin(np.arange(14) % 7, [0, 1]).repeat(HOURS)
    series = np.where(weekend, np.roll(daily(14), 6), daily(14)) + 0.01 * np.random.default_rng(1).standard_normal(336)
    left = [np.sum(cycle_residuals(rows(series), HOURS, first).values[0, weekend] ** 2) for first in (5, 0)]
    assert left[0] < 0.5 < 0.9 < left[1]


def test_a_holiday_is_no_residual():
    """Machines that do less on the same Wednesday would all correlate by it."""
    size = np.ones(14)
    size[2] = 0.1
    series = np.repeat(size, HOURS) * daily(14) + 0.01 * np.random.default_rng(1).standard_normal(336)
    left = cycle_residuals(rows(series), HOURS, 0).values[0]
    assert np.sum(left[2 * HOURS : 3 * HOURS] ** 2) < 2 / 14


def test_nothing_is_left_of_levels_trends_and_cycles():
    """A ramp in steps of days, a weekend's level and a daily cycle are no residual; rounding is none either."""
    level = np.repeat(np.array([0, 1, 2, 3, 4, 50, 60] * 2) * 1.0, HOURS)
    series = (1e6 + level + daily(14)).astype(np.float32)
    assert not cycle_residuals(rows(series), HOURS, 0).values.any()


def test_gaps_are_zero_and_marked():
    series = daily(8) + np.random.default_rng(2).standard_normal(8 * HOURS)
    series[30:40] = np.nan
    found = cycle_residuals(rows(series, np.full(8 * HOURS, np.nan), np.full(8 * HOURS, 3.0)), HOURS, 0)
    assert not found.values[0, 30:40].any()
    assert not found.present[0, 30:40].any()
    assert found.present[0].sum() == 8 * HOURS - 10
    assert np.sum(found.values[0] ** 2) == pytest.approx(1)
    assert found.values[0].sum() == pytest.approx(0, abs=1e-5)
    assert not found.values[1:].any()
    assert found.present[1:].sum(axis=1).tolist() == [0, 8 * HOURS]


def test_one_spike_does_not_make_a_series():
    """Unclipped, two series with one spike each at the same time correlate by 1."""
    series = np.random.default_rng(3).standard_normal(8 * HOURS)
    series[100] = 1e6
    found = cycle_residuals(rows(series), HOURS, 0).values[0]
    assert abs(found[100]) < 0.5


def test_a_series_that_mostly_stands_still_is_clipped_by_its_movements():
    """Its deviation from the median is mostly 0, which is no scale."""
    series = np.zeros(8 * HOURS)
    series[::9] = 1.0
    series[90] = 1000.0
    found = cycle_residuals(rows(series), HOURS, 0).values[0]
    assert found[90] == pytest.approx(5 * 1.4826 * found[99], rel=0.2)


def test_days_must_be_whole():
    with pytest.raises(ValueError, match="no whole days"):
        cycle_residuals(np.zeros((1, 30)), HOURS, 0)
