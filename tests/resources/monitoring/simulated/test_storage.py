from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from resources.monitoring.simulated.catalogue import KIB, ROLES, TIERS
from resources.monitoring.simulated.latencies import STORAGE_BOUNDS
from resources.monitoring.simulated.nodes import Node
from resources.monitoring.simulated.storage import HOST_BYTES
from resources.monitoring.simulated.tiers import HOST_BLOCK_BYTES, HOST_OPERATIONS
from resources.monitoring.simulated.truth import truth_tables
from tests.resources.monitoring.simulated.fleets import (
    COUNTERS,
    DISK,
    Series,
    by_label,
    index_of,
    month,
    of_vm,
    rates_of,
    read,
)

LATENCY = "novacron_storage_latency_seconds"
LIMITS = ["0.001", "0.002", "0.004", "0.008", "0.016", "0.032", "0.064", "0.128", "0.256", "0.512", "+Inf"]
TENANTS = ("acme", "globex", "initech")
STORMS = [row for row in truth_tables(month())["incidents"].to_pylist() if row["kind"] == "tier_saturation"]


@lru_cache
def whole(metric: str) -> Series:
    return read(month(), "platform", metric)


def on_tier(node: Node, tier: str) -> list:
    return [vm for vm in node.vms if ROLES[vm.role].tier == tier]


def placed(vm, node: Node) -> NDArray[np.float64]:
    here = np.zeros(month().clock.total)
    for start, ref in vm.placements:
        here[start:] = ref == node.ref
    return here


def mean_latency(node: Node, tier: str, operation: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the mean latency between successive samples, at the index of the later; not across restarts."""
    ts, count = by_label(whole(f"{LATENCY}_count"), "operation", node_id=node.id, tier=tier)[operation]
    _, total = by_label(whole(f"{LATENCY}_sum"), "operation", node_id=node.id, tier=tier)[operation]
    grown = np.diff(count) > 0
    return index_of(month(), ts, node.offset_ms)[1:][grown], (np.diff(total)[grown] / np.diff(count)[grown])


@pytest.mark.parametrize(("direction", "metric"), [("read", COUNTERS[0]), ("write", COUNTERS[1])])
def test_throughput_is_what_the_vms_counters_grow_by(direction: str, metric: str) -> None:
    """A moved VM on both nodes, a burst left out, or another tenant's VM forgotten would break the sum."""
    fleet = month()
    throughput = whole("novacron_storage_throughput_bytes_per_second")
    compared = 0
    for node in fleet.nodes():
        for tier in TIERS:
            expected = np.full(fleet.clock.total, HOST_OPERATIONS * HOST_BLOCK_BYTES)
            for vm in on_tier(node, tier.name):
                here = placed(vm, node)
                expected += np.where(here > 0, rates_of(fleet, vm, metric), 0.0)
            ts, values = by_label(throughput, "direction", node_id=node.id, tier=tier.name)[direction]
            index = index_of(fleet, ts, node.offset_ms)
            known = ~np.isnan(expected[index])
            # Counters show whole bytes, so a rate is off by up to a byte per VM and interval.
            assert np.abs(values - expected[index])[known].max(initial=0) < 1
            compared += known.sum()
    assert compared > 0.9 * fleet.clock.total * len(TIERS) * len(fleet.nodes())


def test_operations_move_blocks_of_the_roles_size() -> None:
    """Batch jobs are alone on the hard disks, and nothing disturbs them."""
    for node in month().nodes():
        throughput = by_label(
            whole("novacron_storage_throughput_bytes_per_second"), "direction", node_id=node.id, tier="hdd"
        )
        operations = by_label(whole("novacron_storage_iops"), "operation", node_id=node.id, tier="hdd")
        for operation in ("read", "write"):
            blocks = (throughput[operation][1] - HOST_OPERATIONS * HOST_BLOCK_BYTES) / (256 * KIB)
            assert operations[operation][1] == pytest.approx(blocks + HOST_OPERATIONS, abs=0.01)


def test_a_burst_in_large_blocks_is_bytes_but_not_work() -> None:
    """Written in small blocks it would slow the tier down, and be an incident that the truth does not have."""
    fleet = month()
    for tenant in TENANTS:
        vm = next(vm for vm in fleet.vms(tenant) if any(i.kind == "write_burst" for i in vm.incidents))
        first, last = next(i.span for i in vm.incidents if i.kind == "write_burst")
        node = next(node for node in fleet.nodes() if node.ref == vm.node)
        means = {}
        for metric, label in (
            ("novacron_storage_throughput_bytes_per_second", "direction"),
            ("novacron_storage_iops", "operation"),
        ):
            ts, values = by_label(whole(metric), label, node_id=node.id, tier="nvme")["write"]
            index = index_of(fleet, ts, node.offset_ms)
            inside = (index >= first) & (index < last)
            around = (index >= first - 12) & (index < last + 12) & ~inside
            means[label] = values[inside].mean(), values[around].mean()
        burst, usual = means["direction"]
        assert burst - usual > 15 * vm.rate("disk_write_bytes_per_second")
        burst, usual = means["operation"]
        assert burst < 2 * usual


def test_usage_is_the_nodes_own_and_the_disks_of_its_vms() -> None:
    """Frozen twins counted again, or a stopped VM's disk given back, would show as a step."""
    fleet = month()
    expected = {
        (node.id, tier.name): np.full(fleet.clock.total, float(HOST_BYTES)) for node in fleet.nodes() for tier in TIERS
    }
    for tenant in TENANTS:
        disks = read(fleet, tenant, DISK)
        for vm in fleet.vms(tenant):
            tier = ROLES[vm.role].tier
            if not vm.running:
                expected[vm.node.id, tier] += round(vm.disk_level)
            for number, (labels, ts, values) in enumerate(of_vm(disks, vm.vm_id)):
                index = index_of(fleet, ts, vm.offset_ms)
                live = np.ones(len(index), bool) if number + 1 == len(vm.placements) else index < vm.placements[1][0]
                seen = np.full(fleet.clock.total, np.nan)
                seen[index[live]] = values[live]
                here = next(placed(vm, node) for node in fleet.nodes() if node.id == labels["node_id"])
                expected[labels["node_id"], tier] += np.where(here > 0, seen, 0.0)
    mounts = whole("novacron_system_disk_usage_bytes")
    for node in fleet.nodes():
        by_tier = by_label(whole("novacron_storage_usage_bytes"), "tier", node_id=node.id)
        assert set(by_tier) == {"nvme", "ssd", "hdd"}
        for tier, (ts, values) in by_tier.items():
            wanted = expected[node.id, tier][index_of(fleet, ts, node.offset_ms)]
            known = ~np.isnan(wanted)
            assert known.mean() > 0.9
            assert np.array_equal(values[known], wanted[known])
            # The tier is mounted, and the mount says the same.
            assert np.array_equal(
                by_label(mounts, "mountpoint", node_id=node.id)[f"/var/lib/novacron/{tier}"][1], values
            )


def test_a_filling_disk_fills_its_tier() -> None:
    fleet = month()
    for row in truth_tables(fleet)["trends"].to_pylist():
        if row["kind"] == "filling_disk":
            vm = next(vm for vm in fleet.vms(row["tenant"]) if vm.vm_id == row["entity_id"])
            _, values = by_label(whole("novacron_storage_usage_bytes"), "tier", node_id=vm.node.id)["nvme"]
            steps = values[fleet.clock.per_day :] - values[: -fleet.clock.per_day]
            assert np.median(steps) > 0.9 * row["slope_per_day"]


def test_the_root_disk_fills_with_logs_until_they_are_thrown_away() -> None:
    for node in month().nodes():
        _, values = by_label(whole("novacron_system_disk_usage_bytes"), "mountpoint", node_id=node.id)["/"]
        assert (np.diff(values) < 0).sum() == 4
        assert (np.diff(values) >= 0).sum() == len(values) - 5


def test_buckets_sum_and_count_tell_the_same_story() -> None:
    """A histogram that contradicts itself has no quantile."""
    fleet = month()
    edges = np.array([0.0, *STORAGE_BOUNDS])
    for node in fleet.nodes():
        operations = whole("novacron_storage_iops")
        for tier in TIERS:
            for operation in ("read", "write"):
                labels = {"node_id": node.id, "tier": tier.name, "operation": operation}
                buckets = by_label(whole(f"{LATENCY}_bucket"), "le", **labels)
                assert sorted(buckets, key=LIMITS.index) == LIMITS
                cumulative = np.stack([buckets[limit][1] for limit in LIMITS])
                ts, count = by_label(whole(f"{LATENCY}_count"), "operation", node_id=node.id, tier=tier.name)[operation]
                _, total = by_label(whole(f"{LATENCY}_sum"), "operation", node_id=node.id, tier=tier.name)[operation]
                assert np.array_equal(cumulative, np.floor(cumulative))
                assert (np.diff(cumulative, axis=0) >= 0).all()
                assert np.array_equal(cumulative[-1], count)
                # All begin again together, where the exporter was restarted, and else never fall.
                index = index_of(fleet, ts, node.offset_ms)
                restarted = {int(at) for at in node.restarts if at > 0}
                for values in (*cumulative[-3:], count, total):
                    assert set(index[1:][np.diff(values) < 0].tolist()) == restarted
                usable = (np.diff(index) == 1) & ~np.isin(index[1:], list(restarted))
                # What the gauge said, summed: operations are counted when they have ended.
                per_second = by_label(operations, "operation", node_id=node.id, tier=tier.name)[operation][1]
                counted, expected = np.diff(count), per_second[1:] * fleet.clock.interval_seconds
                assert np.abs(counted - expected)[usable].max() <= 1
                within = np.diff(np.diff(cumulative, axis=1), axis=0, prepend=0)[:, usable]
                took = np.diff(total)[usable]
                assert (took > 0).all()
                # Each operation took at least its bucket's lower bound; up to one per bucket is still on its way.
                assert (took >= (within * edges[:, np.newaxis]).sum(axis=0) - edges.sum()).all()
                below = (within[:-1] * edges[1:, np.newaxis]).sum(axis=0) + edges.sum()
                rest = within[-1] * 100 * STORAGE_BOUNDS[-1]
                assert (took <= below + rest).all()


def test_the_median_is_where_the_buckets_say() -> None:
    """A quantile interpolated from the buckets is what an analysis will use."""
    fleet = month()
    node = fleet.nodes()[0]
    cumulative = np.stack(
        [
            by_label(whole(f"{LATENCY}_bucket"), "le", node_id=node.id, tier="hdd", operation="read")[limit][1]
            for limit in LIMITS
        ]
    )
    first = fleet.clock.index(3, 0)
    counted = cumulative[:, first + fleet.clock.per_day - 1] - cumulative[:, first]
    median = np.median(fleet._platform().storage.io(node, 3).median[4])
    position = np.searchsorted(counted, counted[-1] / 2)
    assert (0.0, *STORAGE_BOUNDS)[position] < median < STORAGE_BOUNDS[position]
    assert 0.010 < median < 0.030


def test_latency_rises_with_load_and_most_in_a_storm() -> None:
    """A degraded tier must be told by its latency, and explained by its operations."""
    fleet = month()
    assert len(STORMS) == len(TENANTS)
    for node in fleet.nodes():
        for tier in TIERS:
            storms = [row for row in STORMS if row["entity_id"] == f"{node.id}/{tier.name}"]
            inside = np.zeros(fleet.clock.total, bool)
            for row in storms:
                span = [
                    round((row[end].timestamp() * 1000 - fleet.clock.start_ms) / fleet.clock.step_ms)
                    for end in ("start", "end")
                ]
                assert 2 * 12 <= span[1] - span[0] <= 6 * 12
                inside[span[0] : span[1]] = True
            for operation in ("read", "write"):
                index, latency = mean_latency(node, tier.name, operation)
                ts, rate = by_label(whole("novacron_storage_iops"), "operation", node_id=node.id, tier=tier.name)[
                    operation
                ]
                load = np.zeros(fleet.clock.total)
                load[index_of(fleet, ts, node.offset_ms)] = rate
                load, stormy = load[index], inside[index]
                usual = np.median(latency[~stormy])
                if storms:
                    assert latency[stormy].min() > 5 * usual
                    assert load[stormy].min() > 3 * np.median(load[~stormy])
                # Whole hours outside a storm are never twice as slow as usual.
                hours = len(latency[~stormy]) // 12
                assert latency[~stormy][: hours * 12].reshape(hours, 12).mean(axis=1).max() < 2 * usual
                if len(on_tier(node, tier.name)) >= 3:
                    assert np.corrcoef(load[~stormy], latency[~stormy])[0, 1] > 0.5
