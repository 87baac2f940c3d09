"""The inventory's queries against real servers, and against a real libvirt exporter."""

import time
from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest

from resources.errors import TransientFailure
from resources.inventory.prometheus import InventoryQueries
from resources.monitoring.server.api import PrometheusApi
from resources.monitoring.server.connection import Connection
from resources.monitoring.server.http import HttpClient
from resources.partition import DAY_MS, day_start_ms
from tests.servers.libvirt_exporter import DOMAINS
from tests.servers.live import live_servers
from tests.servers.openmetrics import create_blocks
from tests.servers.packages import missing_packages
from tests.servers.process import ServerProcess, free_port
from tests.servers.prometheus import prometheus
from tests.servers.series import Series
from tests.servers.victoriametrics import load, victoriametrics

pytestmark = pytest.mark.integration

START = day_start_ms(date(2026, 3, 1))
END = START + DAY_MS
MINUTE = 60_000
HOUR = 60 * MINUTE
GIB = 2**30
ODD = 'a "quoted" \\ id, é | x.y*'


def series(name: str, labels: dict[str, str], *changes: tuple[int, float], end_ms: int = END + 2 * HOUR) -> Series:
    """Return a sample a minute, 7 s off the minute; `changes` are (from when, value)."""
    ts = np.arange(changes[0][0] + 7000, end_ms, MINUTE, dtype=np.int64)
    values = np.select([ts >= begin for begin, _ in changes[::-1]], [value for _, value in changes[::-1]])
    return Series(name, labels, ts, values.astype(np.float64))


def vm(tenant: str, vm_id: str, name: str) -> Series:
    labels = {"tenant_id": tenant, "vm_id": vm_id, "vm_name": name, "node_id": "n1"}
    return series("novacron_vm_cpu_usage_percent", labels, (START - 2 * HOUR, 1.0))


def machine(uuid: str, domain: str, *vcpus: tuple[int, float], gib: float = 4, end_ms: int = END, **more: str):
    labels = {"uuid": uuid, "domain": domain, "job": "libvirt", "instance": "h1:9177", **more}
    begin = vcpus[0][0]
    return [
        series("libvirt_domain_info_virtual_cpus", labels, *vcpus, end_ms=end_ms),
        series("libvirt_domain_info_maximum_memory_bytes", labels, (begin, gib * GIB), end_ms=end_ms),
        series("libvirt_domain_state_code", labels, (begin, 1), end_ms=end_ms),
    ]


EARLY = START - 2 * HOUR
FLEET = [
    vm("acme", "u-1", "web"),
    vm("acme", ODD, "odd"),
    vm("acme", "vm-3", "by-name"),
    vm("acme", "vm-4", "shared"),
    vm("a.me", "u-5", "other"),
    vm("globex", "vm-6", "shared"),
    *machine("u-1", "instance-1", (EARLY, 2), (START + 10 * HOUR + 7 * MINUTE, 8)),
    *machine(ODD, "instance-2", (EARLY, 1), gib=0.5, end_ms=START + 12 * HOUR),
    *machine("u-3", "by-name", (START + 6 * HOUR, 3)),
    *machine("u-4", "shared", (EARLY, 4)),
    *machine("u-5", "instance-5", (EARLY, 5)),
    *machine("u-7", "instance-7", (EARLY, 7), tenant_id="acme", node_id="n7"),
    *machine("u-8", "instance-8", (EARLY, 8), tenant_id="a.me"),
]


@pytest.fixture(scope="module", params=["prometheus", "victoriametrics"])
def api(request, tmp_path_factory) -> Iterator[PrometheusApi]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "prometheus":
        require("prometheus", "promtool")
        create_blocks(FLEET, folder / "blocks")
        server = prometheus(folder / "server", blocks=folder / "blocks")
    else:
        require("victoria-metrics")
        server = victoriametrics(folder)
    with server, HttpClient(Connection(server.url)) as client:
        if request.param == "victoriametrics":
            load(server, FLEET)
        yield PrometheusApi(client)


def require(*programs: str) -> None:
    packages = missing_packages(*programs)
    if packages:
        pytest.skip(f"not installed: {', '.join(packages)} (.ci/run installs them)")


def told(api: PrometheusApi, tenant: str, start_ms: int = START, end_ms: int = END) -> list[tuple]:
    rows = InventoryQueries(api).inventory(tenant, start_ms, end_ms).to_pylist()
    return [
        (row["vm_id"], (row["valid_from_ms"] - START) / HOUR, row["vcpus"], row["memory_bytes"], row["state"])
        for row in rows
    ]


def test_a_day_of_a_tenant(api):
    """Stops a query that only looks like PromQL: joins, escapes, resizes and absences on real servers."""
    assert told(api, "acme") == [
        (ODD, -1, 1.0, GIB // 2, "running"),
        (ODD, 12 + 5 / 60, 1.0, GIB // 2, None),
        ("u-1", -1, 2.0, 4 * GIB, "running"),
        ("u-1", 10 + 10 / 60, 8.0, 4 * GIB, "running"),
        ("u-7", -1, 7.0, 4 * GIB, "running"),
        ("vm-3", 6 + 5 / 60, 3.0, 4 * GIB, "running"),
    ]


def test_no_tenant_sees_another_ones_machines(api):
    """Stops a dot in a tenant's id, and a name that two tenants use, from showing the wrong machine."""
    assert [row[0] for row in told(api, "a.me")] == ["u-5", "u-8"]
    assert told(api, "globex") == told(api, "nobody") == told(api, "platform") == []


def test_the_next_day_begins_with_what_held(api):
    assert ("u-1", 23, 8.0, 4 * GIB, "running") in told(api, "acme", END, END + DAY_MS)
    assert told(api, "acme", START - 30 * DAY_MS, START - 29 * DAY_MS) == []


def test_a_libvirt_exporter_is_understood(tmp_path):
    """Stops metric names, labels and units from being other than what Debian's exporter really shows."""
    require("prometheus", "promtool", "prometheus-node-exporter", "prometheus-libvirt-exporter")
    with live_servers(tmp_path, scrape_interval_seconds=1) as servers, HttpClient(Connection(servers.url)) as client:
        now = time.time_ns() // 1_000_000
        source = InventoryQueries(PrometheusApi(client), step_seconds=1, lookback_seconds=30)
        found = {tenant: source.inventory(tenant, now - 20_000, now).to_pylist() for tenant in servers.tenants}
    for tenant, rows in found.items():
        assert {row["vm_id"]: (row["vcpus"], row["memory_bytes"], row["state"], row["vm_name"]) for row in rows} == {
            domain.uuid: (domain.vcpus, domain.memory_bytes, "running", domain.domain)
            for domain in DOMAINS
            if domain.tenant == tenant
        }
        assert {row["node_id"] for row in rows} == {servers.node_id}
        assert all(row["disk_bytes"] is None for row in rows)


def test_a_backend_that_is_down_is_not_an_empty_inventory(tmp_path):
    """Stops an outage of long-term storage from being stored as a day without VMs."""
    require("prometheus", "promtool")
    backend = {"url": f"http://127.0.0.1:{free_port()}/api/v1/read", "read_recent": True}
    server: ServerProcess = prometheus(tmp_path, remote_read=[backend])
    with (
        server,
        HttpClient(Connection(server.url)) as client,
        pytest.raises(TransientFailure, match="warns: 'remote_read"),
    ):
        told(PrometheusApi(client), "acme")
