"""Carrying out a run plan: range runs in worker processes, recorded where the UI shows them.

Tenants are computed side by side, each by one process, since runs are what Dagster parallelizes
(a process for each step costs several times the step). Their storage is the home's Dagster instance.
"""

import multiprocessing
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from portal.planning import RunPlan
from portal.progress import ProgressBar
from resources.errors import PermanentFailure
from resources.partition import Partition
from resources.settings import Settings, load_settings

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config that keeps Dagster's event log off the terminal; it is stored, and the UI shows it."""

POLL_SECONDS = 0.2

Listener = Callable[[str], None]


@dataclass(frozen=True)
class RunRecord:
    """One run that was carried out: a tenant's days, its id in Dagster, and what failed in it, if anything."""

    tenant: str
    first_day: date
    last_day: date
    run_id: str
    failures: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "tenant": self.tenant,
            "first_day": self.first_day.isoformat(),
            "last_day": self.last_day.isoformat(),
            "run_id": self.run_id,
            "success": not self.failures,
        }


def execute(plan: RunPlan, settings: Settings, quiet: bool = False) -> list[RunRecord]:
    """Materialize `plan`; return a record of each run, in the order of the plan's tenants.

    Raises:
        PermanentFailure: a run failed; the others were still run, and the message names each failure.
    """
    from analytics_assets.partitions import register_tenants

    register_tenants(settings, plan.tenants)
    workers = min(settings.run_workers, len(plan.tenants))
    with ProgressBar(plan.asset_partitions, quiet) as bar:
        if workers == 1:
            records = [
                record
                for tenant in plan.tenants
                for record in run_tenant(
                    settings.home, plan.pipeline.job_name, tenant, list(plan.ranges()), bar.advance
                )
            ]
        else:
            records = _in_processes(plan, settings, workers, bar)
    failures = dict.fromkeys(failure for record in records for failure in record.failures)
    if failures:
        failed = sum(bool(record.failures) for record in records)
        raise PermanentFailure(f"{failed} of {len(records)} run(s) failed:\n  " + "\n  ".join(failures))
    return records


def run_tenant(
    home: Path, job_name: str, tenant: str, ranges: list[tuple[date, date]], listener: Listener
) -> list[RunRecord]:
    """Run a job for one tenant's ranges of days in this process; `listener` hears of each asset partition."""
    from analytics_assets.assets import partitions_reported_to
    from analytics_assets.definitions import build_defs
    from analytics_assets.partitions import open_instance

    settings = load_settings(home)
    job = build_defs(settings).resolve_job_def(job_name)
    records = []
    with (
        open_instance(settings) as instance,
        partitions_reported_to(lambda asset, key: listener(f"{key.split('|')[1]} {asset}")),
    ):
        for first, last in ranges:
            result = job.execute_in_process(
                instance=instance, raise_on_error=False, tags=range_tags(tenant, first, last), run_config=QUIET
            )
            failures = () if result.success else tuple(_failures(result))
            records.append(RunRecord(tenant, first, last, result.run_id, failures))
    return records


def range_tags(tenant: str, first: date, last: date) -> dict[str, str]:
    """Return the tags that make a run cover a tenant's days from `first` to `last`."""
    return {
        "dagster/asset_partition_range_start": Partition(tenant, first).key,
        "dagster/asset_partition_range_end": Partition(tenant, last).key,
        "novacron/tenant": tenant,
    }


_messages: "multiprocessing.Queue[str] | None" = None
"""In a worker process: where it tells the parent what it has done."""


def _start_worker(messages: "multiprocessing.Queue[str]") -> None:
    global _messages  # noqa: PLW0603 - a process has one parent, and a queue cannot be sent with the work
    _messages = messages


def _run_in_worker(home: Path, job_name: str, tenant: str, ranges: list[tuple[date, date]]) -> list[RunRecord]:
    if _messages is None:
        raise RuntimeError("a worker process was started without its queue")
    return run_tenant(home, job_name, tenant, ranges, _messages.put)


def _in_processes(plan: RunPlan, settings: Settings, workers: int, bar: ProgressBar) -> list[RunRecord]:
    context = multiprocessing.get_context("spawn")
    messages: multiprocessing.Queue[str] = context.Queue()
    records: list[RunRecord] = []
    with ProcessPoolExecutor(workers, context, _start_worker, (messages,)) as pool:
        for tenants in plan.rounds():
            futures: list[Future[list[RunRecord]]] = [
                pool.submit(_run_in_worker, settings.home, plan.pipeline.job_name, tenant, list(plan.ranges()))
                for tenant in tenants
            ]
            waiting: set[Future[list[RunRecord]]] = set(futures)
            while waiting:
                _, waiting = wait(waiting, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                for message in _arrived(messages):
                    bar.advance(message)
            records += [record for future in futures for record in future.result()]
    return records


def _arrived(messages: "multiprocessing.Queue[str]") -> Iterator[str]:
    while True:
        try:
            yield messages.get_nowait()
        except queue.Empty:
            return


def _failures(result: Any) -> Iterator[str]:
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data:
                yield data.user_failure_data.description
            else:
                innermost = data.error
                while innermost.cause:
                    innermost = innermost.cause
                yield f"{event.step_key}: {innermost.message.strip()} (details: run {result.run_id} in the UI)"
