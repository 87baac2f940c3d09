"""The tenant sensor, by ticks."""

import json
from types import SimpleNamespace

import dagster as dg
import pytest

from analytics_assets.partitions import TENANT_PARTITIONS
from resources.errors import TransientFailure
from sensors import tenant_discovery as module
from sensors.tenant_discovery import tenant_discovery


@pytest.fixture
def instance(small_home):
    small_home.dagster_home.mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(small_home.dagster_home)) as opened:
        yield opened


def tick(settings, instance, cursor=None):
    """Evaluate the sensor once, and do what the daemon does with its result."""
    result = tenant_discovery(settings)(dg.build_sensor_context(instance=instance, cursor=cursor))
    for request in result.dynamic_partitions_requests or ():
        assert request.partitions_def_name == TENANT_PARTITIONS
        instance.add_dynamic_partitions(TENANT_PARTITIONS, request.partition_keys)
    return result


def pretend(monkeypatch, tenants, refused):
    sources = SimpleNamespace(tenants=lambda: tenants, refused_tenants=lambda: refused)
    monkeypatch.setattr(module, "open_sources", lambda _: sources)


def quarantined(capfd) -> list[str]:
    """Return the lines that the sensor logged of labels in quarantine since the last call."""
    return [line for line in capfd.readouterr().err.splitlines() if "in quarantine" in line and "WARNING" in line]


def test_tenants_with_samples_get_partitions_once(small_home, instance):
    """Stops an imported tenant from staying invisible in the UI, and a tick that asks again for known ones."""
    first = tick(small_home, instance)
    assert first.dynamic_partitions_requests[0].partition_keys == ["acme", "globex", "platform"]
    second = tick(small_home, instance, first.cursor)
    assert not second.dynamic_partitions_requests
    assert second.skip_reason.skip_message == "every tenant with samples is registered"


def test_many_new_tenants_come_a_few_at_a_time(small_home, instance, monkeypatch):
    """Stops a broken tenant_id label from flooding the UI with a million partitions at once."""
    settings = small_home.model_copy(update={"max_new_tenants": 3})
    pretend(monkeypatch, [f"t{number}" for number in range(8)], {})
    counts, cursor = [], None
    for _ in range(4):
        result = tick(settings, instance, cursor)
        cursor = result.cursor
        counts.append(len(instance.get_dynamic_partitions(TENANT_PARTITIONS)))
    assert counts == [3, 6, 8, 8]


def test_a_bad_label_is_quarantined_and_the_operator_sees_it(small_home, instance, monkeypatch, capfd):
    """Stops a hostile label from becoming a partition, and from being dropped without a word."""
    hostile = "../../etc|2026-01-01\n" + "x" * 5000
    pretend(monkeypatch, ["acme"], {hostile: "not a tenant id", "Acme": "not a tenant id"})
    first = tick(small_home, instance)
    assert len(quarantined(capfd)) == 2
    second = tick(small_home, instance, first.cursor)
    assert not quarantined(capfd)
    assert instance.get_dynamic_partitions(TENANT_PARTITIONS) == ["acme"]
    assert "2 label(s) in quarantine" in second.skip_reason.skip_message
    assert len(second.skip_reason.skip_message) < 1000
    assert json.loads(second.cursor)["labels"] == sorted([hostile, "Acme"])


def test_a_million_bad_labels_do_not_fill_the_log(small_home, instance, monkeypatch, capfd):
    """Stops a cursor or a tick's log from growing with what a tenant exports."""
    pretend(monkeypatch, [], {f"Bad{number}": "no" for number in range(5000)})
    result = tick(small_home, instance)
    assert len(quarantined(capfd)) == 21
    assert len(json.loads(result.cursor)["labels"]) == 1000
    assert len(result.skip_reason.skip_message) < 2500
    tick(small_home, instance, result.cursor)
    assert not quarantined(capfd)


def test_a_source_that_is_down_fails_the_tick_and_changes_nothing(small_home, instance, monkeypatch):
    """Stops an outage from looking like a fleet without tenants."""

    def down():
        raise TransientFailure("http://server does not answer")

    monkeypatch.setattr(module, "open_sources", lambda _: SimpleNamespace(tenants=down, refused_tenants=dict))
    instance.add_dynamic_partitions(TENANT_PARTITIONS, ["acme"])
    with pytest.raises(TransientFailure, match="does not answer"):
        tick(small_home, instance)
    assert instance.get_dynamic_partitions(TENANT_PARTITIONS) == ["acme"]
