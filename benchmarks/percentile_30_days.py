"""95th percentile per VM and metric over 30 days: views over daily files against one merged file.

The 5-minute table of a tenant, seven metrics. The peer is the same statement on a single Parquet
file with the same rows, written by DuckDB's own neighbour pyarrow in the same order per day.
"""

import tempfile
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_assets.processors.vm_resources import VM_RESOURCES
from benchmarks.fleet import LAST_DAY, TENANT, compute, graph, make_home, store_history
from benchmarks.report import Outcome, side_by_side
from resources.lake.lake import ROW_GROUP_ROWS, Lake
from resources.lake.warehouse import QueryLimits, open_session
from resources.monitoring.metrics import VM_COLUMNS

DAYS = 30


def run(quick: bool) -> list[Outcome]:
    """Return seconds of both."""
    vms = 100 if quick else 1000
    columns = ", ".join(f"quantile_cont({stem}_mean, 0.95) AS {stem}" for stem in VM_COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        settings = make_home(Path(folder), vms)
        compute(next(instance for instance in graph(settings) if instance.id == "vm_resources"), settings)
        store_history(settings, VM_RESOURCES, DAYS - 1)
        lake = Lake(settings.lake_root)
        merged = Path(folder) / "merged.parquet"
        days = [LAST_DAY - timedelta(days=back) for back in range(DAYS)]
        whole, _ = lake.read(VM_RESOURCES, TENANT, days)
        codes = whole.column("vm_id").combine_chunks().indices
        order = np.lexsort((np.asarray(whole.column("ts").cast(pa.int64())), np.asarray(codes)))
        pq.write_table(
            whole.take(order),
            merged,
            compression="zstd", compression_level=3, row_group_size=ROW_GROUP_ROWS,
        )  # fmt: skip
        del whole
        limits = QueryLimits(max_rows=10_000_000, timeout_seconds=600, memory_mb=8000, threads=2)
        with open_session(lake, TENANT, [VM_RESOURCES], limits) as session, duckdb.connect() as plain:
            plain.execute("SET threads = 2")
            ours, peer = side_by_side(
                lambda: session.query(f"SELECT vm_id, {columns} FROM vm_resources GROUP BY vm_id ORDER BY vm_id"),  # noqa: S608
                lambda: plain.sql(
                    f"SELECT vm_id, {columns} FROM '{merged}' GROUP BY vm_id ORDER BY vm_id"  # noqa: S608
                ).to_arrow_table(),
                repeats=3,
            )
        return [Outcome(f"p95 of {vms:,} VMs x 7 metrics x {DAYS} days", ours, "s", peer, "one merged file", "<= 1.3")]
