import numpy as np
import pytest

from resources.monitoring.simulated.signals import BASE_CPU_PERCENT, BASE_CPU_SPREAD, BASE_MEMORY_BYTES
from resources.monitoring.simulated.source import SimulatedFleet
from resources.partition import DAY_MS
from tests.resources.monitoring.simulated.fleets import (
    COUNTERS,
    CPU,
    DISK,
    FIRST_DAY,
    MEMORY,
    NODE_NAMES,
    month,
    of_vm,
    read,
)


def test_gauges_stay_within_the_flavour_and_are_rounded() -> None:
    for tenant in ("acme", "globex"):
        cpu, memory, disk = (read(month(), tenant, name) for name in (CPU, MEMORY, DISK))
        for vm in month().vms(tenant):
            for _, _, values in of_vm(cpu, vm.vm_id):
                assert values.max() <= 100
                assert np.array_equal(values, np.round(values, 2))
            for _, _, values in of_vm(memory, vm.vm_id):
                assert values.max() <= vm.flavor.memory_bytes
                assert np.array_equal(values, np.rint(values))
            for _, _, values in of_vm(disk, vm.vm_id):
                assert values.max() <= vm.flavor.disk_bytes
                assert np.array_equal(values, np.rint(values))


@pytest.mark.parametrize("metric", COUNTERS)
def test_counters_rise_except_where_a_restart_is_planted(metric: str) -> None:
    """A base that does not meet the day before it shows as a fall or a jump at midnight."""
    fleet = month()
    series = read(fleet, "acme", metric)
    for vm in fleet.vms("acme"):
        left = {index for index, _ in vm.placements[1:]}
        for labels, arrived, counted in of_vm(series, vm.vm_id):
            ts, first = np.unique(arrived, return_index=True)
            values = counted[first]
            assert np.array_equal(values, np.floor(values))
            index = (ts - vm.offset_ms - fleet.clock.start_ms) // fleet.clock.step_ms
            fell = set(index[1:][np.diff(values) < 0])
            assert fell == (set(vm.restarts) - left), labels
            # A day's worth of bytes in one step would be a seam; the largest planted burst is 20 times the mean.
            step = np.diff(values) / (np.diff(ts) / 1000)
            assert np.nanmax(np.where(step < 0, 0, step), initial=0) < 45 * vm.rate(_column(metric))


def _column(metric: str) -> str:
    return metric.removeprefix("novacron_vm_").removesuffix("_total") + "_per_second"


def test_counters_have_the_planned_mean_rate() -> None:
    """Scaling the day to its total twice, or not at all, would miss by far more than the day-to-day noise."""
    fleet = month()
    vm = next(vm for vm in fleet.vms("acme") if vm.role == "batch" and not vm.counter_zeros and not vm.gaps)
    _, ts, values = of_vm(read(fleet, "acme", COUNTERS[0]), vm.vm_id)[0]
    rate = (values[-1] - values[0]) / ((ts[-1] - ts[0]) / 1000)
    assert rate == pytest.approx(vm.rates[0], rel=0.05)


def test_a_migration_leaves_a_frozen_twin() -> None:
    """The exporter never drops the old labels: the old series goes on with its last value."""
    fleet = month()
    vm = fleet.vms("acme")[3]
    (_, old_node), (at, new_node) = vm.placements
    moment = fleet.clock.ms(at) + vm.offset_ms
    for metric in (CPU, MEMORY, COUNTERS[2]):
        old, new = of_vm(read(fleet, "acme", metric), vm.vm_id)
        assert (old[0]["node_id"], new[0]["node_id"]) == (old_node.id, new_node.id)
        assert new[1].min() == moment
        frozen = old[2][old[1] >= moment]
        lost = sum(last - max(first, at) for first, last in fleet.outages(old_node) if last > at)
        assert len(frozen) == fleet.clock.total - at - lost
        assert (frozen == old[2][old[1] < moment][-1]).all()
        assert len(np.unique(new[2])) > len(new[2]) // 2
    # a counter of new labels begins at 0
    assert 0 < new[2][0] < 10 * fleet.clock.interval_seconds * vm.rates[2]
    assert old[2][0] > new[2][0]


def test_a_node_is_the_sum_of_its_vms_and_the_hypervisor() -> None:
    """Counting frozen twins, a moved VM on both nodes, or one tenant only would break the sum."""
    fleet = month()
    window = fleet.clock.start_ms, fleet.clock.start_ms + 28 * DAY_MS
    cpu = read(fleet, "platform", NODE_NAMES[0], *window)
    used = read(fleet, "platform", NODE_NAMES[1], *window)
    cores_of_vms: dict[str, np.ndarray] = {}
    memory_of_vms: dict[str, np.ndarray] = {}
    for tenant in ("acme", "globex", "initech"):
        percent, memory = read(fleet, tenant, CPU), read(fleet, tenant, MEMORY)
        for vm in fleet.vms(tenant):
            for number, (labels, ts, values) in enumerate(of_vm(percent, vm.vm_id)):
                index = (ts - vm.offset_ms - fleet.clock.start_ms) // fleet.clock.step_ms
                _, _, held = of_vm(memory, vm.vm_id)[number]
                live = np.ones(len(index), bool)
                if number == 0 and len(vm.placements) > 1:
                    live = index < vm.placements[1][0]
                vcpus = np.where(index >= vm.flavors[-1][0], vm.flavor.vcpus, vm.flavors[0][1].vcpus)
                for store, amounts in ((cores_of_vms, values * vcpus / 100), (memory_of_vms, held)):
                    total = store.setdefault(labels["node_id"], np.zeros(fleet.clock.total))
                    total[index[live]] = total[index[live]] + amounts[live]
    gaps = [vm.gaps[0] for tenant in ("acme", "globex", "initech") for vm in fleet.vms(tenant) if vm.gaps]
    doubled = [span for t in ("acme", "globex", "initech") for vm in fleet.vms(t) for span in vm.duplicates]
    for node in fleet.nodes():
        rows = [values for key, (_, values) in cpu.items() if dict(key)["node_id"] == node.id]
        ts = next(ts for key, (ts, _) in cpu.items() if dict(key)["node_id"] == node.id)
        assert len(rows) == node.cores
        index = (ts - node.offset_ms - fleet.clock.start_ms) // fleet.clock.step_ms
        seen = np.ones(fleet.clock.total, bool)
        for first, last in (*gaps, *doubled):
            seen[first:last] = False
        expected = np.minimum(100, 100 * cores_of_vms[node.id] / node.cores + BASE_CPU_PERCENT)[index]
        off = np.abs(np.mean(rows, axis=0) - expected)[seen[index]]
        assert off.max() <= BASE_CPU_SPREAD + 0.01
        held = next(
            v for key, (_, v) in used.items() if dict(key)["node_id"] == node.id and dict(key)["type"] == "used"
        )
        wanted = memory_of_vms[node.id][index] + BASE_MEMORY_BYTES
        assert np.array_equal(held[seen[index]], wanted[seen[index]])
        assert held.max() < node.memory_bytes


def test_load_average_follows_the_cores_in_use() -> None:
    fleet = month()
    load = read(fleet, "platform", NODE_NAMES[2])
    cpu = read(fleet, "platform", NODE_NAMES[0])
    for node in fleet.nodes():
        by_period = {dict(key)["period"]: v for key, (_, v) in load.items() if dict(key)["node_id"] == node.id}
        assert set(by_period) == {"1m", "5m", "15m"}
        busy = np.mean([v for key, (_, v) in cpu.items() if dict(key)["node_id"] == node.id], axis=0)
        below = busy < 99
        assert by_period["1m"][below] == pytest.approx(busy[below] * node.cores / 100, abs=0.02 * node.cores)
        assert np.abs(np.diff(by_period["15m"])).mean() < np.abs(np.diff(by_period["1m"])).mean()


def test_noise_is_alike_from_one_sample_to_the_next() -> None:
    """White noise alone would make smoothing look better than it is."""
    fleet = SimulatedFleet(8, 1, 30, FIRST_DAY, 2, 60)
    vm = next(vm for vm in fleet.vms("acme") if vm.role == "batch" and vm.size_class == "optimal")
    quiet = fleet.signals.gauge([vm], "cpu_percent", 0)[0][16 * 60 : 22 * 60]
    assert np.corrcoef(quiet[:-1], quiet[1:])[0, 1] > 0.3


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    """Blocks of other sizes must give the same bits, or a window's length would change the data."""
    fleet = month()
    vms = [vm for vm in fleet.vms("acme") if vm.running]
    for column in ("cpu_percent", "memory_bytes", "disk_bytes"):
        together = fleet.signals.gauge(vms, column, 9)
        alone = np.concatenate([fleet.signals.gauge([vm], column, 9) for vm in vms])
        assert np.array_equal(together, alone)
    together = fleet.signals.moved(vms, "network_receive_bytes_per_second", 9)
    alone = np.concatenate([fleet.signals.moved([vm], "network_receive_bytes_per_second", 9) for vm in vms])
    assert np.array_equal(together, alone)


def test_batch_jobs_begin_at_exact_hours() -> None:
    fleet = SimulatedFleet(8, 1, 60, FIRST_DAY, 1, 60)
    for vm in fleet.vms("acme"):
        if vm.role == "batch" and vm.size_class == "optimal":
            cpu = fleet.signals.gauge([vm], "cpu_percent", 0)[0]
            jumps = np.flatnonzero(np.diff(cpu) > 20) + 1
            assert len(jumps)  # a job that begins at midnight does not show in one day
            assert (jumps % 60 == 0).all()
