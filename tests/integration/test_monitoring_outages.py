"""Servers that are down, start, hang or are killed while they answer: whole days or none, and nobody else is harmed."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

import analytics_assets.assets
from resources.errors import TransientFailure
from resources.partition import Partition, day_start_ms
from tests.analytics_assets.test_assets import assets_of, instance_with, materialize
from tests.integration.between import Held, Passed, swapping
from tests.integration.conftest import require
from tests.integration.homes import (
    ALL_WAYS,
    CPU,
    DAY,
    LIST,
    PROCESSORS,
    again,
    compute,
    failure,
    hashes,
    home,
    kind_of,
    reading,
)
from tests.portal.command import run
from tests.resources.monitoring.server.scripted import Close, Script, answer
from tests.servers.openmetrics import create_blocks
from tests.servers.process import ServerProcess, free_port
from tests.servers.prometheus import prometheus
from tests.servers.series import Series
from tests.servers.victoriametrics import load, victoriametrics

pytestmark = pytest.mark.integration

LAST = "/api/v1/label/__name__/values"
"""The path that is asked last: whether there are series that name no VM."""


def test_a_server_that_goes_down_fails_every_processor_and_keeps_every_table(prometheus_simulated, tmp_path):
    """Stops an outage from emptying what was stored, and a server that is back from giving other bytes."""
    asking = {"acme": "system_load", "platform": "vm_inventory"}  # but for these, which ask nobody
    with prometheus_simulated.another(tmp_path / "own") as server:
        settings = home(tmp_path / "home", "prometheus", server.url)
        partitions = [(tenant, table) for tenant in asking for table in PROCESSORS]
        for tenant, table in partitions:
            compute(settings, table, tenant)
        before = hashes(settings)
        assert len(before) == len(partitions)
        server.kill()
        for tenant, table in partitions:
            if table != asking[tenant]:
                said = failure(settings, TransientFailure, partial(compute, settings, table, tenant))
                assert f"{server.url} gave no answer to " in said
                assert "novacron_" in said
                assert "Connection refused. Check that it runs and that prometheus_url is its address, then" in said
        again(settings, source_attempts=2)
        done = run("run", "collecting", "--tenant", "acme", "--from", DAY, "--to", DAY, "--home", settings.home)
        assert (done.code, hashes(settings)) == (1, before)
        assert done.err.startswith(f"error: {server.url} gave no answer to 'values of tenant_id on ")
        assert "in 2 attempts; the last: no connection: Connection refused. Check that" in done.err
        done = run("source", "check", "--home", settings.home)
        assert (done.code, done.out) == (1, "")
        assert f"error: {server.url} gave no answer" in done.err
        server.start()
        for tenant, table in partitions:
            compute(settings, table, tenant)
    assert hashes(settings) == before


def test_a_port_where_nobody_listens_makes_no_lake(tmp_path):
    """Stops a first run with a wrong address from leaving empty days that look like answers."""
    settings = home(tmp_path / "home", "victoriametrics", f"http://127.0.0.1:{free_port()}")
    assert "that victoriametrics_url is its address" in failure(settings, TransientFailure)
    for command in (["run", "collecting", "--from", DAY, "--to", DAY], ["source", "check"]):
        done = run(*command, "--home", settings.home)
        assert (done.code, done.out) == (1, "")
        assert "Connection refused" in done.err
    assert not settings.lake_root.exists()


def test_a_restart_is_waited_for(prometheus_simulated, tmp_path):
    """Stops a restart, with its first moments of refused connections and 503, from failing a day."""
    with prometheus_simulated.another(tmp_path / "own") as server:
        settings = home(tmp_path / "home", "prometheus", server.url, source_attempts=8)
        whole = compute(settings).sha256
        server.kill()
        with ThreadPoolExecutor(1) as pool:
            computed = pool.submit(compute, settings)
            time.sleep(0.4)
            server.start()
            assert computed.result().sha256 == whole
    asked: set[str] = set()

    def starting(passed: Passed) -> Script:
        first = passed.path not in asked
        asked.add(passed.path)
        return answer(503, b"Service Unavailable", "text/plain") if first else passed.unchanged()

    with swapping(prometheus_simulated.process, starting) as proxy:
        settings = home(tmp_path / "other", "prometheus", proxy.url, source_attempts=2)
        assert compute(settings).sha256 == whole
        assert [one.path for one in proxy.passed] == [LIST, LIST, "/api/v1/read", "/api/v1/read", LAST, LAST]


@pytest.fixture(scope="module")
def large_series() -> list[Series]:
    """What no buffer between server and client holds: 60 VMs, a random value every 30 s."""
    rng = np.random.default_rng(5)
    ts_ms = day_start_ms(DAY) + 30_000 * np.arange(2880, dtype=np.int64)
    labels = [{"tenant_id": "acme", "vm_id": f"vm-{number:02d}", "node_id": "n"} for number in range(60)]
    return [Series(CPU, one, ts_ms, 100 * rng.random(len(ts_ms))) for one in labels]


@pytest.fixture(scope="module")
def large_servers(large_series, tmp_path_factory) -> Iterator[dict[str, ServerProcess]]:
    """A server of each kind that a test may kill, if it starts it again."""
    require("prometheus", "promtool", "victoria-metrics")
    folder = tmp_path_factory.mktemp("large")
    create_blocks(large_series, folder / "blocks")
    with prometheus(folder / "one", blocks=folder / "blocks") as one, victoriametrics(folder / "other") as other:
        load(other, large_series)
        other.stop()  # what it has not written to its disk yet, a kill would lose
        other.start()
        yield {"prometheus": one, "victoriametrics": other}


@ALL_WAYS
def test_a_server_that_is_killed_while_it_answers(large_servers, way, tmp_path):
    """Stops the series that came before the end of a server from passing for the whole day."""
    server = large_servers[kind_of(way)]
    with Held(server) as relay, ThreadPoolExecutor(1) as pool:
        settings = reading(tmp_path / "home", way, relay.url)
        whole = compute(settings).sha256

        def killed() -> None:
            relay.hold()
            computed = pool.submit(compute, settings)
            relay.wait_for(computed)
            server.kill()
            relay.go_on()
            computed.result()

        said = failure(settings, TransientFailure, killed)
        assert f"{relay.url} gave no answer to " in said
        assert CPU in said
        assert "in 1 attempt; the last: its answer broke off before the end. Check that it runs" in said
        server.start()
        settings = again(settings, source_attempts=6)
        relay.hold()
        computed = pool.submit(compute, settings)
        relay.wait_for(computed)
        server.kill()
        server.start()
        relay.go_on()
        assert computed.result().sha256 == whole


@ALL_WAYS
def test_a_server_that_hangs(large_servers, way, tmp_path):
    """Stops a run that waits for ever, before an answer or within it."""
    server = large_servers[kind_of(way)]
    with Held(server) as relay, ThreadPoolExecutor(1) as pool:
        settings = reading(tmp_path / "home", way, relay.url, source_read_timeout_seconds=1)
        whole = compute(settings).sha256

        def paused() -> None:
            relay.hold()
            computed = pool.submit(compute, settings)
            relay.wait_for(computed)
            server.pause()
            relay.go_on()
            computed.result()

        began = time.monotonic()
        try:
            within = failure(settings, TransientFailure, paused)
            before = failure(settings, TransientFailure) if way in ("query", "export") else within
        finally:
            server.resume()
        assert time.monotonic() - began < 10
        for said in (within, before):
            assert "in 1 attempt; the last: nothing came for 1 s (source_read_timeout_seconds). Check" in said
        relay.hold()
        computed = pool.submit(compute, settings)
        relay.wait_for(computed)
        server.pause()
        time.sleep(0.3)
        server.resume()
        relay.go_on()
        assert computed.result().sha256 == whole


def test_a_run_is_tried_again_when_the_server_may_be_back(prometheus_simulated, tmp_path, monkeypatch):
    """Stops an outage of a minute from costing a night's run."""
    monkeypatch.setattr(analytics_assets.assets, "FIRST_RETRY_SECONDS", 0.01)
    with swapping(prometheus_simulated.process, lambda _: [Close()]) as proxy:
        settings = home(tmp_path / "home", "prometheus", proxy.url)

        def back_after_two(passed: Passed) -> Script:
            return passed.unchanged() if len(proxy.passed) > 2 else [Close()]

        proxy.swap = back_after_two
        assets = assets_of(settings, "vm_resources")
        ran = materialize(settings, instance_with(settings, "acme"), assets, partition_key=Partition("acme", DAY).key)
        assert ran.success
        assert [one.path for one in proxy.passed] == [LIST, LIST, LIST, "/api/v1/read", LAST]
    assert set(hashes(settings)) == {f"tenant=acme/vm_resources/day={DAY}.parquet"}


def test_another_tenant_of_the_same_run_is_not_harmed(prometheus_simulated, tmp_path, monkeypatch):
    """Stops one tenant's failure from losing the others' day, or its own of yesterday."""
    monkeypatch.setattr(analytics_assets.assets, "FIRST_RETRY_SECONDS", 0.01)
    with swapping(prometheus_simulated.process) as proxy:
        settings = home(tmp_path / "home", "prometheus", proxy.url)
        for tenant in ("acme", "globex"):
            compute(settings, tenant=tenant)
        before = hashes(settings)
        proxy.swap = lambda one: [Close()] if "tenant_id%3D%22globex%22" in one.request.target else one.unchanged()
        done = run("run", "collecting", "--from", DAY, "--to", DAY, "--home", settings.home)
        after = hashes(settings)
    assert done.code == 1
    assert "1 of 3 run(s) failed:" in done.err
    assert "vm_resources: 1 partition(s) failed; 2026-01-01|globex: http://127.0.0.1:" in done.err
    assert "metric_samples: 1 partition(s) failed; 2026-01-01|globex: http://127.0.0.1:" in done.err
    assert "acme: http" not in done.err
    day = f"day={DAY}.parquet"
    new = {f"tenant={tenant}/metric_samples/{day}" for tenant in ("acme", "platform")}
    assert set(after) - set(before) == {*new, f"tenant=platform/vm_resources/{day}"}
    assert {name: after[name] for name in before} == before
