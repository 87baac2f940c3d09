import math

import numpy as np
import pytest

from analytics_assets.kernels.anomaly.intervals import IntervalRule, intervals, severity
from analytics_assets.kernels.anomaly.scores import Scores, score_series
from tests.analytics_assets.kernels.anomaly.planted_series import STEP_MS, STEPS_PER_DAY, instants, normal

NAN = math.nan


def of_excess(excess: list[float], alarms: list[int]) -> Scores:
    """Scores of points so many times the line away from what was expected, of which `alarms` alarm."""
    times = np.array(excess)
    score = np.where(np.isnan(times), 0.0, 0.5 * np.tanh(np.abs(times)))
    score[alarms] = 1 + np.log(np.abs(times[alarms]))
    unknown = np.full(len(times), NAN)
    return Scores(score, unknown, unknown, unknown, times)


def found(excess: list[float], alarms: list[int], rule: IntervalRule | None = None) -> list[tuple[int, int]]:
    ts = instants(len(excess))
    return [(i.first, i.last) for i in intervals(ts, of_excess(excess, alarms), rule or IntervalRule())]


def test_without_an_alarm_there_is_no_interval() -> None:
    assert found([0, 2, 2, 2, 2, 0], []) == []
    assert found([], []) == []


def test_an_alarm_opens_and_quiet_points_close() -> None:
    assert found([0, 0, 3, 0.7, 0.6, 0.1, 0.6, 0, 0, 0, 0, 0, 0.9], [2]) == [(2, 6)]


def test_points_outside_just_before_the_alarm_belong_to_it() -> None:
    """They were outside of the band and no news then: the interval begins with the first of them."""
    assert found([0, 1.2, 0, 3, 0, 0, 0, 0, 0, 0], [3]) == [(1, 3)]


def test_m_of_n_asks_for_more_points() -> None:
    rule = IntervalRule(outside_points=3, of_points=5)
    assert found([0, 3, 0, 0, 0, 0, 0, 0], [1], rule) == []
    assert found([0, 3, 1.5, 0, 1.5, 0, 0, 0, 0, 0], [1], rule) == [(1, 4)]
    assert found([0, 3, 1.5, 0, 0, 0, 1.5, 0, 0, 0], [1], rule) == []


def test_missing_samples_neither_open_nor_close() -> None:
    """A gap in the middle of an incident must not end it, nor count as quiet."""
    gap = [NAN] * 30
    assert found([0, 3, *gap, 2, 0, 0, 0, 0, 0], [1]) == [(1, 32)]
    assert found([0, 3, 0, 0, *gap, 0, 0, 2, 0], [1]) == [(1, 36)]
    assert found([0, 3, 0, 0, *gap, 0, 0, 0, 2, 0], [1]) == [(1, 1)]


def test_intervals_less_than_a_quarter_of_an_hour_apart_are_one() -> None:
    rule = IntervalRule(quiet_points=1)
    assert found([3, 0, 0, 3, 0], [0, 3], rule) == [(0, 0), (3, 3)]
    assert found([3, 0, 3, 0], [0, 2], rule) == [(0, 2)]
    assert found([3, 0, 3, 0], [0, 2], IntervalRule(quiet_points=1, merge_ms=0)) == [(0, 0), (2, 2)]


def test_interval_tells_its_peak_direction_and_whether_it_goes_on() -> None:
    ts = instants(9)
    ended, going_on = intervals(ts, of_excess([0, -2, -9, 0, 0, 0, 0, 0, 4], [1, 2, 8]), IntervalRule(merge_ms=0))
    assert (ended.peak, ended.direction, ended.ongoing) == (2, "down", False)
    assert ended.peak_score == pytest.approx(1 + math.log(9))
    assert (ended.start_ms, ended.end_ms, ended.duration_ms) == (ts[1], ts[2], STEP_MS)
    assert (going_on.peak, going_on.direction, going_on.ongoing) == (8, "up", True)


def test_severity_grows_with_peak_and_duration_only() -> None:
    hour, order = 3_600_000, ["low", "medium", "high"]
    levels = [[order.index(severity(p, d)) for d in (0, hour // 4, hour)] for p in (1.0, 1.7, 2.7)]
    assert levels == [[0, 0, 1], [0, 1, 2], [1, 2, 2]]
    sparse, dense = ([i.severity for i in _hour_long(step_ms)] for step_ms in (300_000, 60_000))
    assert sparse == dense == ["high"]


def _hour_long(step_ms: int) -> list:
    points = 1 + 3_600_000 // step_ms
    return intervals(instants(points + 9, step_ms), of_excess([4.0] * points + [0.0] * 9, [0]))


def test_level_shift_is_one_interval() -> None:
    """It lasts until the new level is learned, and does not open again."""
    values = normal("daily", 28, seed=1)
    shift = 18 * STEPS_PER_DAY
    values[shift:] += 30
    ts = instants(len(values))
    (only,) = intervals(ts, score_series(ts, values))
    assert (only.first, only.direction, only.ongoing) == (shift, "up", False)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"outside_points": 6}, "6 of 5 points open nothing"),
        ({"outside_points": 0}, "0 of 5 points open nothing"),
        ({"quiet_points": 0}, "quiet_points is 0"),
        ({"quiet_share": 0.0}, "quiet_share is 0.0"),
        ({"merge_ms": -1}, "merge_ms is -1"),
    ],
)
def test_impossible_rules_are_refused(rule: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IntervalRule(**rule)


def test_scores_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 instants for scores of shape"):
        intervals(instants(3), of_excess([0.0, 1.0], []))
