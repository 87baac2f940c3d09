"""A sensor that looks at libvirt from time to time: it knows only the present, and sizes of the past are wanted."""

import time

import dagster as dg

from analytics_assets.partitions import registered_tenants
from resources.errors import AnalyticsError, TransientFailure
from resources.inventory.libvirt import LibvirtInventory
from resources.partition import PLATFORM
from resources.settings import Settings
from resources.sources import open_sources

INTERVAL_SECONDS = 300
"""A resize counts from the look that saw it first."""

WITHIN_SECONDS = 28.0
"""When a tick asks for the last time, of the minute that Dagster gives it."""


def libvirt_look(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor, for homes with `inventory = "libvirt"`: it records what each tenant's VMs are now.

    It runs nothing. The host is asked once for all tenants. A tenant that cannot be recorded does
    not keep the others from it; the tick fails afterwards.
    """

    @dg.sensor(
        name="libvirt_look",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records sizes and places of each tenant's VMs as libvirt shows them now.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        sizes = open_sources(settings, WITHIN_SECONDS).sizes
        if not isinstance(sizes, LibvirtInventory):
            return dg.SkipReason("sizes do not come from libvirt")
        tenants = _in_turn([tenant for tenant in registered_tenants(context.instance) if tenant != PLATFORM])
        if not tenants:
            return dg.SkipReason("no tenant is registered yet")
        host = sizes.see()
        failures: dict[str, AnalyticsError] = {}
        changed = 0
        for tenant in tenants:
            try:
                changed += sizes.record(tenant, host)
            except AnalyticsError as error:
                context.log.error(f"{tenant}: {error}")
                failures[tenant] = error
        if failures:
            tenant, first = next(iter(failures.items()))
            raise TransientFailure(
                f"the VMs of {len(failures)} of {len(tenants)} tenant(s) were not recorded; of {tenant}: {first}"
            ) from first
        return dg.SkipReason(f"looked at the VMs of {len(tenants)} tenant(s); {changed} row(s) are new")

    return sensor


def _in_turn(tenants: list[str]) -> list[str]:
    """Return `tenants`, with another one first in every tick: where time is short, it is not always for the same."""
    first = int(time.time() // INTERVAL_SECONDS) % len(tenants) if tenants else 0
    return [*tenants[first:], *tenants[:first]]
