"""Anomalies that begin together: how many others there are, and how many chance alone would make."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.analyzers.anomaly_model.at_once import AT_ONCE_MS, others_at_once
from tests.analytics_assets.analyzers.anomaly_lake import TODAY, answers, day_and_night, found, store

DAY_MS = 86_400_000
BUCKET_MS = 300_000

events = st.lists(st.tuples(st.integers(-20, 287), st.integers(0, 5)), max_size=30)


@given(events)
def test_others_are_counted_once_each(given_events):
    """Stops two events of one VM from being two others, and an event from being an other to itself."""
    began = np.array([bucket * BUCKET_MS for bucket, _ in given_events], np.int64)
    entity = np.array([number for _, number in given_events], np.int64)
    others, _ = others_at_once(began, entity, 0, DAY_MS)
    expected = [
        len({other for at, other in zip(began, entity, strict=True) if other != own and abs(at - mine) <= AT_ONCE_MS})
        for mine, own in zip(began, entity, strict=True)
    ]
    assert others.tolist() == expected


def test_by_chance_is_what_random_beginnings_make():
    """Stops a fleet in which something begins every minute from being one story."""
    random = np.random.default_rng(1)
    entity = np.arange(400)
    began = random.integers(0, DAY_MS, 400)
    others, by_chance = others_at_once(began, entity, 0, DAY_MS)
    assert others.mean() == pytest.approx(399 * 2 * AT_ONCE_MS / DAY_MS, rel=0.15)
    assert by_chance.mean() == pytest.approx(others.mean(), rel=0.1)


def test_half_a_day_has_half_the_time_to_begin_in():
    began, entity = np.array([6 * 3_600_000, 7 * 3_600_000]), np.array([0, 1])
    whole, half = (others_at_once(began, entity, 0, end)[1] for end in (DAY_MS, DAY_MS // 2))
    assert half.tolist() == pytest.approx((2 * whole).tolist())
    assert whole[0] == pytest.approx(2 * AT_ONCE_MS / DAY_MS)


def test_nothing_began():
    others, by_chance = others_at_once(np.zeros(0, np.int64), np.zeros(0, np.int64), 0, DAY_MS)
    assert (len(others), len(by_chance)) == (0, 0)


def test_a_job_on_three_vms_is_told_to_be_one_story(lake):
    """Stops one cause from being three unrelated calls; what falls then, or rises later, is another."""
    vms = {}
    for number, (begin, value) in enumerate([(150, 99), (151, 97), (152, 98), (151, 0), (250, 99)]):
        values = day_and_night(number)
        values[TODAY + begin : TODAY + begin + 8] = value
        vms[f"vm-{number}"] = {"cpu_percent": values}
    store(lake, vms)
    rows = {row["entity_id"]: row for row in answers(found(lake)[1])}
    assert {vm: row["others_at_once"] for vm, row in rows.items()} == {
        "vm-0": 2, "vm-1": 2, "vm-2": 2, "vm-3": 0, "vm-4": 0,
    }  # fmt: skip
    assert rows["vm-0"]["others_by_chance"] == pytest.approx(3 * 2 * AT_ONCE_MS / DAY_MS)
    assert rows["vm-0"]["why"].endswith("; with 2 others within a quarter of an hour")
    assert "others" not in rows["vm-4"]["why"]
