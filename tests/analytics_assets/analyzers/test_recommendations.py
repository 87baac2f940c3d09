"""Recommendations from a small lake: what is said of each kind of VM, and that following it ends the matter."""

from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.analyzers import capacity, recommendations
from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.recommendation_model.parameters import RecommendationsParameters
from analytics_assets.components import Instance
from resources.lake.lake import Lake
from resources.partition import Partition
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

DAYS = 30
FLAVORS = (
    {"name": "s", "vcpus": 1, "memory_gib": 2},
    {"name": "m", "vcpus": 2, "memory_gib": 4},
    {"name": "l", "vcpus": 4, "memory_gib": 16},
    {"name": "xl", "vcpus": 16, "memory_gib": 64},
)
PRICES = tuple(
    {"item": name, "price_per_hour": price} for name, price in (("s", 0.02), ("m", 0.05), ("l", 0.2), ("xl", 0.8))
)
PRICED = {"flavors": FLAVORS, "prices": PRICES, "currency": "EUR"}


UNITS = tuple(
    {"item": name, "price_per_hour": price}
    for name, price in (("vcpu", 0.02), ("memory_gib", 0.005), ("disk_gib", 1e-4), ("b", 0.03))
)
BURSTABLE = {"name": "b", "vcpus": 2, "memory_gib": 8, "baseline_percent": 20}
EVERYTHING_PRICED = {**PRICED, "flavors": (BURSTABLE, *FLAVORS), "prices": (*PRICES, *UNITS)}


def load(cores, memory_gib, vcpus, noise=0.05, disk_gib=20.0, network=1e5, seed=1, days=DAYS):
    """Return hourly metrics of a VM that uses these cores and this memory whatever its size."""
    found = {"cpu_percent": hours_of(days, cores, noise=noise * cores, seed=seed) / vcpus * 100}
    found["memory_bytes"] = hours_of(days, memory_gib, noise=noise * memory_gib, seed=seed + 1) * GIB
    found["disk_bytes"] = hours_of(days, disk_gib) * GIB
    for stem in ("network_receive_bytes_per_second", "network_transmit_bytes_per_second"):
        found[stem] = hours_of(days, network)
    return found


def analyzed(lake, tenant="acme", nodes=False, limits=None, **given):
    """Return the rows of `recommendations` by entity and resource, after those of `capacity` were stored."""
    limits, parameters = limits or CapacityParameters(), RecommendationsParameters(**given)
    inputs = {"samples": SAMPLES, "inventory": INVENTORY, **({"nodes": NODES} if nodes else {})}
    place = workplace(lake, capacity.COMPONENT, limits, inputs, tenant=tenant)
    found = capacity.compute(place, limits)
    lake.write(capacity.TABLE, Partition(tenant, LAST_DAY), found.data, found.facts)
    source = Instance("capacity", capacity.COMPONENT, limits)
    inputs = {"capacity": source, "samples": SAMPLES, "inventory": INVENTORY}
    place = workplace(lake, recommendations.COMPONENT, parameters, inputs, tenant=tenant)
    result = recommendations.compute(place, parameters)
    table = recommendations.TABLE.conform(result.data)
    return rows_by(table, "entity_kind", "entity_id", "resource"), result


def tenant_with(folder, vms, days=DAYS):
    """Return a lake with VMs: name -> (cores, memory GiB, vCPUs, memory size GiB, more arguments of `load`)."""
    lake = Lake(folder)
    write_samples(
        lake,
        {name: load(cores, memory, vcpus, days=days, **more) for name, (cores, memory, vcpus, _, more) in vms.items()},
        days=days,
    )
    write_inventory(lake, [(name, 40, vcpus, size, 100, "running") for name, (_, _, vcpus, size, _) in vms.items()])
    return lake


VMS = {
    "big": (0.5, 1.0, 8, 32, {}),
    "fits": (1.5, 4.0, 2, 6, {}),
    "full": (3.9, 2.0, 4, 8, {}),
    "quiet": (0.005, 0.2, 2, 4, {"network": 10.0}),
    "brim": (1.0, 7.8, 4, 8, {"noise": 0.01}),
}


def test_without_a_catalogue_sizes_are_free_and_savings_are_not_told(tmp_path):
    rows, result = analyzed(tenant_with(tmp_path, VMS))
    big = rows["vm", "big", "size"]
    assert (big["action"], big["size_class"], big["severity"], big["confidence"]) == (
        "resize",
        "oversized",
        "low",
        "high",
    )
    assert (big["vcpus_from"], big["vcpus_to"]) == (8, 1)
    assert big["memory_bytes_to"] % 2**20 == 0
    assert 1.2 * GIB < big["memory_bytes_to"] < 1.6 * GIB
    assert (big["cpu_minutes_above"], big["memory_minutes_above"], big["replay_hours"]) == (0, 0, 28 * 24)
    assert 60 < big["worst_hour_percent"] < 84
    assert (big["monthly_savings"], big["currency"], big["savings_reason"]) == (None, None, "no price list")
    assert big["disk_bytes_to"] == big["disk_bytes_from"] == 100 * GIB
    full = rows["vm", "full", "size"]
    assert (full["action"], full["size_class"], full["severity"]) == ("resize", "undersized", "high")
    assert full["vcpus_to"] >= 5
    assert full["memory_bytes_to"] == full["memory_bytes_from"]  # what is not short is not taken
    assert rows["vm", "brim", "size"]["memory_bytes_to"] > 9 * GIB
    fits = rows["vm", "fits", "size"]
    assert (fits["action"], fits["size_class"], fits["vcpus_to"]) == ("none", "optimal", None)
    assert fits["worst_hour_percent"] is not None  # it is replayed on its own size
    quiet = rows["vm", "quiet", "size"]
    assert (quiet["action"], quiet["size_class"], quiet["vcpus_to"]) == ("reclaim", "zombie", 0)
    assert "idle on each of the last 30 days" in quiet["evidence"]
    assert result.numbers["resize"] == 3
    end = datetime.combine(LAST_DAY + timedelta(1 + 7), time(), UTC)
    assert {row["valid_until"] for row in rows.values()} == {end}


def test_flavors_and_prices(tmp_path):
    rows, result = analyzed(tenant_with(tmp_path, {**VMS, "huge": (20.0, 2.0, 16, 64, {})}), **PRICED)
    big = rows["vm", "big", "size"]
    assert (big["flavor_to"], big["vcpus_to"], big["memory_bytes_to"]) == ("s", 1, 2 * GIB)
    assert big["monthly_savings"] is None  # its own size has neither a flavour nor a price by vCPU
    assert big["savings_reason"] == "the price list has neither its flavour nor vcpu and memory_gib"
    units = ({"item": "vcpu", "price_per_hour": 0.02}, {"item": "memory_gib", "price_per_hour": 0.005})
    rows, result = analyzed(Lake(tmp_path), **{**PRICED, "prices": PRICES + units})
    big = rows["vm", "big", "size"]
    assert big["monthly_savings"] == pytest.approx((8 * 0.02 + 32 * 0.005 - 0.02) * 730)
    assert big["currency"] == "EUR"
    assert rows["vm", "full", "size"]["flavor_to"] == "xl"
    assert rows["vm", "full", "size"]["monthly_savings"] < 0
    assert rows["vm", "quiet", "size"]["monthly_savings"] == pytest.approx((2 * 0.02 + 4 * 0.005) * 730)
    huge = rows["vm", "huge", "size"]
    assert (huge["flavor_to"], huge["reason"]) == (None, "no flavour is large enough")
    assert 24 <= huge["vcpus_to"] <= 28
    saved = np.array([row["monthly_savings"] or 0 for row in rows.values()])
    assert result.numbers["monthly_savings"] == pytest.approx(saved[saved > 0].sum(), abs=0.01)
    assert result.numbers["monthly_costs"] == pytest.approx(-saved[saved < 0].sum(), abs=0.01)
    assert result.numbers["monthly_costs"] > 0
    little, _ = analyzed(Lake(tmp_path), **{**PRICED, "prices": PRICES + units}, minimum_monthly_savings=1e6)
    assert little["vm", "big", "size"]["action"] == "none"
    assert "a month, less than 1e+06" in little["vm", "big", "size"]["reason"]
    assert little["vm", "full", "size"]["action"] == "resize"  # what is short is not a matter of savings


def test_a_burstable_flavor_is_taken_only_within_its_baseline(tmp_path):
    burst = ({"name": "b", "vcpus": 2, "memory_gib": 8, "baseline_percent": 20}, *FLAVORS)
    priced = {"prices": (*PRICES, {"item": "b", "price_per_hour": 0.01}), "currency": "EUR"}
    lake = tenant_with(tmp_path, {"calm": (0.2, 1.0, 4, 16, {}), "steady": (0.9, 1.0, 4, 16, {})})
    rows, _ = analyzed(lake, flavors=burst, **priced)
    assert (rows["vm", "calm", "size"]["size_class"], rows["vm", "calm", "size"]["flavor_to"]) == ("burstable", "b")
    assert rows["vm", "steady", "size"]["flavor_to"] == "m"


def test_a_stopped_vm_gives_back_its_disk(tmp_path):
    lake = Lake(tmp_path)
    write_samples(lake, {"vm": load(1, 1, 2)}, days=DAYS)
    write_inventory(lake, [("vm", 40, 2, 4, 100, "running"), ("off", 40, 2, 4, 100, "stopped")])
    disk = {"item": "disk_gib", "price_per_hour": 0.001}
    rows, _ = analyzed(lake, prices=(disk,), currency="EUR")
    off = rows["vm", "off", "size"]
    assert (off["action"], off["size_class"], off["disk_bytes_to"]) == ("reclaim", "powered_off", 0)
    assert off["monthly_savings"] == pytest.approx(100 * 0.001 * 730)
    assert off["confidence"] == "high"


def test_no_answer_is_a_row_with_a_reason(tmp_path):
    lake = Lake(tmp_path)
    write_samples(lake, {"stranger": load(1, 1, 2)}, days=DAYS)
    write_inventory(lake, [("silent", 40, 2, 4, 100, "running"), ("stranger", 40, None, None, None, "running")])
    rows, result = analyzed(lake)
    for name, why in (("stranger", "CPU: no inventory"), ("silent", "CPU: no samples in the window")):
        row = rows["vm", name, "size"]
        assert (row["action"], row["size_class"], row["status"]) == ("none", "insufficient_data", "no_data")
        assert (row["reason"], row["confidence"], row["cpu_minutes_above"]) == (why, "none", None)
    assert result.numbers["none"] == len(rows)


def test_a_filling_disk_is_enlarged_and_nothing_else_is_changed(tmp_path):
    lake = tenant_with(tmp_path, {"vm": (1.2, 4.0, 2, 6, {"disk_gib": 60 + np.arange(DAYS)})})
    row = analyzed(lake)[0]["vm", "vm", "size"]
    assert (row["size_class"], row["vcpus_to"], row["memory_bytes_to"]) == ("undersized", 2, 6 * GIB)
    assert row["disk_bytes_to"] > (90 + 150) * GIB
    tenant = analyzed(lake)[0]["tenant", "acme", "disk"]
    assert (tenant["action"], tenant["severity"]) == ("add_capacity", "critical")
    assert tenant["disk_bytes_to"] > 200 * GIB
    assert "rising by" in tenant["evidence"]


def demanding(seed, days, cores, memory_gib, spikes, growth, filling):
    """Return the demand of a VM, whatever its size: cores [hour, bucket], and GiB of memory and of disk [hour].

    `spikes` is the share of the hours of some days in which CPU is at a multiple for five minutes, and how many times;
    `growth` what CPU and memory gain in a day, as a share of the beginning, and `filling` GiB of disk a day.
    """
    rng = np.random.default_rng(seed)
    day = np.arange(days * 24) / 24
    use = cores * (1 + growth[0] * day)[:, None] * np.maximum(1 + 0.15 * rng.standard_normal((days * 24, 12)), 0.01)
    share, times = spikes
    struck = np.flatnonzero((rng.random(days * 24) < share) & np.repeat(rng.random(days) < 0.6, 24))
    use[struck, rng.integers(0, 12, len(struck))] *= times
    memory = memory_gib * (1 + growth[1] * day) * np.maximum(1 + 0.05 * rng.standard_normal(days * 24), 0.01)
    return use, memory, 20 + filling * day


def on_sizes(folder, demands, sizes, days):
    """Return a lake with VMs of these demands and sizes (vCPUs, GiB of memory and of disk, flavour or None)."""
    lake = Lake(folder)
    quiet = {f"network_{way}_bytes_per_second": np.full(days * 24, 1e5) for way in ("receive", "transmit")}
    vms = {
        name: {"cpu_percent": 100 * cores / sizes[name][0], "memory_bytes": memory * GIB, "disk_bytes": disk * GIB}
        for name, (cores, memory, disk) in demands.items()
    }
    write_samples(lake, {name: {**metrics, **quiet} for name, metrics in vms.items()}, days=days)
    write_inventory(lake, [(name, 40, *size, "running", flavor) for name, (*size, flavor) in sizes.items()])
    return lake


use = st.tuples(
    st.floats(0.05, 12),
    st.floats(0.2, 40),
    st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9]), st.floats(1.5, 30)),
    st.tuples(st.sampled_from([0.0, 0.0, 0.01, 0.05]), st.sampled_from([0.0, 0.0, 0.01, 0.05])),
    st.sampled_from([0.0, 0.0, 0.5, 5.0]),
)
size = st.tuples(st.sampled_from([1, 2, 8, 16]), st.floats(1, 64), st.floats(25, 200))


@pytest.mark.parametrize("catalogue", [{}, {"flavors": FLAVORS}, PRICED, EVERYTHING_PRICED])
@settings(max_examples=5)
@given(seed=st.integers(0, 10_000), drawn=st.lists(st.tuples(use, size), min_size=8, max_size=12))
def test_a_recommended_size_is_optimal_on_the_same_data(tmp_path_factory, catalogue, seed, drawn):
    """Else each day would recommend another size than the day before: CPU with spikes, leaks, disks that fill."""
    days = 10
    demands = {f"vm-{n}": demanding(seed + n, days, *use) for n, (use, _) in enumerate(drawn)}
    sizes = {f"vm-{n}": (*size, None) for n, (_, size) in enumerate(drawn)}
    rows, _ = analyzed(on_sizes(tmp_path_factory.mktemp("first"), demands, sizes, days), **catalogue)
    for name in demands:
        row = rows["vm", name, "size"]
        if row["action"] == "resize":
            to = (row["vcpus_to"], row["memory_bytes_to"] / GIB, row["disk_bytes_to"] / GIB, row["flavor_to"])
            assert to != sizes[name], row["evidence"]
            assert row["memory_minutes_above"] == 0
            sizes[name] = to
    again, _ = analyzed(on_sizes(tmp_path_factory.mktemp("second"), demands, sizes, days), **catalogue)
    for name in demands:
        row = again["vm", name, "size"]
        assert (row["action"], row["size_class"]) == ("none", "optimal"), row["evidence"]


def test_spikes_of_five_minutes_are_judged_as_they_are_sized(tmp_path):
    """Stops the resize of a VM to the very size it has, every day: each hour's p95 sees a spike that p99 does not."""
    cores = np.full((DAYS * 24, 12), 0.5)
    cores[2 * 24 : 5 * 24 : 2, 0] = 16.0
    demands = {"spiky": (cores, np.full(DAYS * 24, 2.0), np.full(DAYS * 24, 20.0))}
    rows, _ = analyzed(on_sizes(tmp_path / "a", demands, {"spiky": (16, 32, 100, None)}, DAYS))
    first = rows["vm", "spiky", "size"]
    assert (first["size_class"], first["vcpus_to"] < 8) == ("oversized", True)
    to = (first["vcpus_to"], first["memory_bytes_to"] / GIB, 100, None)
    again = analyzed(on_sizes(tmp_path / "b", demands, {"spiky": to}, DAYS))[0]["vm", "spiky", "size"]
    assert (again["action"], again["size_class"]) == ("none", "optimal"), again["evidence"]


def test_another_tenants_data_changes_nothing(tmp_path):
    alone = analyzed(tenant_with(tmp_path, VMS))[1].data
    other = {"big": load(8.0, 31.0, 8)}
    write_samples(Lake(tmp_path), other, days=DAYS, tenant="other")
    write_inventory(Lake(tmp_path), [("big", 40, 8, 32, 100, "running")], tenant="other")
    analyzed(Lake(tmp_path), tenant="other")
    assert analyzed(Lake(tmp_path))[1].data.equals(alone)


def test_the_platform_moves_vms_off_a_hot_node(tmp_path):
    lake = Lake(tmp_path)
    hot, cool = np.full(28, 15.0), np.full(28, 4.0)
    write_nodes(lake, {"node-1": (hot, 16, cool, 64), "node-2": (cool, 16, cool, 64)})
    write_samples(lake, {}, days=1, tenant="platform")
    write_inventory(lake, [], tenant="platform")
    write_samples(lake, {"small": load(1.0, 2.0, 4), "large": load(5.0, 4.0, 8)}, days=DAYS, tenant="acme")
    write_inventory(lake, [("small", 40, 4, 8, 50, "running"), ("large", 40, 8, 8, 50, "running")], tenant="acme")
    write_samples(lake, {}, days=1, tenant="late", last=LAST_DAY.replace(day=1))
    rows, result = analyzed(lake, tenant="platform", nodes=True)
    move = rows["vm", "acme/large", "placement"]
    assert (move["action"], move["node_from"], move["node_to"], move["severity"]) == (
        "move",
        "node-1",
        "node-2",
        "high",
    )
    assert "104 % of its usable cpu" in move["evidence"]
    assert ("vm", "acme/small", "placement") not in rows
    assert rows["node", "node-1", "cpu"]["action"] == "add_capacity"
    assert result.facts.notes == (
        "read the VMs of 1 tenant(s): acme",
        "1 tenant(s) have no VMs stored for 2026-03-28: late",
    )
    assert result.numbers["move"] == 1
    none, _ = analyzed(lake, tenant="platform", nodes=True, maximum_moves=0)
    (key,) = [key for key in none if key[2] == "placement"]
    assert (key, none[key]["action"]) == (("node", "node-1", "placement"), "none")
    assert none[key]["reason"] == "0 moves a day are recommended at most (maximum_moves)"


def test_a_vm_is_moved_by_what_it_used_of_the_size_it_had(tmp_path):
    """Stops 80 % of last week's 2 vCPUs from counting as 80 % of the 16 that it has since this morning."""
    lake = Lake(tmp_path)
    hot, cool = np.full(28, 15.0), np.full(28, 4.0)
    write_nodes(lake, {"node-1": (hot, 16, cool, 64), "node-2": (cool, 16, cool, 64)})
    write_samples(lake, {}, days=1, tenant="platform")
    write_inventory(lake, [], tenant="platform")
    write_samples(lake, {"grown": load(1.6, 2.0, 2)}, days=DAYS)
    write_inventory(lake, [("grown", 40, 2, 8, 50, "running")], day=LAST_DAY - timedelta(1))
    write_inventory(lake, [("grown", 1 / 24, 16, 8, 50, "running")])
    move = analyzed(lake, tenant="platform", nodes=True)[0]["vm", "acme/grown", "placement"]
    assert "uses 1.8 cores" in move["evidence"] or "uses 1.7 cores" in move["evidence"]


def test_parameters_that_contradict_themselves_are_refused():
    for wrong, says in (
        ({"flavors": (FLAVORS[0], FLAVORS[0])}, "s is there twice"),
        ({"prices": (PRICES[0],)}, "set currency"),
        ({"prices": (PRICES[0], PRICES[0]), "currency": "EUR"}, "s is there twice"),
        ({"flavors": ({"name": "vcpu", "vcpus": 1, "memory_gib": 1},)}, "the name of a priced unit"),
        ({"cool_node_percent": 95.0}, "cool_node_percent"),
        ({"medium_confidence_days": 28}, "medium_confidence_days"),
    ):
        with pytest.raises(ValueError, match=says):
            RecommendationsParameters(**wrong)
    for name, field in RecommendationsParameters.model_fields.items():
        assert field.description, name
