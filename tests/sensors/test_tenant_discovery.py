"""The tenant sensor, by ticks."""

import dagster as dg

from analytics_assets.partitions import TENANT_PARTITIONS
from sensors.tenant_discovery import tenant_discovery


def test_tenants_with_samples_get_partitions_once(small_home):
    """Stops an imported tenant from staying invisible in the UI, and a tick that asks again for known ones."""
    sensor = tenant_discovery(small_home)
    small_home.dagster_home.mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(small_home.dagster_home)) as instance:
        first = sensor(dg.build_sensor_context(instance=instance))
        (request,) = first.dynamic_partitions_requests
        assert request.partition_keys == ["acme", "globex", "platform"]
        assert request.partitions_def_name == TENANT_PARTITIONS
        instance.add_dynamic_partitions(TENANT_PARTITIONS, request.partition_keys)
        assert "every tenant" in sensor(dg.build_sensor_context(instance=instance)).skip_message
