"""Servers that warn, forget or have only a part of a day: nothing good is overwritten, and what is taken says so."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

import analytics_assets.assets
from resources.errors import PermanentFailure, TransientFailure
from resources.lake.lake import Lake
from resources.partition import Partition, day_start_ms
from tests.analytics_assets.test_assets import assets_of, instance_with, materialize
from tests.integration.between import Passed, swapping
from tests.integration.conftest import require
from tests.integration.homes import CPU, DAY, again, compute, failure, hashes, home, rows
from tests.portal.command import run
from tests.resources.monitoring.server.scripted import success
from tests.servers.openmetrics import create_blocks
from tests.servers.process import ServerProcess, free_port
from tests.servers.prometheus import prometheus
from tests.servers.series import Series
from tests.servers.victoriametrics import load, victoriametrics

pytestmark = pytest.mark.integration

KEY = Partition("acme", DAY).key
FEWER = {"source_fewer_samples": "accept"}
PARTIAL = {"source_partial_answers": "accept"}


def vms(names: Sequence[str], first_sample: int = 0) -> list[Series]:
    """Return the day of some VMs at 5 minutes, without the samples before the `first_sample`."""
    ts_ms = day_start_ms(DAY) + 300_000 * np.arange(first_sample, 288, dtype=np.int64)
    labels = [{"tenant_id": "acme", "vm_id": name, "node_id": "n"} for name in names]
    return [Series(CPU, one, ts_ms, np.arange(len(ts_ms)) % 50 + 1.0) for one in labels]


def server_of(folder: Path, series: Sequence[Series], **options: object) -> ServerProcess:
    require("prometheus", "promtool")
    if not folder.exists():
        folder.mkdir()
        create_blocks(series, folder / "blocks")
    return prometheus(folder / "server", blocks=folder / "blocks", **options)


@pytest.fixture
def near_and_far(tmp_path) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """A Prometheus with two VMs that reads from another one, which has two more."""
    with server_of(tmp_path / "far", vms(["far-1", "far-2"])) as far:
        backend = {"url": f"{far.url}/api/v1/read", "read_recent": True, "remote_timeout": "2s"}
        with server_of(tmp_path / "near", vms(["near-1", "near-2"]), remote_read=[backend]) as near:
            yield near, far


@pytest.mark.parametrize("way", ["query", "remote-read-chunks", "remote-read-samples"])
def test_an_answer_without_a_backends_samples(near_and_far, way, tmp_path, monkeypatch):
    """Stops the half of a day that a remote store's outage left from replacing a whole one, or looking whole."""
    monkeypatch.setattr(analytics_assets.assets, "FIRST_RETRY_SECONDS", 0.01)
    near, far = near_and_far
    settings = home(tmp_path / "home", "prometheus", near.url, source_read_method=way)
    # Prometheus cannot list what is in a remote store, so nobody knows whether the list of VMs is whole.
    said = failure(settings, TransientFailure)
    assert f"{near.url}: " in said
    assert CPU in said
    assert "the answer is not whole: 'not implemented'. It was not used; what was stored is kept." in said
    assert "remote stores hold: read these themselves, or accept such answers with ANALYTICS_SOURCE_PARTIAL" in said
    settings = again(settings, **PARTIAL)
    stored = compute(settings)
    assert (stored.facts.samples_seen, stored.facts.warnings) == (4 * 288, ("not implemented",))
    far.kill()
    assert "has 576 samples where there were 1152" in failure(settings, PermanentFailure)
    failure(again(settings, source_partial_answers="refuse", **FEWER), TransientFailure)
    settings = again(settings, **PARTIAL)
    ran = materialize(settings, instance_with(settings, "acme"), assets_of(settings, "vm_resources"), partition_key=KEY)
    assert ran.success
    assert set(rows(settings)["vm_id"]) == {"near-1", "near-2"}
    (event,) = ran.asset_materializations_for_node("vm_resources")
    warnings = event.metadata["warnings"].value
    assert "not implemented" in warnings
    # Only a query passes on what the remote store's outage was.
    assert any("connection refused" in warning for warning in warnings) == (way == "query")
    (check,) = [one for one in ran.get_asset_check_evaluations() if one.check_name == "coverage"]
    assert not check.passed
    assert check.metadata["warnings"].value == {KEY: warnings}


def test_a_cluster_that_says_is_partial(near_and_far, tmp_path):
    """Stops a list without the VMs of a storage node that is down from being taken for all VMs."""
    _, far = near_and_far

    def partial(passed: Passed) -> object:
        return success(["far-1"], isPartial=True) if passed.path.endswith("/values") else passed.unchanged()

    with swapping(far, partial) as proxy:
        settings = home(tmp_path / "home", "prometheus", proxy.url)
        said = failure(settings, TransientFailure)
        assert "isPartial: some of the storage nodes did not answer" in said
        assert "Mend the server, or accept such answers with" in said
        assert len(compute(again(settings, **PARTIAL)).facts.warnings) == 1
        both = success(["far-1", "far-2"], isPartial=False)
        proxy.swap = lambda one: both if "values" in one.path else one.unchanged()
        assert compute(again(settings, source_partial_answers="refuse")).facts.warnings == ()


@pytest.mark.parametrize("kind", ["prometheus", "victoriametrics"])
def test_a_server_that_forgot(kind, tmp_path, monkeypatch):
    """Stops the retention of a server from erasing days that were kept."""
    monkeypatch.setattr(analytics_assets.assets, "FIRST_RETRY_SECONDS", 0.01)
    require("victoria-metrics")
    port = free_port()
    contents = {
        "all": vms(["a", "b", "c"]),
        "half": vms(["a", "b", "c"], 144),
        "one": vms(["a"], 287),
        "none": [Series("other", {}, np.array([day_start_ms(DAY)]), np.zeros(1))],
    }

    def serving(content: str) -> ServerProcess:
        if kind == "prometheus":
            return server_of(tmp_path / content, contents[content], port=port).start()
        server = victoriametrics(tmp_path / content, port=port).start()
        load(server, contents[content])
        return server

    with serving("all") as server:
        settings = home(tmp_path / "home", kind, server.url)
        whole = compute(settings)
        command = ("run", "collecting", "--tenant", "acme", "--from", DAY, "--to", DAY, "--home", settings.home)
        assert run(*command).code == 0
    before = hashes(settings)
    for content, left in (("half", 432), ("one", 1), ("none", 0)):
        with serving(content):
            said = failure(settings, PermanentFailure)
            assert f"the source now has {left} samples where there were 864; it has probably forgotten that day" in said
            assert "The stored day was kept. To overwrite it, set ANALYTICS_SOURCE_FEWER_SAMPLES=accept." in said
    with serving("none"):
        done = run(*command)
        assert (done.code, hashes(settings)) == (1, before)
        assert f"vm_resources: 1 partition(s) failed; {KEY}: table vm_resources" in done.err
        assert "the source now has 0 samples where there were 864" in done.err
    with serving("half"):
        overwritten = compute(again(settings, **FEWER))
        assert overwritten.facts.samples_seen < 864
        assert overwritten.sha256 != whole.sha256


DOWNSTREAM = ("vm_resources_hourly", "metric_trends")


@pytest.mark.parametrize("mode", ["warn", "block"])
def test_a_thin_day(mode, tmp_path):
    """Stops analyses of a day that was hardly measured, or lets them pass and say what they are made from."""
    with server_of(tmp_path / "thin", vms(["a", "b"], 216)) as server:
        settings = home(tmp_path / "home", "prometheus", server.url, low_coverage=mode)
        assets = assets_of(settings, "vm_resources", *DOWNSTREAM)
        ran = materialize(settings, instance_with(settings, "acme"), assets, partition_key=KEY)
    lake = Lake(settings.lake_root)
    checks = {
        one.asset_key.to_user_string(): one for one in ran.get_asset_check_evaluations() if one.check_name == "coverage"
    }
    check = checks["vm_resources"]
    assert not check.passed
    assert check.metadata["below_minimum"].value == {KEY: pytest.approx(0.25, abs=0.001)}
    assert len(ran.asset_materializations_for_node("vm_resources")) == 1
    assert lake.footer("vm_resources", Partition("acme", DAY))[1].low_coverage == ()
    if mode == "block":
        assert not ran.success
        assert check.severity == dg.AssetCheckSeverity.ERROR
        assert lake.tables("acme") == ["vm_resources"]
        return
    assert ran.success
    assert check.severity == dg.AssetCheckSeverity.WARN
    for table in DOWNSTREAM:
        assert "vm_resources" in lake.footer(table, Partition("acme", DAY))[1].low_coverage
        (event,) = ran.asset_materializations_for_node(table)
        assert "vm_resources" in event.metadata["low_coverage"].value
