import numpy as np
import pytest

from analytics_assets.kernels.root_cause.agreement import agreement, deviations, leading_agreement
from tests.analytics_assets.kernels.root_cause.samples import incident, noise, raised


def oracle(left, right):
    n = len(left)

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / np.sqrt((sum(a * a) + n) * (sum(b * b) + n))

    return 0.75 * max(0, cosine(left - left.mean(), right - right.mean())) + 0.25 * max(0, cosine(left, right))


def test_agreement_is_that_of_the_definition():
    rng = np.random.default_rng(1)
    left, right = 5 * rng.standard_normal((4, 6)), 5 * rng.standard_normal(6)
    assert agreement(left, right) == pytest.approx([oracle(row, right) for row in left])


def test_the_size_of_a_movement_does_not_matter_beyond_the_noise():
    alarm = np.array([0.0, 30, 60, 20, 0])
    small, large = agreement(np.array([alarm / 3, alarm * 100]), alarm)
    assert small > 0.95
    assert large > 0.99


def test_noise_agrees_with_nothing():
    """Five samples of noise correlate with anything; they have not moved."""
    alarm = np.array([0.0, 30, 60, 20, 0])
    found = agreement(np.random.default_rng(2).standard_normal((500, 5)), alarm)
    assert np.quantile(found, 0.95) < 0.75
    assert np.median(found) < 0.3
    assert agreement(np.zeros((1, 5)), alarm) == 0


def test_a_cause_may_move_some_steps_before_its_effect_but_not_after():
    alarm = np.array([0.0, 0, 0, 0, 30, 60, 40, 20, 0, 0])
    before, after = np.roll(alarm, -2), np.roll(alarm, 2)
    assert leading_agreement(np.array([before, after]), alarm, 2) == pytest.approx(
        [float(agreement(alarm, alarm)), float(agreement(after, alarm))]
    )
    assert leading_agreement(before, alarm, 1) < 0.9
    assert leading_agreement(before, alarm, 0) == agreement(before, alarm)


def test_the_other_way_is_no_agreement():
    alarm = np.array([0.0, 30, 60, 20, 0])
    assert agreement(-alarm, alarm) == 0


def test_a_level_without_a_course_agrees_in_part():
    """When the window begins after the jump, both are flat: only their levels say that both moved."""
    assert 0.2 < agreement(np.full(5, 40.0), np.full(5, 50.0)) < 0.3


def test_deviations_are_in_own_noise_and_flat_series_have_some_too():
    """A counter of errors that was always 0 has no noise to divide by."""
    series = {
        ("a", "m"): raised(noise(3, spread=2), 100, 104, 20),
        ("flat", "m"): raised(np.full(200, 100.0), 100, 104, -1),
        ("none", "m"): np.where(np.arange(200) == 50, 1.0, np.nan),
        ("zero", "m"): raised(np.zeros(200), 102, 102, 5),
    }
    found = incident(series, (100, 104))
    away, relative = deviations(found, found.reference(480))
    assert relative[0, 0].mean() == pytest.approx(10, rel=0.3)
    assert away[1, 0] == pytest.approx([-1] * 5)
    assert relative[1, 0] == pytest.approx([-10] * 5)
    assert np.isnan(away[2]).all()
    assert relative[2].tolist() == [[0] * 5]
    assert relative[3, 0].tolist() == [0, 0, 1000, 0, 0]
