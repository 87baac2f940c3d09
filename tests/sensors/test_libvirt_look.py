"""The sensor that looks at libvirt for every tenant."""

import dagster as dg
import pytest

from analytics_assets.definitions import build_defs
from analytics_assets.partitions import TENANT_PARTITIONS
from resources.errors import TransientFailure
from resources.inventory.libvirt import LibvirtInventory
from sensors.libvirt_look import libvirt_look


@pytest.fixture
def settings(small_home):
    return small_home.model_copy(update={"inventory": "libvirt", "libvirt_uri": "test:///default"})


def tick(settings):
    settings.dagster_home.mkdir(exist_ok=True)
    with dg.DagsterInstance.ephemeral(tempdir=str(settings.dagster_home)) as instance:
        instance.add_dynamic_partitions(TENANT_PARTITIONS, ["acme", "globex", "platform"])
        return libvirt_look(settings)(dg.build_sensor_context(instance=instance))


def test_every_tenant_is_looked_at_but_not_the_platform(settings, monkeypatch):
    """Stops past days from having no sizes because nobody looked while they were today."""
    looked = []
    monkeypatch.setattr(LibvirtInventory, "look", lambda self, tenant: looked.append(tenant) or 2)
    result = tick(settings)
    assert looked == ["acme", "globex"]
    assert result.skip_message == "looked at the VMs of 2 tenant(s); 4 row(s) are new"


def test_a_tenant_whose_look_fails_stops_nobody_else(settings, monkeypatch):
    """Stops one damaged record from ending the history of all tenants, and its failure from going unseen."""
    looked = []

    def look(self, tenant):
        looked.append(tenant)
        if tenant == "acme":
            raise TransientFailure("the host cannot be reached")
        return 0

    monkeypatch.setattr(LibvirtInventory, "look", look)
    with pytest.raises(TransientFailure, match="cannot be reached"):
        tick(settings)
    assert looked == ["acme", "globex"]


def test_it_is_there_only_where_sizes_come_from_libvirt(settings, small_home):
    """Stops a sensor that has nothing to do from ticking in every home."""
    assert {sensor.name for sensor in build_defs(settings).sensors or ()} == {"tenant_discovery", "libvirt_look"}
    assert {sensor.name for sensor in build_defs(small_home).sensors or ()} == {"tenant_discovery"}
