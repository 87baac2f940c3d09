import numpy as np
import pytest

from analytics_assets.kernels.root_cause.incident import incident_of
from resources.errors import InvalidInput
from tests.analytics_assets.kernels.root_cause.samples import incident, noise


def grid(ts_ms, start_ms, end_ms, value=None, entity=None):
    count = len(ts_ms)
    return incident_of(
        ["a", "b"],
        ["m"],
        np.zeros(count, int) if entity is None else np.array(entity),
        np.zeros(count, int),
        np.array(ts_ms, dtype=np.int64),
        np.arange(count, dtype=float) if value is None else np.array(value, dtype=float),
        start_ms,
        end_ms,
    )


def test_jitter_does_not_split_a_step():
    """Samples at second 59 and second 1 of the next minute are neighbours, not the same minute's."""
    ts = [minute * 60_000 + shift for minute, shift in enumerate([0, -1000, 1000, 900, -900, 0, -1000, 1000])]
    found = grid(ts, 59_000, 181_000)
    assert found.step.tolist() == list(range(found.step[0], found.step[0] + 8))
    assert found.values[0, 0].tolist() == list(range(8))
    assert found.window.tolist() == [1, 2, 3]


def test_both_ends_of_the_window_count():
    """A window given as first and last sample must not lose the last one."""
    found = grid([step * 1000 for step in range(20)], 5000, 9000)
    assert found.window.tolist() == [5, 6, 7, 8, 9]


def test_a_record_months_away_costs_no_steps():
    """A grid over the gap would be of any size."""
    month = 30 * 24 * 3_600_000
    found = grid([*(step * 60_000 for step in range(10)), *(month + 20_000 + step * 60_000 for step in range(3))],
                 month + 20_000, month + 140_000)  # fmt: skip
    assert found.values.shape == (2, 1, 13)
    assert found.window.tolist() == [10, 11, 12]


def test_samples_in_one_step_are_averaged_and_what_is_not_finite_is_left_out():
    ts = [0, 60_000, 60_000, 120_000, 180_000, 240_000, 300_000, 360_000, 420_000]
    found = grid(ts, 60_000, 60_000, [1, 2, 4, np.nan, np.inf, 5, 6, 7, 8], [0, 0, 0, 0, 0, 1, 1, 1, 1])
    assert found.values[0, 0, 1] == 3
    assert np.isnan(found.values[0, 0, 2:]).all()
    assert np.isnan(found.values[1, 0, :2]).all()


def test_what_is_usual_is_what_came_before():
    """Stops an incident that goes on after its window from being its own usual range."""
    found = incident({("a", "m"): noise(1, 40)}, (10, 12))
    assert found.reference(5).tolist() == [5, 6, 7, 8, 9]


def test_of_a_short_record_the_nearest_steps_on_both_sides_tell_what_is_usual():
    found = incident({("a", "m"): noise(1, 40)}, (3, 5))
    assert found.reference(5).tolist() == [0, 1, 2, 6, 7]
    assert len(found.reference(1000)) == 37


def test_a_long_record_keeps_what_is_near():
    """A dense year of many entities would not fit into memory."""
    values = np.arange(5000.0)
    found = incident({("a", "m"): values, ("b", "m"): values + 1}, (4000, 4003))
    assert found.values.shape == (2, 1, 1004)
    assert found.values[0, 0, found.window].tolist() == [4000, 4001, 4002, 4003]
    assert found.values[1, 0, 0] == 3501
    assert found.values[0, 0, -1] == 4503
    assert found.time_ms(0) == 3500 * 60_000
    long = incident({("a", "m"): values}, (2000, 3999))
    assert len(long.reference(10**6)) == 3000


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "says"),
    [(9000, 5000, "before its start"), (90_000, 95_000, "no sample"), (0, 17_000, "Give a longer record")],
)
def test_a_window_that_cannot_be_answered_is_refused(start_ms, end_ms, says):
    with pytest.raises(InvalidInput, match=says):
        grid([step * 1000 for step in range(20)], start_ms, end_ms)
