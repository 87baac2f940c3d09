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
from resources.partition import Partition
from resources.settings import Settings


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
            outcomes.append(_measure("Bitbrains, 90 VMs, one day", settings, date(2013, 7, 20), "<= 1.9"))
        else:
            print(f"  real traces left out: {file} is not there")
    return outcomes
