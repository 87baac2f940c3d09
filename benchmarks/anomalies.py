"""Anomalies of one day of 60,000 VM metrics, from 28 days of five-minute history in the lake, in a process of its own.

The peer is reading the same columns of the same files with pyarrow, all at once and nothing more: what no analysis of
them can do without. The joint analysis of each VM's metrics is measured apart. A small tenant's
day is computed once with a lake of 29 days and once with one of 400, which must not matter.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow.parquet as pq

from analytics_assets.analyzers.anomaly_model.parameters import AnomaliesParameters
from analytics_assets.components import Instance
from analytics_assets.processors.vm_resources import VM_RESOURCES
from benchmarks.daily_graph import peak_gb
from benchmarks.fleet import LAST_DAY, TENANT, compute, graph, make_home, store_history
from benchmarks.report import Outcome
from resources.lake.lake import Lake
from resources.monitoring.metrics import VM_COLUMNS
from resources.partition import Partition
from resources.settings import Settings, load_settings

WINDOW_DAYS = 28
METRICS = VM_COLUMNS[:6]
SMALL_VMS, OLD_DAYS = 50, 400


def run(quick: bool) -> list[Outcome]:
    """Return seconds and memory of the scores, of the joint analysis, and what the lake's age costs."""
    vms = 500 if quick else 10_000
    with tempfile.TemporaryDirectory() as folder:
        settings = _history(Path(folder), vms)
        alone, joint = _in_own_process(settings, together=False), _in_own_process(settings, together=True)
        reading = _pyarrow_seconds(Lake(settings.lake_root))
    with tempfile.TemporaryDirectory() as folder:
        settings = _history(Path(folder), SMALL_VMS)
        young = min(_in_own_process(settings, together=True)["again"] for _ in range(3))
        _age(Lake(settings.lake_root), OLD_DAYS)
        old = min(_in_own_process(settings, together=True)["again"] for _ in range(3))
    series = vms * len(METRICS)
    return [
        Outcome(f"{series:,} VM metrics: one day", alone["seconds"], "s", aim="<= 60", note=_shares(alone)),
        Outcome(f"{series:,} VM metrics: peak memory", alone["peak_gb"], "GB", aim="<= 4"),
        Outcome("the same beside reading", alone["seconds"], "s", reading, "pyarrow reads the columns"),
        Outcome("with each VM's metrics together", joint["seconds"], "s", alone["seconds"], "without"),
        Outcome(
            f"{SMALL_VMS} VMs: a day of a lake of {OLD_DAYS} days", old, "s", young, f"of {WINDOW_DAYS + 1}", "<= 1.2"
        ),
    ]


def _shares(figures: dict[str, Any]) -> str:
    return f"{1000 * figures['seconds'] / figures['series']:.2f} ms each; {figures['rows']:,} rows found"


def _history(folder: Path, vms: int) -> Settings:
    settings = make_home(folder, vms)
    for instance in graph(settings):
        if instance.id in ("vm_resources", "vm_inventory"):
            compute(instance, settings)
    store_history(settings, VM_RESOURCES, WINDOW_DAYS)
    return settings


def _age(lake: Lake, days: int) -> None:
    """Let the lake have `days` days: what is older than the window is a link to its oldest day."""
    oldest = lake.path(VM_RESOURCES.name, Partition(TENANT, LAST_DAY - timedelta(days=WINDOW_DAYS)))
    for back in range(WINDOW_DAYS + 1, days):
        os.link(oldest, lake.path(VM_RESOURCES.name, Partition(TENANT, LAST_DAY - timedelta(days=back))))


def _in_own_process(settings: Settings, together: bool) -> dict[str, Any]:
    script = "import sys; from benchmarks import anomalies; anomalies.measure(sys.argv[1], sys.argv[2] == 'True')"
    command = [sys.executable, "-c", script, str(settings.home), str(together)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(folder: str, together: bool) -> None:
    """Compute the last day's anomalies in this process and print its figures as JSON."""
    settings = load_settings(Path(folder), {})
    made = next(instance for instance in graph(settings) if instance.id == "anomalies")
    parameters = AnomaliesParameters(metrics=METRICS, together=together)
    instance = Instance(made.id, made.component, parameters, made.inputs)
    started = perf_counter()
    compute(instance, settings)
    seconds = perf_counter() - started
    peak = peak_gb()
    started = perf_counter()
    compute(instance, settings)
    rows = Lake(settings.lake_root).footer("anomalies", Partition(TENANT, LAST_DAY))[0]
    vms = len(Lake(settings.lake_root).keys(VM_RESOURCES, TENANT, [LAST_DAY]))
    figures = {"seconds": seconds, "again": perf_counter() - started, "peak_gb": peak, "rows": rows}
    sys.stdout.write(json.dumps({**figures, "series": vms * len(METRICS)}) + "\n")


def _pyarrow_seconds(lake: Lake) -> float:
    columns: Sequence[str] = ["vm_id", "ts", *(f"{metric}_mean" for metric in METRICS)]
    started = perf_counter()
    for back in range(WINDOW_DAYS + 1):
        path = lake.path(VM_RESOURCES.name, Partition(TENANT, LAST_DAY - timedelta(days=back)))
        pq.read_table(path, columns=list(columns), partitioning=None)
    return perf_counter() - started
