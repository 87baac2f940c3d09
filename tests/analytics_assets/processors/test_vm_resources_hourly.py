"""The hourly roll-up against DuckDB doing the same, and what it says of how its buckets were collected."""

from datetime import date

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from analytics_assets.components import Instance, NoParameters, Workplace
from analytics_assets.processors.vm_resources import COMPONENT as BUCKETS
from analytics_assets.processors.vm_resources import VM_RESOURCES
from analytics_assets.processors.vm_resources_hourly import COMPONENT, VM_RESOURCES_HOURLY, by_hour
from resources.lake.lake import Facts, Lake
from resources.lake.table import TIMESTAMP
from resources.lake.warehouse import QueryLimits
from resources.monitoring.metrics import VM_COLUMNS
from resources.partition import Partition

START = 1_767_225_600_000


def buckets(vms: int = 5, seed: int = 1, keep: float = 0.8) -> pa.Table:
    random = np.random.default_rng(seed)
    vm, slot = np.divmod(np.flatnonzero(random.random(vms * 288) < keep), 288)
    columns = {
        "vm_id": pa.array([f"vm-{number}" for number in vm]),
        "ts": pa.array(START + slot * 300_000).cast(TIMESTAMP),
        "node_id": pa.array([f"node-{number % 2}" for number in vm]),
    }
    for stem in VM_COLUMNS:
        mean = random.gamma(2.0, 10.0, len(vm)).astype(np.float32)
        mean[random.random(len(vm)) < 0.1] = np.nan
        columns[f"{stem}_mean"] = pa.array(mean, from_pandas=True)
        columns[f"{stem}_max"] = pa.array(mean * np.float32(1.5), from_pandas=True)
    columns["samples_seen"] = pa.array(np.full(len(vm), 7, np.int32))
    columns["samples_expected"] = pa.array(np.full(len(vm), 7, np.int32))
    return VM_RESOURCES.conform(pa.table(columns))


def test_equals_duckdb_on_the_same_buckets():
    """Stops a shifted hour, a null counted as zero, and a percentile of the wrong rank."""
    source = buckets()
    rolled = VM_RESOURCES_HOURLY.conform(by_hour(source, 300))
    expected = duckdb.sql(
        "SELECT vm_id, date_trunc('hour', ts) AS hour, avg(cpu_percent_mean) AS mean, max(cpu_percent_max) AS peak, "
        "quantile_cont(cpu_percent_mean, 0.95) AS p95, sum(samples_seen)::INT AS seen "
        "FROM source GROUP BY ALL ORDER BY vm_id, hour"
    ).fetchnumpy()
    assert rolled.num_rows == len(expected["seen"])
    assert rolled.column("samples_seen").to_pylist() == expected["seen"].tolist()
    for name, column in (("mean", "cpu_percent_mean"), ("peak", "cpu_percent_max"), ("p95", "cpu_percent_p95")):
        found = rolled.column(column).to_numpy(zero_copy_only=False)
        np.testing.assert_allclose(found, np.ma.filled(expected[name].astype(float), np.nan), rtol=1e-5)


def test_an_hour_is_expected_whole():
    """Stops a VM that vanished for half an hour from showing full coverage."""
    source = buckets(vms=1, keep=0.5)
    rolled = by_hour(source, 300)
    assert set(rolled.column("samples_expected").to_pylist()) == {7 * 12}
    assert sum(rolled.column("samples_seen").to_pylist()) == 7 * source.num_rows


def test_no_buckets_are_no_hours():
    assert by_hour(VM_RESOURCES.empty(), 300).num_rows == 0


@pytest.mark.parametrize("resolution", [60, 900])
def test_other_resolutions_have_other_slots(resolution):
    source = buckets()
    ts = np.asarray(source.column("ts").cast(pa.int64()))
    kept = source.filter(pa.array(ts % (resolution * 1000) == 0))
    rolled = by_hour(kept, resolution)
    assert sum(rolled.column("samples_seen").to_pylist()) == 7 * kept.num_rows


def test_the_facts_are_those_of_the_buckets(tmp_path):
    """Stops what the source warned of, and how it was read, from being lost in what long windows are read from."""
    day, lake = Partition("acme", date(2026, 1, 1)), Lake(tmp_path)
    collected = Facts(
        as_of_ms=day.end_ms, samples_seen=9, samples_expected=10, series=7, read_methods=("remote-read",),
        warnings=("half of it is missing",), recipe="of the collector", notes=("doubtful",),
    )  # fmt: skip
    samples = Instance("vm_resources", BUCKETS, NoParameters())
    lake.write(samples.table, day, buckets(), collected)
    hourly = Instance("vm_resources_hourly", COMPONENT, NoParameters(), {"samples": (samples,)})
    with Workplace(
        partition=day, instance=hourly, lake=lake, metrics=None, inventory=None,
        limits=QueryLimits(1000, 10, 100, 1), resolution_seconds=300, minimum_coverage=0.7,
    ) as workplace:  # fmt: skip
        found = COMPONENT.compute(workplace, NoParameters()).facts
    assert (found.series, found.read_methods, found.warnings) == (7, ("remote-read",), ("half of it is missing",))
    assert (found.as_of_ms, found.coverage, found.notes) == (day.end_ms, 0.9, ("doubtful",))
    assert found.recipe is None
