from collections import Counter
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from resources.monitoring.metrics import VM_COLUMNS
from resources.monitoring.simulated.truth import truth_tables
from tests.resources.monitoring.simulated.fleets import month

FLEET = month()
TRUTH = truth_tables(FLEET)
EXPECTED = TRUTH["anomalies"].to_pylist()
TENANTS = ("acme", "globex", "initech")
JUDGED_DAYS = range(21, 28)
AROUND = 12
"""Samples before and after the time of day that a sample is compared with: an hour."""
IN_A_ROW = 3


def matrix(tenant: str, column: str) -> tuple[list[str], NDArray[np.float64]]:
    """Return the running VMs of a tenant and their values [vm, day, sample of the day]."""
    vms = [vm for vm in FLEET.vms(tenant) if vm.running]
    rates = column.endswith("per_second")
    days = [
        FLEET.signals.rates(vms, column, day) if rates else FLEET.signals.gauge(vms, column, day)
        for day in range(FLEET.clock.days)
    ]
    return [vm.vm_id for vm in vms], np.stack(days, axis=1)


def odd_times(values: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return when `values` [day, sample] leave all that was seen at that time of day before, by half of its range."""
    around = sliding_window_view(np.pad(values, ((0, 0), (AROUND, AROUND)), mode="wrap"), 2 * AROUND + 1, axis=1)
    low, high = around.min(axis=2), around.max(axis=2)
    odd = np.zeros(values.shape, bool)
    for day in JUDGED_DAYS:
        lowest, highest = low[:day].min(axis=0), high[:day].max(axis=0)
        margin = 0.5 * (highest - lowest)
        odd[day] = (values[day] > highest + margin) | (values[day] < lowest - margin)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], odd.ravel().astype(int), [0]))))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= IN_A_ROW]


def overlaps(row: dict[str, Any], entity: str, column: str, span: tuple[int, int]) -> bool:
    start, end = FLEET.clock.ms(span[0]), FLEET.clock.ms(span[1])
    begin, until = (row[name].timestamp() * 1000 for name in ("start", "end"))
    return (
        row["entity_id"] == entity
        and (not row["metrics"] or column in row["metrics"])
        and start < until
        and begin < end
    )


def test_a_plain_comparison_finds_all_that_is_required_and_nothing_unexpected() -> None:
    """A truth that the samples do not bear out would fail a right detector, or pass one that cries wolf."""
    required = [row for row in EXPECTED if row["required"] and row["entity_kind"] == "vm"]
    found = set()
    for tenant in TENANTS:
        for column in VM_COLUMNS:
            vms, values = matrix(tenant, column)
            for vm, own in zip(vms, values, strict=True):
                for span in odd_times(own):
                    reasons = [row for row in EXPECTED if overlaps(row, vm, column, span)]
                    assert reasons, (vm, column, span)
                    found |= {id(row) for row in reasons if row["required"]}
    assert len(required) == 5 * len(TENANTS)
    assert found == {id(row) for row in required}


def test_every_incident_is_expected_and_only_what_is_planted_once_is_required() -> None:
    """What comes every third day is usual to a detector that learns, and an outage has no samples to be odd."""
    kinds = Counter(row["kind"] for row in EXPECTED if row["required"])
    once = {"cpu_saturation", "traffic_spike", "write_burst", "io_storm", "memory_exhaustion", "tier_saturation"}
    assert kinds == {**dict.fromkeys(once, 3), "link_fault": 1}
    for incident in TRUTH["incidents"].to_pylist():
        if incident["entity_kind"] == "vm":
            named = {
                metric
                for row in EXPECTED
                if (row["entity_id"], row["start"], row["end"])
                == tuple(incident[k] for k in ("entity_id", "start", "end"))
                for metric in row["metrics"]
            }
            assert named == set(incident["metrics"])


def test_what_a_vm_does_to_its_node_is_allowed_where_it_was_then() -> None:
    """A VM that had moved would excuse a false alarm on the node that it left."""
    vms = {row["vm_id"]: row["node_id"] for row in TRUTH["vms"].to_pylist()}
    for incident in TRUTH["incidents"].to_pylist():
        if incident["entity_kind"] != "vm":
            continue
        nodes = {
            (row["tenant"], row["entity_id"])
            for row in EXPECTED
            if row["entity_kind"] == "node" and row["kind"] == incident["kind"] and row["start"] == incident["start"]
        }
        # None of these VMs migrates.
        assert {(tenant, vms[incident["entity_id"]]) for tenant in ("platform", incident["tenant"])} <= nodes
    for change in TRUTH["migrations"].to_pylist():
        for node in (change["source_node"], change["target_node"]):
            assert any(
                (row["entity_id"], row["kind"], row["start"]) == (node, "migration", change["at"]) for row in EXPECTED
            )
