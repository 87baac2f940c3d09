"""The tenant sensor, by ticks."""

import json
import time
from datetime import date
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._grpc.client import DEFAULT_SENSOR_GRPC_TIMEOUT

from analytics_assets.partitions import TENANT_PARTITIONS
from resources.errors import PermanentFailure, TransientFailure
from resources.inventory import libvirt_host
from resources.monitoring import hurried
from sensors import libvirt_look
from sensors import tenant_discovery as module
from sensors.tenant_discovery import tenant_discovery
from tests.resources.monitoring.server.scripted import Hang, Pause, failure, scripted, success


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
    monkeypatch.setattr(module, "open_sources", lambda settings, within_seconds: sources)


def quarantined(capfd) -> list[str]:
    """Return the lines that the sensor logged of labels in quarantine since the last call."""
    return [line for line in capfd.readouterr().err.splitlines() if "in quarantine" in line and "WARNING" in line]


def test_tenants_with_samples_get_partitions_once(small_home, instance):
    """Stops an imported tenant from staying invisible in the UI, and a tick that asks again for known ones."""
    first = tick(small_home, instance)
    assert first.dynamic_partitions_requests[0].partition_keys == ["platform", "acme", "globex"]
    assert first.skip_reason.skip_message == "registering 'platform', 'acme', 'globex'"
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


def test_the_platform_does_not_wait_behind_labels_that_are_a_mistake(small_home, instance, monkeypatch):
    """Stops ten thousand labels that sort first from delaying the operator's own tables for hours."""
    settings = small_home.model_copy(update={"max_new_tenants": 1})
    pretend(monkeypatch, [*(f"a{number}" for number in range(50)), "platform"], {})
    tick(settings, instance)
    assert instance.get_dynamic_partitions(TENANT_PARTITIONS) == ["platform"]


def test_a_bad_label_is_quarantined_and_the_operator_sees_it(small_home, instance, monkeypatch, capfd):
    """Stops a hostile label from becoming a partition, and from being dropped without a word, also by a tick that
    has tenants to register."""
    hostile = "../../etc|2026-01-01\n" + "x" * 5000
    pretend(monkeypatch, ["acme"], {hostile: "not a tenant id", "Acme": "not a tenant id"})
    first = tick(small_home, instance)
    assert len(quarantined(capfd)) == 2
    assert first.skip_reason.skip_message.startswith("registering 'acme'; 2 label(s) in quarantine: '../../etc|2026")
    second = tick(small_home, instance, first.cursor)
    assert not quarantined(capfd)
    assert instance.get_dynamic_partitions(TENANT_PARTITIONS) == ["acme"]
    assert "2 label(s) in quarantine" in second.skip_reason.skip_message
    assert len(second.skip_reason.skip_message) < 1000
    assert "\n" not in second.skip_reason.skip_message
    pretend(monkeypatch, ["acme"], {hostile: "not a tenant id", "Acme": "not a tenant id", "New": "not a tenant id"})
    tick(small_home, instance, second.cursor)
    assert [line for line in quarantined(capfd) if "'New'" not in line] == []


def test_a_million_bad_labels_do_not_fill_the_log(small_home, instance, monkeypatch, capfd):
    """Stops a tick's log from growing with what a tenant exports."""
    pretend(monkeypatch, [], {f"Bad{number}": "no" for number in range(5000)})
    result = tick(small_home, instance)
    assert len(quarantined(capfd)) == 21
    assert len(result.skip_reason.skip_message) < 2500
    tick(small_home, instance, result.cursor)
    assert not quarantined(capfd)


def test_long_labels_do_not_fill_the_cursor(small_home, instance, monkeypatch, capfd):
    """Stops Dagster's storage from growing by megabytes a tick with what a tenant exports."""
    pretend(monkeypatch, ["acme"], {f"Bad{number}" + "\u4e2d" * 10_000: "no" for number in range(1500)})
    first = tick(small_home, instance)
    assert len(first.cursor) < 20_000
    assert len(first.skip_reason.skip_message) < 5_000
    quarantined(capfd)
    assert tick(small_home, instance, first.cursor).cursor == first.cursor
    assert not quarantined(capfd)


@pytest.mark.parametrize(
    "cursor", ["x", "[]", "null", '{"labels": 1}', '{"labels": [{}], "all": ""}', '{"labels": []}']
)
def test_a_cursor_that_is_none_of_its_own_is_begun_anew(small_home, instance, monkeypatch, capfd, cursor):
    """Stops a cursor that somebody edited in the UI from failing every tick."""
    pretend(monkeypatch, ["acme"], {"Acme": "no"})
    assert len(json.loads(tick(small_home, instance, cursor).cursor)["labels"]) == 1
    assert len(quarantined(capfd)) == 1


def test_a_source_that_is_down_fails_the_tick_and_changes_nothing(small_home, instance, monkeypatch):
    """Stops an outage from looking like a fleet without tenants."""

    def down():
        raise TransientFailure("http://server does not answer")

    sources = SimpleNamespace(tenants=down, refused_tenants=dict)
    monkeypatch.setattr(module, "open_sources", lambda settings, within_seconds: sources)
    instance.add_dynamic_partitions(TENANT_PARTITIONS, ["acme"])
    with pytest.raises(TransientFailure, match=r"does not answer No tenant was added; those that are registered stay"):
        tick(small_home, instance)
    assert instance.get_dynamic_partitions(TENANT_PARTITIONS) == ["acme"]


def live(settings, server, **more):
    return settings.model_copy(
        update={"source": "prometheus", "prometheus_url": server.url, "first_day": date(2026, 1, 1), **more}
    )


def test_a_server_that_hangs_fails_the_tick_soon_and_by_name(small_home, instance, monkeypatch):
    """Stops Dagster from ending the tick after a minute, with words that name no server and a tick that waits on."""
    monkeypatch.setattr(hurried, "SILENCE_SECONDS", 1.0)
    instance.add_dynamic_partitions(TENANT_PARTITIONS, ["acme"])
    with scripted([Hang()]) as server:
        began = time.monotonic()
        with pytest.raises(TransientFailure) as caught:
            tick(live(small_home, server), instance)
        assert time.monotonic() - began < 4
        assert len(server.requests) == 1
    said = str(caught.value)
    assert said.startswith(f"{server.url} gave no answer to ")
    assert "nothing came for 1 s" in said
    assert "A sensor asks once and waits at most 1 s for a byte" in said
    assert said.endswith("No tenant was added; those that are registered stay.")
    assert instance.get_dynamic_partitions(TENANT_PARTITIONS) == ["acme"]


def test_slow_answers_end_the_tick_before_dagster_does(small_home, instance, monkeypatch):
    """Stops many requests, none of which is slow enough to be given up, from taking more than a tick has."""
    monkeypatch.setattr(module, "WITHIN_SECONDS", 1.0)
    with scripted([Pause(0.7), *success([])]) as server:
        began = time.monotonic()
        with pytest.raises(
            TransientFailure, match=r"took 1 s for what was asked before, so it was not asked for .*tick"
        ):
            tick(live(small_home, server), instance)
        assert time.monotonic() - began < 4
        assert len(server.requests) == 2


@pytest.mark.parametrize("sensor", [module, libvirt_look])
def test_the_limits_leave_time_of_the_minute_that_dagster_gives(sensor):
    """Stops a limit from being raised beyond what is Dagster's."""
    connecting = hurried.SILENCE_SECONDS
    assert sensor.WITHIN_SECONDS + hurried.REQUEST_SECONDS < 45
    assert sensor.WITHIN_SECONDS + connecting + hurried.REQUEST_SECONDS < DEFAULT_SENSOR_GRPC_TIMEOUT
    assert libvirt_host.HURRIED_LOOK_SECONDS < sensor.WITHIN_SECONDS


def test_shorter_limits_of_the_settings_stay(small_home, instance):
    """Stops a limit that somebody set from being raised by a sensor."""
    settings = {"source_read_timeout_seconds": 0.5, "source_request_timeout_seconds": 0.7}
    with scripted([Hang()]) as server, pytest.raises(TransientFailure, match=r"at most 0\.5 s for a byte and 0\.7 s"):
        tick(live(small_home, server, **settings), instance)


def test_a_server_that_refuses_is_named_too(small_home, instance):
    """Stops wrong credentials from being taken for a server without tenants."""
    with scripted(failure(401, "unauthorized", "no")) as server, pytest.raises(PermanentFailure, match=server.url):
        tick(live(small_home, server), instance)
