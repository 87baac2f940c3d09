"""A sensor that gives partitions to tenants that a source has samples of and Dagster does not know yet."""

import dagster as dg

from analytics_assets.partitions import TENANT_PARTITIONS, registered_tenants
from resources.partition import check_tenant
from resources.settings import Settings
from resources.sources import known_tenants


def tenant_discovery(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor. It only adds partitions; nothing is run, and nothing is ever removed."""

    @dg.sensor(
        name="tenant_discovery",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Adds a partition for each tenant that has samples and is not registered yet.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        registered = set(registered_tenants(context.instance))
        new = [check_tenant(tenant) for tenant in known_tenants(settings) if tenant not in registered]
        if not new:
            return dg.SkipReason("every tenant with samples is registered")
        request = dg.DynamicPartitionsDefinition(name=TENANT_PARTITIONS).build_add_request(new)
        context.log.info(f"registering {', '.join(new)}")
        return dg.SensorResult(dynamic_partitions_requests=[request])

    return sensor
