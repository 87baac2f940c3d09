"""Real monitoring data against sums that DuckDB makes of the same files directly."""

import os
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

import resources
from resources.monitoring.traces.columns import ColumnMap
from resources.monitoring.traces.delimited import Field
from resources.monitoring.traces.importing import Selection
from resources.monitoring.traces.source import TraceFiles
from tests.resources.monitoring.traces.files import contents, run, series

DATA = Path(os.environ.get("NOVACRON_SHARED_DATA", Path(resources.__file__).parents[2] / "shared" / "data"))

BITBRAINS = ColumnMap(
    {
        "vcpus": Field("cpu_cores"),
        "cpu_percent": Field("cpu_usage_pct"),
        "memory_capacity_bytes": Field("mem_capacity_kb", 1024),
        "memory_bytes": Field("mem_usage_kb", 1024),
        "disk_read_bytes_per_second": Field("disk_read_kbps", 1024),
        "disk_write_bytes_per_second": Field("disk_write_kbps", 1024),
        "network_receive_bytes_per_second": Field("net_rx_kbps", 1024),
        "network_transmit_bytes_per_second": Field("net_tx_kbps", 1024),
    }
)

METRICS = {
    "novacron_vm_cpu_usage_percent": "cpu_usage_pct",
    "novacron_vm_memory_usage_bytes": "mem_usage_kb * 1024.0",
    "novacron_vm_disk_read_bytes_per_second": "disk_read_kbps * 1024.0",
    "novacron_vm_disk_write_bytes_per_second": "disk_write_kbps * 1024.0",
    "novacron_vm_network_receive_bytes_per_second": "net_rx_kbps * 1024.0",
    "novacron_vm_network_transmit_bytes_per_second": "net_tx_kbps * 1024.0",
}


def ask(sql: str) -> list[Any]:
    """Return the rows of a query."""
    return duckdb.execute(sql).fetchall()


def data(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not here; set NOVACRON_SHARED_DATA to the folder that has it")
    return path


@pytest.mark.parametrize("name", ["bitbrains_5min.parquet", "bitbrains_messy.parquet"])
def test_sums_of_three_vms_are_those_of_the_file(name: str, tmp_path: Path) -> None:
    """Stops samples lost, doubled or mixed between VMs; the messy file repeats timestamps, also with other values."""
    path = data(name)
    chosen = ask(f"SELECT DISTINCT vm_id FROM '{path}' ORDER BY 1 LIMIT 3")  # noqa: S608
    vms = tuple(row[0] for row in chosen)
    store = tmp_path / "store"
    report = run(store, path, mapping=BITBRAINS, selection=Selection(vms))
    where = f"FROM '{path}' WHERE vm_id IN {vms}"
    for metric, column in METRICS.items():
        rows = ask(f"SELECT vm_id, count(*), sum(({column})::DOUBLE) {where} GROUP BY 1")
        expected: dict[str, Any] = {vm: (count, pytest.approx(total)) for vm, count, total in rows}
        found = {vm: (len(values), sum(value for _, value in values)) for vm, values in series(store, metric).items()}
        assert found == expected
    rows = ask(f"SELECT count(*), min(epoch_ms(ts)), max(epoch_ms(ts)) {where}")
    [[count, first_ms, last_ms]] = rows
    assert (report.rows, report.rows_added, report.rejects, report.vms) == (count, count, 0, 3)
    stamps = sorted(ts for values in series(store).values() for ts, _ in values)
    assert (stamps[0], stamps[-1]) == (first_ms, last_ms)
    source = TraceFiles(store)
    assert source.sample_interval_seconds("acme") == 300
    off = ask(f"SELECT DISTINCT vm_id {where} AND cpu_cores = 0 ORDER BY 1")
    inventory = source.inventory("acme", 0, 2**42).to_pylist()
    assert sorted({row["vm_id"] for row in inventory if row["state"] == "stopped"}) == [row[0] for row in off]
    before = contents(store)
    assert run(store, path, mapping=BITBRAINS, selection=Selection(vms)).files_known == 1
    assert contents(store) == before


def test_planetlab_as_files_is_planetlab_as_parquet(tmp_path: Path) -> None:
    """Stops the two ways to the same samples from differing: a folder a day, and one table."""
    path = data("planetlab_cpu.parquet")
    rows = ask(
        f"SELECT vm_id::VARCHAR vm, list(cpu_percent ORDER BY ts) AS cpu FROM '{path}' "  # noqa: S608
        "WHERE ts < TIMESTAMPTZ '2011-03-04 00:00:00Z' AND hash(vm_id::VARCHAR) % 40 = 0 GROUP BY ALL ORDER BY 1"
    )
    assert rows
    for vm, cpu in rows:
        file = tmp_path / "planetlab" / "20110303" / vm
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{value}\n" for value in cpu))
    run(tmp_path / "files", tmp_path / "planetlab")
    chosen = Selection(tuple(row[0] for row in rows), last_day=date(2011, 3, 3))
    run(tmp_path / "table", path, selection=chosen)
    assert series(tmp_path / "files") == series(tmp_path / "table")
