"""The joint scores of an entity's metrics: planted faults, what must not matter, and what must not be looked at."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.anomaly.multivariate import DEFAULTS, explaining_metrics, multivariate_scores

STEP_MS = 300_000
PER_DAY = 288
CPU, MEMORY, DISK, RECEIVED, SENT, READ, WRITTEN = range(7)


def instants(steps):
    return 1_770_000_000_000 + np.arange(steps, dtype=np.int64) * STEP_MS


def machine(days, seed=3):
    """A VM's seven metrics [step, metric] with a daily cycle; what it receives and sends follows its CPU."""
    rng = np.random.default_rng(seed)
    steps = days * PER_DAY
    load = 1 + 0.5 * np.sin(np.arange(steps) / PER_DAY * 2 * np.pi) + 0.1 * rng.standard_normal(steps)
    noise = rng.standard_normal((7, steps))
    return np.stack(
        [
            30 * load + noise[CPU],
            4e9 + 2e8 * noise[MEMORY],
            2e10 + 1e5 * np.arange(steps) + 1e6 * noise[DISK],
            1e6 * load + 3e4 * noise[RECEIVED],
            2e6 * load + 6e4 * noise[SENT],
            5e5 + 1e5 * noise[READ],
            8e5 + 1e5 * noise[WRITTEN],
        ],
        axis=1,
    )


def alarms_per_day(alarm):
    return np.count_nonzero(np.diff(np.concatenate([[0], alarm.astype(np.int8)])) == 1) / (len(alarm) / PER_DAY)


@pytest.mark.parametrize("with_reference", [True, False])
def test_a_planted_fault_alarms_names_its_metrics_and_nothing_else_does(with_reference):
    values = machine(21)
    fault = slice(18 * PER_DAY + 100, 18 * PER_DAY + 112)
    for metric in (CPU, READ, WRITTEN):
        values[fault, metric] *= 2.5
    reference = np.arange(len(values)) < 14 * PER_DAY if with_reference else None
    found = multivariate_scores(instants(len(values)), values, reference)
    assert found.alarm[fault].sum() >= 6
    assert np.array_equal(found.alarm, found.score >= 1)
    explained = explaining_metrics(found.explanations[fault], 3)
    assert {metric for metric, _ in explained} == {CPU, READ, WRITTEN}
    assert sum(share for _, share in explained) > 0.5
    quiet = found.alarm.copy()
    quiet[: 7 * PER_DAY] = quiet[fault.start : fault.stop + 60] = False
    assert alarms_per_day(quiet) <= 0.25 if with_reference else alarms_per_day(quiet) == 0


def test_metrics_that_no_longer_go_together_are_seen_though_each_is_in_its_usual_range():
    """Stops a detector that only adds up single metrics: here the sent bytes fall while the others rise."""
    values = machine(21)
    fault = slice(18 * PER_DAY + 60, 18 * PER_DAY + 90)  # the height of the day
    low = slice(fault.start + PER_DAY // 2, fault.stop + PER_DAY // 2)
    values[fault, SENT], values[fault, RECEIVED] = values[low, SENT], values[low, RECEIVED]
    reference = np.arange(len(values)) < 14 * PER_DAY
    # Their own past expects the height of the day too: only what the relations add is compared.
    together, alone = (
        multivariate_scores(instants(len(values)), values, reference, DEFAULTS._replace(break_weight=weight))
        for weight in (0.8, 0.0)
    )
    assert together.score[fault].max() > 1.2 * alone.score[fault].max()
    assert together.score[fault].max() == together.score[14 * PER_DAY :].max()


def test_a_single_spike_in_one_of_many_metrics_is_not_a_joint_anomaly():
    """It is for the univariate detector; here it would drown what several metrics do together."""
    values = machine(16)
    values[14 * PER_DAY, READ] *= 50
    found = multivariate_scores(instants(len(values)), values)
    assert not found.alarm[14 * PER_DAY - 10 : 14 * PER_DAY + 10].any()
    assert explaining_metrics(found.explanations[14 * PER_DAY : 14 * PER_DAY + 1], 1)[0][0] == READ


@pytest.mark.parametrize("cut", [50, 101, 700, 2500, 2881, 4000])
@pytest.mark.parametrize("with_reference", [True, False])
def test_scores_of_a_prefix_are_the_prefix_of_the_scores(cut, with_reference):
    """Stops any look ahead, also into the part of the reference that is still to come."""
    values = machine(15)
    values[1000:1100, MEMORY] = np.nan
    values[:1500, READ] = np.nan
    reference = np.arange(len(values)) < 10 * PER_DAY if with_reference else None
    ts = instants(len(values))
    whole = multivariate_scores(ts, values, reference)
    part = multivariate_scores(ts[:cut], values[:cut], None if reference is None else reference[:cut])
    assert np.array_equal(part.score, whole.score[:cut])
    assert np.array_equal(part.alarm, whole.alarm[:cut])
    assert np.array_equal(part.explanations, whole.explanations[:cut], equal_nan=True)


@pytest.mark.parametrize("first", [0, 1, 100, 1500, 2880, 4031, 4032])
@pytest.mark.parametrize("with_reference", [True, False])
def test_the_last_steps_alone_are_those_of_the_whole(first, with_reference):
    """What is left out to save time must not be what later steps need."""
    values = machine(14)
    values[1000:1100, MEMORY] = np.nan
    reference = np.arange(len(values)) < 10 * PER_DAY if with_reference else None
    ts = instants(len(values))
    whole = multivariate_scores(ts, values, reference)
    last = multivariate_scores(ts, values, reference, first_step=first)
    assert np.array_equal(last.score, whole.score[first:])
    assert np.array_equal(last.alarm, whole.alarm[first:])
    assert np.array_equal(last.explanations, whole.explanations[first:], equal_nan=True)


def test_neither_the_type_nor_the_layout_of_the_values_matters_and_they_stay_as_they_are():
    values = machine(12).astype(np.float32)
    values[5 * PER_DAY, CPU], values[6 * PER_DAY, SENT] = np.inf, 3e38
    ts, before = instants(len(values)), values.copy()
    found = multivariate_scores(ts, values)
    assert np.array_equal(values, before)
    for same in (values.astype(np.float64), np.asfortranarray(values), np.repeat(values, 2, axis=0)[::2]):
        assert np.array_equal(multivariate_scores(ts, same).score, found.score)
    exact = values.astype(np.float64, order="F")
    multivariate_scores(ts, exact)
    assert np.array_equal(exact, before)


@pytest.mark.parametrize("column", [np.nan, np.inf, 7.0, 0.0], ids=["missing", "infinite", "constant", "zero"])
def test_a_metric_that_says_nothing_changes_little_and_breaks_nothing(column):
    values = machine(12)
    ts = instants(len(values))
    before = multivariate_scores(ts, values)
    after = multivariate_scores(ts, np.column_stack([values, np.full(len(values), column)]))
    assert np.isfinite(after.score).all()
    assert np.allclose(after.score, before.score, atol=1e-9)
    assert (
        np.isnan(after.explanations[:, 7]).all() if not np.isfinite(column) else (after.explanations[:, 7] == 0).all()
    )


def test_a_metric_that_begins_late_raises_no_alarm_for_being_new():
    """Its first values are the first thing known of it: nothing was usual before."""
    values = machine(20)
    values[: 15 * PER_DAY, RECEIVED] = np.nan
    reference = np.arange(len(values)) < 14 * PER_DAY
    for mask in (reference, None):
        found = multivariate_scores(instants(len(values)), values, mask)
        assert not found.alarm[15 * PER_DAY : 15 * PER_DAY + 24].any()
        assert np.isfinite(found.score).all()


@pytest.mark.parametrize("with_reference", [True, False])
def test_a_constant_metric_that_changes_once_does_not_alarm_for_days(with_reference):
    """A resized disk is one event: stops a frozen baseline from calling the new size an anomaly for ever."""
    values = machine(24)
    values[:, DISK] = 2e10
    values[16 * PER_DAY :, DISK] = 4e10
    reference = np.arange(len(values)) < 14 * PER_DAY if with_reference else None
    alarm = multivariate_scores(instants(len(values)), values, reference).alarm
    assert alarm[17 * PER_DAY :].mean() < 0.05


def test_missing_steps_are_neither_alarms_nor_their_end():
    values = machine(16)
    ts = instants(len(values))
    fault = slice(14 * PER_DAY, 14 * PER_DAY + 20)
    values[fault] *= 3
    values[fault.start + 10 : fault.start + 15] = np.nan
    found = multivariate_scores(ts, values)
    assert (found.score[fault.start + 10 : fault.start + 15] == 0).all()
    assert np.isnan(found.explanations[fault.start + 10 : fault.start + 15]).all()
    assert found.alarm[fault.start + 9]
    assert found.alarm[fault.start + 15]


def test_neither_the_order_of_the_metrics_nor_their_units_matter():
    values = machine(12)
    values[11 * PER_DAY : 11 * PER_DAY + 12] *= 1.5
    ts = instants(len(values))
    found = multivariate_scores(ts, values)
    order = [3, 0, 6, 2, 5, 1, 4]
    moved = multivariate_scores(ts, values[:, order])
    assert np.allclose(moved.score, found.score, rtol=1e-6)
    assert np.allclose(moved.explanations, found.explanations[:, order], rtol=1e-4, atol=1e-5)
    scaled = multivariate_scores(ts, values * 2.0 ** np.array([-20, 30, -30, 3, 0, 10, -3]))
    assert np.allclose(scaled.score, found.score, rtol=1e-6)


def test_with_a_reference_what_comes_later_is_not_learned():
    """A fault that lasts for days must not become usual where the normal state is known."""
    values = machine(30)
    for metric in (CPU, READ, WRITTEN):
        values[16 * PER_DAY : 19 * PER_DAY, metric] *= 2.5
        values[25 * PER_DAY : 25 * PER_DAY + 24, metric] *= 2.5
    ts = instants(len(values))
    with_reference = multivariate_scores(ts, values, np.arange(len(values)) < 14 * PER_DAY)
    without = multivariate_scores(ts, values)
    second = slice(25 * PER_DAY, 25 * PER_DAY + 24)
    assert with_reference.alarm[second].any()
    assert with_reference.score[second].max() > without.score[second].max()


@pytest.mark.parametrize("metrics", [1, 2, 38])
def test_few_and_many_metrics(metrics):
    rng = np.random.default_rng(metrics)
    values = rng.standard_normal((8 * PER_DAY, metrics)) + 10
    values[7 * PER_DAY : 7 * PER_DAY + 12] += 8
    found = multivariate_scores(instants(len(values)), values)
    assert found.alarm[7 * PER_DAY : 7 * PER_DAY + 12].any()
    assert alarms_per_day(found.alarm[4 * PER_DAY : 7 * PER_DAY]) <= 0.34


@settings(max_examples=25)
@given(
    st.integers(0, 400),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e300, -1e300, 5e-324]),
)
def test_no_input_of_the_right_shape_gives_a_score_that_is_no_number(steps, metrics, random, odd):
    values = np.array([[random.choice([odd, random.gauss(0, 1), 3.0]) for _ in range(metrics)] for _ in range(steps)])
    ts = np.cumsum([random.choice([0, 1, STEP_MS, 40 * 86_400_000]) for _ in range(steps)]).astype(np.int64)
    found = multivariate_scores(ts, values.reshape(steps, metrics))
    assert found.score.shape == (steps,)
    assert np.isfinite(found.score).all()
    assert (found.score >= 0).all()
    missing = ~np.isfinite(values.reshape(steps, metrics))
    assert np.array_equal(np.isnan(found.explanations), missing)


def test_too_little_is_known_at_first():
    found = multivariate_scores(instants(90), machine(1)[:90] * 100)
    assert (found.score == 0).all()
    assert not found.alarm.any()
    none_known = multivariate_scores(instants(2000), machine(7)[:2000], np.zeros(2000, bool))
    assert (none_known.score == 0).all()


@pytest.mark.parametrize(
    ("ts", "values", "reference", "message"),
    [
        (instants(5), np.zeros(5), None, r"shape \(5,\)"),
        (instants(5), np.zeros((5, 0)), None, r"at least one metric"),
        (instants(4), np.zeros((5, 2)), None, "4 instants for 5 values"),
        (instants(5)[::-1].copy(), np.zeros((5, 2)), None, "ts_ms falls at position 1"),
        (instants(5), np.zeros((5, 2)), np.zeros(4, bool), "4 reference flags for 5 points"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(ts, values, reference, message):
    with pytest.raises(ValueError, match=message):
        multivariate_scores(ts, values, reference)


@pytest.mark.parametrize("first", [-1, 6])
def test_a_first_step_that_does_not_exist_is_refused(first):
    with pytest.raises(ValueError, match=f"first_step is {first}"):
        multivariate_scores(instants(5), np.zeros((5, 2)), first_step=first)


def test_the_metrics_that_explain_come_in_order_with_ties_and_nothing_made_up():
    rows = np.array([[1.0, 0.0, 2.0, np.nan, 2.0], [1.0, 0.0, np.nan, np.nan, 0.0]], np.float32)
    assert explaining_metrics(rows, 2) == [(0, pytest.approx(1 / 3)), (2, pytest.approx(1 / 3))]
    assert [metric for metric, _ in explaining_metrics(rows, 5)] == [0, 2, 4]
    assert explaining_metrics(np.full((3, 2), np.nan), 2) == []
