"""The servers of the fixtures hold exactly the series that they say."""

import json
from urllib.parse import urlencode

import pytest

from tests.servers.live import LiveServers, instant
from tests.servers.loaded import LoadedPrometheus, LoadedVictoriaMetrics
from tests.servers.process import ServerProcess
from tests.servers.series import Series

pytestmark = pytest.mark.integration
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
Found = dict[tuple[str, tuple[tuple[str, str], ...]], tuple[list[int], list[float]]]


def in_prometheus(server: ServerProcess, names: set[str], start_ms: int, end_ms: int) -> Found:
    """Return all raw samples of some metrics in `[start_ms, end_ms)`."""
    found: Found = {}
    for name in names:
        seconds = (end_ms - start_ms) // 1000
        form = {"query": f"{name}[{seconds}s]", "time": str((end_ms - 1) / 1000)}
        status, body = server.ask("POST", "/api/v1/query", urlencode(form).encode(), FORM)
        assert status == 200, body
        for one in json.loads(body)["data"]["result"]:
            key = one["metric"].pop("__name__"), tuple(sorted(one["metric"].items()))
            samples = [(round(ts * 1000), float(value)) for ts, value in one["values"]]
            found[key] = [ts for ts, _ in samples], [value for _, value in samples]
    return found


def in_victoriametrics(server: ServerProcess, start_ms: int, end_ms: int) -> Found:
    form = {"match[]": '{__name__=~".+"}', "start": str(start_ms / 1000), "end": str((end_ms - 1) / 1000)}
    status, body = server.ask("POST", "/api/v1/export", urlencode(form).encode(), FORM)
    assert status == 200, body
    found: Found = {}
    for line in body.splitlines():
        one = json.loads(line)
        key = one["metric"].pop("__name__"), tuple(sorted(one["metric"].items()))
        found[key] = one["timestamps"], one["values"]
    return found


def wanted(series: tuple[Series, ...], start_ms: int, end_ms: int) -> Found:
    """Return the samples that Prometheus keeps: in order, and the first of several at one instant."""
    kept: Found = {}
    for one in series:
        samples: dict[int, float] = {}
        for ts, value in zip(one.ts_ms.tolist(), one.values.tolist(), strict=True):
            if start_ms <= ts < end_ms:
                samples.setdefault(ts, value)
        if samples:
            kept[one.key] = sorted(samples), [samples[ts] for ts in sorted(samples)]
    return kept


def spans(series: tuple[Series, ...]) -> list[tuple[int, int]]:
    """Return periods of 10 days that hold all samples."""
    days = sorted({int(ts) // 864_000_000 for one in series for ts in (one.ts_ms.min(), one.ts_ms.max())})
    everything = range(days[0], days[-1] + 1)
    busy = [n for n in everything if any(one.ts_ms.min() < (n + 1) * 864_000_000 and one.ts_ms.max() >= n * 864_000_000
                                         for one in series)]  # fmt: skip
    return [(n * 864_000_000, (n + 1) * 864_000_000) for n in busy]


def test_both_servers_hold_the_same_traces(
    prometheus_with_traces: LoadedPrometheus, victoriametrics_with_traces: LoadedVictoriaMetrics
):
    """Stops a comparison of both sources on data that differ, and samples lost on the way into either."""
    series = prometheus_with_traces.series
    assert {one.labels["tenant_id"] for one in series} == {"planetlab", "leiden", "delft"}
    names = {one.name for one in series}
    for start, end in spans(series):
        here = wanted(series, start, end)
        assert in_prometheus(prometheus_with_traces.process, names, start, end) == here
        assert in_victoriametrics(victoriametrics_with_traces.process, start, end) == here


def test_a_prometheus_holds_the_simulated_fleet(prometheus_simulated: LoadedPrometheus):
    """Stops metrics of the fleet that never reach the server, histograms among them."""
    series = prometheus_simulated.series
    names = {one.name for one in series}
    assert {"novacron_vm_cpu_usage_percent", "novacron_system_load_average"} <= names
    for start, end in spans(series):
        assert in_prometheus(prometheus_simulated.process, names, start, end) == wanted(series, start, end)


def test_a_copy_can_be_killed_without_harm_to_the_others(
    prometheus_with_traces: LoadedPrometheus, victoriametrics_with_traces: LoadedVictoriaMetrics, tmp_path
):
    """Stops a test of outages from taking the server away from every test after it."""
    with prometheus_with_traces.another(tmp_path / "prometheus", flags=["--query.max-samples=1000"]) as own:
        assert own.url != prometheus_with_traces.url
        own.kill()
    with victoriametrics_with_traces.another(tmp_path / "victoriametrics") as other:
        other.kill()
        other.start()
        assert other.ask("GET", "/api/v1/label/tenant_id/values")[1].count(b"planetlab") == 1
    assert prometheus_with_traces.process.ask("GET", "/-/ready")[0] == 200
    assert victoriametrics_with_traces.process.ask("GET", "/health")[0] == 200


def test_live_servers_are_scraped(live_prometheus: LiveServers):
    """Stops a live server without the series that it is there for."""
    tenants = {one["metric"]["tenant_id"] for one in instant(live_prometheus.process, "novacron_vm_cpu_usage_percent")}
    assert tenants == set(live_prometheus.tenants)
