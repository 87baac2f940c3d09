from datetime import timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from analytics_assets.analyzers.capacity import COMPONENT, TABLE, compute
from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from resources.lake.lake import Lake
from resources.lake.partition_file import MissingPartition
from tests.analytics_assets.analyzers.fleet import (
    GIB,
    INVENTORY,
    LAST_DAY,
    NODES,
    SAMPLES,
    hours_of,
    rows_by,
    workplace,
    write_inventory,
    write_nodes,
    write_samples,
)

RUNNING = "running"


def made(lake, parameters=None, nodes=False, **where):
    parameters = parameters or CapacityParameters()
    inputs = {"samples": SAMPLES, "inventory": INVENTORY, **({"nodes": NODES} if nodes else {})}
    result = compute(workplace(lake, COMPONENT, parameters, inputs, **where), parameters)
    return result, TABLE.conform(result.data)


def rows_of(lake, **arguments):
    return rows_by(made(lake, **arguments)[1], "entity_kind", "entity_id", "resource")


def vm(cpu=20.0, memory_gib=2.0, disk_gib=20.0, noise=0.0, days=28):
    """Return a VM's hourly metrics, from a number or a value per day."""
    found = {"cpu_percent": hours_of(days, cpu, noise=noise, seed=1)}
    found["memory_bytes"] = hours_of(days, memory_gib, noise=noise / 50, seed=2) * GIB
    found["disk_bytes"] = hours_of(days, disk_gib, noise=noise / 20, seed=3) * GIB
    found["network_receive_bytes_per_second"] = hours_of(days, 1e5)
    found["network_transmit_bytes_per_second"] = hours_of(days, 1e5)
    return found


def test_a_growing_disk_runs_out_when_the_line_says(tmp_path):
    lake = Lake(tmp_path)
    grown = 40 + 1.0 * np.arange(28)
    write_samples(lake, {"vm-1": vm(disk_gib=grown, noise=2), "vm-2": vm()})
    write_inventory(lake, [("vm-1", 40, 4, 8, 100, RUNNING), ("vm-2", 40, 4, 8, 100, RUNNING)])
    rows = rows_of(lake)
    row = rows["vm", "vm-1", "disk"]
    assert row["direction"] == "rising"
    assert row["physical"] == 100 * GIB
    assert row["usable"] == pytest.approx(90 * GIB)
    assert row["slope_per_day"] == pytest.approx(GIB, rel=0.03)
    assert row["time_remaining_days_expected"] == pytest.approx(24, abs=1)
    assert row["time_remaining_days_conservative"] <= row["time_remaining_days_expected"]
    assert row["level"] == "critical"
    assert row["projected_30d"] == pytest.approx(97 * GIB, rel=0.02)
    assert row["projected_30d_high"] >= row["projected_30d"]
    assert row["capacity_remaining"] == pytest.approx(20 * GIB, rel=0.05)
    assert row["recommended_total"] >= (67 + 150) * GIB / 0.9
    steady = rows["vm", "vm-2", "disk"]
    assert (steady["status"], steady["level"], steady["direction"]) == ("ok", "ok", "stable")
    assert (steady["time_remaining_days_expected"], steady["reason"]) == (None, None)


def test_noise_without_growth_never_runs_out(tmp_path):
    """An insignificant slope carried on for a year makes every VM run out."""
    lake = Lake(tmp_path)
    write_samples(lake, {f"vm-{n}": {"cpu_percent": hours_of(28, 40, noise=8, seed=n)} for n in range(20)})
    write_inventory(lake, [(f"vm-{n}", 40, 4, 8, 100, RUNNING) for n in range(20)])
    rows = [row for row in made(lake)[1].to_pylist() if row["entity_kind"] == "vm" and row["resource"] == "cpu"]
    flat = [row for row in rows if row["direction"] == "stable"]
    assert len(flat) >= 17
    assert all(row["time_remaining_days_conservative"] is None and row["level"] == "ok" for row in flat)


def test_already_over_is_day_0_and_critical(tmp_path):
    lake = Lake(tmp_path)
    write_samples(lake, {"vm-1": vm(cpu=97)})
    write_inventory(lake, [("vm-1", 40, 4, 8, 100, RUNNING)])
    row = rows_of(lake)["vm", "vm-1", "cpu"]
    assert (row["time_remaining_days_expected"], row["time_remaining_days_conservative"]) == (0, 0)
    assert (row["level"], row["capacity_remaining"]) == ("critical", 0)
    assert row["utilization_percent"] == pytest.approx(97)


def test_no_data_is_never_ok(tmp_path):
    """Capacity without any data read 'ok'."""
    lake = Lake(tmp_path)
    write_samples(lake, {"no-inventory": vm(), "short": {name: x * 1 for name, x in _only_last(vm(), 2).items()}})
    write_inventory(
        lake,
        [
            ("no-load", 40, 2, 4, 50, RUNNING),
            ("stopped", 40, 2, 4, 50, "stopped"),
            ("short", 2, 2, 4, 50, RUNNING),
            ("no-inventory", 40, None, None, None, RUNNING),
        ],
    )
    result, table = made(lake)
    rows = rows_by(table, "entity_kind", "entity_id", "resource")
    for resource in ("cpu", "memory", "disk"):
        row = rows["vm", "no-inventory", resource]
        assert (row["status"], row["reason"], row["level"]) == ("no_data", "no inventory", "unknown")
        row = rows["vm", "no-load", resource]
        assert (row["status"], row["reason"], row["level"]) == ("no_data", "no samples in the window", "unknown")
        assert row["physical"] is not None
        assert rows["vm", "stopped", resource]["reason"] == "no samples in the window: the VM is stopped"
        row = rows["vm", "short", resource]
        assert (row["status"], row["level"], row["direction"]) == ("insufficient_data", "unknown", "unknown")
        assert "2 days" in row["reason"]
        assert [row[name] for name in ("projected_30d", "capacity_remaining", "recommended_total")] == [None] * 3
        assert row["utilization_percent"] is not None
    assert result.numbers["unknown"] >= 12
    assert "1 VM(s) have no inventory" in result.facts.notes[0]
    assert all(row["size_class"] for row in table.to_pylist() if row["entity_kind"] == "vm")
    assert rows["vm", "no-inventory", "cpu"]["size_class"] == "insufficient_data"
    assert rows["vm", "stopped", "cpu"]["size_class"] == "powered_off"


def _only_last(metrics, days):
    kept = {}
    for name, values in metrics.items():
        kept[name] = values.copy()
        kept[name][: -days * 24] = np.nan
    return kept


def test_an_infinite_sample_is_no_answer_and_harms_no_other(tmp_path):
    """Stops 'optimal' of a VM whose use is infinite, and a total of all VMs that is."""
    lake = Lake(tmp_path)
    broken = vm(cpu=50)
    broken["cpu_percent"][100] = np.inf
    write_samples(lake, {"broken": broken, "fine": vm(cpu=50)})
    write_inventory(lake, [(name, 40, 2, 8, 100, RUNNING) for name in ("broken", "fine")])
    rows = rows_of(lake)
    row = rows["vm", "broken", "cpu"]
    assert (row["status"], row["reason"]) == ("insufficient_data", "infinite samples: the use has no size")
    assert row["size_class"] == "insufficient_data"
    assert rows["vm", "broken", "memory"]["status"] == rows["vm", "fine", "cpu"]["status"] == "ok"
    assert (rows["tenant", "acme", "cpu"]["status"], rows["tenant", "acme", "cpu"]["demand_peak"]) == ("ok", 2)


def test_a_vm_of_an_unmeasured_resource_keeps_its_row(tmp_path):
    lake = Lake(tmp_path)
    measured = vm()
    del measured["disk_bytes"]
    write_samples(lake, {"vm-1": measured})
    write_inventory(lake, [("vm-1", 40, 2, 3, None, RUNNING)])
    rows = rows_of(lake)
    assert rows["vm", "vm-1", "disk"]["status"] == "no_data"
    assert rows["vm", "vm-1", "disk"]["reason"] == "the inventory has no disk size"
    assert rows["tenant", "acme", "disk"]["status"] == "no_data"
    assert rows["vm", "vm-1", "cpu"]["size_class"] == "optimal"
    assert "disk not judged" in rows["vm", "vm-1", "cpu"]["size_reason"]


def test_zero_vcpus_are_no_size(tmp_path):
    """Division by a size of 0 gave an infinite use."""
    lake = Lake(tmp_path)
    write_samples(lake, {"vm-1": vm()})
    write_inventory(lake, [("vm-1", 40, 0, 8, 100, RUNNING)])
    row = rows_of(lake)["vm", "vm-1", "cpu"]
    assert (row["status"], row["reason"]) == ("no_data", "the inventory has no cpu size")
    assert (row["physical"], row["utilization_percent"], row["level"]) == (None, None, "unknown")


def test_a_resize_in_the_window_is_not_a_trend(tmp_path):
    """50 % of 2 vCPUs and 12.5 % of 8 are the same core: only the percent falls."""
    lake = Lake(tmp_path)
    write_samples(lake, {"vm-1": vm(cpu=np.where(np.arange(28) < 14, 50.0, 12.5), noise=0.02)})
    write_inventory(lake, [("vm-1", 40, 2, 8, 100, RUNNING), ("vm-1", 14, 8, 8, 100, RUNNING)])
    row = rows_of(lake)["vm", "vm-1", "cpu"]
    assert row["physical"] == 8
    assert row["direction"] == "stable"
    assert row["demand_mean"] == pytest.approx(1, rel=0.02)
    assert row["utilization_percent"] == pytest.approx(12.5, abs=1)


def test_the_sizes_of_earlier_days_come_from_their_own_partitions(tmp_path):
    lake = Lake(tmp_path)
    write_samples(lake, {"vm-1": vm(cpu=np.where(np.arange(28) < 14, 50.0, 12.5), noise=0.02)})
    write_inventory(lake, [("vm-1", 1, 8, 8, 100, RUNNING)])  # a source that says each day anew
    for ago in range(1, 28):
        size = 8 if ago < 14 else 2
        write_inventory(lake, [("vm-1", 1, size, 8, 100, RUNNING)], day=LAST_DAY - timedelta(ago))
    row = rows_of(lake)["vm", "vm-1", "cpu"]
    assert row["direction"] == "stable"
    assert row["demand_peak"] == pytest.approx(1, abs=0.1)


def test_a_day_that_knows_no_size_has_none_and_the_next_day_has_it_back(tmp_path):
    """An old size held on through a day whose inventory did not know the VM."""
    lake = Lake(tmp_path)
    write_samples(lake, {"vm-1": vm(cpu=50, noise=0.02)})
    write_inventory(lake, [("vm-1", 40, 2, 8, 100, RUNNING)])
    write_inventory(lake, [("vm-1", 1, None, None, None, RUNNING)], day=LAST_DAY - timedelta(10))
    write_inventory(lake, [("vm-1", 40, 2, 8, 100, RUNNING)], day=LAST_DAY - timedelta(9))
    row = rows_of(lake)["vm", "vm-1", "cpu"]
    assert (row["days_used"], row["direction"]) == (27, "stable")
    assert row["demand_mean"] == pytest.approx(1, rel=0.02)


def test_use_is_judged_by_its_p95(tmp_path):
    lake = Lake(tmp_path)
    names = {"low": 60.0, "warning": 75.0, "critical": 90.0}
    write_samples(lake, {name: vm(cpu=cpu) for name, cpu in names.items()})
    write_inventory(lake, [(name, 40, 4, 8, 100, RUNNING) for name in names] + [("off", 40, 4, 8, 100, "stopped")])
    rows = rows_of(lake)
    found = {name: rows["vm", name, "cpu"]["use_level"] for name in (*names, "off")}
    assert found == {"low": "ok", "warning": "warning", "critical": "critical", "off": "unknown"}


def test_the_tenant_is_the_sum_of_its_vms_and_a_gap_is_not_a_drop(tmp_path):
    lake = Lake(tmp_path)
    gap = {name: values.copy() for name, values in vm(cpu=50).items()}
    for values in gap.values():
        values[300:340] = np.nan
    write_samples(lake, {"a": vm(cpu=50), "b": vm(cpu=50), "c": vm(cpu=50), "gap": gap, "stranger": vm()})
    write_inventory(
        lake,
        [(name, 40, 2, 8, 100, RUNNING) for name in ("a", "b", "c", "gap")]
        + [("off", 40, 2, 8, 100, "stopped"), ("stranger", 40, None, None, None, RUNNING)],
    )
    rows = rows_of(lake)
    cpu = rows["tenant", "acme", "cpu"]
    assert cpu["allocated"] == cpu["physical"] == 10  # stopped VMs hold their size
    assert (cpu["demand_mean"], cpu["demand_p95"], cpu["demand_peak"]) == (4, 4, 4)
    assert (cpu["direction"], cpu["slope_per_day"], cpu["size_class"]) == ("stable", 0, None)
    assert rows["vm", "a", "cpu"]["allocated"] is None


def test_a_tenant_that_gains_vms_grows(tmp_path):
    lake = Lake(tmp_path)
    vms = {f"vm-{n:02}": _only_last(vm(cpu=50), 28 - n) for n in range(20)}
    write_samples(lake, vms)
    write_inventory(lake, [(name, 28 - number, 2, 8, 100, RUNNING) for number, name in enumerate(vms)])
    row = rows_of(lake)["tenant", "acme", "cpu"]
    assert row["direction"] == "rising"
    assert row["slope_per_day"] == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("listed", [False, True])
def test_a_deleted_vm_misses_nothing_but_a_silent_one_does(tmp_path, listed):
    """Stops the tenant that replaced 40 % of its VMs from having no capacity; an outage is no deletion."""
    lake = Lake(tmp_path)
    gone = vm(cpu=50)
    for values in gone.values():
        values[5 * 24 :] = np.nan
    write_samples(lake, {f"vm-{n}": gone if n < 4 else vm(cpu=50) for n in range(10)})
    for ago in (24, 0):
        there = range(10) if ago or listed else range(4, 10)
        rows = [(f"vm-{n}", 40, 2, 8, 100, RUNNING) for n in there]
        write_inventory(lake, rows, day=LAST_DAY - timedelta(ago))
    cpu = rows_of(lake)["tenant", "acme", "cpu"]
    assert cpu["status"] == ("insufficient_data" if listed else "ok")
    assert cpu["coverage"] == pytest.approx((6 * 28 + 4 * 5) / (10 * 28) if listed else 1)


def test_a_day_without_any_inventory_makes_no_vm_a_deleted_one(tmp_path):
    lake = Lake(tmp_path)
    late = vm(cpu=50)
    for values in late.values():
        values[-48:] = np.nan
    write_samples(lake, {"a": vm(cpu=50), "late": late})
    write_inventory(lake, [(name, 40, 2, 8, 100, RUNNING) for name in ("a", "late")], day=LAST_DAY - timedelta(1))
    write_inventory(lake, [])
    result, _ = made(lake)
    assert result.facts.samples_seen < result.facts.samples_expected


def test_the_average_vm_is_one_that_runs(tmp_path):
    """Stops 155 'average VMs' from fitting where 15 do: nine of ten are switched off and use nothing."""
    lake = Lake(tmp_path)
    write_samples(lake, {"busy": vm(cpu=50)})
    off = [(f"off-{n}", 40, 4, 8, 100, "stopped") for n in range(9)]
    write_inventory(lake, [("busy", 40, 4, 8, 100, RUNNING), *off])
    cpu = rows_of(lake)["tenant", "acme", "cpu"]
    assert (cpu["physical"], cpu["demand_p95"]) == (40, 2)
    assert cpu["average_vms_fit"] == (0.9 * 40 - 2) // 2


def test_row_order_and_other_tenants_change_nothing(tmp_path):
    tables = []
    for number, shuffle in enumerate((None, 7)):
        lake = Lake(tmp_path / str(number))
        write_samples(lake, {f"vm-{n}": vm(cpu=20 + n, noise=2) for n in range(3)}, shuffle=shuffle)
        inventory = [(f"vm-{n}", 40, 2, 8, 100, RUNNING) for n in range(3)]
        write_inventory(lake, inventory if number else inventory[::-1])
        if number:
            write_samples(lake, {"vm-0": vm(cpu=99)}, tenant="other")
            write_inventory(lake, [("vm-0", 40, 64, 8, 100, RUNNING)], tenant="other")
        tables.append(made(lake)[1])
    assert tables[0].equals(tables[1])


def test_nodes_have_rows_in_the_platforms_partition_only(tmp_path):
    lake = Lake(tmp_path)
    grown = 8 + 0.1 * np.arange(28)
    write_nodes(lake, {"node-1": (grown, 16, np.full(28, 40.0), 64), "node-2": (grown * 0 + 1, 16, grown, 64)})
    write_samples(lake, {}, days=1, tenant="platform")
    write_inventory(lake, [], tenant="platform")
    result, table = made(lake, nodes=True, tenant="platform")
    rows = rows_by(table, "entity_kind", "entity_id", "resource")
    assert len(rows) == 6
    row = rows["node", "node-1", "cpu"]
    assert (row["physical"], row["direction"], row["level"]) == (16, "rising", "immediate")
    assert row["time_remaining_days_expected"] == pytest.approx((14.4 - 10.7) / 0.1, abs=1)
    assert row["usable"] == pytest.approx(14.4)
    assert rows["node", "node-2", "cpu"]["level"] == "ok"
    assert rows["node", "node-2", "memory"]["physical"] == 64 * GIB
    assert result.facts.notes == ()  # the platform has no VMs of its own, which is nothing to remark
    reserve = made(lake, CapacityParameters(node_ha_reserve_percent=50), nodes=True, tenant="platform")[1]
    assert rows_by(reserve, "entity_id", "resource")["node-2", "cpu"]["usable"] == pytest.approx(7.2)


def test_a_tenants_share_of_a_node_is_not_a_node(tmp_path):
    lake = Lake(tmp_path)
    write_samples(lake, {"vm-1": vm(days=5)}, days=5)
    write_inventory(lake, [("vm-1", 40, 2, 8, 100, RUNNING)])
    write_nodes(lake, {"node-1": (np.full(5, 2.0), 16, np.full(5, 4.0), 64)}, days=5, tenant="acme", scope="tenant")
    result, table = made(lake, nodes=True)
    assert {row["entity_kind"] for row in table.to_pylist()} == {"vm", "tenant"}
    assert result.facts.notes == ()  # nodes are the platform's, which is nothing to remark


def test_no_input_at_all_is_said_or_fails(tmp_path):
    lake = Lake(tmp_path)
    write_inventory(lake, [])
    parameters = CapacityParameters()
    place = workplace(lake, COMPONENT, parameters, {"samples": SAMPLES, "inventory": INVENTORY})
    with pytest.raises(MissingPartition, match="vm_resources_hourly"):
        compute(place, parameters)
    write_samples(lake, {}, days=1)
    result = compute(place, parameters)
    assert result.data.num_rows == 0
    assert result.facts.notes == ("no VM has samples or inventory: no rows of VMs",)


def test_parameters_refuse_what_would_contradict_itself():
    with pytest.raises(ValidationError, match="undersized"):
        CapacityParameters(size_headroom=1.05)
    with pytest.raises(ValidationError, match="must not fall"):
        CapacityParameters(critical_days=90)
    with pytest.raises(ValidationError, match="window_days"):
        CapacityParameters(window_days=10)
    with pytest.raises(ValidationError, match="a recommended size would be undersized"):
        CapacityParameters(undersized_days=31)  # a resize lasts 30 days
    for name, field in CapacityParameters.model_fields.items():
        assert field.description, name
