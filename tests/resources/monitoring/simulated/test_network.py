from functools import lru_cache

import numpy as np
import pytest

from resources.monitoring.simulated.links import FAULT_LATENCY, FAULT_LOSS
from resources.monitoring.simulated.network import CLUSTER_BYTES, PROBES_PER_SECOND
from resources.monitoring.simulated.source import SimulatedFleet
from resources.monitoring.simulated.truth import truth_tables
from tests.resources.monitoring.simulated.fleets import (
    COUNTERS,
    FIRST_DAY,
    Series,
    by_label,
    index_of,
    month,
    rates_of,
    read,
)

BANDWIDTH = "novacron_network_bandwidth_bytes_per_second"
LATENCY, LOSS = "novacron_network_latency_seconds", "novacron_network_packet_loss_rate"
LIMITS = ["0.0001", "0.0002", "0.0004", "0.0008", "0.0016", "0.0032", "0.0064", "0.0128", "0.0256", "0.0512", "+Inf"]


@lru_cache
def whole(metric: str) -> Series:
    return read(month(), "platform", metric)


@pytest.mark.parametrize(("direction", "metric"), [("receive", COUNTERS[2]), ("transmit", COUNTERS[3])])
def test_bandwidth_is_what_the_vms_counters_grow_by(direction: str, metric: str) -> None:
    """A moved VM on both nodes, a spike left out, or directions exchanged would break the sum."""
    fleet = month()
    compared = 0
    for node in fleet.nodes():
        expected = np.zeros(fleet.clock.total)
        for vm in node.vms:
            here = np.zeros(fleet.clock.total, bool)
            for start, ref in vm.placements:
                here[start:] = ref == node.ref
            expected += np.where(here, rates_of(fleet, vm, metric), 0.0)
        ts, values = by_label(whole(BANDWIDTH), "direction", node_id=node.id, interface="eth0")[direction]
        index = index_of(fleet, ts, node.offset_ms)
        known = ~np.isnan(expected[index])
        assert np.abs(values - expected[index])[known].max() < 1
        compared += known.sum()
        _, own = by_label(whole(BANDWIDTH), "direction", node_id=node.id, interface="eth1")[direction]
        assert own.mean() == pytest.approx(CLUSTER_BYTES, rel=0.05)
    assert compared > 0.9 * fleet.clock.total * len(fleet.nodes())


@pytest.mark.parametrize(("tenants", "vms"), [(1, 1), (2, 20), (3, 20), (1, 1000), (7, 60)])
def test_links_join_all_nodes_and_are_few(tenants: int, vms: int) -> None:
    """All pairs of a hundred nodes would be ten thousand histograms; a node apart could not be measured."""
    fleet = SimulatedFleet(5, tenants, vms, FIRST_DAY, 1, 300)
    nodes = [node.id for node in fleet.nodes()]
    pairs = [(link.source.id, link.target.id) for link in fleet.links()]
    assert len(set(pairs)) == len(pairs) <= 2 * (len(nodes) + tenants)
    assert all(source != target and (target, source) in pairs for source, target in pairs)
    reached = {nodes[0]}
    for _ in nodes:
        reached |= {target for source, target in pairs if source in reached}
    assert reached == set(nodes)
    assert sum(link.fault is not None for link in fleet.links()) == 1


def test_probes_that_are_lost_have_no_latency() -> None:
    """Counts that do not know of the loss would contradict the gauge beside them."""
    fleet = month()
    for link in fleet.links():
        labels = {"source_node": link.source.id}
        _, loss = by_label(whole(LOSS), "target_node", **labels)[link.target.id]
        ts, count = by_label(whole(f"{LATENCY}_count"), "target_node", **labels)[link.target.id]
        index = index_of(fleet, ts, link.source.offset_ms)
        restarts = [at for at in link.source.restarts if at > 0]
        assert index[1:][np.diff(count) < 0].tolist() == restarts
        usable = (np.diff(index) == 1) & ~np.isin(index[1:], restarts)
        answered = PROBES_PER_SECOND * fleet.clock.interval_seconds * (1 - loss[1:])
        assert np.abs(np.diff(count) - answered)[usable].max() <= 1
        buckets = by_label(whole(f"{LATENCY}_bucket"), "le", source_node=link.source.id, target_node=link.target.id)
        assert sorted(buckets, key=LIMITS.index) == LIMITS
        cumulative = np.stack([buckets[limit][1] for limit in LIMITS])
        assert (np.diff(cumulative, axis=0) >= 0).all()
        assert np.array_equal(cumulative[-1], count)


def test_one_link_loses_and_delays_for_some_hours_and_no_other_does() -> None:
    """The other direction, the neighbours and the other hours must be well, or the fault could not be placed."""
    fleet = month()
    (fault,) = [row for row in truth_tables(fleet)["incidents"].to_pylist() if row["kind"] == "link_fault"]
    start, end = (round(fault[name].timestamp() * 1000) for name in ("start", "end"))
    assert 2 * 3_600_000 <= end - start <= 6 * 3_600_000
    for link in fleet.links():
        labels = {"source_node": link.source.id}
        ts, loss = by_label(whole(LOSS), "target_node", **labels)[link.target.id]
        assert (loss >= 0).all()
        _, count = by_label(whole(f"{LATENCY}_count"), "target_node", **labels)[link.target.id]
        _, total = by_label(whole(f"{LATENCY}_sum"), "target_node", **labels)[link.target.id]
        grown = np.diff(count) > 0
        latency = np.diff(total)[grown] / np.diff(count)[grown]
        inside = (ts >= start) & (ts < end) if f"{link.source.id}/{link.target.id}" == fault["entity_id"] else ts < 0
        usual = np.median(latency)
        assert loss[~inside].max() < 0.001
        assert (loss[~inside] == 0).mean() > 0.8
        assert latency[~inside[1:][grown]].max() < 2 * usual
        if inside.any():
            assert loss[inside].mean() == pytest.approx(FAULT_LOSS, rel=0.1)
            assert loss[inside].min() > 0.005
            assert latency[inside[1:][grown]].mean() == pytest.approx(FAULT_LATENCY * usual, rel=0.15)
