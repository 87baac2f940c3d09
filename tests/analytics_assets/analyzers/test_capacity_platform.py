"""The platform's capacity: what is allocated beside what is used, all nodes together, tiers, and what still fits."""

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
    processor,
    rows_by,
    workplace,
    write_inventory,
    write_nodes,
    write_platform,
    write_samples,
)

DAYS = 10
STORAGE = processor(STORAGE_UTILIZATION)


def write_tiers(lake, tiers):
    """Store 5-minute rows of the platform. `tiers` is tier -> (GiB used each day, GiB or None)."""
    for number in range(DAYS):
        partition = Partition("platform", LAST_DAY - timedelta(DAYS - 1 - number))
        rows = [
            {
                "entity_kind": kind, "entity_id": name, "ts": partition.start_ms + bucket * 300_000,
                "used_bytes_mean": used[number] * GIB, "used_bytes_max": used[number] * GIB,
                "capacity_bytes": None if size is None else size * float(GIB), "doubtful": False,
                "samples_seen": 5, "samples_expected": 5,
            }
            for name, (used, size, kind) in tiers.items()
            for bucket in range(288)
        ]  # fmt: skip
        lake.write(STORAGE_UTILIZATION, partition, STORAGE_UTILIZATION.from_rows(rows), Facts())


@pytest.fixture
def lake(tmp_path):
    """Two nodes of 16 cores and 64 GiB, of which 4 and 2 cores are in use, and the VMs of two tenants on node-1."""
    lake = Lake(tmp_path)
    write_platform(lake, {"node-1": 4.0, "node-2": 2.0}, DAYS)
    write_inventory(lake, [("a", 40, 8, 16, 100, "running"), ("b", 40, 16, 16, 100, "stopped")], tenant="acme")
    write_inventory(lake, [("a", 40, 24, 16, 100, "running"), ("odd", 40, None, None, 1, "running")], tenant="globex")
    write_samples(lake, {}, days=1, tenant="late")
    return lake


def made(lake, storage=False, **given):
    parameters = CapacityParameters(**given)
    inputs = {"samples": SAMPLES, "inventory": INVENTORY, "nodes": NODES, **({"storage": STORAGE} if storage else {})}
    result = compute(workplace(lake, COMPONENT, parameters, inputs, tenant="platform"), parameters)
    return rows_by(TABLE.conform(result.data), "entity_kind", "entity_id", "resource"), result


def test_allocation_stands_beside_demand(lake):
    """A node that is hardly used and sold out takes no VM; one that is not sold out but full neither."""
    rows, result = made(lake)
    cpu, memory = (rows["node", "node-1", resource] for resource in ("cpu", "memory"))
    assert (cpu["allocated"], cpu["allocation_limit"], cpu["allocation_remaining"]) == (48, 64, 16)
    assert (memory["allocated"], memory["allocation_limit"], memory["allocation_remaining"]) == (
        48 * GIB, 64 * GIB, 16 * GIB,
    )  # fmt: skip
    assert cpu["utilization_percent"] == pytest.approx(25)
    assert rows["node", "node-2", "cpu"]["allocated"] == 0
    assert result.facts.notes == ("allocated are the VMs of 2 tenant(s): acme, globex; late had no inventory that day",)
    tight, _ = made(lake, vcpu_overcommit=2.0)
    assert tight["node", "node-1", "cpu"]["allocation_remaining"] == 0
    reserve, _ = made(lake, node_ha_reserve_percent=50)
    assert reserve["node", "node-1", "cpu"]["allocation_limit"] == 32


def test_without_any_inventory_nothing_is_said_of_allocation(tmp_path):
    lake = Lake(tmp_path)
    write_nodes(lake, {"node-1": (np.full(5, 4.0), 16, np.full(5, 4.0), 64)}, days=5)
    write_samples(lake, {}, days=1, tenant="platform")
    write_inventory(lake, [], tenant="platform")
    rows, result = made(lake)
    row = rows["node", "node-1", "cpu"]
    assert (row["status"], row["allocated"], row["allocation_remaining"], row["average_vms_fit"]) == (
        "ok",
        None,
        None,
        None,
    )
    assert result.facts.notes == ()


def test_the_cluster_is_all_nodes_together(lake):
    rows, _ = made(lake)
    cpu = rows["cluster", "all", "cpu"]
    assert (cpu["physical"], cpu["demand_p95"], cpu["allocated"], cpu["allocation_limit"]) == (32, 6, 48, 128)
    assert cpu["usable"] == pytest.approx(0.9 * 32)
    assert cpu["capacity_remaining"] == pytest.approx(0.9 * 32 - 6)


def test_what_still_fits_is_the_scarcer_of_demand_and_allocation(lake):
    """2 VMs run: on average 3 cores used of 16 allocated, and 16 of 16 GiB. One that is stopped is no average VM."""
    rows, _ = made(lake, profile_vcpus=2.0, profile_memory_gib=8.0)
    cpu, memory = (rows["cluster", "all", resource] for resource in ("cpu", "memory"))
    assert cpu["average_vms_fit"] == min((0.9 * 32 - 6) // 3, (128 - 48) // 16)
    assert memory["average_vms_fit"] == min((0.9 * 128 - 32) // 16, (128 - 48) // 16)
    assert cpu["profile_vms_fit"] == (0.9 * 32 - 6) // 2
    assert memory["profile_vms_fit"] == (128 - 48) // 8
    assert rows["node", "node-1", "cpu"]["average_vms_fit"] == 1  # 16 vCPUs may still be allocated
    assert made(lake)[0]["node", "node-1", "cpu"]["profile_vms_fit"] is None


def test_storage_tiers_have_rows_of_their_space(lake):
    filling = 50 + np.arange(DAYS, dtype=float)
    write_tiers(
        lake,
        {
            "ssd/node-1": (filling, 100, "tier"), "hdd/node-1": (np.full(DAYS, 10.0), None, "tier"),
            "vm-1": (filling, 100, "volume"),
        },
    )  # fmt: skip
    rows, _ = made(lake, storage=True)
    ssd = rows["tier", "ssd/node-1", "disk"]
    assert (ssd["status"], ssd["direction"], ssd["physical"]) == ("ok", "rising", 100 * GIB)
    assert ssd["time_remaining_days_expected"] == pytest.approx((90 - 59) / 1, abs=1)
    assert ssd["level"] in ("critical", "immediate")
    hdd = rows["tier", "hdd/node-1", "disk"]
    assert (hdd["status"], hdd["reason"]) == ("no_data", "the tier's capacity is neither measured nor set")
    assert not [key for key in rows if key[1] == "vm-1"]
    write_tiers(lake, {"vm-1": (filling, 100, "volume")})
    assert made(lake, storage=True)[1].facts.notes[-1] == "no storage tier has samples: no rows of tiers"
    tenant = CapacityParameters()
    inputs = {"samples": SAMPLES, "inventory": INVENTORY, "storage": STORAGE}
    write_samples(lake, {}, days=1)
    own = compute(workplace(lake, COMPONENT, tenant, inputs), tenant)  # a tenant's volumes are its VMs' disks
    assert "tier" not in {row["entity_kind"] for row in own.data.to_pylist()}
