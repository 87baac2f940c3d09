"""Presence put together from several metrics and pieces."""

from datetime import date

import numpy as np

from analytics_assets.kernels.coverage import Presence
from analytics_assets.processors.sampled import absent, add_presence, as_of_ms, last_place, seen_and_expected
from resources.partition import Partition

DAY = Partition("acme", date(2026, 1, 2))
MINUTE, HOUR = 60_000, 3_600_000


def present(*rows: tuple[int, int, int, int]) -> Presence:
    return Presence(*np.array(rows, np.int64).reshape(-1, 4).T.copy())


def test_what_was_seen_of_an_entity_in_two_pieces_is_one_presence():
    """Stops a piece without samples, or of entities that have no row, from changing when another was there."""
    whole = absent(3)
    add_presence(whole, np.array([2, 0]), present((5, 100, 500, 100), (0, -1, -1, 0)))
    add_presence(whole, np.array([2, -1, 1]), present((3, 50, 450, 200), (9, 1, 9, 1), (1, 70, 70, 0)))
    add_presence(whole, np.array([-1]), present())
    assert whole.seen.tolist() == [0, 1, 8]
    assert whole.first_ms.tolist() == [-1, 70, 50]
    assert whole.last_ms.tolist() == [-1, 70, 500]
    assert whole.interval_ms.tolist() == [0, 0, 100]


def test_of_no_entities_nothing_is_expected():
    """Stops a kind without rows from breaking the day of another kind."""
    assert seen_and_expected([absent(0), absent(0)], np.zeros(0, np.int64), DAY, True) == (0, 0)
    assert seen_and_expected([absent(2)], np.array([-1, 0]), DAY, False) == (0, 0)


def test_a_day_that_is_not_over_is_expected_up_to_its_last_sample():
    """Stops the rest of a bucket that is not over from counting as missing."""
    minutes = present((61, DAY.start_ms, DAY.start_ms + HOUR, MINUTE))
    assert seen_and_expected([minutes], np.array([-1]), DAY, False) == (61, 61)
    assert seen_and_expected([minutes], np.array([-1]), DAY, True) == (61, 1440)
    assert as_of_ms(DAY, DAY.start_ms + HOUR, 300, False) == DAY.start_ms + HOUR + 5 * MINUTE
    assert as_of_ms(DAY, DAY.end_ms - 1, 300, False) == as_of_ms(DAY, -1, 300, True) == DAY.end_ms


def test_the_last_place_is_that_of_the_last_row_that_has_one():
    """Stops a VM that moved from being sought on the node that it left."""
    found = last_place(np.array([0, 0, 0, 2]), np.array([4, 5, -1, -1]), 3)
    assert found.tolist() == [5, -1, -1]
