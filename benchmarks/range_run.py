"""What Dagster costs: a 30-day range run of the whole daily graph for a small tenant.

The fleet is tiny, so that nearly all of the time is Dagster's own: steps, events, checks. The peer
is the same computation without Dagster around it.
"""

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from time import perf_counter

from analytics_assets.pipelines.graph import find_pipeline
from benchmarks.fleet import LAST_DAY, TENANT, compute, graph, make_home
from benchmarks.report import Outcome
from portal.planning import RunPlan
from portal.running import execute


def run(quick: bool) -> list[Outcome]:
    """Return milliseconds for each asset and partition, with and without Dagster."""
    days = 5 if quick else 28
    with tempfile.TemporaryDirectory() as folder:
        settings = make_home(Path(folder), vms=5)
        first = LAST_DAY - timedelta(days=days - 1)
        plan = RunPlan(find_pipeline(settings, "daily-analytics"), (TENANT,), first, LAST_DAY, 30)
        started = perf_counter()
        execute(plan, settings, quiet=True)
        with_dagster = perf_counter() - started
        shutil.rmtree(settings.lake_root)
        started = perf_counter()
        for instance in graph(settings):
            for back in range(days - 1, -1, -1):
                compute(instance, settings, LAST_DAY - timedelta(days=back))
        without = perf_counter() - started
        size = sum(file.stat().st_size for file in settings.dagster_home.rglob("*") if file.is_file())
        count = plan.asset_partitions
        return [
            Outcome(f"{count} asset partitions in one range run", 1000 * with_dagster / count, "ms each",
                    1000 * without / count, "the same without Dagster"),
            Outcome("of which Dagster", 1000 * (with_dagster - without) / count, "ms each"),
            Outcome("Dagster's storage", size / count / 1000, "kB each"),
        ]  # fmt: skip
