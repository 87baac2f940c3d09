"""The grid: every asset is partitioned by tenant and UTC day, in one shared definition.

Also the Dagster instance in the home, where tenants are registered and runs are recorded.
"""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache

import dagster as dg

from resources.errors import InvalidInput
from resources.partition import check_tenant
from resources.settings import Settings
from resources.sources import open_sources

TENANT_PARTITIONS = "novacron_tenant"
"""Dynamic partition names are global to a Dagster instance, so this one carries a prefix."""

FALLBACK_FIRST_DAY = date(2026, 1, 1)
"""Where the grid begins while there is neither a setting nor a sample."""

INSTANCE_SETTINGS = """\
# Dagster's own settings for this home; edit freely, it is written only when missing.
telemetry:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2
nux:
  enabled: false
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
"""


@lru_cache(maxsize=8)
def _grid_from(first_day: date) -> dg.MultiPartitionsDefinition:
    # end_offset=1: today's partition exists while the day runs, for refreshes and alerts.
    days = dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), end_offset=1)
    return dg.MultiPartitionsDefinition({"day": days, "tenant": dg.DynamicPartitionsDefinition(name=TENANT_PARTITIONS)})


def grid_first_day(settings: Settings) -> date:
    """Return the first day of the grid: the setting, else the first day that a source has samples of.

    Raises:
        InvalidInput: it is not set, and the source is a server: the grid must be there when a server is not.
    """
    if settings.first_day is None and settings.is_live:
        raise InvalidInput(
            f"source = {settings.source} needs the setting first_day, the first UTC day to analyse. Set "
            "ANALYTICS_FIRST_DAY=YYYY-MM-DD; `novacron-analytics source check` says since when there are samples."
        )
    return settings.first_day or open_sources(settings).first_day() or FALLBACK_FIRST_DAY


def grid(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Return the one partitions definition that all assets of these settings share."""
    return _grid_from(grid_first_day(settings))


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Return the Dagster instance in the home, made ready if this is its first use."""
    folder = settings.dagster_home
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "dagster.yaml"
    if not file.exists():
        file.write_text(INSTANCE_SETTINGS, encoding="utf-8")
    return dg.DagsterInstance.from_config(str(folder))


def registered_tenants(instance: dg.DagsterInstance) -> list[str]:
    """Return the tenants that have partitions, sorted."""
    return sorted(instance.get_dynamic_partitions(TENANT_PARTITIONS))


def register_tenants(settings: Settings, tenants: Sequence[str]) -> list[str]:
    """Give `tenants` partitions in the home's Dagster instance; return those that had none."""
    with open_instance(settings) as instance:
        known = set(registered_tenants(instance))
        new = [check_tenant(tenant) for tenant in sorted(set(tenants)) if tenant not in known]
        if new:
            instance.add_dynamic_partitions(TENANT_PARTITIONS, new)
        return new
