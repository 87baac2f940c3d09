"""Pieces to whole series: what belongs together, and what is in the window."""

import numpy as np
import pytest

from resources.errors import InvalidInput
from resources.monitoring.prometheus.series import Joined, Samples, asked, cut, joined_samples
from resources.monitoring.selector import Matcher, Selector, parse_selector
from tests.resources.monitoring.prometheus.answers import as_lists, to_bits

T = 1_700_000_000_000


def piece(*times: int) -> Samples:
    return np.array(times, np.int64), np.array(times, np.float64)


def test_pieces_of_the_same_labels_are_one_series_in_order_of_arrival() -> None:
    """Stops a series that was sent in parts from being counted twice, and its samples from being sorted or lost."""
    joined: Joined[Samples] = Joined()
    joined.add({"a": "1", "b": "2"}, piece(5, 6))
    joined.add({"a": "2"}, piece(1))
    joined.add({"b": "2", "a": "1"}, piece(6), piece(3))
    found = as_lists(joined_samples(joined, 0, 100))
    assert found == [
        ({"a": "1", "b": "2"}, [(t, to_bits(t)) for t in (5, 6, 6, 3)]),
        ({"a": "2"}, [(1, to_bits(1))]),
    ]


def test_labels_that_would_read_alike_stay_apart() -> None:
    """Stops a label value with a separator in it from joining two tenants' series."""
    joined: Joined[Samples] = Joined()
    joined.add({"a": "1", "b": "2"}, piece(1))
    joined.add({"a": "1,b=2"}, piece(2))
    assert len(joined_samples(joined, 0, 10).labels) == 2


def test_the_cut_keeps_the_start_and_leaves_the_end() -> None:
    """Stops a sample at midnight from belonging to two days, or to none."""
    times = np.array([9, 10, 19, 20, 30, 31, 8, 15], np.int64)
    offsets = np.array([0, 4, 4, 6, 8], np.int64)
    found = as_lists(cut([{"s": name} for name in "abcd"], offsets, times, times.astype(float), 10, 20))
    assert found == [({"s": "a"}, [(10, to_bits(10)), (19, to_bits(19))]), ({"s": "d"}, [(15, to_bits(15))])]


def test_nothing_is_nothing() -> None:
    """Stops an empty answer from failing: a tenant without series is no error."""
    empty: Joined[Samples] = Joined()
    found = joined_samples(empty, 0, 10)
    assert (found.labels, found.offsets.tolist(), found.ts_ms.size, found.values.size) == ((), [0], 0, 0)
    assert as_lists(found) == []


@pytest.mark.parametrize(
    ("start_ms", "end_ms"), [(T, T), (T, T - 1), (T // 1000, T // 1000 + 86_400), (T * 1000, T * 1000 + 1), (-1, T)]
)
def test_a_window_that_is_none_is_refused(start_ms: int, end_ms: int) -> None:
    """Stops seconds or microseconds from being sent as milliseconds: a server answers 200 and nothing."""
    with pytest.raises(InvalidInput, match="is no window of time"):
        asked(parse_selector("m"), start_ms, end_ms)


def test_messages_name_selector_and_window_in_few_words() -> None:
    """Stops a selector of thousands of VMs from filling the log, and the window from getting lost behind it."""
    assert asked(parse_selector('m{a="b"}'), T, T + 1) == (
        'm{a="b"} from 2023-11-14T22:13:20.000+00:00 to 2023-11-14T22:13:20.001+00:00'
    )
    long = asked(Selector((Matcher("vm_id", "=~", "x" * 5000),)), T, T + 86_400_000)
    assert len(long) <= 200
    assert long.endswith("x... from 2023-11-14T22:13:20.000+00:00 to 2023-11-15T22:13:20.000+00:00")
