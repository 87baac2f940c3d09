"""Hourly and daily means of samples, and where a forecast begins."""

import numpy as np
import pandas as pd
import pytest

from portal.analyze.steps import HOUR_MS, step_means

NAN = np.nan


def means(rows, freq="h", series=None, from_hour=None):
    codes, hours, values = (np.array(column) for column in zip(*rows, strict=True))
    count = int(codes.max()) + 1 if series is None else series
    from_ms = None if from_hour is None else int(from_hour * HOUR_MS)
    ts_ms = np.round(hours * HOUR_MS).astype(np.int64)
    return step_means(codes.astype(np.int32), ts_ms, values.astype(float), count, freq, from_ms)


def test_the_mean_of_each_hour_and_nan_where_there_is_none():
    steps = means([(0, 5.5, 3), (0, 2.0, 1), (0, 2.5, 2), (1, 4, 9), (0, 3.1, NAN), (0, 5.9, NAN)])
    np.testing.assert_array_equal(steps.values[0], [1.5, NAN, NAN, 3])
    np.testing.assert_array_equal(steps.values[1], [9])
    assert steps.first_step.tolist() == [2, 4]


def test_means_are_those_of_pandas_whatever_the_order_of_the_rows():
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"code": random.integers(0, 5, 3000), "hour": random.random(3000) * 400, "value": random.random(3000)}
    )
    rows = rows.sort_values(["code", "hour"])
    shuffled = rows.sample(frac=1, random_state=1)
    steps = means(shuffled.itertuples(index=False, name=None))
    expected = rows.groupby(["code", rows["hour"] // 1])["value"].mean()
    for code in range(5):
        known = ~np.isnan(steps.values[code])
        np.testing.assert_allclose(steps.values[code][known], expected[code][: known.sum()])
        assert (np.flatnonzero(known) + steps.first_step[code]).tolist() == expected[code].index[: known.sum()].tolist()


def test_a_step_that_has_hardly_begun_is_not_learned_from():
    """Stops the ten minutes after midnight from being taken as a day's mean; the forecast begins after that day."""
    day = [(0, hour, 1.0) for hour in range(72)]
    steps = means([*day, (0, 72, 50.0)], "d")
    assert (steps.values[0].tolist(), steps.next_step.tolist()) == ([1, 1, 1], [4])
    almost = means([*day, *((0, 72 + hour, 1.0) for hour in range(23))], "d")
    assert (len(almost.values[0]), almost.next_step.tolist()) == (4, [4])


@pytest.mark.parametrize(
    ("minutes", "freq"),
    [
        ([*range(0, 40 * 1440 - 1440, 5), *range(40 * 1440 - 660, 40 * 1440, 5)], "d"),  # the last day lacks 13 hours
        ([*range(0, 40 * 1440 - 60, 5), *range(40 * 1440 - 25, 40 * 1440, 5)], "h"),  # the last hour lacks 35 minutes
        ([*range(30 * 1440), *range(30 * 1440, 40 * 1440, 5)], "h"),  # sampled every minute, then every five
        ([*range(30 * 1440), *range(30 * 1440, 40 * 1440, 5)], "d"),
        ([*range(30 * 1440), *range(30 * 1440, 40 * 1440, 60)], "h"),  # then every hour
        ([*range(0, 40 * 1440, 1440)], "d"),
    ],
)
def test_a_forecast_begins_after_the_step_of_the_last_sample(minutes, freq):
    """Stops a forecast of a day that is over, whatever gaps or density the samples have; that day is learned from."""
    steps = means([(0, minute / 60, 1.0) for minute in minutes], freq)
    count = 40 if freq == "d" else 960
    assert (steps.next_step.tolist(), len(steps.values[0])) == ([count], count)


def test_a_begin_that_is_told_holds_for_all_and_nothing_later_is_used():
    steps = means([(0, 1, 1), (0, 2, 2), (0, 30, 9), (1, 4, 4), (2, 31, 5)], from_hour=30.5)
    assert steps.next_step.tolist() == [30, 30, 30]
    assert [values.tolist() for values in steps.values] == [[1, 2], [4], []]


def test_series_that_miss_the_last_hours_are_forecast_from_the_same_moment_on():
    """Stops a late sample from moving one series' forecast against all others'; a machine that is gone is by itself."""
    steps = means([(0, 100, 1), (1, 90, 1), (2, 40, 1), (0, 99, 1), (1, 89, 1), (2, 39, 1)])
    assert steps.next_step.tolist() == [101, 101, 41]


def test_a_series_without_any_value_has_no_steps():
    steps = means([(0, 1, NAN), (1, 3, 2)], series=3)
    assert [len(values) for values in steps.values] == [0, 1, 0]
    assert steps.next_step.tolist() == [-1, 4, -1]
    assert means([(0, 1, NAN)]).next_step.tolist() == [-1]
