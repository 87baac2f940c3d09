import numpy as np
import pytest

from analytics_assets.kernels.root_cause.change import changes
from tests.analytics_assets.kernels.root_cause.samples import incident, noise, raised


def oracle(values, first, last):
    """Step and usual step of one gapless series, written out window by window."""
    length = last - first + 1
    before = 2 * length

    def step(start):
        return np.median(values[start : start + length]) - np.median(values[start - before : start])

    reference = [at for at in range(len(values)) if not first <= at <= last]
    steps = []
    for begin in range(len(reference) - 3 * length + 1):
        places = reference[begin : begin + 3 * length]
        if places[-1] - places[0] < 6 * length:
            chosen = values[places]
            steps.append(abs(np.median(chosen[before:]) - np.median(chosen[:before])))
    return step(first), max(np.quantile(steps, 0.75), 0.01 * abs(np.median(values[reference])))


def test_step_and_usual_step_are_those_of_the_definition():
    values = raised(noise(3), 100, 104, 4.0)
    found = incident({("a", "m"): values}, (100, 104))
    moved = changes(found, found.reference(1000))
    step, usual = oracle(values, 100, 104)
    assert moved.step[0, 0] == pytest.approx(step)
    assert moved.usual[0, 0] == pytest.approx(usual)
    assert moved.change[0, 0] == pytest.approx(step / (step + 2 * usual))


def test_a_jump_counts_less_where_jumps_are_usual():
    """The same step in a quiet and in a restless series are two different things."""
    quiet, restless = raised(noise(4), 100, 104, 20), raised(noise(5, spread=20), 100, 104, 20)
    found = incident({("quiet", "m"): quiet, ("restless", "m"): restless}, (100, 104))
    moved = changes(found, found.reference(480)).change[:, 0]
    assert moved[0] > 0.8
    assert moved[1] < 0.6


def test_one_wild_sample_is_no_change():
    found = incident({("a", "m"): raised(noise(6), 102, 102, 1e6)}, (100, 104))
    assert changes(found, found.reference(480)).change[0, 0] < 0.5


def test_drift_that_goes_on_is_no_change():
    """A memory that always grows lies above its past in every window."""
    steady = np.arange(200.0)
    found = incident({("steady", "m"): steady, ("jump", "m"): raised(steady, 100, 104, 100)}, (100, 104))
    moved = changes(found, found.reference(480)).change[:, 0]  # by name: jump, steady
    assert moved[1] < 0.4 < 0.8 < moved[0]


def test_constant_missing_and_begun_series():
    """A flat series has not changed, one that leaves a flat line has, and one without samples is no error."""
    flat = np.full(200, 7.0)
    zero = np.zeros(200)
    series = {
        ("flat", "m"): flat,
        ("gone", "m"): np.where(np.arange(200) >= 100, np.nan, flat),
        ("new", "m"): np.where(np.arange(200) < 100, np.nan, flat),
        ("woke", "m"): raised(zero, 100, 104, 1e-6),
        ("zero", "m"): zero,
    }
    found = incident(series, (100, 104))
    moved = changes(found, found.reference(480)).change[:, 0]
    assert moved.tolist() == [0, 0, 0, 1, 0]


def test_a_window_at_the_very_beginning_is_held_against_what_follows():
    found = incident({("a", "m"): raised(noise(7), 0, 4, 30), ("b", "m"): noise(8)}, (0, 4))
    moved = changes(found, found.reference(480)).change[:, 0]
    assert moved[0] > 0.8 > moved[1]


def test_a_record_too_short_for_windows_still_answers():
    """With five steps of reference there is no other window; how single samples lie off stands in."""
    found = incident({("a", "m"): [1, 2, 1, 2, 1, 9, 9, 9], ("b", "m"): [1, 2, 1, 2, 1, 2, 1, 2]}, (5, 7))
    moved = changes(found, found.reference(480)).change[:, 0]
    assert moved[0] > 0.7 > moved[1]
