"""Hourly and daily means of samples, and where a forecast begins."""

import numpy as np
import pandas as pd

from portal.analyze.steps import HOUR_MS, step_means

NAN = np.nan


def means(rows, freq="h", series=None):
    codes, hours, values = (np.array(column) for column in zip(*rows, strict=True))
    count = int(codes.max()) + 1 if series is None else series
    return step_means(codes.astype(np.int32), (hours * HOUR_MS).astype(np.int64), values.astype(float), count, freq)


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


def test_an_unfinished_last_step_is_forecast_and_not_learned_from():
    """Stops the ten minutes after midnight from being taken as a day's mean."""
    day = [(0, hour, 1.0) for hour in range(72)]
    steps = means([*day, (0, 72, 50.0)], "d")
    assert (steps.values[0].tolist(), steps.next_step.tolist()) == ([1, 1, 1], [3])
    almost = means([*day, *((0, 72 + hour, 1.0) for hour in range(23))], "d")
    assert almost.next_step.tolist() == [4]


def test_series_that_miss_the_last_hours_are_forecast_from_the_same_moment_on():
    """Stops a late sample from moving one series' forecast against all others'; a machine that is gone is by itself."""
    steps = means([(0, 100, 1), (1, 90, 1), (2, 40, 1), (0, 99, 1), (1, 89, 1), (2, 39, 1)])
    assert steps.next_step.tolist() == [101, 101, 41]


def test_a_series_without_any_value_has_no_steps():
    steps = means([(0, 1, NAN), (1, 3, 2)], series=3)
    assert [len(values) for values in steps.values] == [0, 1, 0]
    assert steps.next_step.tolist() == [-1, 4, -1]
    assert means([(0, 1, NAN)]).next_step.tolist() == [-1]
