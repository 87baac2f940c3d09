"""Peer outliers: who is one, who is not, and where there is no answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.kernels.peers import compare_with_peers


def alike(count, steps=288, seed=1, noise=1.0):
    """VMs that share one daily course [vm, step], around 40."""
    rng = np.random.default_rng(seed)
    course = 40 + 10 * np.sin(np.arange(steps) / 288 * 2 * np.pi)
    return course + noise * rng.standard_normal((count, steps))


def oracle(values, floor, tolerance):
    """Distances and outliers of one whole group, value by value."""
    vms, steps = len(values), len(values[0])
    middle = [sorted(values[vm][step] for vm in range(vms)) for step in range(steps)]
    middle = [(row[(vms - 1) // 2] + row[vms // 2]) / 2 for row in middle]
    distances = [sum(abs(values[vm][step] - middle[step]) for step in range(steps)) / steps for vm in range(vms)]
    ordered = sorted(distances)
    limit = max(floor, tolerance * (ordered[(vms - 1) // 2] + ordered[vms // 2]) / 2)
    return distances, [distance > limit for distance in distances]


def test_the_planted_outlier_is_found_with_its_evidence():
    values = alike(8)
    values[5] += 25
    found = compare_with_peers(values, ["web"] * 8, floor=5)
    assert found.outlier.tolist() == [vm == 5 for vm in range(8)]
    assert found.distance[5] == pytest.approx(25, abs=1)
    assert found.level[5] - found.group_level[5] == pytest.approx(25, abs=1)
    assert found.peers.tolist() == [7] * 8
    assert found.steps.tolist() == [288] * 8
    assert found.reason == (None,) * 8


def test_of_three_members_one_can_be_the_outlier():
    """The least group: the outlier itself must not make its distance look usual."""
    values = alike(3)
    values[0] -= 25
    assert compare_with_peers(values, ["db"] * 3, floor=5).outlier.tolist() == [True, False, False]


def test_a_common_cycle_is_no_difference_but_a_missing_one_is():
    values = alike(6, noise=0.3)
    values[2] = 40
    found = compare_with_peers(values, ["web"] * 6, floor=1)
    assert found.outlier.tolist() == [vm == 2 for vm in range(6)]
    assert abs(found.level[2] - found.group_level[2]) < 1


def test_two_clusters_are_no_outliers():
    """Halves that differ say that the group is not one; calling either half outliers would be wrong."""
    even = alike(6)
    even[:3] += 30
    found = compare_with_peers(even, ["web"] * 6, floor=5)
    assert not found.outlier.any()
    uneven = alike(7)
    uneven[:3] += 30
    found = compare_with_peers(uneven, ["web"] * 7, floor=5)
    assert not found.outlier.any()
    assert found.reason == ("3 of 7 members of web differ from their median: no common behaviour",) * 7
    assert np.isnan(found.distance).all()


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        (["web", "web"], "web has 2 members; needs 3"),
        (["web", None], "no group is known"),
    ],
)
def test_too_few_members_are_no_answer_with_a_reason(groups, reason):
    values = alike(2)
    values[1] += 50
    found = compare_with_peers(values, groups, floor=5)
    assert found.reason[1] == reason
    assert not found.outlier.any()
    assert np.isnan(found.distance).all()
    assert found.peers.tolist() == [0, 0]


def test_less_than_the_floor_is_never_an_outlier():
    """Stops nearly identical VMs from being told apart by a hundredth of a percent."""
    values = np.full((5, 288), 20.0)
    values[4] = 20.5
    assert not compare_with_peers(values, ["web"] * 5, floor=5).outlier.any()
    assert compare_with_peers(values, ["web"] * 5, floor=0.4).outlier.tolist() == [False] * 4 + [True]


def test_groups_do_not_touch_each_other_whatever_their_order():
    values = np.concatenate([alike(4), 20 + alike(4, seed=2)])
    values[1] += 30
    groups = ["a"] * 4 + ["b"] * 4
    found = compare_with_peers(values, groups, floor=5)
    assert found.outlier.tolist() == [False, True] + [False] * 6
    order = [6, 1, 4, 0, 7, 3, 5, 2]
    moved = compare_with_peers(values[order], [groups[vm] for vm in order], floor=5)
    assert moved.outlier.tolist() == found.outlier[order].tolist()
    assert moved.distance == pytest.approx(found.distance[order])


def test_a_vm_with_too_few_samples_is_neither_judged_nor_a_peer():
    values = alike(5)
    values[0, 10:] = np.nan
    values[0, :10] += 60
    values[1, ::3] = np.inf
    values[4] += 25
    found = compare_with_peers(values, ["web"] * 5, floor=5)
    assert found.reason[0] == "10 steps in common with enough other members of web; needs 144"
    assert found.reason[1:] == (None,) * 4
    assert found.outlier.tolist() == [False] * 4 + [True]
    assert found.peers.tolist() == [0, 3, 3, 3, 3]
    assert found.steps.tolist() == [10, 192, 288, 288, 288]


def test_members_that_were_never_there_together_are_no_answer():
    values = np.full((4, 300), np.nan)
    for vm in range(4):
        values[vm, 75 * vm : 75 * vm + 75] = vm
    found = compare_with_peers(values, ["web"] * 4, floor=0)
    assert found.reason == ("0 steps in common with enough other members of web; needs 1",) * 4
    only_two = alike(4)
    only_two[:2] = np.nan
    assert not compare_with_peers(only_two, ["web"] * 4, floor=0).outlier.any()
    assert compare_with_peers(only_two, ["web"] * 4, floor=0).reason[3] is not None


@settings(max_examples=50)
@given(
    st.integers(3, 8).flatmap(
        lambda vms: st.lists(st.lists(st.integers(0, 9), min_size=vms, max_size=vms), min_size=1)
    ),
    st.sampled_from([0.0, 0.5, 2.0]),
)
def test_distances_are_those_of_the_definition(columns, floor):
    values = np.array(columns, dtype=float).T
    found = compare_with_peers(values, ["x"] * len(values), floor)
    distances, far = oracle(values.tolist(), floor, 3.0)
    if sum(far) <= len(values) / 3:
        assert found.distance == pytest.approx(distances)
        assert found.outlier.tolist() == far
    else:
        assert not found.outlier.any()
        assert all(reason.endswith("no common behaviour") for reason in found.reason)


@pytest.mark.parametrize(
    ("shape", "groups", "changes", "message"),
    [
        ((3,), ["a"] * 3, {}, r"shape \(3,\)"),
        ((3, 4), ["a"] * 2, {}, "for 2 groups"),
        ((3, 4), ["a"] * 3, {"floor": -1}, "needs floor >= 0"),
        ((3, 4), ["a"] * 3, {"floor": np.nan}, "needs floor >= 0"),
        ((3, 4), ["a"] * 3, {"tolerance": 0}, "tolerance > 0"),
        ((3, 4), ["a"] * 3, {"minimum_members": 2}, "at least 3 members"),
        ((3, 4), ["a"] * 3, {"minimum_overlap": 0}, "an overlap over 0"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(shape, groups, changes, message):
    with pytest.raises(ValueError, match=message):
        compare_with_peers(np.zeros(shape), groups, **{"floor": 1.0, **changes})


def test_nothing_to_compare_gives_nothing():
    found = compare_with_peers(np.zeros((0, 5)), [], floor=1)
    assert found.reason == ()
    assert compare_with_peers(np.zeros((3, 0)), ["a"] * 3, floor=1).reason[0] is not None
