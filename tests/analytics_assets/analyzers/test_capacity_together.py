"""What is more than one VM or node: of which ones its size, its demand and its samples are."""

from datetime import timedelta

import numpy as np
import pytest

from analytics_assets.analyzers.capacity import COMPONENT, TABLE, compute
from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.processors.storage_utilization import STORAGE_UTILIZATION
from resources.lake.lake import Facts, Lake
from resources.partition import Partition
from tests.analytics_assets.analyzers.fleet import (
    GIB,
    INVENTORY,
    LAST_DAY,
    NODES,
    SAMPLES,
    hours_of,
    processor,
    rows_by,
    workplace,
    write_inventory,
    write_nodes,
    write_samples,
)

DAYS = 28
OLD_DAYS = 8


def made(lake, tenant="acme", resolution_seconds=300, **more):
    parameters = CapacityParameters()
    inputs = {"samples": SAMPLES, "inventory": INVENTORY, **more}
    place = workplace(lake, COMPONENT, parameters, inputs, tenant)
    place.resolution_seconds = resolution_seconds
    result = compute(place, parameters)
    return rows_by(TABLE.conform(result.data), "entity_kind", "entity_id", "resource"), result.facts


def platform_with(folder, live, days_of_old=OLD_DAYS):
    """Return a lake of so many nodes of 16 cores, 8 in use, and of one of 100 cores that ended long ago."""
    lake = Lake(folder)
    one = (np.full(1, 8.0), 16, np.full(1, 16.0), 64)
    for number in range(DAYS):
        nodes = {f"node-{n}": one for n in range(1, live + 1)}
        if number < days_of_old:
            nodes["old"] = (np.full(1, 8.0), 100, np.full(1, 16.0), 640)
        write_nodes(lake, nodes, days=1, last=LAST_DAY - timedelta(DAYS - 1 - number))
    write_samples(lake, {}, days=1, tenant="platform")
    write_inventory(lake, [], tenant="platform")
    return lake


@pytest.mark.parametrize("live", [1, 3])
def test_a_removed_node_is_no_part_of_the_cluster(tmp_path, live):
    """Stops a node that was removed weeks ago from lending its cores, and from being waited for."""
    lake = platform_with(tmp_path, live)
    write_inventory(lake, [("a", 40, 4, 16, 100, "running")], tenant="globex")
    rows, facts = made(lake, "platform", nodes=NODES)
    cpu = rows["cluster", "all", "cpu"]
    assert (cpu["status"], cpu["physical"], cpu["demand_p95"], cpu["coverage"]) == ("ok", 16 * live, 8 * live, 1)
    assert cpu["capacity_remaining"] == pytest.approx((0.9 * 16 - 8) * live)
    assert (cpu["allocated"], cpu["allocation_limit"]) == (4, 64 * live)
    old = rows["node", "old", "cpu"]
    assert (old["status"], old["reason"]) == ("insufficient_data", "no sample in the last 24 hours")
    assert facts.samples_seen == facts.samples_expected
    assert facts.notes[1:] == tuple(
        f"the cluster's {resource} is without 1 node(s) of a known size but no {resource} sample in the last day: old"
        for resource in ("cpu", "memory")
    )


def test_the_average_vm_is_one_of_the_nodes_that_count(tmp_path):
    """Stops VMs that are told to be on a node without samples from making the average VM a small one."""
    lake = platform_with(tmp_path, 1)
    write_inventory(lake, [("a", 40, 4, 16, 100, "running")], tenant="globex")
    alone = made(lake, "platform", nodes=NODES)[0]["cluster", "all", "cpu"]["average_vms_fit"]
    write_inventory(lake, [(f"lost-{n}", 40, 1, 1, 1, "running") for n in range(50)], tenant="acme", node="old")
    assert made(lake, "platform", nodes=NODES)[0]["cluster", "all", "cpu"]["average_vms_fit"] == alone == 0


def test_where_no_node_is_measured_none_has_ended(tmp_path):
    """Stops an outage of the measuring from being told as a cluster without memory."""
    lake = Lake(tmp_path)
    memory = np.r_[np.full(DAYS - 2, 16.0), np.nan, np.nan]
    write_nodes(lake, {f"node-{n}": (np.full(DAYS, 8.0), 16, memory, 64) for n in range(2)}, days=DAYS)
    write_samples(lake, {}, days=1, tenant="platform")
    write_inventory(lake, [], tenant="platform")
    rows, facts = made(lake, "platform", nodes=NODES)
    row = rows["cluster", "all", "memory"]
    assert (row["status"], row["reason"]) == ("insufficient_data", "no sample in the last 24 hours")
    assert row["physical"] == 128 * GIB
    assert facts.notes == ()


def test_a_removed_tier_is_not_waited_for(tmp_path):
    """Stops a tier that ended weeks ago from lowering the coverage of all capacity."""
    lake = platform_with(tmp_path, 1, 0)
    for number in range(DAYS):
        partition = Partition("platform", LAST_DAY - timedelta(DAYS - 1 - number))
        rows = [
            {
                "entity_kind": "tier", "entity_id": tier, "ts": partition.start_ms + bucket * 300_000,
                "used_bytes_mean": 5.0, "used_bytes_max": 5.0, "capacity_bytes": 100.0, "doubtful": False,
                "samples_seen": 5, "samples_expected": 5,
            }
            for tier in (["ssd", "old"] if number < OLD_DAYS else ["ssd"])
            for bucket in range(288)
        ]  # fmt: skip
        lake.write(STORAGE_UTILIZATION, partition, STORAGE_UTILIZATION.from_rows(rows), Facts())
    rows, facts = made(lake, "platform", storage=processor(STORAGE_UTILIZATION))
    assert rows["tier", "old", "disk"]["status"] == "insufficient_data"
    assert facts.samples_seen == facts.samples_expected


def vm(cpu=20.0, disk_gib=None):
    found = {"cpu_percent": hours_of(DAYS, cpu), "memory_bytes": hours_of(DAYS, 2) * GIB}
    return found if disk_gib is None else {**found, "disk_bytes": hours_of(DAYS, disk_gib) * GIB}


def test_a_disk_that_nobody_measures_is_not_an_empty_one(tmp_path):
    """Stops a tenant whose measured disks are 85 % full from being 64 % full, and ok."""
    lake = Lake(tmp_path)
    write_samples(lake, {**{f"vm-{n}": vm(disk_gib=85) for n in range(3)}, "unseen": vm()}, days=DAYS)
    write_inventory(
        lake,
        [(name, 40, 4, 16, 100, "running") for name in ("vm-0", "vm-1", "vm-2", "unseen")]
        + [("off", 40, 4, 16, 100, "stopped")],
    )
    rows, facts = made(lake)
    disk, cpu = (rows["tenant", "acme", resource] for resource in ("disk", "cpu"))
    assert (disk["physical"], disk["allocated"], disk["coverage"]) == (300 * GIB, 500 * GIB, 1)
    assert disk["utilization_percent"] == pytest.approx(85)
    assert disk["use_level"] == "critical"
    assert cpu["physical"] == 20  # a stopped VM is known to use no CPU
    assert facts.notes == ("the tenant's disk is without 2 VM(s) of a known size but no disk sample in the last day",)


def test_vms_without_a_metric_do_not_make_its_total_too_thin(tmp_path):
    """Stops two VMs whose disks nobody measures from hiding that the third one fills up."""
    lake = Lake(tmp_path)
    write_samples(lake, {"filling": vm(disk_gib=np.linspace(50, 63.5, DAYS)), "one": vm(), "two": vm()}, days=DAYS)
    write_inventory(lake, [(name, 40, 4, 16, 100, "running") for name in ("filling", "one", "two")])
    rows, _ = made(lake)
    own, whole = rows["vm", "filling", "disk"], rows["tenant", "acme", "disk"]
    assert (whole["status"], whole["level"]) == ("ok", own["level"]) != ("ok", "ok")
    assert whole["time_remaining_days_expected"] == own["time_remaining_days_expected"]


def test_a_tenant_of_which_no_disk_is_measured_has_no_answer_but_a_size(tmp_path):
    lake = Lake(tmp_path)
    write_samples(lake, {"a": vm()}, days=DAYS)
    write_inventory(lake, [("a", 40, 4, 16, 100, "running")])
    rows, facts = made(lake)
    disk = rows["tenant", "acme", "disk"]
    assert (disk["status"], disk["reason"], disk["physical"]) == ("no_data", "no samples in the window", 100 * GIB)
    assert facts.notes == ()


def test_the_hours_of_a_stopped_vm_are_not_missed(tmp_path):
    """Stops a day from being called thin, and blocked, for a VM that was switched off; its rows never said so."""
    lake = Lake(tmp_path)
    off = vm()
    for values in off.values():
        values[48:] = np.nan
    write_samples(lake, {"runs": vm(), "off": off}, days=DAYS)
    for number in range(DAYS):
        states = {"runs": "running", "off": "running" if number < 2 else "stopped"}
        rows = [(name, 1, 4, 16, 100, state) for name, state in states.items()]
        write_inventory(lake, rows, day=LAST_DAY - timedelta(DAYS - 1 - number))
    rows, facts = made(lake)
    assert {rows["vm", name, "cpu"]["coverage"] for name in ("runs", "off")} == {1.0}
    assert facts.coverage == 1


@pytest.mark.parametrize("resolution_seconds", [1800, 3600])
def test_buckets_of_half_an_hour_or_an_hour_are_enough(tmp_path, resolution_seconds):
    """Stops settings that are permitted from ending in an error of the sizing."""
    lake = Lake(tmp_path)
    write_samples(lake, {"a": vm(disk_gib=20)}, days=DAYS)
    write_inventory(lake, [("a", 40, 4, 16, 100, "running")])
    rows, _ = made(lake, resolution_seconds=resolution_seconds)
    cpu = rows["vm", "a", "cpu"]
    assert (cpu["status"], cpu["size_class"], cpu["size_needed"]) == ("ok", "oversized", 1)
