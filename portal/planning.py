"""What a run of a pipeline will cover: its tenants and days, checked, in ranges."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from analytics_assets.pipelines.loader import Pipeline
from resources.errors import InvalidInput
from resources.partition import PLATFORM, check_tenant, days_between, parse_day
from resources.settings import Settings
from resources.sources import TenantSources


@dataclass(frozen=True)
class RunPlan:
    """What will be materialized: `pipeline` for each tenant (the platform last), in ranges of consecutive days."""

    pipeline: Pipeline
    tenants: tuple[str, ...]
    first: date
    last: date
    partitions_per_run: int

    def ranges(self) -> Iterator[tuple[date, date]]:
        """Yield the first and last day of each of a tenant's runs."""
        first = self.first
        while first <= self.last:
            last = min(self.last, first + timedelta(days=self.partitions_per_run - 1))
            yield first, last
            first = last + timedelta(days=1)

    def rounds(self) -> Iterator[tuple[str, ...]]:
        """Yield the tenants that may be computed side by side: the platform, which reads theirs, after all others."""
        others = tuple(tenant for tenant in self.tenants if tenant != PLATFORM)
        yield from (part for part in (others, self.tenants[len(others) :]) if part)

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
    wanted = first is None or last is None
    extents = [extent for tenant in chosen if (extent := sources.extent(tenant))] if wanted else []
    if not extents and wanted:
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
