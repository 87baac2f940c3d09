import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.anomaly.residuals import standardized_residuals
from analytics_assets.kernels.anomaly.residuals_kernel import LARGEST_LOG, log_place
from tests.analytics_assets.kernels.anomaly.planted_series import STEPS_PER_DAY, instants, normal


@pytest.mark.parametrize("kind", ["flat", "daily", "a fifth missing", "lognormal"])
def test_usual_points_have_a_residual_of_about_one(kind: str) -> None:
    """A scale that is off by a factor makes every threshold on residuals wrong."""
    values = normal(kind, 14, seed=1)
    residuals = standardized_residuals(instants(len(values)), values)[STEPS_PER_DAY * 3 :]
    assert 0.4 < np.nanmedian(np.abs(residuals)) < 1.3


def test_sign_tells_the_direction() -> None:
    values = normal("daily", 7, seed=2)
    values[1500] += 40
    values[1700] -= 40
    residuals = standardized_residuals(instants(len(values)), values)
    assert residuals[1500] > 8
    assert residuals[1700] < -8


def test_time_of_day_is_learned() -> None:
    """The usual evening peak is not abnormal, the same value in the night is."""
    values = normal("daily", 10, seed=3)
    values[9 * STEPS_PER_DAY + 216] = 70.0
    residuals = standardized_residuals(instants(len(values)), values)
    assert residuals[9 * STEPS_PER_DAY + 216] > 5
    assert np.abs(residuals[9 * STEPS_PER_DAY + 60 : 9 * STEPS_PER_DAY + 84]).max() < 4


def test_week_is_learned_from_the_third_on() -> None:
    """Without the hour of the week, load that halves at weekends is news every Saturday and every Monday."""
    values = normal("weekend halves", 35, seed=4)
    residuals = np.abs(standardized_residuals(instants(len(values)), values))
    saturdays = [residuals[day * STEPS_PER_DAY : day * STEPS_PER_DAY + 12].max() for day in (5, 19, 26, 33)]
    assert saturdays[0] > 5
    assert max(saturdays[1:]) < 4


def test_an_anomaly_hardly_moves_the_baseline() -> None:
    """Two hours at ten times the level must not make the next day's same hours look low."""
    clean = normal("daily", 14, seed=5)
    dirty = clean.copy()
    dirty[10 * STEPS_PER_DAY : 10 * STEPS_PER_DAY + 24] = 500.0
    ts = instants(len(clean))
    next_day = slice(11 * STEPS_PER_DAY, 12 * STEPS_PER_DAY)
    before, after = (np.abs(standardized_residuals(ts, v)[next_day]) for v in (clean, dirty))
    assert np.abs(after - before).max() < 2.0


def test_reference_is_learned_without_suspicion() -> None:
    """A known restart every night is normal: marked so, it is expected sooner than by clipped learning."""
    values = normal("flat", 4, seed=6)
    restart = np.arange(len(values)) % STEPS_PER_DAY < 6
    values[restart] = 400.0
    ts = instants(len(values))
    known = np.arange(len(values)) < 3 * STEPS_PER_DAY
    suspicious = standardized_residuals(ts, values)
    trusting = standardized_residuals(ts, values, known)
    assert np.abs(trusting[3 * STEPS_PER_DAY]) < 0.7 * np.abs(suspicious[3 * STEPS_PER_DAY])


def test_unit_does_not_matter() -> None:
    """Bytes or gigabytes: an absolute constant in the scale would tell them apart."""
    values = normal("lognormal", 7, seed=7)
    ts = instants(len(values))
    assert standardized_residuals(ts, values * 1e9) == pytest.approx(standardized_residuals(ts, values), rel=1e-6)


def test_matrix_is_the_same_as_its_rows() -> None:
    values = np.stack([normal(kind, 3, seed=8) for kind in ("flat", "daily", "a fifth missing")]).astype(np.float32)
    ts = instants(values.shape[1])
    whole = standardized_residuals(ts, values)
    assert whole.shape == values.shape
    for row, residuals in zip(values, whole, strict=True):
        assert np.array_equal(standardized_residuals(ts, row), residuals, equal_nan=True)


def test_missing_and_infinite_values_are_passed_over() -> None:
    """A gap that is filled with zero or with the last value would be an anomaly or hide one."""
    values = normal("daily", 4, seed=9)
    ts = instants(len(values))
    gone = np.zeros(len(values), bool)
    gone[300:340] = gone[700:900:3] = True
    holes = values.copy()
    holes[gone] = np.nan
    holes[310] = np.inf
    holes[703] = -np.inf
    residuals = standardized_residuals(ts, holes)
    assert np.isnan(residuals[gone]).all()
    assert np.array_equal(residuals[~gone], standardized_residuals(ts[~gone], values[~gone]))


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, np.nan], [3.0] * 50, [0.0] * 50, [1e300, -1e300] * 20])
def test_edges_give_finite_residuals_or_nan(values: list[float]) -> None:
    data = np.array(values)
    residuals = standardized_residuals(instants(len(data)), data)
    assert np.array_equal(np.isnan(residuals), np.isnan(data))
    assert np.isfinite(residuals[~np.isnan(data)]).all()


def test_constant_is_never_off_and_leaving_it_is() -> None:
    """A metric whose spread is zero: no division by it, and the first change shows."""
    for usual in (0.0, 7.0):
        values = np.full(1000, usual)
        values[800] = usual + 5
        residuals = standardized_residuals(instants(1000), values)
        assert (residuals[:800] == 0).all()
        assert residuals[800] > 10


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.lists(st.sampled_from([0, 1_000, 60_000, 300_000, 3_600_000, 86_400_000]), min_size=2, max_size=80),
    share=st.floats(0, 1),
)
def test_prefix_of_the_residuals_is_the_residuals_of_the_prefix(seed: int, steps: list[int], share: float) -> None:
    """A look ahead, be it a global scale or a sort, shows here; duplicates, gaps and NaN included."""
    random = np.random.default_rng(seed)
    ts = np.cumsum(np.array(steps, np.int64))
    values = np.where(random.random(len(ts)) < 0.1, np.nan, random.standard_t(1, len(ts)))
    reference = random.random(len(ts)) < 0.3
    cut = int(share * len(ts))
    whole = standardized_residuals(ts, values, reference)
    assert np.array_equal(whole[:cut], standardized_residuals(ts[:cut], values[:cut], reference[:cut]), equal_nan=True)


def test_wrong_input_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="ts_ms falls at position 2"):
        standardized_residuals(np.array([1, 5, 3]), np.zeros(3))
    with pytest.raises(ValueError, match="2 instants for 3 values"):
        standardized_residuals(np.array([1, 5]), np.zeros(3))
    with pytest.raises(ValueError, match="1 reference flags for 3 points"):
        standardized_residuals(np.array([1, 5, 6]), np.zeros(3), np.ones(1, bool))


@given(st.floats(-1e120, 1e120))
def test_logarithmic_scale_is_that_of_asinh(ratio: float) -> None:
    """The inverse, which makes the expected value of it, is the library's sinh."""
    assert log_place(ratio) == pytest.approx(math.asinh(ratio), rel=1e-14, abs=1e-14)


def test_logarithmic_scale_ends_where_its_inverse_does() -> None:
    """The square of a ratio of 1e300 is infinite, and so would all be that is learned from it."""
    assert log_place(1e300) == pytest.approx(LARGEST_LOG)
    assert log_place(-math.inf) == pytest.approx(-LARGEST_LOG)
