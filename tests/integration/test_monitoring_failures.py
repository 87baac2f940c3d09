"""Servers that are down, slow, killed or replaced while they are read: whole days or none, and messages that help."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

import analytics_assets.assets
from resources.errors import AnalyticsError, InvalidInput, PermanentFailure, TransientFailure
from resources.monitoring.prometheus import wire
from resources.monitoring.server.failures import Refused
from resources.settings import Settings, load_settings
from tests.integration.between import Held, Passed, swapping
from tests.integration.conftest import require
from tests.integration.homes import CPU, DAY, PROCESSORS, again, compute, failure, hashes, home, nothing_changes, rows
from tests.portal.command import run
from tests.resources.monitoring.prometheus.answers import frame
from tests.resources.monitoring.server.scripted import Close, Script, answer, chunked
from tests.resources.monitoring.server.scripted import failure as failed_with
from tests.servers.loaded import LoadedPrometheus, LoadedVictoriaMetrics
from tests.servers.openmetrics import create_blocks
from tests.servers.process import ServerProcess, free_port
from tests.servers.prometheus import prometheus
from tests.servers.series import Series
from tests.servers.victoriametrics import load, victoriametrics
from tests.servers.web_security import PASSWORD, USERNAME, secure

pytestmark = pytest.mark.integration

WAYS = ("remote-read-chunks", "remote-read-samples", "query", "export")
ALL_WAYS = pytest.mark.parametrize("way", WAYS)
BULK = {
    "remote-read-chunks": "/api/v1/read", "remote-read-samples": "/api/v1/read",
    "query": "/api/v1/query", "export": "/api/v1/export",
}  # fmt: skip
"""Way to read -> the path that samples come from."""
START_MS = 1_767_225_600_000
"""2026-01-01."""
LIST = "/api/v1/label/vm_id/values"
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>to go on</body></html>"


def kind_of(way: str) -> str:
    return "victoriametrics" if way == "export" else "prometheus"


def reading(folder, way: str, url: str, **settings: object) -> Settings:
    method = {} if way == "export" else {"source_read_method": way}
    return home(folder, kind_of(way), url, **method, **settings)


@pytest.fixture(scope="module")
def fleet_in_victoriametrics(
    prometheus_simulated: LoadedPrometheus, tmp_path_factory
) -> Iterator[LoadedVictoriaMetrics]:
    require("victoria-metrics")
    with victoriametrics(tmp_path_factory.mktemp("fleet")) as server:
        load(server, prometheus_simulated.series)
        yield LoadedVictoriaMetrics(server, prometheus_simulated.series)


@pytest.fixture
def servers(request, prometheus_simulated: LoadedPrometheus) -> dict[str, ServerProcess]:
    """The same fleet in a server of each kind, shared: not to be stopped."""
    return {
        "prometheus": prometheus_simulated.process,
        "victoriametrics": request.getfixturevalue("fleet_in_victoriametrics").process,
    }


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


def test_a_restart_is_waited_for(prometheus_simulated, servers, tmp_path):
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

    with swapping(servers["prometheus"], starting) as proxy:
        settings = home(tmp_path / "other", "prometheus", proxy.url, source_attempts=2)
        assert compute(settings).sha256 == whole
        assert [one.path for one in proxy.passed] == [LIST, LIST, "/api/v1/read", "/api/v1/read"]


@pytest.fixture(scope="module")
def large_series() -> list[Series]:
    """What no buffer between server and client holds: 60 VMs, a random value every 30 s."""
    rng = np.random.default_rng(5)
    ts_ms = START_MS + 30_000 * np.arange(2880, dtype=np.int64)
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


def cuts_of(way: str, body: bytes) -> tuple[list[int], list[int]]:
    """Return where the answer `body` is cut: between its pieces, and within them."""
    between = {
        "remote-read-chunks": lambda: np.cumsum([len(frame(message)) for message in wire.frames(body, "")])[:-1],
        "export": lambda: np.cumsum([len(line) for line in body.splitlines(keepends=True)])[:-1],
    }.get(way, list)()
    return [0, *map(int, between)], sorted({1, len(body) - 1, *np.linspace(2, len(body) - 2, 30).astype(int).tolist()})


@ALL_WAYS
def test_an_answer_cut_anywhere_is_no_answer(servers, way, tmp_path):
    """Stops a cut between two series from being taken for the end: each frame and each line is whole by itself."""
    with swapping(servers[kind_of(way)]) as proxy:
        settings = reading(tmp_path / "home", way, proxy.url)
        whole = compute(settings).sha256
        [bulk] = proxy.of(BULK[way])
        between, within = cuts_of(way, bulk.body)
        assert way not in ("remote-read-chunks", "export") or len(between) >= 28

        def cut_at(position: int, ended: bool) -> Script:
            sent = chunked(bulk.body[:position] or b" ", content_type=bulk.content_type)
            return [sent] if ended else [sent[: -len(b"0\r\n\r\n")], Close()]

        # The connection broke; or somebody in between tidied up, and the answer ends as an answer should.
        for position, ended in [*((at, False) for at in between + within), *((at, True) for at in within)]:
            proxy.swap = lambda one, at=position, ended=ended: (
                cut_at(at, ended) if one.path == BULK[way] else one.unchanged()
            )
            said = failure(settings, PermanentFailure if ended and way == "query" else TransientFailure)
            assert proxy.url in said
            assert CPU in said or "{__name__" in said
            assert ended or "its answer broke off before the end" in said
        asked = len(proxy.of(BULK[way]))
        assert asked == 1 + len(between) + 2 * len(within)
        settings = again(settings, source_attempts=2)
        proxy.swap = lambda one: (
            cut_at(between[-1], False) if len(proxy.of(BULK[way])) == asked + 1 else one.unchanged()
        )
        assert compute(settings).sha256 == whole
        assert len(proxy.of(BULK[way])) == asked + 2


@pytest.mark.parametrize("way", ["remote-read-chunks", "remote-read-samples", "export"])
@pytest.mark.parametrize("content_type", ["text/plain", "", "application/json; charset=utf-8", "image/png"])
def test_an_answer_of_another_type_is_refused(servers, way, content_type, tmp_path):
    """Stops what something else answers from being decoded as if it were samples."""
    if (way, content_type[:16]) == ("export", "application/json"):
        pytest.skip("that is one of its types")
    swap = partial(replaced, BULK[way], content_type=content_type)
    with swapping(servers[kind_of(way)], swap) as proxy:
        settings = reading(tmp_path / "home", way, proxy.url)
        said = failure(settings, PermanentFailure)
        assert f"{proxy.url} was asked for " in said
        assert f"the answer is {content_type!r} and begins with" in said
        assert "Check that the address is that of a" in said
        assert len(proxy.of(BULK[way])) == 1  # asking again would not help


def replaced(path: str, passed: Passed, *, content_type: str) -> Script:
    return answer(200, passed.body, content_type) if passed.path == path else passed.unchanged()


def test_where_remote_read_is_blocked_another_way_is_taken(servers, tmp_path):
    """Stops a gateway that lets only queries through from making a server unreadable."""
    blocked = lambda one: answer(405, PAGE, "text/html") if one.path == "/api/v1/read" else one.unchanged()  # noqa: E731
    with swapping(servers["prometheus"], blocked) as proxy:
        settings = home(tmp_path / "home", "prometheus", proxy.url)
        assert compute(settings).facts.read_methods == ("query",)
        found = rows(settings)
        done = run("source", "check", "--home", settings.home)
        assert "not remote-read-chunks: " in done.out
        assert "HTTP 405 with an HTML page titled 'Sign in'" in done.out
        assert done.code == 0
        proxy.swap = Passed.unchanged
        compute(home(tmp_path / "other", "prometheus", proxy.url))
        assert found.equals(rows(load_settings(tmp_path / "other", {})))


ERRORS = {
    "page": (answer(200, PAGE, "text/html"), PermanentFailure, "titled 'Sign in', so it came from a proxy"),
    "page as JSON": (answer(200, PAGE), PermanentFailure, "HTML page titled 'Sign in'"),
    "error": (failed_with(200, "execution", "expanding series: disk"), PermanentFailure, "expanding series: disk"),
    "timeout": (failed_with(200, "timeout", "query timed out in expression evaluation"), PermanentFailure, "timed out"),
    "busy": (failed_with(200, "internal", "too many outstanding requests"), TransientFailure, "cannot answer"),
    "gateway": (answer(502, PAGE, "text/html"), TransientFailure, "HTTP 502 with an HTML page titled 'Sign in'"),
    "overload": (answer(429, b"slow down", "text/plain"), TransientFailure, "HTTP 429, 'slow down'"),
    "empty": (answer(200, b""), PermanentFailure, "it is no JSON"),
    "null": (answer(200, b"null"), PermanentFailure, "no status of success or error"),
    "other JSON": (answer(200, b'{"status":"success"}'), PermanentFailure, "it has no data"),
    "other data": (answer(200, b'{"status":"success","data":{}}'), PermanentFailure, "data is not a list of text"),
    "redirect": (answer(302, b"", headers=["Location: https://login.test/x"]), PermanentFailure, "https://login.test"),
}


@pytest.mark.parametrize("way", ["query", "export"])
@pytest.mark.parametrize("wrong", ERRORS)
def test_what_is_no_answer_of_the_server_is_refused(servers, wrong, way, tmp_path):
    """Stops a login page, an error with status 200 or an empty answer from being a day without samples."""
    script, kind, words = ERRORS[wrong]
    with swapping(servers[kind_of(way)]) as proxy:
        settings = reading(tmp_path / "home", way, proxy.url)
        compute(settings)
        for path in (LIST, BULK[way]):
            proxy.swap = lambda one, path=path: script if one.path == path else one.unchanged()
            if path == BULK[way] and wrong in ("empty", "null", "other JSON", "other data", "error", "timeout", "busy"):
                if way == "export" and wrong == "empty":
                    continue  # no series: that is what its answer looks like
                words = ""
            said = failure(settings, AnalyticsError if path == BULK[way] else kind)
            assert proxy.url in said
            assert words in said
            assert said.rstrip()[-1] in ".?"
    if wrong == "page":
        with swapping(servers[kind_of(way)], lambda _: script) as proxy:
            settings = reading(tmp_path / "other", way, proxy.url)
            for command in (["run", "collecting", "--from", DAY, "--to", DAY], ["source", "check"]):
                done = run(*command, "--home", settings.home)
                assert done.code == 1
                assert words in done.err


def test_another_tenant_of_the_same_run_is_not_harmed(servers, tmp_path, monkeypatch):
    """Stops one tenant's failure from losing the others' day, or its own of yesterday."""
    monkeypatch.setattr(analytics_assets.assets, "FIRST_RETRY_SECONDS", 0.01)
    with swapping(servers["prometheus"]) as proxy:
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


def test_certificates_and_credentials(prometheus_simulated, tmp_path):
    """Stops a secured server from being read without being verified, and wrong secrets from failing without a name."""
    require("openssl")
    password, token = tmp_path / "password", tmp_path / "token"
    password.write_text(PASSWORD + "\n")
    security = secure(tmp_path / "security")
    with prometheus_simulated.another(tmp_path / "own", security=security) as server:
        right = {
            "source_ca_file": str(security.access.ca_file),
            "source_username": USERNAME,
            "source_password_file": str(password),
        }
        settings = home(tmp_path / "home", "prometheus", server.url, **right)
        compute(settings)
        assert run("source", "check", "--home", settings.home).code == 0

        def refused(changes: dict[str, str], kind: type[Exception], *words: str) -> None:
            given = {**right, **changes}
            kept = {name: value for name, value in given.items() if value}
            other = home(tmp_path / f"home-{len(list(tmp_path.iterdir()))}", "prometheus", server.url, **kept)
            said = failure(other, kind)
            done = run("source", "check", "--home", other.home)
            assert done.code == 1
            for text in (said, done.err):
                assert PASSWORD not in text
                assert "secret-token" not in text
                for word in words:
                    assert word in text
            assert not other.lake_root.exists()

        refused({"source_ca_file": ""}, Refused, server.url, "certificate does not verify", "set source_ca_file to")
        stranger = secure(tmp_path / "stranger").access.ca_file
        refused({"source_ca_file": str(stranger)}, Refused, "certificate does not verify", "source_ca_file")
        refused({"source_username": "", "source_password_file": ""}, Refused, "HTTP 401", "No credentials are set: set")
        nobody = {"source_username": "", "source_password_file": "", "source_bearer_token_file": str(token)}
        refused(nobody, InvalidInput, f"source_bearer_token_file {token} cannot be read: No such file", "Mend the path")
        token.write_text("secret-token")
        refused(nobody, Refused, "HTTP 401", "The credentials came from source_bearer_token_file")
        password.write_text("wrong")
        refused({}, Refused, server.url, "HTTP 401", "source_username with source_password_file")
        plain = home(tmp_path / "plain", "prometheus", server.url.replace("https", "http"), source_attempts=3)
        assert "write https:// in prometheus_url" in run("source", "check", "--home", plain.home).err
        password.write_text(PASSWORD)
        with nothing_changes(settings):
            compute(settings)
