import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.kernels.sizing.rule import RULE, Peaks, SizeRule, classes, fitting_sizes, needed


def one(high, highest, capacity=np.nan):
    return Peaks(np.array([float(high)]), np.array([float(highest)])), np.array([float(capacity)])


@pytest.mark.parametrize(
    ("high", "highest", "capacity", "size", "found"),
    [
        (10, 10, 100, 12, "oversized"),  # room enough: 20 % on top
        (10, 20, 100, 13, "oversized"),  # and a tenth of the way to the rare peak
        (60, 60, 100, 72, "optimal"),
        (80, 80, 100, 96, "optimal"),
        (85, 85, 100, 99.3, "optimal"),  # half of the 15 that are left, on top of 8 %
        (90, 90, 100, 100, "optimal"),  # what is there, if that is 8 % more
        (93, 93, 100, 100.44, "undersized"),
        (100, 100, 100, 108, "undersized"),  # cut off at the capacity
        (1, 1, 100, 10, "idle"),
        (4.5, 4.5, 100, 10, "oversized"),
        (0, 0, 100, 10, "idle"),
    ],
)
def test_sizes_and_classes_by_hand(high, highest, capacity, size, found):
    peaks, known = one(high, highest, capacity)
    assert fitting_sizes(peaks, known)[0] == pytest.approx(size)
    assert classes(peaks, known)[0] == found


def test_an_unknown_capacity_leaves_room_and_no_class():
    peaks, unknown = one(10, 20)
    assert fitting_sizes(peaks, unknown)[0] == pytest.approx(13)
    assert classes(peaks, unknown)[0] == "insufficient_data"
    assert classes(*one(10, 20, 0))[0] == "insufficient_data"
    nothing, known = one(np.nan, np.nan, 100)
    assert np.isnan(fitting_sizes(nothing, known)[0])
    assert classes(nothing, known)[0] == "insufficient_data"


shares = st.floats(0, 1.5)


@given(high=shares, rare=shares, capacity=st.floats(1e-3, 1e12))
def test_a_fitting_size_is_optimal_on_the_same_history(high, rare, capacity):
    """Stops a size that the next run would change again."""
    peaks, known = one(high * capacity, (high + rare) * capacity, capacity)
    given_class = classes(peaks, known)[0]
    size = fitting_sizes(peaks, known)
    assert size[0] >= peaks.high[0]
    if given_class != "idle":
        assert classes(peaks, size * (1 + 1e-9))[0] == "optimal"


@given(high=shares, rare=shares, capacity=st.floats(1e-3, 1e12))
def test_a_capacity_below_the_recommended_size_is_never_optimal(high, rare, capacity):
    """Stops "optimal" from standing beside a size that is larger than what there is."""
    peaks, known = one(high * capacity, (high + rare) * capacity, capacity)
    if fitting_sizes(peaks, known)[0] > capacity * (1 + 1e-6):
        assert classes(peaks, known)[0] == "undersized"


@given(high=st.floats(0, 1), capacity=st.floats(1, 100))
def test_more_use_never_needs_less(high, capacity):
    lower, known = one(high, high + 0.5, capacity)
    upper, _ = one(high * 1.01 + 0.01, high * 1.01 + 0.51, capacity)
    assert needed(upper, known)[0] >= needed(lower, known)[0]


def test_a_rule_that_would_contradict_itself_is_refused():
    with pytest.raises(ValueError, match=r"headroom 0\.02 fills a size"):
        SizeRule(headroom=0.02)
    assert RULE.undersized_share > 1 / (1 + RULE.headroom)
