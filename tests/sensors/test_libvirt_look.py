"""The sensor that looks at libvirt for every tenant."""

import time

import dagster as dg
import pytest

from analytics_assets.definitions import build_defs
from analytics_assets.partitions import TENANT_PARTITIONS
from resources.errors import PermanentFailure, TransientFailure
from resources.inventory import libvirt_host
from resources.inventory.libvirt import LibvirtInventory
from resources.inventory.libvirt_host import HostNow
from sensors import libvirt_look as module
from sensors.libvirt_look import libvirt_look


@pytest.fixture
def settings(small_home):
    return small_home.model_copy(update={"inventory": "libvirt", "libvirt_uri": "test:///default"})


def tick(settings):
    settings.dagster_home.mkdir(exist_ok=True)
    with dg.DagsterInstance.ephemeral(tempdir=str(settings.dagster_home)) as instance:
        instance.add_dynamic_partitions(TENANT_PARTITIONS, ["acme", "globex", "platform"])
        return libvirt_look(settings)(dg.build_sensor_context(instance=instance))


@pytest.fixture
def seen(monkeypatch):
    """How often the host was looked at."""
    looks = []
    monkeypatch.setattr(LibvirtInventory, "see", lambda self: looks.append(self.uri) or HostNow(1, "n", ()))
    return looks


def test_the_host_is_looked_at_once_for_all_tenants_but_not_the_platform(settings, monkeypatch, seen):
    """Stops past days from having no sizes because nobody looked while they were today, and a host of a thousand
    machines from listing them for each tenant."""
    recorded = []
    monkeypatch.setattr(LibvirtInventory, "record", lambda self, tenant, host: recorded.append((tenant, host)) or 2)
    result = tick(settings)
    assert sorted(recorded) == [("acme", HostNow(1, "n", ())), ("globex", HostNow(1, "n", ()))]
    assert seen == ["test:///default"]
    assert result.skip_message == "looked at the VMs of 2 tenant(s); 4 row(s) are new"


def test_a_tenant_that_cannot_be_recorded_stops_nobody_else(settings, monkeypatch, seen):
    """Stops one damaged record from ending the history of all tenants, and its failure from going unseen."""
    recorded = []

    def record(self, tenant, host):
        recorded.append(tenant)
        if tenant == "acme":
            raise PermanentFailure("the record is damaged")
        return 0

    monkeypatch.setattr(LibvirtInventory, "record", record)
    with pytest.raises(TransientFailure, match=r"1 of 2 tenant\(s\) were not recorded; of acme: the record is damaged"):
        tick(settings)
    assert sorted(recorded) == ["acme", "globex"]


def test_each_tenant_comes_first_in_some_tick(monkeypatch):
    """Stops a slow server from leaving the last tenants of the alphabet without a record for ever."""
    orders = []
    for number in range(3):
        monkeypatch.setattr(module.time, "time", lambda number=number: 1_772_400_000 + 300 * number)
        orders.append(module._in_turn(["a", "b", "c"]))
    assert sorted(orders) == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]
    assert module._in_turn([]) == []


def test_a_host_that_hangs_fails_the_tick_in_time_and_by_name(settings, monkeypatch, tmp_path):
    """Stops a tick from being ended by Dagster, which names no host and leaves the look waiting."""
    (tmp_path / "libvirt.py").write_text(
        "import time\ndef openReadOnly(uri): time.sleep(600)\ndef registerErrorHandler(*_): pass\n"
        "class libvirtError(Exception): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(libvirt_host, "HURRIED_LOOK_SECONDS", 1.0)
    began = time.monotonic()
    with pytest.raises(TransientFailure, match="libvirt at 'test:///default' gave no whole answer within 1 s"):
        tick(settings)
    assert time.monotonic() - began < 10
    assert libvirt_host.LOOK_SECONDS < 60


def test_it_is_there_only_where_sizes_come_from_libvirt(settings, small_home):
    """Stops a sensor that has nothing to do from ticking in every home."""
    assert {sensor.name for sensor in build_defs(settings).sensors or ()} == {"tenant_discovery", "libvirt_look"}
    assert {sensor.name for sensor in build_defs(small_home).sensors or ()} == {"tenant_discovery"}
