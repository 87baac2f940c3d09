import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.analyzers.recommendation_model.rebalance import Load, Node, Placed, moves


def node(name, cpu, memory=0.0, usable=100.0):
    return Node(name, Load(cpu, memory), Load(usable, usable))


def vm(name, where, cpu, memory=0.0):
    return Placed(name, where, Load(cpu, memory))


def done(found):
    return [(move.vm.vm_id, move.source.node_id, move.target.node_id) for move in found[0]]


def test_the_smallest_vm_that_helps_goes_to_the_emptiest_node():
    nodes = [node("a", 95), node("b", 40), node("c", 20)]
    vms = [vm("tiny", "a", 5), vm("enough", "a", 20), vm("huge", "a", 60), vm("elsewhere", "b", 15)]
    found = moves(nodes, vms, 90, 80, 10)
    assert done(found) == [("enough", "a", "c")]
    assert (found[0][0].source_after.fullest, found[0][0].target_after.fullest) == (75, 40)


def test_where_no_vm_is_enough_the_largest_go_one_after_the_other():
    nodes = [node("a", 130), node("b", 10)]
    vms = [vm(f"v{n}", "a", n) for n in (10, 20, 30)]
    assert done(moves(nodes, vms, 90, 80, 10)) == [("v30", "a", "b"), ("v20", "a", "b")]
    assert done(moves(nodes, vms, 90, 80, 1)) == [("v30", "a", "b")]


def test_memory_counts_as_cpu_does():
    nodes = [node("a", 10, 95), node("b", 75, 10), node("c", 10, 10)]
    vms = [vm("wide", "a", 8, 20)]
    assert done(moves(nodes, vms, 90, 80, 10)) == [("wide", "a", "c")]
    assert done(moves(nodes[:2], vms, 90, 80, 10)) == []


def test_a_node_without_a_way_out_is_told_and_stops_nobody():
    nodes = [node("full", 120), node("hot", 95), node("cool", 50)]
    found = moves(nodes, [vm("whale", "full", 60), vm("fish", "hot", 20)], 90, 80, 10)
    assert done(found) == [("fish", "hot", "cool")]
    assert [stuck.node_id for stuck in found[1]] == ["full"]


def test_a_node_without_a_way_out_is_tried_again_when_another_is_relieved():
    """Stops "no VM of it fits on another node" from being said where a move of the same plan has made room."""
    nodes = [node("a", 120, 10), node("b", 95, 10), Node("c", Load(700, 79), Load(1000, 100))]
    vms = [vm("a1", "a", 25, 5), vm("b1", "b", 50, 0.5)]
    assert done(moves(nodes, vms, 90, 80, 10)) == [("b1", "b", "c"), ("a1", "a", "b")]
    found, stuck, waiting = moves(nodes, vms, 90, 80, 1)
    assert (len(found), stuck, [one.node_id for one in waiting]) == (1, [], ["a"])


def test_no_more_moves_is_not_told_of_a_node_that_has_none():
    """Stops maximum_moves from being named where more moves would not help."""
    found, stuck, waiting = moves([node("a", 95), node("b", 10)], [vm("whale", "a", 90)], 90, 80, 0)
    assert (found, [one.node_id for one in stuck], waiting) == ([], ["a"], [])


def test_a_node_without_a_known_size_is_never_a_target():
    assert done(moves([node("a", 95), node("b", 0, usable=0.0)], [vm("v", "a", 20)], 90, 80, 10)) == []


def test_equal_choices_are_decided_by_id_whatever_the_order():
    nodes = [node("a", 95), node("c", 10), node("b", 10)]
    vms = [vm("y", "a", 20), vm("x", "a", 20)]
    for order in (1, -1):
        assert done(moves(nodes[::order], vms[::order], 90, 80, 10)) == [("x", "a", "b")]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 40), st.floats(0, 40)), max_size=20),
    st.integers(0, 8),
)
def test_moves_end_and_never_make_a_node_hot(placed, maximum):
    """Stops a plan that only moves the trouble on, or never ends."""
    vms = [vm(f"v{n:02}", f"n{where}", cpu, memory) for n, (where, cpu, memory) in enumerate(placed)]
    nodes = []
    for name in ("n0", "n1", "n2", "n3"):
        own = [one.demand for one in vms if one.node_id == name]
        nodes.append(node(name, sum(load.cpu for load in own), sum(load.memory for load in own)))
    found, stuck, waiting = moves(nodes, vms, 90, 80, maximum)
    assert len(found) <= maximum
    assert len({move.vm.vm_id for move in found}) == len(found)
    for move in found:
        assert move.target_after.fullest <= 80
        assert move.source.fullest > 90
    before = sum(one.demand.cpu for one in nodes)
    after = {one.node_id: one for one in nodes}
    for move in found:
        after |= {move.source.node_id: move.source_after, move.target.node_id: move.target_after}
    assert sum(one.demand.cpu for one in after.values()) == pytest.approx(before)
    assert sorted(one.node_id for one in (*stuck, *waiting)) == [name for name in after if after[name].fullest > 90]
