"""A sensor that looks at libvirt from time to time: it knows only the present, and sizes of the past are wanted."""

import dagster as dg

from analytics_assets.partitions import registered_tenants
from resources.errors import AnalyticsError
from resources.inventory.libvirt import LibvirtInventory
from resources.partition import PLATFORM
from resources.settings import Settings
from resources.sources import open_sources

INTERVAL_SECONDS = 300
"""A resize counts from the look that saw it first."""


def libvirt_look(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor, for homes with `inventory = "libvirt"`: it records what each tenant's VMs are now.

    It runs nothing. A tenant whose look fails does not keep the others from being looked at; the tick fails afterwards.
    """

    @dg.sensor(
        name="libvirt_look",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records sizes and places of each tenant's VMs as libvirt shows them now.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        sizes = open_sources(settings).sizes
        if not isinstance(sizes, LibvirtInventory):
            return dg.SkipReason("sizes do not come from libvirt")
        tenants = [tenant for tenant in registered_tenants(context.instance) if tenant != PLATFORM]
        failures: list[AnalyticsError] = []
        changed = 0
        for tenant in tenants:
            try:
                changed += sizes.look(tenant)
            except AnalyticsError as error:
                context.log.error(f"{tenant}: {error}")
                failures.append(error)
        if failures:
            raise failures[0]
        return dg.SkipReason(f"looked at the VMs of {len(tenants)} tenant(s); {changed} row(s) are new")

    return sensor
