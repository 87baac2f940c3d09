import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.sizing.peaks import (
    Hours,
    _upper_quantile,
    bucket_quantile,
    buckets_above,
    hourly_peaks,
    sample_peaks,
)

WEEKS = 4


def summary(buckets):
    """Return the hourly summary of buckets [series, hour, bucket]."""
    return Hours(buckets.mean(axis=-1), np.quantile(buckets, 0.95, axis=-1), buckets.max(axis=-1), buckets.shape[-1])


def test_peaks_of_samples_take_the_higher_of_all_and_of_the_last_days():
    values = np.r_[np.full(1000, 1.0), np.full(1000, 2.0), 9.0]
    recent = np.arange(2001) >= 1900
    found = sample_peaks(values, recent)
    assert (found.high[0], found.highest[0]) == (pytest.approx(2), 9)
    assert sample_peaks(np.r_[values, np.full(9, 5.0)], np.arange(2010) >= 1990).high[0] > 4
    assert np.isnan(sample_peaks(np.empty(0), np.empty(0, bool)).high[0])


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([6, 12, 60]), st.sampled_from([0.3, 0.8, 1.5]))
def test_hourly_summaries_tell_nearly_the_percentile_of_their_buckets(seed, count, spread):
    """Stops a size from hourly rows that is far below the one from samples, which would starve the VM."""
    rng = np.random.default_rng(seed)
    level = np.exp(rng.normal(0, 0.5, (4, WEEKS * 168, 1)))
    buckets = level * np.exp(rng.normal(0, spread, (4, WEEKS * 168, count)))
    found = hourly_peaks(summary(buckets)).high
    recent = buckets[:, -168:].reshape(4, -1)
    true = np.maximum(np.quantile(buckets.reshape(4, -1), 0.99, axis=1), np.quantile(recent, 0.99, axis=1))
    assert (found > 0.8 * true).all()
    assert (found < 2 * true).all()


def test_a_steady_hour_is_exactly_its_level():
    found = hourly_peaks(summary(np.full((1, 200, 12), 3.0)))
    assert (found.high[0], found.highest[0]) == (pytest.approx(3), 3)


def test_hours_without_rows_change_nothing():
    rng = np.random.default_rng(1)
    buckets = rng.gamma(2, 1, (2, 400, 12))
    whole = summary(buckets)
    gaps = [
        np.where(np.arange(800) % 2 == 0, np.repeat(x, 2, axis=1), np.nan)
        for x in (whole.mean, whole.p95, whole.maximum)
    ]
    # Only the recent week holds half as many hours; without it both are the same.
    assert hourly_peaks(Hours(*gaps)).highest == pytest.approx(hourly_peaks(whole).highest)
    assert np.isnan(hourly_peaks(Hours(*(np.full((1, 48), np.nan) for _ in range(3)))).high[0])


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 0.999))
def test_the_weighted_quantile_agrees_with_a_plain_one(seed, share):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 30, (3, 40, 2)).astype(float)
    values[rng.random((3, 40)) < 0.2] = np.nan
    weights = np.array([1.0, 3.0])
    for row, found in zip(values, _upper_quantile(values, weights, share), strict=True):
        listed = sorted((v, w) for hour in row if not np.isnan(hour[0]) for v, w in zip(hour, weights, strict=True))
        total = sum(weight for _, weight in listed)
        least = min(v for v, _ in listed if sum(w for other, w in listed if other > v) <= (1 - share) * total + 1e-9)
        assert found == least


def test_buckets_above_are_counted_by_hour():
    buckets = np.ones((1, 3, 12))
    buckets[0, 1, :4] = 5.0
    buckets[0, 2] = 7.0
    above = buckets_above(summary(buckets), np.array([4.0]))
    assert above[0, 0] == 0
    assert 2 <= above[0, 1] <= 6
    assert above[0, 2] == pytest.approx(12)


@pytest.mark.parametrize("count", [1, 2])
def test_hours_of_one_or_two_buckets_are_read_exactly(count):
    """Stops capacity and recommendations from failing at buckets of half an hour or an hour, which may be set."""
    buckets = np.random.default_rng(count).gamma(2, 1, (2, 336, count))
    hours = summary(buckets)
    assert bucket_quantile(hours, 0.9) == pytest.approx(
        np.quantile(buckets.reshape(2, -1), 0.9, axis=1, method="higher")
    )
    assert hourly_peaks(hours).highest == pytest.approx(buckets.max(axis=(1, 2)))
    assert (buckets_above(hours, np.array([2.0, 3.0])) == (buckets > [[[2.0]], [[3.0]]]).sum(axis=-1)).all()


def test_an_hour_of_no_buckets_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Hours(*(np.ones((1, 1)) for _ in range(3)), buckets=0)
