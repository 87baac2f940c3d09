"""The Dagster code location: the assets, jobs, schedules and sensors of every pipeline in the home."""

import dagster as dg

from analytics_assets.assets import build_assets
from analytics_assets.pipelines.graph import instances, pipelines
from resources.analytics_home import AnalyticsHome
from resources.settings import Settings, load_settings
from schedules.daily import daily_schedule
from sensors.libvirt_look import libvirt_look
from sensors.tenant_discovery import tenant_discovery


def build_defs(settings: Settings) -> dg.Definitions:
    """Return everything that Dagster loads for a home."""
    loaded = pipelines(settings)
    jobs = [
        dg.define_asset_job(
            pipeline.job_name,
            selection=[instance.table.name for instance in pipeline.instances],
            description=pipeline.description,
        )
        for pipeline in loaded
    ]
    return dg.Definitions(
        assets=build_assets(instances(loaded), settings),
        jobs=jobs,
        schedules=[daily_schedule(pipeline) for pipeline in loaded if pipeline.cron],
        sensors=[tenant_discovery(settings), *([libvirt_look(settings)] if settings.inventory == "libvirt" else [])],
        resources={"analytics": AnalyticsHome(home=str(settings.home))},
        # Parallelism is concurrent runs: a process for each step costs 7 times the step and more.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of the home in force, when Dagster loads this module."""
    return build_defs(load_settings())
