"""The readers against real servers: every sample as it was written, and the servers' own ways to refuse."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cramjam
import numpy as np
import pytest

from resources.errors import PermanentFailure
from resources.monitoring.prometheus import wire
from resources.monitoring.prometheus.range_selector import RangeSelector
from resources.monitoring.prometheus.remote_read import HEADERS, RemoteRead
from resources.monitoring.prometheus.wire import MESSAGES, ResponseType
from resources.monitoring.selector import Matcher, Selector, parse_selector
from resources.monitoring.server.connection import Connection
from resources.monitoring.server.http import HttpClient, Refused, TooMuch
from resources.monitoring.server.reader import RawSeries, Read, Reader
from resources.monitoring.victoriametrics.export import Export
from tests.integration.conftest import require
from tests.servers.loaded import LoadedPrometheus, LoadedVictoriaMetrics
from tests.servers.openmetrics import create_blocks
from tests.servers.process import ServerProcess
from tests.servers.prometheus import prometheus
from tests.servers.series import Series
from tests.servers.victoriametrics import load, victoriametrics

pytestmark = pytest.mark.integration

T = 1_700_000_000_000
STALE = 0x7FF0000000000002
MAKERS: dict[str, Callable[[HttpClient], Reader]] = {
    "remote-read chunks": RemoteRead,
    "remote-read samples": lambda client: RemoteRead(client, "samples"),
    "query": RangeSelector,
}
ALL = pytest.mark.parametrize("method", list(MAKERS))

Key = tuple[tuple[str, str], ...]
Pairs = list[tuple[int, int]]


def read(server: ServerProcess, method: str, selector: str | Selector, start_ms: int, end_ms: int) -> Read:
    chosen = parse_selector(selector) if isinstance(selector, str) else selector
    with HttpClient(Connection(server.url, attempts=1)) as client:
        return {**MAKERS, "export": Export}[method](client).read(chosen, start_ms, end_ms)


def by_labels(series: RawSeries) -> dict[Key, Pairs]:
    """Return times and bits by labels; a series that comes twice fails."""
    pairs = list(zip(series.ts_ms.tolist(), series.values.view(np.uint64).tolist(), strict=True))
    parts = zip(series.labels, series.offsets[:-1], series.offsets[1:], strict=True)
    found = {tuple(sorted(labels.items())): pairs[begin:end] for labels, begin, end in parts}
    assert len(found) == len(series.labels)
    return found


def key(series: Series) -> Key:
    return tuple(sorted({"__name__": series.name, **series.labels}.items()))


def written(series: Iterable[Series], start_ms: int, end_ms: int) -> dict[Key, Pairs]:
    """Return what a Prometheus has of `series` in the window: in order of time, of several at one instant the first."""
    expected = {}
    for one in series:
        ts_ms, kept = np.unique(one.ts_ms, return_index=True)
        inside = (ts_ms >= start_ms) & (ts_ms < end_ms)
        if inside.any():
            values = one.values[kept][inside].view(np.uint64).tolist()
            expected[key(one)] = list(zip(ts_ms[inside].tolist(), values, strict=True))
    return expected


def window(series: Iterable[Series]) -> tuple[int, int]:
    series = list(series)
    return min(int(one.ts_ms.min()) for one in series), max(int(one.ts_ms.max()) for one in series) + 1


@ALL
def test_every_sample_of_a_fleet_comes_out_of_prometheus(prometheus_simulated: LoadedPrometheus, method: str) -> None:
    """Stops any difference between the ways to read, in any metric that NovaCron exports."""
    for name in sorted({one.name for one in prometheus_simulated.series}):
        members = [one for one in prometheus_simulated.series if one.name == name]
        start, end = window(members)
        found = read(prometheus_simulated.process, method, name, start, end)
        assert by_labels(found.series) == written(members, start, end)
        assert (found.method, found.warnings) == (method, ())


@ALL
def test_real_traces_come_out_of_prometheus(prometheus_with_traces: LoadedPrometheus, method: str) -> None:
    """Stops irregular steps, gaps, resets and migrations from being read otherwise than they were measured."""
    for name in ("novacron_vm_cpu_usage_percent", "novacron_vm_network_receive_bytes_total"):
        members = [one for one in prometheus_with_traces.series if one.name == name]
        start, end = window(members)
        middle = (start + end) // 2
        for part in ((start, middle), (middle, end)):
            found = read(prometheus_with_traces.process, method, name, *part)
            assert by_labels(found.series) == written(members, *part)


def test_real_traces_come_out_of_victoriametrics(victoriametrics_with_traces: LoadedVictoriaMetrics) -> None:
    """Stops samples from being lost or read twice; a fraction keeps the twelve digits that the server keeps."""
    for name in ("novacron_vm_cpu_usage_percent", "novacron_vm_network_receive_bytes_total"):
        members = {key(one): one for one in victoriametrics_with_traces.series if one.name == name}
        start, end = window(members.values())
        found = read(victoriametrics_with_traces.process, "export", name, start, end)
        assert found.method == "export"
        assert {tuple(sorted(labels.items())) for labels in found.series.labels} == set(members)
        for number, labels in enumerate(found.series.labels):
            one = members[tuple(sorted(labels.items()))]
            order = np.argsort(one.ts_ms, kind="stable")
            part = slice(found.series.offsets[number], found.series.offsets[number + 1])
            assert found.series.ts_ms[part].tolist() == one.ts_ms[order].tolist()
            np.testing.assert_allclose(found.series.values[part], one.values[order], rtol=1e-11)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[ServerProcess]:
    """An empty Prometheus that samples can be written to, each an hour late at most, and native histograms."""
    require("prometheus", "promtool")
    flags = ["--web.enable-remote-write-receiver", "--enable-feature=native-histograms"]
    with prometheus(tmp_path / "receiver", flags=flags) as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """An empty VictoriaMetrics."""
    require("victoria-metrics")
    with victoriametrics(tmp_path_factory.mktemp("store")) as server:
        yield server


def write(server: ServerProcess, labels: dict[str, str], pairs: Pairs, histograms: Iterable[bytes] = ()) -> None:
    """Write samples by remote-write, whose request is laid out like one result of remote-read."""
    result = MESSAGES["QueryResult"]()
    series = result.timeseries.add(histograms=list(histograms))
    for name, value in sorted(labels.items()):
        series.labels.add(name=name, value=value)
    for ts, bits in pairs:
        series.samples.add(timestamp=ts, value=np.array([bits], np.uint64).view(np.float64)[0])
    headers = {**HEADERS, "X-Prometheus-Remote-Write-Version": "0.1.0"}
    body = bytes(cramjam.snappy.compress_raw(result.SerializeToString()))
    status, answer = server.ask("POST", "/api/v1/write", body, headers)
    assert status in (200, 204), answer
    if server.name == "victoriametrics":
        server.ask("GET", "/internal/force_flush")


@ALL
def test_every_bit_of_a_value_survives(receiver: ServerProcess, method: str) -> None:
    """Stops stale markers from turning into NaN, and the smallest, largest and negative zero from being rounded."""
    special = [0, 1 << 63, 1, (1 << 63) - 1, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000001, STALE]
    random = np.random.default_rng(7).integers(0, 1 << 63, 500, np.uint64, endpoint=True).tolist()
    bits = [*special, *random, *special, *[0x4059000000000000] * 300, *random[:40]]
    rng = np.random.default_rng(8)
    steps = rng.choice([1, 7, 8192, 8193, 15_000, 65_536, 524_288, 524_289, 2_000_000], len(bits))
    times = (T + np.cumsum(steps)).tolist()
    pairs = list(zip(times, bits, strict=True))
    labels = {"__name__": "bits", "method": method, "text": 'a"\\\n{},=\u00e9\U0001f600'}
    write(receiver, labels, pairs)
    selector = Selector(tuple(Matcher(name, "=", value) for name, value in labels.items()))
    found = by_labels(read(receiver, method, selector, T, times[-1] + 1).series)
    if method == "remote-read samples":  # it leaves out what equals zero
        pairs = [(ts, 0 if value == 1 << 63 else value) for ts, value in pairs]
    if method == "query":  # it writes every NaN alike and hides stale markers
        pairs = [(ts, _one_nan(value)) for ts, value in pairs if value != STALE]
    assert found == {tuple(sorted(labels.items())): pairs}


def _one_nan(bits: int) -> int:
    return 0x7FF8000000000000 if bits & (1 << 63) - 1 > 0x7FF0000000000000 else bits


@pytest.mark.parametrize("method", [*MAKERS, "export"])
def test_a_window_holds_its_start_and_not_its_end(receiver: ServerProcess, store: ServerProcess, method: str) -> None:
    """Stops a sample at midnight from being read on two days or on none, whatever a server thinks of windows."""
    server = store if method == "export" else receiver
    times = [T, T + 1, T + 60_000, T + 60_001, T + 119_999, T + 120_000, T + 120_001]
    write(server, {"__name__": "border", "method": method}, [(ts, 0x3FF0000000000000) for ts in times])
    bounds = sorted({ts + more for ts in times for more in (-1, 0, 1)})
    for start in bounds:
        for end in (bound for bound in bounds if bound > start):
            found = read(server, method, f'border{{method="{method}"}}', start, end)
            assert found.series.ts_ms.tolist() == [ts for ts in times if start <= ts < end]


@pytest.mark.parametrize("method", [*MAKERS, "export"])
def test_nothing_selected_is_nothing(receiver: ServerProcess, store: ServerProcess, method: str) -> None:
    """Stops a tenant without series from failing."""
    found = read(store if method == "export" else receiver, method, 'nothing{tenant_id="none"}', T, T + 86_400_000)
    assert (found.series.labels, found.series.offsets.tolist(), found.series.ts_ms.size) == ((), [0], 0)


def test_a_long_series_comes_in_frames_and_is_one(tmp_path: Path) -> None:
    """Stops a series of more than a megabyte from falling apart where Prometheus begins a new frame."""
    require("prometheus", "promtool")
    count = 200_000
    values = np.random.default_rng(3).random(count)
    long = Series("long", {"vm_id": "a"}, T + 10_000 * np.arange(count, dtype=np.int64), values)
    short = Series("long", {"vm_id": "b"}, long.ts_ms[:5], values[:5])
    create_blocks([long, short], tmp_path / "blocks")
    start, end = window([long])
    with prometheus(tmp_path / "server", blocks=tmp_path / "blocks") as server:
        request = wire.encode_request(parse_selector("long"), start, end, [ResponseType.STREAMED_XOR_CHUNKS])
        status, body = server.ask("POST", "/api/v1/read", request, HEADERS)
        assert status == 200
        names = [one.labels["vm_id"] for message in wire.frames(body, "") for one in wire.chunked(message, "")]
        assert names.count("a") > 1
        for method in MAKERS:
            assert by_labels(read(server, method, "long", start, end).series) == written([long, short], start, end)


def test_native_histograms_are_refused_or_left_out_with_a_word(receiver: ServerProcess) -> None:
    """Stops the newer kind of histogram from being read as numbers, or as a metric that nobody exports."""
    # schema 0, sum 1.5, one observation in the first bucket, at T
    encoded = bytes.fromhex("080119000000000000f83f20005a0408001001620102") + b"\x78" + _uvarint(T)
    write(receiver, {"__name__": "native"}, [], [encoded])
    write(receiver, {"__name__": "native", "kind": "plain"}, [(T, 0x3FF0000000000000)])
    with pytest.raises(PermanentFailure, match="native histograms are not supported"):
        read(receiver, "remote-read chunks", "native", T - 1000, T + 1000)
    # As plain samples, Prometheus 2.42 sends such a series without any and without a word.
    found = read(receiver, "remote-read samples", "native", T - 1000, T + 1000)
    assert list(by_labels(found.series)) == [(("__name__", "native"), ("kind", "plain"))]
    found = read(receiver, "query", "native", T - 1000, T + 1000)
    assert list(by_labels(found.series)) == [(("__name__", "native"), ("kind", "plain"))]
    assert found.warnings == ("1 series have native histograms, which are not supported and were left out",)


def _uvarint(number: int) -> bytes:
    encoded = b""
    while number >= 128:
        encoded, number = encoded + bytes([number & 127 | 128]), number >> 7
    return encoded + bytes([number])


def test_a_server_with_limits_says_too_much(prometheus_simulated: LoadedPrometheus, tmp_path: Path) -> None:
    """Stops a limit from being taken for a failure for good, or for one that a repetition mends."""
    flags = ["--storage.remote.read-sample-limit=100", "--query.max-samples=100"]
    members = [one for one in prometheus_simulated.series if one.name == "novacron_vm_cpu_usage_percent"]
    start, end = window(members)
    with prometheus_simulated.another(tmp_path / "own", flags=flags) as server:
        for method in ("remote-read samples", "query"):
            with pytest.raises(TooMuch):
                read(server, method, "novacron_vm_cpu_usage_percent", start, end)
        found = read(server, "remote-read chunks", "novacron_vm_cpu_usage_percent", start, end)
        assert by_labels(found.series) == written(members, start, end)


def test_a_backend_that_is_down_shows_as_a_warning(tmp_path: Path) -> None:
    """Stops an answer without a backend's samples from looking complete."""
    require("prometheus", "promtool")
    backend = {"url": "http://127.0.0.1:9/api/v1/read", "remote_timeout": "1s", "read_recent": True}
    with prometheus(tmp_path / "server", remote_read=[backend]) as server:
        found = read(server, "query", "up", T, T + 1000)
    assert found.series.labels == ()
    assert len(found.warnings) == 1
    assert "remote_read" in found.warnings[0]


def test_remote_read_is_refused_where_there_is_none(store: ServerProcess) -> None:
    """Stops a server without the protocol from being asked again and again."""
    with pytest.raises(Refused):
        read(store, "remote-read chunks", "up", T, T + 1000)


def test_victoriametrics_keeps_infinities_duplicates_and_stale_markers(store: ServerProcess) -> None:
    """Stops bare words in the export from failing, and repeated samples from being chosen among here."""
    one, infinite, negative = 0x3FF0000000000000, 0x7FF0000000000000, 0xFFF0000000000000
    labels = {"__name__": "odd", "vm_id": 'a"\\\n,+Inf,NaN]\u00e9'}
    pairs = [(T, one), (T + 1000, STALE), (T + 2000, infinite), (T + 3000, negative), (T + 4000, one)]
    write(store, labels, pairs)
    write(store, labels, [(T + 4000, one)])
    write(store, {"__name__": "odd", "vm_id": "only a marker"}, [(T, STALE)])
    found = by_labels(read(store, "export", "odd", T, T + 5000).series)
    assert found == {
        tuple(sorted(labels.items())): [*pairs, (T + 4000, one)],
        (("__name__", "odd"), ("vm_id", "only a marker")): [(T, STALE)],
    }


def test_a_long_series_of_victoriametrics_is_one(store: ServerProcess) -> None:
    """Stops a series that was written in many parts from falling apart."""
    times = T + 1000 * np.arange(50_000, dtype=np.int64)
    load(store, [Series("steps", {"vm_id": "a"}, times, np.arange(50_000, dtype=np.float64))])
    found = read(store, "export", 'steps{vm_id="a"}', T, T + 50_000_000)
    assert found.series.ts_ms.tolist() == times.tolist()
    assert found.series.values.tolist() == list(range(50_000))
