"""Bytes of the stored wide table for each stored value (a mean or a maximum of one metric, VM and bucket).

On a simulated fleet, whose values are as random as they can be, and on real traces where they are
(NOVACRON_SHARED_DATA, or ../shared/data): Bitbrains, imported and gridded. The limit beside it is
the same file without compression.
"""

import os
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_assets.processors.vm_resources import VM_RESOURCES
from benchmarks.fleet import LAST_DAY, TENANT, compute, graph, make_home
from benchmarks.report import Outcome
from resources.lake.lake import Lake
from resources.monitoring.metrics import VM_COLUMNS
from resources.monitoring.traces.columns import parse_columns
from resources.monitoring.traces.importing import Selection, import_traces
from resources.partition import Partition
from resources.settings import Settings, load_settings

REAL_DAY = date(2013, 7, 20)
BITBRAINS_COLUMNS = (
    "cpu_percent=cpu_usage_pct",
    "memory_bytes=mem_usage_kb*1024",
    "disk_read_bytes_per_second=disk_read_kbps*1024",
    "disk_write_bytes_per_second=disk_write_kbps*1024",
    "network_receive_bytes_per_second=net_rx_kbps*1024",
    "network_transmit_bytes_per_second=net_tx_kbps*1024",
    "vcpus=cpu_cores",
    "memory_capacity_bytes=mem_capacity_kb*1024",
)


def run(quick: bool) -> list[Outcome]:
    """Return bytes per value for each fleet."""
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        settings = make_home(Path(folder) / "simulated", 100 if quick else 1000, interval_seconds=60)
        outcomes.append(_measure("simulated fleet, 60 s samples", settings, LAST_DAY, ""))
        traces = Path(os.environ.get("NOVACRON_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
        file = traces / "bitbrains_5min.parquet"
        if file.exists():
            settings = _import(Path(folder) / "bitbrains", file)
            outcomes.append(_measure("Bitbrains, 90 VMs, one day", settings, REAL_DAY, "<= 1.9"))
        else:
            print(f"  real traces left out: {file} is not there")
    return outcomes


def _import(home: Path, file: Path) -> Settings:
    """Return the settings of a home with the Bitbrains traces of `file` as its tenant."""
    settings = load_settings(home, {})
    import_traces(
        settings.traces_root,
        TENANT,
        [file],
        today=datetime.now(UTC).date(),
        mapping=parse_columns(BITBRAINS_COLUMNS, "auto"),
        selection=Selection(first_day=REAL_DAY, last_day=REAL_DAY),
    )
    return settings


def _measure(what: str, settings: Settings, day: date, aim: str) -> Outcome:
    compute(next(instance for instance in graph(settings) if instance.id == "vm_resources"), settings, day)
    lake, partition = Lake(settings.lake_root), Partition(TENANT, day)
    data = lake.read_day(VM_RESOURCES, partition)
    names = [f"{stem}_{which}" for stem in VM_COLUMNS for which in ("mean", "max")]
    values = sum(data.num_rows - data.column(name).null_count for name in names)
    sink = pa.BufferOutputStream()
    pq.write_table(data, sink, compression="none", use_dictionary=False)
    stored = lake.path(VM_RESOURCES.name, partition).stat().st_size
    seen = int(np.asarray(data.column("samples_seen")).sum())
    return Outcome(
        what, stored / values, "bytes/value", sink.getvalue().size / values, "plain, uncompressed",
        note=f"{stored / seen:.2f} bytes per raw sample",
    )  # fmt: skip
