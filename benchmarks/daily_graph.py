"""The daily graph of one tenant: time, memory, and how both grow with the number of VMs.

Each size runs in a process of its own: 5-minute samples of one day are gridded and stored, then the
analyzers read 28 days of hourly history. The numeric work of trends and capacity is what they take besides
reading and writing the lake; its peer is DuckDB reading and aggregating the same hourly files (mean, maximum and
95th percentile of every metric per VM), on one thread as the analyzers are, and on two for comparison.
The best of three counts on either side.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import duckdb

from benchmarks.fleet import LAST_DAY, TENANT, compute, graph, history_of, make_home
from benchmarks.report import Outcome
from resources.lake.lake import Lake
from resources.monitoring.metrics import VM_COLUMNS
from resources.partition import Partition
from resources.settings import Settings, load_settings

WINDOW_DAYS = 28
MEASURED_APART = ("metric_trends", "capacity")
"""The analyzers whose numeric work is held against DuckDB; the others have benchmarks of their own."""


def run(quick: bool) -> list[Outcome]:
    """Return time, memory and ratios for each size, and their growth."""
    sizes = (100, 400) if quick else (1000, 4000)
    found = {vms: _in_own_process(vms) for vms in sizes}
    outcomes = []
    for vms, figures in found.items():
        outcomes += [
            Outcome(f"{vms:,} VMs: whole graph, one day", figures["total"], "s", note=figures["note"]),
            Outcome(
                f"{vms:,} VMs: numeric work of trends and capacity over {WINDOW_DAYS} days",
                figures["numeric"], "s", figures["duckdb"], "DuckDB read and aggregate, one thread", "<= 5",
                f"DuckDB on two threads: {figures['duckdb_two_threads']:.2f} s",
            ),
            Outcome(
                f"{vms:,} VMs: the same with reading and writing",
                figures["analyzers"], "s", figures["duckdb"], "DuckDB read and aggregate, one thread",
            ),
            Outcome(f"{vms:,} VMs: peak memory", figures["peak_gb"], "GB", aim="<= 2"),
        ]  # fmt: skip
    small, large = (found[vms] for vms in sizes)
    outcomes.append(Outcome("time grows by, for 4 times the VMs", large["total"] / small["total"], "x"))
    outcomes.append(Outcome("memory grows by, for 4 times the VMs", large["peak_gb"] / small["peak_gb"], "x"))
    return outcomes


def _in_own_process(vms: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        make_home(Path(folder), vms)
        script = "import sys; from benchmarks import daily_graph; daily_graph.{}(sys.argv[1])"
        subprocess.run([sys.executable, "-c", script.format("prepare"), folder], check=True)
        done = subprocess.run(
            [sys.executable, "-c", script.format("measure"), folder], check=True, capture_output=True, text=True
        )
        figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return figures


def prepare(folder: str) -> None:
    """Store the hourly history in the home at `folder`."""
    history_of(load_settings(Path(folder), {}), WINDOW_DAYS)


def measure(folder: str) -> None:
    """Compute the whole graph for the last day in this process and print its figures as JSON."""
    settings = load_settings(Path(folder), {})
    seconds: dict[str, float] = {}
    for instance in graph(settings):
        started = perf_counter()
        compute(instance, settings)
        seconds[instance.id] = perf_counter() - started
    peak = peak_gb()
    passes = [_analyzers_again(settings) for _ in range(3)]
    figures = {
        "total": sum(seconds.values()),
        "analyzers": min(whole for whole, _ in passes),
        "numeric": min(whole - storage for whole, storage in passes),
        "duckdb": _duckdb_seconds(Lake(settings.lake_root), 1),
        "duckdb_two_threads": _duckdb_seconds(Lake(settings.lake_root), 2),
        "peak_gb": peak,
        "note": ", ".join(f"{name} {value:.2f}" for name, value in seconds.items()),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def peak_gb() -> float:
    """Return this process's peak resident memory; getrusage would count its parent's before exec."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found.group(1)) * 1024 / 1e9 if found else float("nan")


def _analyzers_again(settings: Settings) -> tuple[float, float]:
    """Return the seconds of the analyzers, and how many of them went into reading and writing the lake."""
    spent = [0.0]

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            started = perf_counter()
            try:
                return work(*arguments, **named)
            finally:
                spent[0] += perf_counter() - started

        return call

    with patch.object(Lake, "read", timed(Lake.read)), patch.object(Lake, "write", timed(Lake.write)):
        started = perf_counter()
        for instance in graph(settings):
            if instance.component.name in MEASURED_APART:
                compute(instance, settings)
        return perf_counter() - started, spent[0]


def _duckdb_seconds(lake: Lake, threads: int) -> float:
    days = [LAST_DAY - timedelta(days=back) for back in range(WINDOW_DAYS)]
    files = [str(lake.path("vm_resources_hourly", Partition(TENANT, day))) for day in days]
    columns = ", ".join(f"avg({stem}_mean), max({stem}_max), quantile_cont({stem}_p95, 0.95)" for stem in VM_COLUMNS)
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {threads}")
        found = []
        for _ in range(3):
            started = perf_counter()
            connection.execute(f"SELECT vm_id, {columns} FROM read_parquet({files}) GROUP BY vm_id").fetchall()  # noqa: S608
            found.append(perf_counter() - started)
    return min(found)
