from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import InvalidInput
from resources.inventory.source import INVENTORY_SCHEMA, InventorySource
from resources.monitoring.simulated import batching
from resources.monitoring.simulated.source import SimulatedFleet
from resources.monitoring.source import MetricSource
from resources.partition import DAY_MS, check_tenant
from tests.resources.monitoring.simulated.fleets import (
    COUNTERS,
    CPU,
    FIRST_DAY,
    MEMORY,
    NODE_NAMES,
    PLATFORM_NAMES,
    VM_COUNT,
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


def test_known_numbers_of_the_platform_stay_as_they_are() -> None:
    """As above; and a sum or a power that another processor rounds otherwise would show here first."""
    fleet = SimulatedFleet(42, 3, 20, FIRST_DAY, 28, 60)
    start = START + 20 * DAY_MS + 12 * 3_600_000
    names = [name for name in PLATFORM_NAMES if "_storage_" in name or "_network_" in name]
    first = {
        name: next(fleet.samples("platform", [name], start, start + 2 * 60_000)).values[:2].tolist() for name in names
    }
    assert first == {
        "novacron_storage_usage_bytes": [431003529886, 431103455021],
        "novacron_storage_iops": [1367.35, 1483.28],
        "novacron_storage_throughput_bytes_per_second": [22353531, 24252979],
        "novacron_storage_latency_seconds_bucket": [152347179, 152373174],
        "novacron_storage_latency_seconds_sum": [521297.65244576096, 521420.98837965145],
        "novacron_storage_latency_seconds_count": [407557731, 407646727],
        "novacron_network_bandwidth_bytes_per_second": [14172437, 14990574],
        "novacron_network_latency_seconds_bucket": [126259, 126271],
        "novacron_network_latency_seconds_sum": [1545.2502287134173, 1545.4262362493496],
        "novacron_network_latency_seconds_count": [5436598, 5437198],
        "novacron_network_packet_loss_rate": [0, 0],
    }


def test_order_of_calls_does_not_matter() -> None:
    """A generator that carries over from one call to the next would."""
    fleet = SimulatedFleet(5, 2, 6, FIRST_DAY, 3, 300)
    last = read(fleet, "globex", CPU, START + 2 * DAY_MS, START + 3 * DAY_MS)
    for name in reversed(VM_NAMES):
        read(fleet, "acme", name)
    read(fleet, "platform", NODE_NAMES[0])
    assert same(last, read(fleet, "globex", CPU, START + 2 * DAY_MS, START + 3 * DAY_MS))


@settings(max_examples=12)
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


@pytest.mark.parametrize("metric", [*PLATFORM_NAMES, VM_COUNT])
@settings(max_examples=6)
@given(start=st.integers(-DAY_MS, 16 * DAY_MS), length=st.integers(1, 3 * DAY_MS))
def test_windows_of_nodes_compose(metric: str, start: int, length: int) -> None:
    """Sums that begin with the window, or depend on the days that were computed before, would break backfills.

    The windows are read from a fleet that has computed nothing but them.
    """
    tenant = "globex" if metric == VM_COUNT else "platform"
    if metric not in _WHOLE:
        _WHOLE[metric] = read(_two_weeks(), tenant, metric)
    start, end = START + start, START + start + length
    whole = {}
    for key, (ts, values) in _WHOLE[metric].items():
        inside = (ts >= start) & (ts < end)
        if inside.any():
            whole[key] = ts[inside], values[inside]
    assert same(read(_two_weeks(), tenant, metric, start, end), whole)


def _two_weeks() -> SimulatedFleet:
    return SimulatedFleet(3, 2, 5, FIRST_DAY, 16, 300)


def test_exporters_restart_every_week_so_that_no_day_is_far_from_one() -> None:
    """Without restarts the last day of a year would need all the days before it."""
    for node in SimulatedFleet(3, 2, 40, FIRST_DAY, 100, 300).nodes():
        days, samples = np.divmod(np.array(node.restarts), 288)
        assert (samples == 5 * 12).all()
        assert days[0] < 7
        assert days[-1] >= 93
        assert (np.diff(days) == 7).all()


def test_order_of_platform_metrics_does_not_matter() -> None:
    """What a day leaves behind for the next metric must be what that metric would have made itself."""
    one, other = _two_weeks(), _two_weeks()
    window = START + 12 * DAY_MS, START + 13 * DAY_MS
    forward = {name: read(one, "platform", name, *window) for name in PLATFORM_NAMES}
    for name in reversed(PLATFORM_NAMES):
        assert same(read(other, "platform", name, *window), forward[name])


def test_other_tenants_do_not_change_mine() -> None:
    """A draw or a placement shared by tenants would let one tenant's data depend on another."""
    for tenant, position in (("acme", 1), ("globex", 2)):
        few, many = month(position), month(3)
        for name in (CPU, MEMORY, COUNTERS[0], VM_COUNT):
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
        for name in PLATFORM_NAMES if tenant == "platform" else (*VM_NAMES, VM_COUNT):
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
        *(("acme", name) for name in PLATFORM_NAMES),
        *(("platform", name) for name in (*VM_NAMES, VM_COUNT)),
        ("nobody", CPU),
        ("nobody", VM_COUNT),
        # A histogram is asked for by what is exposed of it.
        ("platform", "novacron_storage_latency_seconds"),
    ):
        assert not list(fleet.samples(tenant, [name], *window))
    assert not list(fleet.samples("acme", [CPU], START - DAY_MS, START))
    assert not list(fleet.samples("acme", [CPU], START + 28 * DAY_MS, START + 29 * DAY_MS))
    assert not list(fleet.samples("acme", [CPU], START, START))


BUCKETS, LOSS = "novacron_storage_latency_seconds_bucket", "novacron_network_packet_loss_rate"
SELECTORS = [
    ("acme", f'{CPU}{{vm_id="acme-vm-0004"}}', CPU, lambda labels: labels["vm_id"] == "acme-vm-0004"),
    ("acme", f'{COUNTERS[0]}{{node_id!="node-r01-01"}}', COUNTERS[0], lambda labels: labels["node_id"][-2:] != "01"),
    ("acme", f'{{__name__="{CPU}",vm_name=~"db-.*"}}', CPU, lambda labels: labels["vm_name"].startswith("db-")),
    ("acme", f'{VM_COUNT}{{status="stopped"}}', VM_COUNT, lambda labels: labels["status"] == "stopped"),
    ("platform", f'{BUCKETS}{{tier=~"nvme|ssd",le="+Inf"}}', BUCKETS,
     lambda labels: labels["tier"] != "hdd" and labels["le"] == "+Inf"),
    ("platform", f'{LOSS}{{target_node="node-r01-01"}}', LOSS, lambda labels: labels["target_node"] == "node-r01-01"),
]  # fmt: skip


@pytest.mark.parametrize(("tenant", "selector", "name", "keeps"), SELECTORS, ids=[row[1] for row in SELECTORS])
def test_a_selector_picks_series_and_leaves_them_as_they_are(tenant, selector, name, keeps) -> None:
    """A filter applied before the arithmetic must not change the samples, nor lose what a migration left behind."""
    fleet, window = month(), (START + 20 * DAY_MS, START + 21 * DAY_MS + 1)
    expected = {key: held for key, held in read(fleet, tenant, name, *window).items() if keeps(dict(key))}
    assert expected
    got: Series = {}
    for batch in fleet.samples(tenant, [selector], *window):
        assert batch.metric == name
        for row, labels in enumerate(batch.labels):
            part = slice(batch.offsets[row], batch.offsets[row + 1])
            got[tuple(sorted(labels.items()))] = batch.ts_ms[part], batch.values[part]
    assert same(got, expected)


def test_a_selector_without_a_name_finds_every_metric_it_means() -> None:
    fleet, window = month(), (START, START + 600_000)

    def found(tenant: str, selector: str) -> list[str]:
        return sorted({batch.metric for batch in fleet.samples(tenant, [selector], *window)})

    assert found("acme", '{vm_id="acme-vm-0001"}') == sorted(VM_NAMES)
    assert found("acme", '{node_id="node-r01-01"}') == sorted([*VM_NAMES, VM_COUNT])
    storage = [name for name in PLATFORM_NAMES if name.startswith("novacron_storage_")]
    assert found("platform", '{tier="nvme"}') == sorted(storage)
    assert found("platform", '{__name__=~"novacron_storage_.*",tier="nvme",le=""}') == sorted(set(storage) - {BUCKETS})
    assert found("platform", '{node_id="no such node"}') == []


def test_no_selector_crosses_the_wall_between_tenants() -> None:
    """A selector that names another tenant, or none at all, must not reach that tenant's series."""
    fleet, window = month(), (START, START + 600_000)
    for tenant in ("acme", "platform"):
        for selector in ('{tenant_id="globex"}', f'{CPU}{{vm_id=~"globex.*"}}', f'{VM_COUNT}{{tenant_id="globex"}}'):
            assert not list(fleet.samples(tenant, [selector], *window))
    for batch in fleet.samples("acme", ['{__name__=~".+"}'], *window):
        assert {labels["tenant_id"] for labels in batch.labels} == {"acme"}
    for batch in fleet.samples("platform", ['{__name__=~".+"}'], *window):
        assert not any("tenant_id" in labels for labels in batch.labels)


def test_what_is_no_selector_is_refused() -> None:
    for text in ("rate(x[5m])", "{}", f'{CPU}{{vm_id="}}', ""):
        with pytest.raises(InvalidInput):
            list(month().samples("acme", [CPU, text], START, START + 1))


LABELS = {
    "any of a VM": {"vm_id", "vm_name", "tenant_id", "node_id"},
    "novacron_vm_count": {"status", "tenant_id", "node_id"},
    "novacron_vm_migrations_total": {"source_node", "target_node", "status", "migration_type"},
    "novacron_storage_usage_bytes": {"tier", "node_id"},
    "novacron_storage_iops": {"tier", "node_id", "operation"},
    "novacron_storage_throughput_bytes_per_second": {"tier", "node_id", "direction"},
    "novacron_storage_latency_seconds": {"tier", "node_id", "operation"},
    "novacron_network_bandwidth_bytes_per_second": {"node_id", "interface", "direction"},
    "novacron_network_latency_seconds": {"source_node", "target_node"},
    "novacron_network_packet_loss_rate": {"source_node", "target_node"},
    "novacron_system_cpu_usage_percent": {"node_id", "cpu"},
    "novacron_system_memory_usage_bytes": {"node_id", "type"},
    "novacron_system_disk_usage_bytes": {"node_id", "device", "mountpoint"},
    "novacron_system_load_average": {"node_id", "period"},
}
"""The labels of NovaCron's exporter by metric; `any of a VM` stands for all that have one for each VM."""


def test_every_metric_that_novacron_exports_is_there_with_its_labels() -> None:
    """A metric that the simulation lacks, or labels otherwise, is one that no demo or test of a reader shows."""
    seen = set()
    for tenant, names in (("acme", (*VM_NAMES, VM_COUNT)), ("platform", PLATFORM_NAMES)):
        for name in names:
            family = name
            for part in ("_bucket", "_sum", "_count"):
                family = family.removesuffix(part) if family.removesuffix(part) in LABELS else family
            wanted = LABELS["any of a VM" if name in VM_NAMES else family] | ({"le"} if "_bucket" in name else set())
            series = read(month(), tenant, name, START, START + 600_000)
            assert series
            assert {frozenset(dict(key)) for key in series} == {frozenset(wanted)}
            seen.add("any of a VM" if name in VM_NAMES else family)
    assert seen == set(LABELS)


@pytest.mark.parametrize("tenant", ["acme", "platform"])
def test_batches_are_bounded_and_hold_whole_entities(tenant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of everything would not fit in memory; a VM in two batches would be gridded twice."""
    monkeypatch.setattr(batching, "BATCH_SAMPLES", 4000)
    fleet = SimulatedFleet(42, 1, 70, FIRST_DAY, 2, 300)
    name = CPU if tenant == "acme" else NODE_NAMES[1]
    batches = list(fleet.samples(tenant, [name], START, START + 2 * DAY_MS))
    assert len(batches) > 1
    assert max(len(batch.values) for batch in batches) <= 4000
    label = "vm_id" if tenant == "acme" else "node_id"
    entities = [{labels[label] for labels in batch.labels} for batch in batches]
    assert sum(map(len, entities)) == len(set().union(*entities))
    assert len(set().union(*entities)) == (sum(vm.running for vm in fleet.vms("acme")) if tenant == "acme" else 8)


def test_a_histogram_is_never_torn_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets of one histogram in two batches could not be read as one."""
    monkeypatch.setattr(batching, "BATCH_SAMPLES", 4000)
    batches = list(month().samples("platform", [BUCKETS], START, START + DAY_MS))
    assert len(batches) > 1
    assert max(len(batch.values) for batch in batches) <= 4000
    entities = [{(labels["node_id"], labels["tier"], labels["operation"]) for labels in b.labels} for b in batches]
    assert sum(map(len, entities)) == len(set().union(*entities)) == 6 * len(month().nodes())
    assert sum(len(batch.labels) for batch in batches) == 11 * 6 * len(month().nodes())


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
