"""Writing and reading a partition through the lake, against plain pyarrow on the same table.

One day of the wide 5-minute table of a simulated fleet. Ours checks types, nulls, ranges, order and
key, hashes, syncs to disk and renames; plain pyarrow only writes the file.
"""

import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from analytics_assets.processors.vm_resources import VM_RESOURCES
from benchmarks.fleet import LAST_DAY, TENANT, compute, graph, make_home
from benchmarks.report import Outcome, side_by_side
from resources.lake.lake import ROW_GROUP_ROWS, Lake
from resources.partition import Partition


def run(quick: bool) -> list[Outcome]:
    """Return rows per second of ours and of pyarrow."""
    vms = 400 if quick else 4000
    with tempfile.TemporaryDirectory() as folder:
        settings = make_home(Path(folder), vms)
        compute(next(instance for instance in graph(settings) if instance.id == "vm_resources"), settings)
        lake, partition = Lake(settings.lake_root), Partition(TENANT, LAST_DAY)
        data = lake.read_day(VM_RESOURCES, partition)
        plain = Path(folder) / "plain.parquet"

        def write_plain() -> None:
            pq.write_table(data, plain, compression="zstd", compression_level=3, row_group_size=ROW_GROUP_ROWS)

        ours_write, plain_write = side_by_side(lambda: lake.write(VM_RESOURCES, partition, data), write_plain)
        ours_read, plain_read = side_by_side(
            lambda: lake.read_day(VM_RESOURCES, partition),
            lambda: pq.read_table(lake.path(VM_RESOURCES.name, partition), partitioning=None),
        )
        rows = data.num_rows / 1e6
        return [
            Outcome(
                f"write {data.num_rows:,} rows x {data.num_columns} columns",
                rows / ours_write, "M rows/s", rows / plain_write, "pyarrow.parquet.write_table", ">= 0.7",
            ),
            Outcome(
                "read the same back",
                rows / ours_read, "M rows/s", rows / plain_read, "pyarrow.parquet.read_table", ">= 0.7",
            ),
        ]  # fmt: skip
