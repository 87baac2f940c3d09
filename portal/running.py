"""Materializing a pipeline from the command line: checked arguments, range runs, a progress bar.

The runs are recorded in the home's Dagster instance, where the UI shows them beside its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import click

from analytics_assets.pipelines.loader import Pipeline
from resources.errors import InvalidInput, PermanentFailure
from resources.partition import PLATFORM, Partition, check_tenant, days_between, parse_day
from resources.settings import Settings
from resources.sources import TenantSources

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config that keeps Dagster's event log off the terminal; it is stored, and the UI shows it."""


@dataclass(frozen=True)
class RunPlan:
    """What will be materialized: `pipeline` for each tenant, in ranges of consecutive days."""

    pipeline: Pipeline
    tenants: tuple[str, ...]
    first: date
    last: date
    partitions_per_run: int

    def ranges(self) -> Iterator[tuple[str, date, date]]:
        """Yield (tenant, first day, last day) of each run, the platform's last."""
        for tenant in self.tenants:
            first = self.first
            while first <= self.last:
                last = min(self.last, first + timedelta(days=self.partitions_per_run - 1))
                yield tenant, first, last
                first = last + timedelta(days=1)

    @property
    def partitions(self) -> int:
        return len(self.tenants) * len(days_between(self.first, self.last))

    @property
    def asset_partitions(self) -> int:
        return self.partitions * len(self.pipeline.instances)


def plan_run(
    pipeline: Pipeline,
    tenants: Sequence[str],
    first: str | None,
    last: str | None,
    today: date,
    settings: Settings,
    sources: TenantSources,
    registered: Sequence[str],
) -> RunPlan:
    """Return what to run for the tenants and days asked for; without days, every day that has samples.

    Raises:
        InvalidInput: an unknown tenant, one the pipeline is not for, a day that is no day, lies in
            the future or before the grid, or a last day before the first.
    """
    known = sorted({*sources.tenants(), *registered})
    for tenant in tenants:
        if check_tenant(tenant) not in known:
            have = ", ".join(known) or "none yet: import traces, or run the demo"
            raise InvalidInput(f"there is no tenant {tenant!r}. Tenants: {have}.")
        if pipeline.tenants is not None and tenant not in pipeline.tenants:
            raise InvalidInput(f"pipeline {pipeline.name} is for {', '.join(pipeline.tenants)}, not for {tenant}.")
    chosen = tenants or (known if pipeline.tenants is None else [name for name in pipeline.tenants if name in known])
    if not chosen:
        raise InvalidInput("there are no tenants yet. Import traces, or run the demo.")
    extents = [extent for tenant in chosen if (extent := sources.extent(tenant))]
    if not extents and (first is None or last is None):
        raise InvalidInput(f"no source has samples of {', '.join(chosen)}. Give --from and --to.")
    begin = parse_day(first) if first else min(extent[0] for extent in extents)
    end = parse_day(last) if last else min(today, max(extent[1] for extent in extents))
    _check_days(begin, end, today, settings)
    ordered = sorted(set(chosen), key=lambda tenant: (tenant == PLATFORM, tenant))
    return RunPlan(pipeline, tuple(ordered), begin, end, settings.max_partitions_per_run)


def _check_days(first: date, last: date, today: date, settings: Settings) -> None:
    from analytics_assets.partitions import grid_first_day

    if last < first:
        raise InvalidInput(f"--to {last} is before --from {first}. Give the earlier day first.")
    if last > today:
        raise InvalidInput(f"{last} is in the future (today is {today}, UTC). The last day can be {today}.")
    begins = grid_first_day(settings)
    if first < begins:
        raise InvalidInput(
            f"{first} is before {begins}, the first day of the grid. Set ANALYTICS_FIRST_DAY={first} to begin earlier."
        )


def execute(plan: RunPlan, settings: Settings, quiet: bool = False) -> list[dict[str, Any]]:
    """Materialize `plan`; return a record of each run (tenant, days, run id, success).

    Raises:
        PermanentFailure: a run failed; the others were still run, and the message names each failure.
    """

    from analytics_assets.assets import partitions_reported_to
    from analytics_assets.definitions import build_defs
    from analytics_assets.partitions import open_instance, register_tenants

    register_tenants(settings, plan.tenants)
    job = build_defs(settings).resolve_job_def(plan.pipeline.job_name)
    records: list[dict[str, Any]] = []
    failures: list[str] = []
    with (
        open_instance(settings) as instance,
        _progress(plan, quiet) as bar,
        partitions_reported_to(lambda asset, key: bar.advance(f"{key.split('|')[1]} {asset}")),
    ):
        for tenant, first, last in plan.ranges():
            result = job.execute_in_process(
                instance=instance, raise_on_error=False, tags=range_tags(tenant, first, last), run_config=QUIET
            )
            record = {
                "tenant": tenant,
                "first_day": first.isoformat(),
                "last_day": last.isoformat(),
                "run_id": result.run_id,
                "success": result.success,
            }
            records.append(record)
            if not result.success:
                failures.extend(_failures(result))
    if failures:
        shown = "\n  ".join(dict.fromkeys(failures))
        raise PermanentFailure(
            f"{sum(not record['success'] for record in records)} of {len(records)} run(s) failed:\n  {shown}"
        )
    return records


def range_tags(tenant: str, first: date, last: date) -> dict[str, str]:
    """Return the tags that make a run cover a tenant's days from `first` to `last`."""
    return {
        "dagster/asset_partition_range_start": Partition(tenant, first).key,
        "dagster/asset_partition_range_end": Partition(tenant, last).key,
        "novacron/tenant": tenant,
    }


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


class _Bar:
    """A progress bar on standard error, or a line every tenth of the way where there is no terminal."""

    def __init__(self, total: int, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._total, self._done, self._quiet = total, 0, quiet
        self._console = Console(stderr=True)
        self._live = self._console.is_terminal and not quiet
        self._progress = Progress(
            TextColumn("{task.description:<44}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._live,
        )
        self._task = self._progress.add_task("starting", total=total)

    def __enter__(self) -> "_Bar":
        self._progress.__enter__()
        return self

    def __exit__(self, *stop: Any) -> None:
        self._progress.__exit__(*stop)

    def advance(self, what: str) -> None:
        self._done += 1
        self._progress.update(self._task, advance=1, description=what)
        tenth = self._done * 10 // self._total != (self._done - 1) * 10 // self._total
        if tenth and not self._live and not self._quiet:
            click.echo(f"{self._done} of {self._total} asset partitions ({what})", err=True)


def _progress(plan: RunPlan, quiet: bool) -> _Bar:
    return _Bar(plan.asset_partitions, quiet)
