from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import InvalidInput
from resources.inventory.source import INVENTORY_SCHEMA, InventorySource
from resources.monitoring.simulated import source as source_module
from resources.monitoring.simulated.source import SimulatedFleet
from resources.monitoring.source import MetricSource
from resources.partition import DAY_MS, check_tenant
from tests.resources.monitoring.simulated.fleets import (
    COUNTERS,
    CPU,
    FIRST_DAY,
    MEMORY,
    NODE_NAMES,
    VM_NAMES,
    Series,
    month,
    of_vm,
    read,
    same,
)

START = month().clock.start_ms


def test_is_both_kinds_of_source() -> None:
    """A missing or renamed method of either protocol would only show at run time."""
    fleet = SimulatedFleet(1, 2, 3, FIRST_DAY, 3, 300)
    metrics: MetricSource = fleet
    inventory: InventorySource = fleet
    assert metrics.kind == "simulated"
    assert metrics.tenants() == ["acme", "globex", "platform"]
    assert metrics.extent("acme") == metrics.extent("platform") == (date(2026, 1, 1), date(2026, 1, 3))
    assert metrics.extent("nobody") is None
    assert metrics.sample_interval_seconds("acme") == 300
    assert inventory.inventory("platform", START, START + DAY_MS).num_rows == 0


def test_tenant_ids_are_legal_and_distinct() -> None:
    names = SimulatedFleet(1, 200, 1, FIRST_DAY, 1, 300).tenants()
    assert len(set(names)) == 201
    assert [check_tenant(name) for name in names] == names
    assert names[3] == "tenant-04"


def test_equal_arguments_give_equal_samples_and_another_seed_others() -> None:
    """Hash randomisation or a shared generator would make two runs differ."""
    one, again, other = (SimulatedFleet(seed, 1, 6, FIRST_DAY, 2, 300) for seed in (5, 5, 6))
    for name in VM_NAMES:
        assert same(read(one, "acme", name), read(again, "acme", name))
        assert not same(read(one, "acme", name), read(other, "acme", name))


def test_known_numbers_stay_as_they_are() -> None:
    """Chance keyed by Python's hash, or by other names than before, would change every stored simulation."""
    fleet = SimulatedFleet(42, 1, 20, FIRST_DAY, 28, 60)
    window = START, START + 3 * 60_000
    first = {name: of_vm(read(fleet, "acme", name, *window), "acme-vm-0001")[0][2].tolist() for name in VM_NAMES}
    assert first[CPU] == [22.97, 21.72, 22.76]
    assert first[MEMORY] == [11720944560, 11774910511, 11750635646]
    assert first[COUNTERS[0]] == [1494440406374, 1494446286552, 1494452139545]


def test_order_of_calls_does_not_matter() -> None:
    """A generator that carries over from one call to the next would."""
    fleet = SimulatedFleet(5, 2, 6, FIRST_DAY, 3, 300)
    last = read(fleet, "globex", CPU, START + 2 * DAY_MS, START + 3 * DAY_MS)
    for name in reversed(VM_NAMES):
        read(fleet, "acme", name)
    read(fleet, "platform", NODE_NAMES[0])
    assert same(last, read(fleet, "globex", CPU, START + 2 * DAY_MS, START + 3 * DAY_MS))


@settings(max_examples=12, deadline=None)
@given(
    metric=st.sampled_from(VM_NAMES),
    start=st.integers(-DAY_MS, 28 * DAY_MS),
    length=st.integers(0, 2 * DAY_MS),
)
def test_a_window_is_the_whole_run_cut_down(metric: str, start: int, length: int) -> None:
    """Noise, counters, order of arrival or frozen values that depend on the window would break backfills."""
    start, end = START + start, START + start + length
    whole = {}
    for key, (ts, values) in _whole(metric).items():
        inside = (ts >= start) & (ts < end)
        if inside.any():
            whole[key] = ts[inside], values[inside]
    assert same(read(month(), "acme", metric, start, end), whole)


_WHOLE: dict[str, Series] = {}


def _whole(metric: str) -> Series:
    if metric not in _WHOLE:
        _WHOLE[metric] = read(month(), "acme", metric)
    return _WHOLE[metric]


def test_late_and_doubled_samples_survive_any_cut() -> None:
    """Reordering inside a window must be the reordering of the whole run."""
    for vm_id in ("acme-vm-0014", "acme-vm-0015"):
        _, ts, values = of_vm(_whole(CPU), vm_id)[0]
        vm = next(vm for vm in month().vms("acme") if vm.vm_id == vm_id)
        edges = [block.span[0] for block in vm.late] + [first for first, _ in vm.duplicates]
        for index in edges:
            cut = month().clock.ms(index) + vm.offset_ms + 1
            for window in ((cut - DAY_MS, cut), (cut, cut + DAY_MS), (cut - 1_000_000, cut + 1_000_000)):
                inside = (ts >= window[0]) & (ts < window[1])
                _, got_ts, got = of_vm(read(month(), "acme", CPU, *window), vm_id)[0]
                assert np.array_equal(got_ts, ts[inside])
                assert np.array_equal(got, values[inside])


@pytest.mark.parametrize("metric", NODE_NAMES)
def test_windows_of_nodes_compose(metric: str) -> None:
    fleet = SimulatedFleet(3, 2, 5, FIRST_DAY, 3, 300)
    start, end = START + 7 * 3_600_000 + 1, START + DAY_MS + 9 * 3_600_000
    whole = {
        key: (ts[(ts >= start) & (ts < end)], values[(ts >= start) & (ts < end)])
        for key, (ts, values) in read(fleet, "platform", metric).items()
    }
    assert same(read(fleet, "platform", metric, start, end), whole)


def test_other_tenants_do_not_change_mine() -> None:
    """A draw or a placement shared by tenants would let one tenant's data depend on another."""
    for tenant, position in (("acme", 1), ("globex", 2)):
        few, many = month(position), month(3)
        for name in (CPU, MEMORY, COUNTERS[0]):
            assert same(read(few, tenant, name), read(many, tenant, name))
        window = START, START + 28 * DAY_MS
        assert few.inventory(tenant, *window).equals(many.inventory(tenant, *window))


def test_a_larger_tenant_holds_the_smaller_one() -> None:
    small, large = (SimulatedFleet(42, 2, vms, FIRST_DAY, 2, 300) for vms in (7, 45))
    for name in VM_NAMES:
        mine, theirs = read(small, "globex", name), read(large, "globex", name)
        assert same(mine, {key: theirs[key] for key in mine})


@pytest.mark.parametrize(("tenants", "vms", "days", "interval"), [(1, 1, 1, 300), (1, 3, 3, 60), (2, 13, 2, 15)])
def test_small_fleets_work(tenants: int, vms: int, days: int, interval: int) -> None:
    """Planting must not reach beyond a short run."""
    fleet = SimulatedFleet(9, tenants, vms, FIRST_DAY, days, interval)
    for tenant in fleet.tenants():
        for name in NODE_NAMES if tenant == "platform" else VM_NAMES:
            series = read(fleet, tenant, name)
            assert series
            for ts, values in series.values():
                assert ts.min() >= START
                assert ts.max() < START + days * DAY_MS
                assert np.isfinite(values).all()
                assert (values >= 0).all()


def test_what_the_fleet_does_not_measure_yields_nothing() -> None:
    fleet, window = month(), (START, START + DAY_MS)
    for tenant, name in (
        ("acme", "novacron_vm_disk_read_bytes_per_second"),
        ("acme", "no_such_metric"),
        ("acme", NODE_NAMES[0]),
        ("platform", CPU),
        ("nobody", CPU),
    ):
        assert not list(fleet.samples(tenant, [name], *window))
    assert not list(fleet.samples("acme", [CPU], START - DAY_MS, START))
    assert not list(fleet.samples("acme", [CPU], START + 28 * DAY_MS, START + 29 * DAY_MS))
    assert not list(fleet.samples("acme", [CPU], START, START))


@pytest.mark.parametrize("tenant", ["acme", "platform"])
def test_batches_are_bounded_and_hold_whole_entities(tenant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of everything would not fit in memory; a VM in two batches would be gridded twice."""
    monkeypatch.setattr(source_module, "BATCH_SAMPLES", 4000)
    fleet = SimulatedFleet(42, 1, 70, FIRST_DAY, 2, 300)
    name = CPU if tenant == "acme" else NODE_NAMES[1]
    batches = list(fleet.samples(tenant, [name], START, START + 2 * DAY_MS))
    assert len(batches) > 1
    assert max(len(batch.values) for batch in batches) <= 4000
    label = "vm_id" if tenant == "acme" else "node_id"
    entities = [{labels[label] for labels in batch.labels} for batch in batches]
    assert sum(map(len, entities)) == len(set().union(*entities))
    assert len(set().union(*entities)) == (sum(vm.running for vm in fleet.vms("acme")) if tenant == "acme" else 8)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tenants": 0}, "tenants"), ({"vms_per_tenant": 0}, "vms_per_tenant"), ({"days": 0}, "days"),
        ({"interval_seconds": 0}, "interval_seconds"), ({"interval_seconds": 7}, "interval_seconds"),
        ({"interval_seconds": 600}, "interval_seconds"),
    ],
)  # fmt: skip
def test_impossible_fleets_are_refused(change: dict[str, int], says: str) -> None:
    arguments = {"seed": 1, "tenants": 1, "vms_per_tenant": 1, "days": 1, "interval_seconds": 60} | change
    with pytest.raises(InvalidInput, match=says):
        SimulatedFleet(first_day=FIRST_DAY, **arguments)


def test_inventory_has_a_row_for_each_change_in_the_window() -> None:
    """A move or resize without its row would size a VM by what it no longer is."""
    fleet = month()
    whole = fleet.inventory("acme", START, START + 28 * DAY_MS)
    assert whole.schema == INVENTORY_SCHEMA
    rows = whole.to_pylist()
    by_vm = {vm.vm_id: [row for row in rows if row["vm_id"] == vm.vm_id] for vm in fleet.vms("acme")}
    assert {len(found) for found in by_vm.values()} == {1, 2}
    assert all(found[0]["valid_from_ms"] == START for found in by_vm.values())
    moved, resized, stopped = by_vm["acme-vm-0004"], by_vm["acme-vm-0013"], by_vm["acme-vm-0012"]
    assert moved[0]["node_id"] != moved[1]["node_id"]
    assert resized[1]["vcpus"] == 2 * resized[0]["vcpus"]
    assert resized[1]["memory_bytes"] == 2 * resized[0]["memory_bytes"]
    assert [row["state"] for row in stopped] == ["stopped"]
    change = moved[1]["valid_from_ms"]
    for window, expected in (
        ((START, change), moved[:1]),
        ((START, change + 1), moved),
        ((change - 1, change + 1), moved),
        ((change, change + 1), moved[1:]),
        ((START + 40 * DAY_MS, START + 41 * DAY_MS), moved[1:]),
        ((START - DAY_MS, START), []),
    ):
        found = fleet.inventory("acme", *window).to_pylist()
        assert [row for row in found if row["vm_id"] == "acme-vm-0004"] == expected
