"""A daily schedule for each pipeline that asks for one: a run per tenant for the day that ended."""

from collections.abc import Iterator
from datetime import UTC, timedelta

import dagster as dg

from analytics_assets.partitions import registered_tenants
from analytics_assets.pipelines.loader import Pipeline
from resources.partition import PLATFORM, Partition

PRIORITY_TAG = "dagster/priority"


def daily_schedule(pipeline: Pipeline) -> dg.ScheduleDefinition:
    """Return the schedule of `pipeline`, which has a cron: each tenant's yesterday, the platform's last.

    A tick asks once for a tenant and day, however often it is evaluated. The schedule is off until
    somebody turns it on.
    """

    @dg.schedule(
        name=f"{pipeline.job_name.removesuffix('_job')}_daily",
        job_name=pipeline.job_name,
        cron_schedule=pipeline.cron or "",
        execution_timezone="UTC",
        description=f"{pipeline.title}: every tenant's finished day at {pipeline.cron} (cron, UTC).",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        day = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
        tenants = [
            tenant
            for tenant in registered_tenants(context.instance)
            if pipeline.tenants is None or tenant in pipeline.tenants
        ]
        if not tenants:
            yield dg.SkipReason("no tenant of this pipeline is registered yet")
        for tenant in sorted(tenants, key=lambda tenant: (tenant == PLATFORM, tenant)):
            yield dg.RunRequest(
                run_key=f"{pipeline.name}:{tenant}:{day}",
                partition_key=Partition(tenant, day).key,
                # The platform reads what its tenants' runs make: it leaves the queue after them.
                tags={"novacron/tenant": tenant, **({PRIORITY_TAG: "-1"} if tenant == PLATFORM else {})},
            )

    return schedule
