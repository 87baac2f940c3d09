import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.anomaly.scores import DetectorParameters, Scores, score_matrix, score_series
from tests.analytics_assets.kernels.anomaly.planted_series import (
    MONDAY_MS,
    STEP_MS,
    STEPS_PER_DAY,
    Floats,
    instants,
    normal,
    runs,
)


def scored(values: Floats, **parameters: object) -> Scores:
    return score_series(instants(len(values)), values, DetectorParameters(**parameters))  # type: ignore[arg-type]


def alarms_per_day(kind: str, seeds: range, days: int = 28) -> float:
    return float(np.mean([runs(scored(normal(kind, days, seed)).alarm) / days for seed in seeds]))


@pytest.mark.parametrize("kind", ["flat", "constant", "daily", "weekly", "counter", "a fifth missing"])
def test_well_behaved_noise_does_not_alarm(kind: str) -> None:
    """A detector that cries wolf on noise is switched off: at most one alarm in fifty days."""
    assert alarms_per_day(kind, range(4)) <= 0.02


def test_a_week_once_known_stays_known() -> None:
    """A short memory of what the weekend is worth forgets it by the eighth Saturday, which then alarms at midnight."""
    for seed in range(6):
        alarm = scored(normal("calm weekend", 56, seed)).alarm
        assert not alarm[15 * STEPS_PER_DAY :].any()


def test_what_was_expected_is_not_the_event_itself() -> None:
    """Stops a peak from being explained by the point before it: 26 was not usual where it had been 4 for weeks."""
    values = 4 + 0.05 * np.random.default_rng(2).standard_normal(20 * STEPS_PER_DAY)
    at = 18 * STEPS_PER_DAY
    values[at : at + 3] = 47, 71, 60
    scores = scored(values)
    assert scores.expected[at + 1] == pytest.approx(4, abs=0.5)
    assert scores.high[at + 1] < 10


@pytest.mark.parametrize("kind", ["t with 3 degrees", "lognormal", "pareto", "exponential"])
def test_heavy_tails_alarm_once_in_ten_days(kind: str) -> None:
    """A line at a fixed number of deviations alarms many times a day where large values are usual."""
    assert alarms_per_day(kind, range(40)) <= 0.1


def test_infinite_variance_alarms_little_more() -> None:
    assert alarms_per_day("t with 2 degrees", range(40)) <= 0.15


@pytest.mark.parametrize("kind", ["flat", "daily", "weekly", "a fifth missing", "t with 3 degrees", "lognormal"])
@pytest.mark.parametrize("points", [1, 12])
def test_planted_anomalies_alarm(kind: str, points: int) -> None:
    """Silence is no answer either: a spike and an hour twice as far off as any noise are found at their first point."""
    values = normal(kind, 28, seed=3)
    farthest = np.nanmax(np.abs(values - np.nanmedian(values)))
    at = 24 * STEPS_PER_DAY + 100
    values[at : at + points] = np.nanmedian(values) + 2 * farthest
    assert scored(values).alarm[at]


@pytest.mark.parametrize("kind", ["flat", "daily"])
def test_level_shift_is_reported_once(kind: str) -> None:
    """A new level that alarms at every sample until the baseline has followed buries what else happens."""
    values = normal(kind, 28, seed=4)
    shift = 18 * STEPS_PER_DAY
    values[shift:] += 30
    alarm = scored(values).alarm
    assert alarm[shift]
    assert runs(alarm) == 1


def test_new_level_becomes_normal() -> None:
    """Days after a shift nothing is off any more, and a return to the old level is news."""
    values = normal("daily", 28, seed=5)
    there, back = 10 * STEPS_PER_DAY, 25 * STEPS_PER_DAY
    values[there:back] += 40
    scores = scored(values)
    assert np.abs(scores.excess[there + 2 * STEPS_PER_DAY : back]).max() < 0.5
    assert np.flatnonzero(scores.alarm).tolist() == [there, back]
    assert scores.excess[there] > 1
    assert scores.excess[back] < -1


def test_weekend_stops_alarming_once_weeks_are_known() -> None:
    alarm = scored(normal("weekend halves", 35, seed=6)).alarm
    assert not alarm[14 * STEPS_PER_DAY :].any()


@pytest.mark.parametrize("seed", range(3))
def test_nightly_job_is_no_news_after_two_weeks(seed: int) -> None:
    """A backup that begins ten minutes early or late would alarm every night; the same peak by day still does."""
    values = normal("daily", 28, seed)
    random = np.random.default_rng(seed)
    for day in range(28):
        begin = day * STEPS_PER_DAY + 24 + random.integers(-2, 3)
        values[begin : begin + random.integers(1, 4)] += random.normal(100, 5)
    by_day = 26 * STEPS_PER_DAY + 100
    values[by_day] += 110
    alarm = scored(values).alarm
    assert alarm[by_day]
    assert runs(alarm[14 * STEPS_PER_DAY :]) <= 3


def test_sparse_counts_do_not_alarm_each_time() -> None:
    """A metric that is zero but for one point in a hundred: each of them is far beyond a spread of zero."""
    values = (np.random.default_rng(7).random(28 * STEPS_PER_DAY) < 0.01).astype(float)
    assert runs(scored(values).alarm) / 28 <= 0.15


@pytest.mark.parametrize("usual", [0.0, 7.0])
def test_spike_of_a_flat_metric_alarms(usual: float) -> None:
    values = np.full(2000, usual)
    values[1500] = usual + 7
    scores = scored(values)
    assert np.flatnonzero(scores.alarm).tolist() == [1500]
    assert scores.high[1500] < usual + 7


def test_direction_is_heeded() -> None:
    values = normal("daily", 14, seed=8)
    values[3000] += 60
    values[3500] -= 45
    assert np.flatnonzero(scored(values).alarm).tolist() == [3000, 3500]
    assert np.flatnonzero(scored(values, direction="up").alarm).tolist() == [3000]
    assert np.flatnonzero(scored(values, direction="down").alarm).tolist() == [3500]


def test_deviations_below_the_floor_do_not_alarm() -> None:
    """0.1 % CPU instead of 0.01 % is a clear anomaly that nobody wants to hear of."""
    values = 0.01 + 0.001 * np.random.default_rng(9).random(14 * STEPS_PER_DAY)
    values[3000] = 0.1
    assert scored(values).alarm[3000]
    assert not scored(values, minimum_deviation=5.0).alarm.any()
    assert not scored(values, minimum_deviation_share=20.0).alarm.any()
    assert scored(values, minimum_deviation=0.05).alarm[3000]


def test_first_day_does_not_alarm() -> None:
    values = normal("daily", 2, seed=10)
    values[100] = 500
    assert not scored(values).alarm[:STEPS_PER_DAY].any()


def test_reference_never_alarms() -> None:
    values = normal("flat", 7, seed=11)
    values[1500] = 90
    values[1800] = 90
    known = np.arange(len(values)) < 1600
    alarm = score_series(instants(len(values)), values, reference=known).alarm
    assert np.flatnonzero(alarm).tolist() == [1800]


@pytest.mark.parametrize("kind", ["flat", "daily", "lognormal", "t with 2 degrees"])
def test_alarming_values_lie_outside_of_their_band(kind: str) -> None:
    """The band is the evidence: a value inside of it that alarms makes a user doubt both."""
    values = normal(kind, 28, seed=12)
    values[4000] *= 6
    values[5000] *= -6
    scores = scored(values)
    alarm = scores.alarm
    assert alarm.sum() >= 2
    slack = 1e-9 * np.abs(values[alarm])
    assert ((values[alarm] <= scores.low[alarm] + slack) | (values[alarm] >= scores.high[alarm] - slack)).all()
    assert (np.sign(values[alarm] - scores.expected[alarm]) == np.sign(scores.excess[alarm])).all()
    assert (scores.low <= scores.expected).all()
    assert (scores.expected <= scores.high).all()


@pytest.mark.parametrize("kind", ["daily", "flat", "lognormal"])
def test_no_value_near_the_line_alarms_inside_of_its_band(kind: str) -> None:
    """All predictions alarm together, and the band is that of one: it was wider than the alarm in one of 25."""
    random, alarms = np.random.default_rng(31), 0
    for seed in range(60):
        values = normal(kind, 14, seed=seed)
        spread = np.std(values)
        for place in (3000, 3400, 3800):
            values[place : place + 3] += random.uniform(1, 12) * spread
        scores = scored(values)
        alarm = scores.alarm
        alarms += np.count_nonzero(alarm)
        slack = 1e-9 * np.abs(values[alarm])
        assert ((values[alarm] <= scores.low[alarm] + slack) | (values[alarm] >= scores.high[alarm] - slack)).all()
    assert alarms > 40


HALF_AN_HOUR = 6


@pytest.mark.parametrize(("kind", "height"), [("flat", 10), ("flat", 20), ("daily", 60)])
def test_noise_on_a_new_level_is_no_news(kind: str, height: float) -> None:
    """Each new record of the distance from the old level was an alarm: up to five for a shift that then did nothing."""
    told = []
    for seed in range(20):
        values = normal(kind, 28, seed=seed)
        values[6000:] += height
        alarms = np.flatnonzero(scored(values).alarm[5990:])
        told.append(1 + np.count_nonzero(np.diff(alarms) > HALF_AN_HOUR))
    assert told.count(1) >= 17
    assert max(told) <= 2


def test_first_day_begins_with_the_first_value() -> None:
    """Stops rows without a value in front of a series from letting it alarm before a day of it was seen."""
    values = normal("daily", 8, seed=10)
    values[: 6 * STEPS_PER_DAY] = np.nan
    values[6 * STEPS_PER_DAY + 100] = 500
    values[-3] = 500
    assert np.flatnonzero(scored(values).alarm).tolist() == [len(values) - 3]


def test_missing_values_score_nothing_and_change_nothing() -> None:
    """Rows without a value give the other rows the scores they have without them; infinite ones do the same."""
    values = normal("daily", 7, seed=13)
    values[1700] = 300
    ts = instants(len(values))
    gone = np.random.default_rng(14).random(len(values)) < 0.3
    gone[1700] = False
    holes = values.copy()
    holes[gone] = np.nan
    holes[np.flatnonzero(gone)[::2]] = np.inf
    whole, part = score_series(ts, holes), score_series(ts[~gone], values[~gone])
    assert (whole.score[gone] == 0).all()
    assert np.isnan(whole.excess[gone]).all()
    for name in ("score", "expected", "low", "high", "excess"):
        assert np.array_equal(getattr(whole, name)[~gone], getattr(part, name))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    step_ms=st.sampled_from([1_000, 60_000, 300_000, 3_600_000, 86_400_000]),
    points=st.integers(0, 400),
    cut=st.floats(0, 1),
)
def test_prefix_of_the_scores_is_the_scores_of_the_prefix(seed: int, step_ms: int, points: int, cut: float) -> None:
    """Nothing after a point may change its score: jitter, duplicates, gaps, NaN and alarms included."""
    random = np.random.default_rng(seed)
    ts = np.cumsum(step_ms * random.choice([0, 1, 1, 1, 1, 1, 7], points)).astype(np.int64)
    values = 10 + random.standard_t(1.5, points)
    values[random.random(points) < 0.1] = np.nan
    known = np.arange(points) < points // 4
    end = int(cut * points)
    whole = score_series(ts, values, reference=known)
    part = score_series(ts[:end], values[:end], reference=known[:end])
    for name in ("score", "expected", "low", "high", "excess"):
        assert np.array_equal(getattr(whole, name)[:end], getattr(part, name), equal_nan=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_matrix_gives_the_numbers_of_single_series(threads: int) -> None:
    kinds = ["flat", "daily", "a fifth missing", "lognormal", "zero"]
    values = np.stack([normal(kind, 5, seed=15) for kind in kinds]).astype(np.float32)
    values[1, -50] = 400
    parameters = DetectorParameters(direction="up", minimum_deviation=2.0)
    many = score_matrix(values, MONDAY_MS, STEP_MS, STEPS_PER_DAY, parameters, threads)
    assert many.score.shape == (len(kinds), STEPS_PER_DAY)
    for row, series in enumerate(values):
        one = score_series(instants(len(series)), series, parameters)
        for name in ("score", "expected", "low", "high", "excess"):
            expected = getattr(one, name)[-STEPS_PER_DAY:]
            assert np.array_equal(getattr(many, name)[row], expected, equal_nan=True)


@pytest.mark.parametrize("values", [[], [1.0], [np.nan] * 30, [2.0] * 30, [np.inf] * 3, [1e300, -1e300] * 400])
def test_edges_give_finite_scores(values: list[float]) -> None:
    scores = scored(np.array(values))
    assert np.isfinite(scores.score).all()
    assert (scores.score >= 0).all()


def test_no_rows_and_no_steps() -> None:
    assert score_matrix(np.zeros((0, 10)), 0, 1, 3).score.shape == (0, 3)
    assert score_matrix(np.zeros((2, 10)), 0, 1, 0).score.shape == (2, 0)


def test_wrong_input_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="direction is 'sideways'"):
        DetectorParameters(direction="sideways")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="minimum_deviation is -1"):
        DetectorParameters(minimum_deviation=-1.0)
    with pytest.raises(ValueError, match="minimum_deviation_share is nan"):
        DetectorParameters(minimum_deviation_share=float("nan"))
    with pytest.raises(ValueError, match="ts_ms falls at position 1"):
        score_series(np.array([5, 3]), np.zeros(2))
    with pytest.raises(ValueError, match="last_steps is 4 of 3 steps"):
        score_matrix(np.zeros((1, 3)), 0, 1, 4)
    with pytest.raises(ValueError, match="step_ms is 0"):
        score_matrix(np.zeros((1, 3)), 0, 0, 1)


def test_least_deviations_rank_what_hardly_ever_moves() -> None:
    """Without them the first byte of a metric that is always 0 is beyond all proportion, and heads every list."""
    quiet, busy = np.zeros(20 * STEPS_PER_DAY), normal("flat", 20, 3)
    quiet[-10], busy[-10] = 40.0, busy[-10] + 400.0
    plain, floored = scored(quiet), scored(quiet, minimum_deviation=20.0)
    assert plain.score[-10] > 5
    assert floored.alarm[-10]
    assert floored.score[-10] == pytest.approx(1 + np.log(2))
    assert floored.excess[-10] == pytest.approx(2.0)
    assert scored(busy, minimum_deviation=20.0).score[-10] > floored.score[-10]
