"""A tenant's load by node, and the nodes' own load."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.components import Instance, NoParameters, Workplace
from analytics_assets.processors.node_load import node_table
from analytics_assets.processors.system_load import COMPONENT, SYSTEM_LOAD, sizes_at, tenant_load
from analytics_assets.processors.vm_inventory import COMPONENT as INVENTORY
from analytics_assets.processors.vm_inventory import VM_INVENTORY, inventory_table
from analytics_assets.processors.vm_resources import COMPONENT as BUCKETS
from analytics_assets.processors.vm_resources import VM_RESOURCES
from resources.inventory.source import INVENTORY_SCHEMA
from resources.lake.lake import Facts, Lake
from resources.lake.table import TIMESTAMP
from resources.lake.warehouse import QueryLimits
from resources.monitoring.metrics import VM_COLUMNS
from resources.monitoring.source import SeriesBatch
from resources.partition import Partition

DAY = Partition("platform", date(2026, 1, 1))
STEP = 300_000


def used(*rows: tuple[str, int, str | None, float]) -> pa.Table:
    """Rows of (vm, bucket number, node, cpu percent); every other metric is 100."""
    columns = {
        "vm_id": pa.array([row[0] for row in rows]),
        "ts": pa.array([DAY.start_ms + row[1] * STEP for row in rows]).cast(TIMESTAMP),
        "node_id": pa.array([row[2] for row in rows], pa.string()),
        "samples_seen": pa.array([5] * len(rows), pa.int32()),
        "samples_expected": pa.array([5] * len(rows), pa.int32()),
    }
    for stem in VM_COLUMNS:
        value = [row[3] if stem == "cpu_percent" else 100.0 for row in rows]
        columns[f"{stem}_mean"] = columns[f"{stem}_max"] = pa.array(value, pa.float32())
    return VM_RESOURCES.conform(pa.table({name: columns[name] for name in VM_RESOURCES.column_names}))


def sizes(*rows: tuple[str, int, float | None]) -> pa.Table:
    """Rows of (vm, bucket number it holds from, vCPUs)."""
    listed = pa.table(
        {
            "vm_id": [row[0] for row in rows],
            "valid_from_ms": [DAY.start_ms + row[1] * STEP for row in rows],
            "vm_name": [None] * len(rows),
            "node_id": [None] * len(rows),
            "flavor": [None] * len(rows),
            "vcpus": [row[2] for row in rows],
            "memory_bytes": [1000] * len(rows),
            "disk_bytes": [None] * len(rows),
            "state": ["running"] * len(rows),
        },
        schema=INVENTORY_SCHEMA,
    )
    return VM_INVENTORY.conform(inventory_table(listed, pa.array([], pa.string()), DAY.start_ms))


def test_vms_of_a_node_are_summed_weighted_by_their_vcpus():
    """Stops a mean of percentages over VMs of different sizes."""
    load = SYSTEM_LOAD.conform(
        tenant_load(
            used(("a", 0, "n1", 50.0), ("b", 0, "n1", 100.0), ("c", 0, "n2", 10.0)),
            sizes(("a", 0, 4), ("b", 0, 1), ("c", 0, 2)),
        )
    )
    first = load.to_pylist()[0]
    assert (first["node_id"], first["vm_count"], first["cpu_cores_mean"], first["cpu_cores_total"]) == (
        "n1",
        2,
        3.0,
        5.0,
    )
    assert first["cpu_percent_mean"] == pytest.approx(60.0)
    assert first["memory_bytes_mean"] == 200.0
    assert first["memory_total_bytes"] == 2000.0
    assert load.num_rows == 2


def test_a_resize_counts_from_its_moment():
    """Stops a size of today from being applied to the hours before the resize."""
    load = tenant_load(used(("a", 0, "n", 50.0), ("a", 6, "n", 50.0)), sizes(("a", -10, 2), ("a", 6, 8)))
    assert load.column("cpu_cores_mean").to_pylist() == [1.0, 4.0]


def size_of(inventory: list[dict], vm_id: str, ts: int, column: str) -> float | None:
    """Return a VM's size by the inventory's own words: the last row that began, or else the first one to come."""
    own = sorted((row for row in inventory if row["vm_id"] == vm_id), key=lambda row: row["valid_from"])
    begun = [row for row in own if row["valid_from"] <= ts]
    chosen = begun[-1:] or own[:1]
    return chosen[0][column] if chosen else None


@given(st.randoms(use_true_random=False))
def test_sizes_are_those_of_the_last_row(random):
    """Stops a resize from reaching another VM or another hour, and a size that is no longer told from being kept."""
    vms = [f"v{number}" for number in range(5)]
    rows = [
        {"vm_id": random.choice(vms), "valid_from": random.randrange(20), "vcpus": random.choice([None, 1.0, 2.0]),
         "memory_bytes": random.choice([None, 10, 20])}
        for _ in range(random.randrange(12))
    ]  # fmt: skip
    rows.sort(key=lambda row: (row["vm_id"], row["valid_from"]))
    asked = [(random.choice(vms), random.randrange(25)) for _ in range(random.randrange(1, 20))]
    inventory = pa.table(
        {
            "vm_id": pa.array([row["vm_id"] for row in rows], pa.string()),
            "valid_from": pa.array([row["valid_from"] for row in rows], pa.int64()).cast(TIMESTAMP),
            "vcpus": pa.array([row["vcpus"] for row in rows], pa.float64()),
            "memory_bytes": pa.array([row["memory_bytes"] for row in rows], pa.int64()),
        }
    )
    ids = pa.array([vm for vm, _ in asked]).dictionary_encode()
    found = sizes_at(ids, np.array([ts for _, ts in asked]), inventory)
    for values, column in zip(found, ("vcpus", "memory_bytes"), strict=True):
        wanted = [size_of(rows, vm, ts, column) for vm, ts in asked]
        assert [None if np.isnan(value) else value for value in values] == wanted


def test_the_facts_of_a_tenants_load_are_those_of_its_vms(tmp_path):
    """Stops warnings, doubts and coverage of the samples from being lost in what is summed from them."""
    day, lake = Partition("acme", date(2026, 1, 1)), Lake(tmp_path)
    collected = Facts(
        as_of_ms=day.end_ms, samples_seen=5, samples_expected=10, series=1, warnings=("half is missing",),
        notes=("3 rate(s) of a bucket are doubtful.",),
    )  # fmt: skip
    samples, inventory = (
        Instance("vm_resources", BUCKETS, NoParameters()),
        Instance("vm_inventory", INVENTORY, NoParameters()),
    )
    lake.write(samples.table, day, used(("a", 0, "n", 50.0), ("b", 0, None, 50.0)), collected)
    lake.write(inventory.table, day, sizes(("a", 0, 2)))
    inputs = {"samples": (samples,), "inventory": (inventory,)}
    parameters = COMPONENT.parameters()
    with Workplace(
        partition=day, instance=Instance("system_load", COMPONENT, parameters, inputs), lake=lake, metrics=None,
        inventory=None, limits=QueryLimits(1000, 10, 100, 1), resolution_seconds=300, minimum_coverage=0.7,
    ) as workplace:  # fmt: skip
        found = COMPONENT.compute(workplace, parameters).facts
    assert (found.coverage, found.series, found.warnings) == (0.5, 1, ("half is missing",))
    assert found.notes == (
        "3 rate(s) of a bucket are doubtful.",
        "1 buckets of VMs whose node is unknown are summed as node 'unknown'.",
    )


def test_a_vm_of_unknown_size_or_place_is_not_lost():
    """Stops a VM without inventory from vanishing, and from counting as zero cores."""
    load = tenant_load(used(("a", 0, "n", 50.0), ("b", 0, "n", 50.0), ("c", 0, None, 30.0)), sizes(("a", 0, 2)))
    known, unknown = sorted(load.to_pylist(), key=lambda row: row["node_id"])
    assert (known["vm_count"], known["cpu_cores_mean"], known["memory_bytes_mean"]) == (2, 1.0, 200.0)
    assert (unknown["node_id"], unknown["cpu_cores_mean"]) == ("unknown", None)


class Nodes:
    """A source of two CPUs, memory and load average of one node."""

    kind = "test"

    def has_passed(self, tenant: str, ts_ms: int) -> bool:
        return False

    def sample_interval_seconds(self, tenant: str) -> int:
        return 60

    def samples(self, tenant, metrics, start_ms, end_ms):
        ts = np.arange(DAY.start_ms, DAY.start_ms + 600_000, 60_000, dtype=np.int64)
        series = {
            "novacron_system_cpu_usage_percent": [({"cpu": "0"}, 100.0), ({"cpu": "1"}, 50.0)],
            "novacron_system_memory_usage_bytes": [({"type": "used"}, 4e9), ({"type": "total"}, 8e9)],
            "novacron_system_load_average": [({"period": "1m"}, 1.5), ({"period": "5m"}, 9.0)],
        }[metrics[0]]
        labels = tuple({"node_id": "n1", **extra} for extra, _ in series)
        values = np.concatenate([np.full(len(ts), value) for _, value in series])
        offsets = np.arange(len(series) + 1, dtype=np.int64) * len(ts)
        yield SeriesBatch(metrics[0], labels, offsets, np.tile(ts, len(series)), values)


def test_a_node_is_the_mean_of_its_cpus_and_knows_its_size():
    """Stops memory used and total, or load over 1 and 5 minutes, from being averaged together."""
    data, facts = node_table(Nodes(), DAY, 300, SYSTEM_LOAD)
    stored = SYSTEM_LOAD.conform(data).to_pylist()
    assert len(stored) == 2
    row = stored[0]
    assert (row["cpu_percent_mean"], row["cpu_cores_mean"], row["cpu_cores_total"]) == (75.0, 1.5, 2.0)
    assert (row["memory_bytes_mean"], row["memory_total_bytes"], row["load_average_1m_mean"]) == (4e9, 8e9, 1.5)
    assert facts.as_of_ms == DAY.start_ms + 600_000
    assert facts.coverage == 1.0


class NodeExporter(Nodes):
    """NovaCron's constants beside a node-exporter that measures: CPU 0 half idle, CPU 1 idle; a reboot in between."""

    def sample_interval_seconds(self, tenant: str) -> None:
        return None

    def samples(self, tenant, selectors, start_ms, end_ms):
        ts = np.arange(start_ms, DAY.start_ms + 1_800_000, 15_000, dtype=np.int64)
        seconds = np.where(ts < DAY.start_ms + 900_000, ts - start_ms, ts - DAY.start_ms - 900_000) / 1000
        here = {"instance": "n1:9100"}
        found = {
            "novacron_system_cpu_usage_percent": [({"cpu": "0", "node_id": "x"}, np.full(len(ts), 25.5))],
            "novacron_system_memory_usage_bytes": [({"type": "used", "node_id": "x"}, np.full(len(ts), 8.0 * 2**30))],
            'node_cpu_seconds_total{mode="idle"}': [({"cpu": "0"}, 0.5 * seconds), ({"cpu": "1"}, seconds)],
            "node_memory_MemTotal_bytes": [({}, np.full(len(ts), 1e9))],
            "node_memory_MemAvailable_bytes": [({}, np.full(len(ts), 4e8))],
            "node_load1": [({}, np.linspace(1, 2, len(ts)))],
        }
        for selector in selectors:
            series = found.get(selector, [])
            if series:
                labels = tuple({**here, **extra} for extra, _ in series)
                offsets = np.arange(len(series) + 1, dtype=np.int64) * len(ts)
                values = np.concatenate([values for _, values in series])
                yield SeriesBatch(selector.split("{")[0], labels, offsets, np.tile(ts, len(series)), values)


def test_constants_of_the_exporter_are_left_out_and_node_exporter_measures_instead():
    """Stops NovaCron's fixed 25.5 % CPU from being charted as a node's load, and a reboot from showing -100 %."""
    data, facts = node_table(NodeExporter(), DAY, 300, SYSTEM_LOAD)
    rows = SYSTEM_LOAD.conform(data).to_pylist()
    assert {row["node_id"] for row in rows} == {"n1:9100"}
    assert len(rows) == 6
    for row in rows:
        assert row["cpu_percent_mean"] == pytest.approx(25, abs=2)
        assert (row["memory_bytes_mean"], row["memory_total_bytes"]) == (pytest.approx(6e8), 1e9)
        assert 1 < row["load_average_1m_mean"] < 2
    assert facts.coverage == pytest.approx(1, abs=0.01)
    assert [note.split(" is ")[0] for note in facts.notes] == ["NovaCron's CPU use", "NovaCron's memory in use"]


def test_the_end_of_a_nodes_series_is_no_memory():
    """Stops the marker of a series' end, a signalling NaN, from breaking the arithmetic or becoming a value."""

    class Ended(NodeExporter):
        def samples(self, tenant, selectors, start_ms, end_ms):
            for found in super().samples(tenant, selectors, start_ms, end_ms):
                values = found.values.copy()
                values[-1] = np.array([0x7FF0000000000002], np.uint64).view(np.float64)[0]
                yield SeriesBatch(found.metric, found.labels, found.offsets, found.ts_ms, values)

    data, _ = node_table(Ended(), DAY, 300, SYSTEM_LOAD, "node_exporter")
    assert SYSTEM_LOAD.conform(data).column("memory_bytes_mean").to_pylist()[-1] == pytest.approx(6e8)


def test_only_the_exporter_that_was_asked_for_is_read():
    """Stops an operator's choice from being overridden."""
    constant, _ = node_table(NodeExporter(), DAY, 300, SYSTEM_LOAD, "novacron")
    assert constant.num_rows == 0
    renamed, _ = node_table(NodeExporter(), DAY, 300, SYSTEM_LOAD, "node_exporter", "instance")
    assert set(renamed.column("node_id").to_pylist()) == {"n1:9100"}
