"""The same client against a real Prometheus and a real VictoriaMetrics."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from resources.monitoring.server.api import MAX_POINTS, PrometheusApi
from resources.monitoring.server.http import Refused, ServerUnavailable, TooMuch
from tests.resources.monitoring.server.clients import Waits, client
from tests.servers.openmetrics import create_blocks
from tests.servers.packages import missing_packages
from tests.servers.process import ServerProcess
from tests.servers.prometheus import prometheus
from tests.servers.series import Series
from tests.servers.victoriametrics import load, victoriametrics
from tests.servers.web_security import PASSWORD, USERNAME, secure

pytestmark = pytest.mark.integration

METRIC = "novacron_vm_cpu_usage_percent"
START = 1_700_000_020_000  # no multiple of the step: a server must not move the points
STEP_MS = 60_000
COUNT = 30
MANY = "many"
MANY_COUNT = 2000
MOST_SAMPLES = 1000
# Characters that need an escape in PromQL, JSON, a URL or a log.
VMS = ("vm-1", 'quote"d', "back\\slash", "{brace}=,", "line\nend", "é日本 +%&")


def needs(*programs: str) -> None:
    missing = missing_packages(*programs)
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def some_series() -> list[Series]:
    ts_ms = START + np.arange(COUNT, dtype=np.int64) * STEP_MS
    many_ms = START + np.arange(MANY_COUNT, dtype=np.int64) * 1000
    return [Series(MANY, {}, many_ms, np.arange(MANY_COUNT) * 1.0)] + [
        Series(METRIC, {"vm_id": vm, "tenant_id": "acme"}, ts_ms, np.arange(COUNT) + 100.0 * number)
        for number, vm in enumerate(VMS)
    ]


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("prometheus", "promtool")
    folder = tmp_path_factory.mktemp("blocks") / "data"
    create_blocks(some_series(), folder)
    return folder


@pytest.fixture(scope="module", params=["prometheus", "victoriametrics"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Yield a server with the series, of each kind; both refuse more than `MOST_SAMPLES` in a query."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "prometheus":
        blocks = request.getfixturevalue("blocks")
        with prometheus(folder, blocks=blocks, flags=[f"--query.max-samples={MOST_SAMPLES}"]) as server:
            yield server
    else:
        needs("victoria-metrics")
        with victoriametrics(folder, flags=[f"-search.maxSamplesPerQuery={MOST_SAMPLES}"]) as server:
            load(server, some_series())
            yield server


def test_labels_and_values_come_back_exactly(loaded: ServerProcess) -> None:
    """Stops escapes from changing a label on the way, and an evaluation at another time than asked for."""
    with client(loaded.url) as asking:
        api = PrometheusApi(asking)
        assert api.label_values("vm_id", [METRIC], START, START + COUNT * STEP_MS).values == sorted(VMS)
        found = api.instant(METRIC, START + 3 * STEP_MS)
        assert {labels["vm_id"]: value for labels, value in found} == {vm: 3.0 + 100 * i for i, vm in enumerate(VMS)}
        assert (found.ts_ms, found.warnings) == (START + 3 * STEP_MS, ())
        [(_, scalar)] = api.instant("1 / 0")
        assert scalar == np.inf


def test_a_range_is_evaluated_at_the_times_asked_for(loaded: ServerProcess) -> None:
    """Stops VictoriaMetrics from moving the points of a range to multiples of its step."""
    with client(loaded.url) as asking:
        found = PrometheusApi(asking).range_query(f'{METRIC}{{vm_id="vm-1"}}', START, START + 10 * STEP_MS, 60)
    [(labels, ts_ms, values)] = found
    assert labels == {"__name__": METRIC, "vm_id": "vm-1", "tenant_id": "acme"}
    assert ts_ms.tolist() == [START + number * STEP_MS for number in range(10)]
    assert values.tolist() == [float(number) for number in range(10)]


def test_a_range_of_many_points_is_split(tmp_path: Path, blocks: Path) -> None:
    """Stops Prometheus' limit of 11,000 points from refusing a month at a minute."""
    with prometheus(tmp_path, blocks=blocks) as server, client(server.url) as asking:
        count = 2 * MAX_POINTS + 5
        [(_, ts_ms, _)] = PrometheusApi(asking).range_query("vector(1)", START, START + count * STEP_MS, 60)
    assert np.array_equal(ts_ms, START + np.arange(count) * STEP_MS)


def test_too_much_and_nonsense_are_told_apart(loaded: ServerProcess) -> None:
    """Stops a query that is too large from failing, and a wrong one from being split for ever."""
    with client(loaded.url) as asking:
        api = PrometheusApi(asking)
        with pytest.raises(TooMuch, match="samples"):
            api.instant(f"{MANY}[1h]", START + MANY_COUNT * 1000)
        with pytest.raises(Refused, match=r"HTTP 4"):
            api.instant(f"{METRIC}{{")
        with pytest.raises(Refused, match=r"/nowhere"):
            asking.send("GET", "/nowhere", what="/nowhere")


def test_clock_and_version(loaded: ServerProcess) -> None:
    """Stops a clock that is 30 s behind: VictoriaMetrics answers for then, if it is not told otherwise."""
    with client(loaded.url) as asking:
        api = PrometheusApi(asking)
        assert abs(api.server_time_ms() - time.time() * 1000) < 5000
        version = api.version()
        assert version[0].isdigit() if loaded.name == "prometheus" else version == "unknown"


def test_tls_and_basic_authentication(tmp_path: Path, blocks: Path) -> None:
    """Stops the settings of a secured server from working with the scripted server only."""
    needs("openssl")
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    security = secure(tmp_path / "security")
    with prometheus(tmp_path / "server", blocks=blocks, security=security) as server:
        given = {"ca_file": security.access.ca_file, "username": USERNAME, "password_file": file}
        with client(server.url, **given) as asking:
            assert len(PrometheusApi(asking).instant(METRIC, START).rows) == len(VMS)
            file.write_text("wrong")
            with pytest.raises(Refused, match="source_username with source_password_file"):
                PrometheusApi(asking).version()
        with client(server.url) as asking, pytest.raises(Refused, match="source_ca_file"):
            PrometheusApi(asking).version()
        plain = server.url.replace("https://", "http://")
        with client(plain) as asking, pytest.raises(Refused, match="write https://"):
            PrometheusApi(asking).version()


def test_https_to_a_real_server_of_http(loaded: ServerProcess) -> None:
    """Stops a wrong scheme from being taken for a server that is down."""
    with (
        client(loaded.url.replace("http://", "https://")) as asking,
        pytest.raises(Refused, match="does not speak TLS"),
    ):
        PrometheusApi(asking).version()


def test_a_restart_is_waited_for(tmp_path: Path, blocks: Path) -> None:
    """Stops a restart of Prometheus from failing a collection, also on a connection that was open before."""
    with prometheus(tmp_path, blocks=blocks) as server:

        class Restarting(Waits):
            def sleep(self, seconds: float) -> None:
                super().sleep(seconds)
                if not server.running:
                    server.start()

        waits = Restarting()
        with client(server.url, waits) as asking:
            api = PrometheusApi(asking)
            assert len(api.instant(METRIC, START).rows) == len(VMS)
            server.kill()
            assert len(api.instant(METRIC, START).rows) == len(VMS)
            assert len(waits) == 1
        server.kill()
        with client(server.url) as asking, pytest.raises(ServerUnavailable, match="Connection refused"):
            asking.send("GET", "/x", what="up")
