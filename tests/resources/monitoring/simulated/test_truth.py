import json
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from resources.monitoring.simulated.catalogue import FLAVORS
from resources.monitoring.simulated.source import SimulatedFleet
from resources.monitoring.simulated.truth import TRUTH_SCHEMAS, fingerprint, truth_tables
from resources.monitoring.simulated.vm import Vm
from resources.partition import DAY_MS, day_start_ms
from tests.resources.monitoring.simulated.fleets import (
    CPU,
    DISK,
    FIRST_DAY,
    MEMORY,
    NAME_OF_COLUMN,
    NODE_NAMES,
    Series,
    month,
    of_vm,
    read,
)

TRUTH = {name: table.to_pylist() for name, table in truth_tables(month()).items()}
TENANTS = ("acme", "globex", "initech")
VMS = {vm.vm_id: vm for tenant in TENANTS for vm in month().vms(tenant)}
_SERIES: dict[tuple[str, str], Series] = {}


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def live(vm: Vm, metric: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return a VM's samples in order of time, each once, without what a migration left behind."""
    if (vm.tenant, metric) not in _SERIES:
        _SERIES[vm.tenant, metric] = read(month(), vm.tenant, metric)
    parts = of_vm(_SERIES[vm.tenant, metric], vm.vm_id)
    times, values = parts[-1][1], parts[-1][2]
    for (_, ts, held), after in pairwise(parts):
        before = ts < after[1].min()
        times, values = np.concatenate((ts[before], times)), np.concatenate((held[before], values))
    times, first = np.unique(times, return_index=True)
    return times, values[first]


def daily_means(vm: Vm, metric: str) -> NDArray[np.float64]:
    ts, values = live(vm, metric)
    day = (ts - month().clock.start_ms) // DAY_MS
    return np.bincount(day, values) / np.bincount(day)


def theil_sen(values: NDArray[np.float64]) -> float:
    day = np.arange(len(values))
    one, other = np.triu_indices(len(values), 1)
    return float(np.median((values[other] - values[one]) / (day[other] - day[one])))


def test_tables_have_their_schemas_and_every_kind_per_tenant() -> None:
    """A kind that is missing from the truth is a kind that no test of an analysis can look for."""
    for name, table in truth_tables(month()).items():
        assert table.schema == TRUTH_SCHEMAS[name]
        table.validate(full=True)
    for tenant in TENANTS:
        mine = {name: [row for row in rows if row["tenant"] == tenant] for name, rows in TRUTH.items()}
        assert all(mine.values())
        assert {row["kind"] for row in mine["trends"]} == {"growth", "leak", "filling_disk"}
        assert {row["metric"] for row in mine["trends"]} == {"cpu_percent", "memory_bytes", "disk_bytes"}
        assert {row["kind"] for row in mine["incidents"]} == {
            "cpu_saturation", "traffic_spike", "memory_exhaustion", "write_burst", "noisy_neighbour", "io_storm",
        }  # fmt: skip
        assert {row["size_class"] for row in mine["vms"]} == {
            "optimal", "idle", "oversized", "undersized", "powered_off",
        }  # fmt: skip
        assert {row["cause"] for row in mine["gaps"]} >= {"not_scraped"}
        left = [(row["exhaustion_day"] - FIRST_DAY).days - 28 for row in mine["trends"] if row["exhaustion_day"]]
        assert min(left) < 30 < max(left)
    platform = {row["kind"] for row in TRUTH["incidents"] if row["tenant"] == "platform"}
    assert platform == {"node_saturation", "node_outage", "tier_saturation", "link_fault"}


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 3, 3), (2, 25, 2), (1, 130, 40)])
def test_truth_lies_within_the_run_of_any_fleet(size: tuple[int, int, int]) -> None:
    tenants, vms, days = size
    fleet = SimulatedFleet(3, tenants, vms, FIRST_DAY, days, 300)
    start, end = fleet.clock.start_ms, fleet.clock.start_ms + days * DAY_MS
    truth = truth_tables(fleet)
    assert truth["vms"].num_rows == tenants * vms
    for rows in truth.values():
        for row in rows.to_pylist():
            for column in ("start", "end", "at", "startsAt", "endsAt"):
                if column in row:
                    assert start <= ms(row[column]) <= end


@pytest.mark.parametrize("row", TRUTH["trends"], ids=lambda row: f"{row['entity_id']}-{row['kind']}")
def test_trends_are_in_the_signal(row: dict[str, Any]) -> None:
    """A truth that the signal does not carry would fail a correct analysis."""
    vm, metric = VMS[row["entity_id"]], NAME_OF_COLUMN[row["metric"]]
    means = daily_means(vm, metric)
    if row["restart_every_days"]:
        since = [means[day : day + 6] for day in range(1, 27, row["restart_every_days"])]
        slope = float(np.median([theil_sen(part) for part in since]))
    else:
        slope = theil_sen(means)
        residual = means - np.median(means) - slope * (np.arange(28) - 13.5)
        noise = 1.4826 * np.median(np.abs(residual - np.median(residual)))
        assert slope * 28 > 3 * noise
    assert slope == pytest.approx(row["slope_per_day"], rel=0.2)


def test_a_leak_falls_back_exactly_at_its_restarts() -> None:
    """A fall beside the counters' reset would look like two events."""
    restarting = [row for row in TRUTH["trends"] if row["restart_every_days"]]
    for row in restarting:
        vm = VMS[row["entity_id"]]
        ts, memory = live(vm, MEMORY)
        fell = ts[1:][np.diff(memory) < -0.3 * vm.flavor.memory_bytes] - vm.offset_ms
        assert fell.tolist() == [ms(reset["at"]) for reset in TRUTH["resets"] if reset["vm_id"] == vm.vm_id]
    assert len(restarting) == len(TENANTS)


def test_disks_fill_on_the_stated_day() -> None:
    for row in TRUTH["trends"]:
        if row["exhaustion_day"] is None:
            continue
        vm = VMS[row["entity_id"]]
        ts, values = live(vm, DISK)
        days = (ts - month().clock.start_ms) / DAY_MS
        slope, level = np.polyfit(days, values, 1)
        full = (vm.flavor.disk_bytes - level) / slope
        assert int(full) == (day_start_ms(row["exhaustion_day"]) - month().clock.start_ms) // DAY_MS


def test_vms_without_a_trend_are_stationary() -> None:
    """A drift nobody planted would be a false alarm of an analysis that is right."""
    trending = {(row["entity_id"], row["metric"]) for row in TRUTH["trends"]}
    resized = {row["vm_id"] for row in TRUTH["resizes"]}
    for vm in VMS.values():
        if not vm.running or vm.vm_id in resized:
            continue
        for column, floor in (("cpu_percent", 1.0), ("memory_bytes", 0.01), ("disk_bytes", 0.002)):
            if (vm.vm_id, column) in trending:
                continue
            means = daily_means(vm, NAME_OF_COLUMN[column])
            size = {"cpu_percent": 1, "memory_bytes": vm.flavor.memory_bytes, "disk_bytes": vm.flavor.disk_bytes}
            # whole weeks are compared, so that weekends weigh the same
            weeks = np.median(means.reshape(4, 7), axis=1) / size[column]
            assert np.ptp(weeks) < floor, (vm.vm_id, column)


@pytest.mark.parametrize("window_days", [7, 14, 28])
def test_size_classes_follow_the_rules(window_days: int) -> None:
    """A VM near a threshold would be right in either class, and prove nothing."""
    begin = month().clock.start_ms + (28 - window_days) * DAY_MS
    for row in TRUTH["vms"]:
        vm = VMS[row["vm_id"]]
        if row["size_class"] == "powered_off":
            assert not of_vm(read(month(), vm.tenant, CPU), vm.vm_id)
            continue
        assert row["size_class"] == _classify(vm, begin, margin=0.02), row["vm_id"]


def _classify(vm: Vm, begin: int, margin: float) -> str:
    """Classify by the published rules in order; thresholds missed by less than `margin` are an answer of their own."""
    cpu, memory, disk = (values[ts >= begin] for ts, values in (live(vm, name) for name in (CPU, MEMORY, DISK)))
    received, sent = (
        np.diff(values) / (np.diff(ts) / 1000)
        for ts, values in (live(vm, f"novacron_vm_network_{way}_bytes_total") for way in ("receive", "transmit"))
    )
    vcpus, size = vm.flavor.vcpus, vm.flavor.memory_bytes
    if np.quantile(cpu * vcpus / 100, 0.97) < 0.03 * (1 - margin):
        quiet = np.quantile(received, 0.95) < 2000 * (1 - margin) and np.quantile(sent, 0.95) < 1000 * (1 - margin)
        return "idle" if quiet else "too near to idle"
    trend = [trend for trend in vm.trends if trend.kind == "filling_disk"]
    days_left = (vm.flavor.disk_bytes - disk[-1]) / trend[0].slope_per_day if trend else np.inf
    for factor in (1 + margin, 1 - margin):
        under = (
            np.quantile(cpu, 0.95) > 85 * factor
            or np.quantile(cpu, 0.995) >= 95 * factor
            or memory.max() > 0.9 * size * factor
            or days_left < 30 / factor
        )
        if under:
            return "undersized" if factor > 1 else "too near to undersized"
    fits = [_fits(vm, cpu, memory, disk, factor) for factor in (1 + margin, 1 - margin)]
    return "optimal" if not any(fits) else "oversized" if all(fits) else "too near to oversized"


def _fits(
    vm: Vm, cpu: NDArray[np.float64], memory: NDArray[np.float64], disk: NDArray[np.float64], factor: float
) -> bool:
    """Say whether a flavour that is smaller in some way and larger in none would do."""
    share = (0.8, 0.8) if vm.role in ("batch", "worker") else (0.4, 0.6)
    for flavor in FLAVORS.values():
        smaller = flavor.vcpus + flavor.memory_bytes < vm.flavor.vcpus + vm.flavor.memory_bytes
        if not smaller or flavor.vcpus > vm.flavor.vcpus or flavor.memory_bytes > vm.flavor.memory_bytes:
            continue
        vcpus = cpu * vm.flavor.vcpus / 100 * factor
        if (
            np.quantile(vcpus, 0.995) * 1.2 <= flavor.vcpus
            and memory.max() * 1.2 * factor <= flavor.memory_bytes
            and disk.max() <= flavor.disk_bytes
            and np.quantile(vcpus, 0.95) <= share[0] * flavor.vcpus
            and np.quantile(memory, 0.95) * factor <= share[1] * flavor.memory_bytes
        ):
            return True
    return False


@pytest.mark.parametrize("row", [row for row in TRUTH["incidents"] if row["entity_kind"] == "vm"])
def test_incidents_stand_out_in_the_metrics_they_name(row: dict[str, Any]) -> None:
    """An incident that no metric shows could never be found."""
    vm = VMS[row["entity_id"]]
    start, end = ms(row["start"]), ms(row["end"])
    for column in row["metrics"]:
        ts, values = live(vm, NAME_OF_COLUMN[column])
        if column.endswith("per_second"):
            ts, values = ts[1:], np.diff(values) / (np.diff(ts) / 1000)
        inside = (ts >= start) & (ts < end)
        same_hours = np.isin((ts - start) % DAY_MS // 1000, (ts[inside] - start) % DAY_MS // 1000) & ~inside
        quiet = np.ones(len(ts), bool)
        for other in vm.incidents:
            clock = month().clock
            quiet &= (ts < clock.ms(other.span[0])) | (ts >= clock.ms(other.span[1]))
        weekend = ((ts - month().clock.start_ms) // DAY_MS + FIRST_DAY.weekday()) % 7 >= 5
        usual = np.median(values[same_hours & quiet & (weekend == weekend[inside][0])])
        if column.endswith("per_second"):
            assert values[inside].mean() > 3 * usual
            assert values[inside].min() > 2 * usual  # from the first sample to the last
        elif column == "memory_bytes":
            assert values[inside].max() > 0.97 * vm.flavor.memory_bytes > usual * 1.2
        elif row["kind"] == "traffic_spike":
            assert np.median(values[inside]) > usual + 3
        else:
            assert values[inside].min() > 95 > usual + 15


def test_noisy_neighbours_saturate_their_node_and_nothing_else_does() -> None:
    """The bursts must exceed the node, and the node's ordinary load must not."""
    cpu = read(month(), "platform", NODE_NAMES[0])
    for node in month().nodes():
        rows = [(ts, v) for key, (ts, v) in cpu.items() if dict(key)["node_id"] == node.id]
        ts, busy = rows[0][0], np.mean([values for _, values in rows], axis=0)
        inside = np.zeros(len(ts), bool)
        for row in TRUTH["incidents"]:
            if row["entity_id"] == node.id and row["kind"] == "node_saturation":
                assert VMS[row["cause_vm_id"]].node == node.ref
                inside |= (ts >= ms(row["start"])) & (ts < ms(row["end"]))
        assert (busy[inside] == 100).all()
        assert busy[~inside].max() < 92
    assert sum(row["kind"] == "node_saturation" for row in TRUTH["incidents"]) >= 3 * len(TENANTS)


def test_gaps_lose_what_the_truth_says() -> None:
    clock = month().clock
    for vm in VMS.values():
        rows = [row for row in TRUTH["gaps"] if row["entity_id"] == vm.vm_id]
        if not vm.running:
            assert not rows
            continue
        for metric in (CPU, NAME_OF_COLUMN["network_receive_bytes_per_second"]):
            series = of_vm(read(month(), vm.tenant, metric), vm.vm_id)
            expected = sum(clock.total - start for start, _ in vm.placements)
            delivered = sum(len(np.unique(ts)) for _, ts, _ in series)
            assert expected - delivered == sum(row["samples_lost"] for row in rows)
        for row in rows:
            ts = live(vm, CPU)[0]
            assert row["cause"] != "not_scraped" or not ((ts >= ms(row["start"])) & (ts < ms(row["end"]))).any()
    for row in TRUTH["gaps"]:
        if row["entity_kind"] == "node":
            for key, (ts, _) in read(month(), "platform", NODE_NAMES[1]).items():
                if dict(key)["node_id"] == row["entity_id"]:
                    assert clock.total - len(ts) == row["samples_lost"]


def test_late_and_doubled_samples_are_where_the_truth_says() -> None:
    """Order of arrival is all that tells a late sample from one in time."""
    for vm in VMS.values():
        for _, ts, values in of_vm(read(month(), vm.tenant, CPU), vm.vm_id):
            late = [row for row in TRUTH["late"] if row["vm_id"] == vm.vm_id]
            doubled = [row for row in TRUTH["duplicates"] if row["vm_id"] == vm.vm_id]
            overtaken = ts < np.maximum.accumulate(ts)
            again = np.ones(len(ts), bool)
            again[np.unique(ts, return_index=True)[1]] = False
            assert again.sum() == sum(row["samples"] for row in doubled)
            assert (overtaken & ~again).sum() == sum(row["samples"] for row in late)
            for row in late:
                block = np.flatnonzero((ts >= ms(row["start"])) & (ts < ms(row["end"])))
                assert len(block) == row["samples"]
                before = ts[block[0] - 1] - ts[block[-1]]
                assert 0 < before <= row["delay_seconds"] * 1000
            for row in doubled:
                inside = (ts >= ms(row["start"])) & (ts < ms(row["end"]))
                half = row["samples"]
                assert np.array_equal(ts[inside][:half], ts[inside][half:])
                assert np.array_equal(values[inside][:half], values[inside][half:])


def test_resets_are_the_only_falls_of_counters() -> None:
    metric = NAME_OF_COLUMN["network_receive_bytes_per_second"]
    for vm in VMS.values():
        if not vm.running:
            continue
        planted = {ms(row["at"]) + vm.offset_ms for row in TRUTH["resets"] if row["vm_id"] == vm.vm_id}
        fell = set()
        rate = vm.rate("network_receive_bytes_per_second") * month().clock.interval_seconds
        for _, arrived, values in of_vm(read(month(), vm.tenant, metric), vm.vm_id):
            ts, first = np.unique(arrived, return_index=True)
            after = np.flatnonzero(np.diff(values[first]) < 0) + 1
            fell |= set(ts[after].tolist())
            # what has moved since the restart, not nothing and not what moved before it
            assert all(0 < value < 20 * rate for value in values[first][after])
        assert fell == planted


def test_alerts_look_like_alertmanagers() -> None:
    by_id = {row["incident_id"]: row for row in TRUTH["incidents"]}
    assert len(by_id) == len(TRUTH["incidents"]) == len(TRUTH["alerts"])
    for row in TRUTH["alerts"]:
        labels = json.loads(row["labels"])
        incident = by_id[row["incident_id"]]
        assert (labels["alertname"], labels["severity"]) == (row["alertname"], row["severity"])
        assert row["severity"] in {"info", "warning", "error", "critical"}
        assert incident["start"] < row["startsAt"] < row["endsAt"] == incident["end"]
        if row["tenant"] == "platform":
            assert "tenant_id" not in labels
            places = [value for name, value in labels.items() if name not in ("alertname", "severity")]
            assert "/".join(places) == incident["entity_id"]
        else:
            assert labels["tenant_id"] == row["tenant"]
            assert labels["vm_id"] == incident["entity_id"]
        assert row["fingerprint"] == fingerprint(labels)
    # A second firing of the same alert has the same fingerprint and another start.
    bursts = [row for row in TRUTH["alerts"] if "acme-vm-0009/noisy" in row["incident_id"]]
    assert len({row["fingerprint"] for row in bursts}) == 1
    assert len({row["startsAt"] for row in bursts}) == len(bursts) > 1


def test_fingerprint_is_alertmanagers() -> None:
    """The expected value was sent by Alertmanager 0.25 for these labels."""
    labels = {
        "alertname": "Story2", "node_id": "node-01", "severity": "warning", "tenant_id": "tenant-03", "vm_id": "vm-a",
    }  # fmt: skip
    assert fingerprint(labels) == "60bb6e2e4f958bd2"
