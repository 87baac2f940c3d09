"""What is counted against what would be there if nothing were missing."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.kernels.coverage import (
    Presence,
    coverage_of,
    ends_with_group,
    expected_samples,
    expected_together,
    has_recent,
    own_or_known,
    presence,
    sample_counts,
)
from analytics_assets.kernels.gridding import grid
from analytics_assets.kernels.matrix import Cells
from resources.monitoring.source import SeriesBatch


def counts_of(cells, seen):
    column = pa.chunked_array([pa.array(seen, pa.int32())])
    expected = pa.chunked_array([pa.array([12] * len(seen), pa.int32())])
    return sample_counts(Cells(("a", "b", "c"), 4, np.array(cells)), column, expected)


def test_hours_without_a_row_count_as_missing_but_not_before_the_first():
    """A gap has no row, so a sum over rows would call it covered."""
    counts = counts_of([0, 3, 6, 7], [12, 6, 12, 12])  # a: hours 0 and 3; b: begins at hour 2
    np.testing.assert_array_equal(counts.expected_per_entity, [48, 24, 0])
    seen = counts.seen_where(np.ones((3, 4), bool))
    np.testing.assert_array_equal(seen, [18, 24, 0])
    np.testing.assert_array_equal(coverage_of(seen, counts.expected_per_entity), [18 / 48, 1, np.nan])


def test_what_is_gone_misses_nothing_after_its_last_step():
    counts = counts_of([0, 2, 4, 5], [12, 6, 12, 12])  # a: hours 0 and 2; b: hours 0 and 1
    found = counts.ended_where(np.array([True, False, True]))
    np.testing.assert_array_equal(found.expected_per_entity, [36, 48, 0])
    np.testing.assert_array_equal(found.seen, counts.seen)


def test_a_metric_is_covered_only_where_it_has_values():
    counts = counts_of([0, 1, 2, 3], [12, 12, 12, 12])
    present = np.zeros((3, 4), bool)
    present[0, :2] = True
    assert counts.seen_where(present)[0] == 24


def test_recent_means_the_last_steps():
    values = np.array([[1, np.nan, np.nan], [np.nan, np.nan, 1]])
    np.testing.assert_array_equal(has_recent(values, 2), [False, True])


DAY_MS = 86_400_000


def expected(instants: list[list[int]], kept: list[list[int]], interval: int, window: int) -> list[int]:
    """Return what is expected of entities of which of all `instants` only those `kept` were seen."""
    first, last = ([edge(one) for one in kept] for edge in (min, max))
    found = expected_samples(
        np.array([len(one) for one in kept]),
        np.array(first),
        np.array(last),
        np.full(len(kept), interval),
        (0, window),
        (min(first), max(last)),
    )
    return found.tolist()


@st.composite
def lives(draw):
    """The interval, the length of a window, and instants of entities: the first was there all the time."""
    interval = draw(st.sampled_from([1_000, 15_000, 60_000, 300_000]))
    count = draw(st.integers(8, 40))
    spans = [(0, count)]
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, count - 2))
        spans.append((begin, draw(st.integers(begin + 2, count))))
    phases = [draw(st.integers(0, interval - 1)) for _ in spans]
    entities = [
        [phase + interval * number for number in range(*span)] for phase, span in zip(phases, spans, strict=True)
    ]
    return interval, interval * count, entities


@given(lives())
def test_what_is_complete_is_expected_as_it_is(case):
    """Stops a VM that lived for an hour from lacking the rest of the day, and a complete one from lacking a sample."""
    interval, window, entities = case
    eldest = entities[0]
    for instants, count in zip(entities, expected(entities, entities, interval, window), strict=True):
        # Who begins (ends) within two intervals of the first (last) of all may have been there before (after).
        early = instants[0] - eldest[0] <= 2 * interval or instants[0] == min(min(entities))
        late = eldest[-1] - instants[-1] <= 2 * interval
        before, after = instants[0] // interval, (window - 1 - instants[-1]) // interval
        assert len(instants) <= count <= len(instants) + before * early + after * late
        assert count == len(instants) or early or late


@given(lives(), st.randoms(use_true_random=False))
def test_holes_are_expected_to_be_filled(case, random):
    """Stops a hole within a life, and an outage of everybody at either end of the day, from being forgotten."""
    interval, window, entities = case
    begin, end = sorted(random.sample(range(len(entities[0]) + 1), 2))
    known, kept = [], []
    for instants in entities:
        inside = [ts for ts in instants if begin * interval <= ts < end * interval]
        some = [ts for ts in inside if ts in (inside[0], inside[-1]) or random.random() < 0.5]
        if some:
            known.append(instants)
            kept.append(some)
    found = expected(known, kept, interval, window)
    for instants, some, count in zip(known, kept, found, strict=True):
        assert count >= sum(some[0] <= ts <= some[-1] for ts in instants)
    # The eldest is missed before the outage and after it; of a phase that is near an end one may be due or not.
    assert len(entities[0]) - 2 <= found[0] <= len(entities[0])


def test_an_unsteady_clock_makes_no_sample_missing():
    """Stops a scrape that is some milliseconds late from making a complete day incomplete."""
    for phase in (0, 40, 59_950):
        first, last = phase, phase + 1439 * 60_003
        found = expected_samples(
            np.array([1440]), np.array([first]), np.array([last]), np.array([59_998]), (0, DAY_MS), (first, last)
        )
        assert found.tolist() == [1440]


def test_of_one_sample_one_is_expected_and_of_none_none():
    """Stops a division by an interval that nobody knows."""
    found = expected_samples(
        np.array([1, 0]), np.array([5, -1]), np.array([5, -1]), np.array([0, 0]), (0, DAY_MS), (5, 5)
    )
    assert found.tolist() == [1, 0]


def test_the_known_interval_counts_unless_a_series_is_far_denser():
    """Stops a setting of 5 minutes from hiding that two of three samples of every 15 seconds are lost."""
    own = np.array([15_000, 299_000, 600_000, 0])
    assert own_or_known(own, 300).tolist() == [15_000, 300_000, 300_000, 300_000]
    assert own_or_known(own, None).tolist() == own.tolist()


def part(numbers: list[int], seen: int, first: int, last: int) -> tuple:
    """One metric of some entities, sampled by the minute."""
    return np.array(numbers), Presence(*(np.full(len(numbers), value) for value in (seen, first, last, 60_000)))


def test_a_metric_is_expected_as_long_as_its_entity_lives():
    """Stops a VM without CPU samples since noon from being complete, as long as its memory is known."""
    memory, cpu = part([0, 1], 1440, 0, DAY_MS - 60_000), part([0], 720, 0, DAY_MS // 2 - 60_000)
    assert expected_together([memory, cpu], (0, DAY_MS)).tolist() == [2880, 1440]


def test_a_metric_is_not_expected_before_it_began():
    """Stops an exporter that learned a new metric at noon from having lacked it in the morning."""
    memory, new = part([0], 1440, 0, DAY_MS - 60_000), part([0], 720, DAY_MS // 2, DAY_MS - 60_000)
    assert expected_together([memory, new], (0, DAY_MS)).tolist() == [1440 + 720]


def test_all_that_is_left_of_a_place_ending_together_is_an_outage():
    """Stops a node whose exporter died at six from looking like one whose VMs were all deleted at six."""
    noon, morning = DAY_MS // 2, DAY_MS // 4
    lasting = part([0], 1440, 0, DAY_MS - 60_000)
    failed = part([1, 2], 360, 0, morning - 60_000)
    deleted = part([3], 720, 0, noon - 60_000)
    groups = np.array([0, 1, 1, 2])
    found = expected_together([lasting, failed, deleted], (0, DAY_MS), groups)
    assert found.tolist() == [1440, 1440, 1440, 720]
    assert expected_together([lasting, failed, deleted], (0, DAY_MS)).tolist() == [1440, 360, 360, 720]


def test_entities_without_a_place_are_no_group():
    """Stops VMs of unknown nodes from being taken for neighbours."""
    last, slack = np.array([5, 5, 9, 9, 8, -1]), np.full(6, 2)
    found = ends_with_group(last, np.array([-1, -1, 0, 0, 0, 1]), slack)
    assert found.tolist() == [False, False, True, True, True, False]
    assert ends_with_group(last[:0], last[:0], slack[:0]).tolist() == []


def test_nothing_is_expected_of_nothing():
    assert expected_together([], (0, DAY_MS)).tolist() == []
    assert expected_together([part([0], 0, -1, -1)], (0, DAY_MS)).tolist() == [0]


@pytest.mark.parametrize(("interval", "lost"), [(15_000, 0), (60_000, 0), (300_000, 1)])
def test_a_counters_first_sample_is_not_expected_where_it_has_no_bucket(interval, lost):
    """Stops a VM made at noon from lacking the sample that its counters need to begin with."""
    noon = DAY_MS // 2 + 7_000
    ts_ms = np.r_[np.arange(3_000, DAY_MS, 60_000), np.arange(noon, DAY_MS - 7_200_000, interval)]
    sizes = [1440, len(ts_ms) - 1440]
    labels = ({"vm_id": "old"}, {"vm_id": "new"})
    batch = SeriesBatch("x", labels, np.r_[0, np.cumsum(sizes)], ts_ms, np.arange(len(ts_ms), dtype=float))
    present = presence(grid(batch, "counter", 0, DAY_MS, 300_000), 0, 300_000, None)
    new, old = (present.seen[number] for number in (0, 1))
    assert (new, old) == (sizes[1] - lost, 1440)
    assert present.in_bucket(300_000).tolist() == [300_000 // interval, 5]
    all_ms = (3_000, int(ts_ms[1439]))
    found = expected_samples(present.seen, present.first_ms, present.last_ms, present.interval_ms, (0, DAY_MS), all_ms)
    assert found.tolist() == [new, old]
