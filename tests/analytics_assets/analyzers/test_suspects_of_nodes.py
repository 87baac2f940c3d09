"""Who is a suspect where: on the node of the incident, after a move, and across tenants for the platform."""

from datetime import timedelta

import pyarrow as pa
import pytest

from analytics_assets.processors.storage_utilization import STORAGE_UTILIZATION
from analytics_assets.processors.system_load import SYSTEM_LOAD
from analytics_assets.processors.vm_resources import VM_RESOURCES
from resources.partition import Partition
from tests.analytics_assets.analyzers.fleet import LAST_DAY
from tests.analytics_assets.analyzers.suspects_lake import (
    FIRST,
    LAST,
    STEPS,
    alarm,
    at,
    bump,
    found,
    neighbours,
    noise,
    store,
    vms,
)


def moved(lake, vm, step, node, tenant="acme"):
    """From `step` of the second day on, `vm` is on `node`."""
    partition = Partition(tenant, LAST_DAY)
    data = lake.read_day(VM_RESOURCES, partition)
    rows = zip(
        data.column("vm_id").to_pylist(), data.column("ts").cast(pa.int64()).to_pylist(),
        data.column("node_id").to_pylist(), strict=True,
    )  # fmt: skip
    nodes = [node if name == vm and ts >= at(step) else old for name, ts, old in rows]
    place = data.column_names.index("node_id")
    lake.write(VM_RESOURCES, partition, data.set_column(place, "node_id", pa.array(nodes)))


def test_a_vm_that_moves_after_the_incident_is_looked_for_where_it_was(lake):
    """Its new neighbours saw nothing of it, and its old ones were not even candidates."""
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    before = found(lake)[0].data
    moved(lake, "web", LAST + 40, "node-2")
    assert found(lake)[0].data.equals(before)


def test_who_is_moved_away_during_the_incident_is_a_suspect_still(lake):
    """Moving the noisy neighbour is what ends an incident; who comes once it is over has nothing to do with it."""
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    moved(lake, "backup", LAST - 2, "node-2")
    moved(lake, "far", LAST + 1, "node-1")
    rows = found(lake)[1]
    assert rows[0]["suspect_id"] == "backup"
    assert "far" not in {row["suspect_id"] for row in rows}


def test_a_vm_whose_node_is_unknown_for_a_while_stays_where_it_was(lake):
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    before = found(lake)[0].data
    moved(lake, "web", FIRST - 5, None)
    assert found(lake)[0].data.equals(before)


def part_of_nodes(lake, load, tenant="acme"):
    store(lake, SYSTEM_LOAD, "node_id", load, tenant, {node: {"scope": "tenant"} for node in load})


def test_a_tenants_incident_of_a_node_is_one_of_its_vms_there(lake):
    """It said that the node has no samples, although its part of the node's load is what had alarmed."""
    neighbours(lake)
    part_of_nodes(lake, {"node-1": {"cpu_percent": bump(noise(8), 30)}, "node-2": {"cpu_percent": noise(9)}})
    alarm(lake, ("node", "node-1", "cpu_percent", FIRST, LAST, 3.0))
    result, rows = found(lake, roles=("anomalies", "nodes"))
    assert [(row["status"], row["rank"], row["candidates"]) for row in rows] == [("ok", n, 3) for n in (1, 2, 3)]
    assert {row["suspect_id"] for row in rows} == {"backup", "web", "calm"}
    assert rows[-1]["suspect_id"] == "calm"
    assert rows[0]["agreement"] > 0.9
    assert rows[0]["distance"] == 1
    assert {(row["entity_tenant"], row["suspect_kind"]) for row in rows} == {("acme", "vm")}
    assert result.facts.samples_seen == 4 * STEPS * 5  # the sum's samples are the VMs'


def test_a_tenants_part_of_a_node_is_no_suspect_of_its_vms(lake):
    """It agrees with every one of them, since it is their sum."""
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    before = found(lake)[1]
    part_of_nodes(lake, {"node-1": {"cpu_percent": bump(noise(8), 30)}})
    assert found(lake, roles=("anomalies", "nodes"))[1] == before


@pytest.mark.parametrize("tenant", ["acme", "platform"])
def test_an_incident_of_a_node_without_nodes_says_what_is_missing(lake, tenant):
    neighbours(lake)
    vms(lake, {}, "platform")
    alarm(lake, ("node", "node-1", "cpu_percent", FIRST, LAST, 3.0), tenant=tenant)
    [row] = found(lake, tenant)[1]
    assert (row["status"], row["candidates"]) == ("no_data", 0)
    assert "name system_load under 'nodes'" in row["reason"]


def test_a_node_that_no_vm_is_known_to_have_been_on_has_no_suspect(lake):
    """What VMs of unknown places do is summed as one node."""
    neighbours(lake)
    part_of_nodes(lake, {"unknown": {"cpu_percent": bump(noise(8), 30)}})
    alarm(lake, ("node", "unknown", "cpu_percent", FIRST, LAST, 3.0))
    [row] = found(lake, roles=("anomalies", "nodes"))[1]
    assert (row["status"], row["candidates"]) == ("no_data", 0)
    assert row["reason"].startswith("nobody with samples")


def test_a_vm_alone_on_its_node_is_its_own_suspect(lake):
    neighbours(lake)
    alarm(lake, ("vm", "far", "cpu_percent", FIRST, LAST, 3.0))
    result, rows = found(lake)
    assert [row["suspect_id"] for row in rows] == ["far"]
    assert "raised the alarm" in rows[0]["evidence"]
    assert result.numbers["own_cause"] == 1


def test_the_platform_sees_across_tenants_and_the_tiers(lake):
    """web of zeta suffers from backup of acme; only the operator may know. Both tenants have a VM of that name."""
    vms(lake, {"backup": {"cpu_percent": bump(noise(1), 60)}, "web": {"cpu_percent": noise(2)}}, "acme")
    vms(lake, {"web": {"cpu_percent": noise(3)}}, "zeta")
    vms(lake, {"other": {"cpu_percent": bump(noise(4), 90)}}, "zulu", node="node-2")
    vms(lake, {}, "platform")
    load = {"node-1": {"cpu_percent": bump(noise(5), 30)}, "node-2": {"cpu_percent": noise(6)}}
    store(lake, SYSTEM_LOAD, "node_id", load, "platform", {node: {"scope": "node"} for node in load})
    tiers = {"ssd/node-1": {"read_latency_seconds": bump(noise(7, 0.01, 0.001), 0.2)}}
    more = {"ssd/node-1": {"node_id": "node-1", "tier": "ssd", "entity_kind": "tier", "doubtful": False}}
    store(lake, STORAGE_UTILIZATION, "entity_id", tiers, "platform", more)
    alarm(lake, ("node", "node-1", "cpu_percent", FIRST, LAST, 3.0), tenant="platform")
    result, rows = found(lake, "platform", roles=("anomalies", "nodes", "storage"))
    assert [(row["suspect_tenant"], row["suspect_id"]) for row in rows[:2]] == [
        ("acme", "backup"),
        ("platform", "ssd/node-1"),
    ]
    assert rows[1]["suspect_metric"] == "read_latency_seconds"
    assert rows[0]["candidates"] == 5
    assert "acme, zeta, zulu" in result.facts.notes[0]
    assert "leave out 3 tenant(s) without anomalies" in result.facts.notes[1]


def operator(lake):
    """The node of acme's noisy and zeta's disturbed VM, with no incident of its own."""
    vms(lake, {}, "platform")
    store(
        lake, SYSTEM_LOAD, "node_id", {"node-1": {"cpu_percent": noise(5)}}, "platform", {"node-1": {"scope": "node"}}
    )
    vms(lake, {"web": {"cpu_percent": bump(noise(1), 60)}}, "acme")
    vms(lake, {"web": {"cpu_percent": bump(noise(2), 25)}}, "zeta")


def test_the_platform_finds_another_tenants_neighbour_of_a_vm(lake):
    """Neither tenant sees the other, and both call their VM web; tenants' sums of nodes are not the platform's."""
    operator(lake)
    alarm(lake, tenant="platform")
    alarm(lake, tenant="acme")
    node = ("node", "node-1", "cpu_percent", FIRST, LAST, 5.0)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0), node, tenant="zeta")
    result, rows = found(lake, "platform", roles=("anomalies", "nodes"))
    assert {(row["entity_kind"], row["entity_tenant"], row["entity_id"]) for row in rows} == {("vm", "zeta", "web")}
    assert (rows[0]["suspect_tenant"], rows[0]["suspect_id"], rows[0]["distance"]) == ("acme", "web", 2)
    assert result.numbers == {"incidents": 1, "without_answer": 0, "own_cause": 0}
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0), tenant="acme")
    rows = found(lake, "platform", roles=("anomalies", "nodes"))[1]
    assert {row["entity_tenant"] for row in rows} == {"acme", "zeta"}
    assert not [row for row in found(lake, "zeta")[1] if row["suspect_tenant"] == "acme"]


def test_tenants_without_the_day_and_their_missing_days_are_told(lake):
    """What caused a node's incident depended on which tenants were computed before, and nothing said so."""
    operator(lake)
    alarm(lake, ("node", "node-1", "cpu_percent", FIRST, LAST, 3.0), tenant="platform")
    lake.path(VM_RESOURCES.name, Partition("acme", LAST_DAY)).unlink()
    lake.path(VM_RESOURCES.name, Partition("zeta", LAST_DAY - timedelta(1))).unlink()
    facts = found(lake, "platform", roles=("anomalies", "nodes"))[0].facts
    assert facts.notes[0].endswith("1 tenant(s): zeta")
    assert facts.notes[1].startswith("1 tenant(s) have no vm_resources of the day and are left out: acme")
    assert facts.notes[2].endswith("zeta (1 of 2 days)")
    assert facts.days_missing == ((LAST_DAY - timedelta(1)).isoformat(), LAST_DAY.isoformat())


def test_another_tenants_data_never_changes_a_byte(lake):
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    before = found(lake)[0].data
    vms(lake, {"web": {"cpu_percent": bump(noise(9), 99)}}, "zeta")
    assert found(lake)[0].data.equals(before)
