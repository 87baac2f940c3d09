from dataclasses import replace

import numpy as np
import pytest

from resources.monitoring.simulated.counts import migrations
from resources.monitoring.simulated.source import SimulatedFleet
from resources.monitoring.simulated.truth import truth_tables
from resources.partition import DAY_MS
from tests.resources.monitoring.simulated.fleets import FIRST_DAY, VM_COUNT, by_label, index_of, month, read

MIGRATIONS = "novacron_vm_migrations_total"


@pytest.mark.parametrize("tenant", ["acme", "globex", "initech"])
def test_counts_of_vms_are_those_of_the_inventory(tenant: str) -> None:
    """A moved VM on both nodes, a stopped one counted as running, or another tenant's would break the count."""
    fleet = month()
    inventory = fleet.inventory(tenant, fleet.clock.start_ms, fleet.clock.start_ms + 28 * DAY_MS).to_pylist()
    series = read(fleet, tenant, VM_COUNT)
    nodes = {node.id: node for node in fleet.nodes()}
    assert {dict(key)["node_id"] for key in series} == {row["node_id"] for row in inventory}
    for key, (ts, values) in series.items():
        labels = dict(key)
        assert labels["tenant_id"] == tenant
        index = index_of(fleet, ts, nodes[labels["node_id"]].offset_ms)
        expected = np.zeros(fleet.clock.total)
        for vm in fleet.vms(tenant):
            rows = [row for row in inventory if row["vm_id"] == vm.vm_id]
            for row, after in zip(rows, [*rows[1:], None], strict=True):
                first, last = (
                    fleet.clock.total
                    if at is None
                    else (at["valid_from_ms"] - fleet.clock.start_ms) // fleet.clock.step_ms
                    for at in (row, after)
                )
                if (row["node_id"], row["state"]) == (labels["node_id"], labels["status"]):
                    expected[first:last] += 1
        assert np.array_equal(values, expected[index])
    stopped = [values.max() for key, (_, values) in series.items() if dict(key)["status"] == "stopped"]
    assert sum(stopped) == 1


def test_counts_follow_a_move_and_share_the_outages_of_their_node() -> None:
    fleet = month()
    vm = fleet.vms("acme")[3]
    at = vm.placements[1][0]
    for node, change in ((vm.placements[0][1], -1), (vm.placements[1][1], 1)):
        ts, values = by_label(read(fleet, "acme", VM_COUNT), "node_id", status="running")[node.id]
        offset = next(found.offset_ms for found in fleet.nodes() if found.ref == node)
        index = index_of(fleet, ts, offset)
        assert index[1:][np.diff(values) != 0].tolist() == [at]
        assert np.diff(values).sum() == change
        lost = sum(last - first for first, last in fleet.outages(node))
        assert len(values) == fleet.clock.total - lost


@pytest.mark.parametrize("fleet", [month(), SimulatedFleet(11, 2, 130, FIRST_DAY, 21, 300)], ids=["month", "large"])
def test_migrations_are_counted_when_they_happen_and_all_of_them(fleet: SimulatedFleet) -> None:
    """One lost or counted twice, at a restart of the exporter too, would differ from the plan."""
    planned = [
        (row["source_node"], row["target_node"], row["at"].timestamp() * 1000)
        for row in truth_tables(fleet)["migrations"].to_pylist()
    ]
    nodes = {node.id: node for node in fleet.nodes()}
    counted = []
    for key, (ts, values) in read(fleet, "platform", MIGRATIONS).items():
        labels = dict(key)
        assert (labels["status"], labels["migration_type"]) == ("success", "live")
        node = nodes[labels["source_node"]]
        steps = np.diff(values, prepend=0.0)
        fell = ts[steps < 0]
        assert set(index_of(fleet, fell, node.offset_ms).tolist()) <= set(node.restarts)
        grown = np.where(steps < 0, values, steps)
        for at, by in zip(ts[grown > 0], grown[grown > 0], strict=True):
            counted += [(labels["source_node"], labels["target_node"], float(at - node.offset_ms))] * int(by)
    assert sorted(counted) == sorted(planned)
    assert planned


def test_a_move_in_the_sample_of_a_restart_is_counted_after_it() -> None:
    """Counted before it, the move would be lost to whoever reads the counter."""
    fleet = month(1)
    vm = fleet.vms("acme")[3]
    source, target = (next(node for node in fleet.nodes() if node.ref == ref) for _, ref in vm.placements)
    at = vm.placements[1][0]
    day, sample = divmod(at, fleet.clock.per_day)
    counted = migrations(fleet.clock, replace(source, restarts=(at,)), target, day)
    assert counted[sample - 1 : sample + 2].tolist() == [0, 1, 1]
    counted = migrations(fleet.clock, replace(source, restarts=(at + 1,)), target, day)
    assert counted[sample - 1 : sample + 2].tolist() == [0, 1, 0]


def test_a_node_is_counted_from_the_first_vm_on() -> None:
    """A series that is there before its VM tells today what happens tomorrow."""
    fleet = SimulatedFleet(42, 1, 5, FIRST_DAY, 28, 300)
    at, node = fleet.vms("acme")[3].placements[1]
    series = by_label(read(fleet, "acme", VM_COUNT), "node_id", status="running")
    assert set(series) == {fleet.vms("acme")[3].placements[0][1].id, node.id}
    ts, values = series[node.id]
    assert ts[0] // 300_000 * 300_000 == fleet.clock.ms(at)
    assert (values == 1).all()
