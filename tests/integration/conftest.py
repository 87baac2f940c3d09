"""Real monitoring servers for the integration tests, each prepared once; absent programs or traces skip.

- `prometheus_with_traces`, `victoriametrics_with_traces`: the same real traces (`.traces` says which).
- `prometheus_simulated`: the simulated fleet `.fleet`, its nodes too.
- `live_prometheus`: scrapes a node exporter and a libvirt exporter every second.

They are shared: a test that stops or kills a server takes its own, by `.another(tmp_path / "own")`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.live import LiveServers, live_servers
from tests.servers.loaded import LoadedPrometheus, LoadedVictoriaMetrics, Traces, read_traces
from tests.servers.openmetrics import create_blocks
from tests.servers.packages import missing_packages
from tests.servers.prometheus import prometheus
from tests.servers.simulated import fleet, simulated
from tests.servers.traces import BITBRAINS_FILE, PLANETLAB_FILE
from tests.servers.victoriametrics import load, victoriametrics


@pytest.fixture(scope="session")
def real_traces(shared_data: Path) -> Traces:
    """100 VMs of PlanetLab for a day, 12 VMs of Bitbrains for 30 days, with a reset, a migration and a gap."""
    for name in (PLANETLAB_FILE, BITBRAINS_FILE):
        if not (shared_data / name).exists():
            pytest.skip(f"no real traces: {shared_data / name} is not there (set NOVACRON_SHARED_DATA)")
    return read_traces(shared_data)


@pytest.fixture(scope="session")
def prometheus_with_traces(real_traces: Traces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedPrometheus]:
    """A Prometheus that holds `real_traces`."""
    require("prometheus", "promtool")
    folder = tmp_path_factory.mktemp("prometheus-traces")
    create_blocks(real_traces.planetlab_series, folder / "blocks", max_block_days=1)
    create_blocks(real_traces.of_bitbrains, folder / "blocks")
    with prometheus(folder / "server", blocks=folder / "blocks") as server:
        yield LoadedPrometheus(server, real_traces.series, folder / "blocks", real_traces)


@pytest.fixture(scope="session")
def victoriametrics_with_traces(
    real_traces: Traces, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LoadedVictoriaMetrics]:
    """A VictoriaMetrics that holds `real_traces`."""
    require("victoria-metrics")
    with victoriametrics(tmp_path_factory.mktemp("victoriametrics-traces")) as server:
        load(server, real_traces.series)
        yield LoadedVictoriaMetrics(server, real_traces.series, real_traces)


@pytest.fixture(scope="session")
def prometheus_simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedPrometheus]:
    """A Prometheus that holds a simulated fleet of 2 tenants x 4 VMs x 3 days, a sample every 5 minutes."""
    require("prometheus", "promtool")
    folder = tmp_path_factory.mktemp("prometheus-simulated")
    source = fleet()
    series = tuple(simulated(source))
    create_blocks(series, folder / "blocks")
    with prometheus(folder / "server", blocks=folder / "blocks") as server:
        yield LoadedPrometheus(server, series, folder / "blocks", fleet=source)


@pytest.fixture(scope="session")
def live_prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServers]:
    """A Prometheus that scrapes this machine, the loopback too, and three libvirt domains every second."""
    require("prometheus", "promtool", "prometheus-node-exporter", "prometheus-libvirt-exporter")
    with live_servers(tmp_path_factory.mktemp("live"), scrape_interval_seconds=1, loopback=True) as servers:
        yield servers


def require(*programs: str) -> None:
    """Skip where one of `programs` is not installed."""
    packages = missing_packages(*programs)
    if packages:
        pytest.skip(f"not installed: {', '.join(packages)} (.ci/run installs them)")
