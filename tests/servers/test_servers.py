"""The real servers do what the tests that use them rely on."""

import json
import ssl
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

from tests.servers.libvirt_exporter import Domain, libvirt_exporter
from tests.servers.live import instant, live_servers
from tests.servers.openmetrics import create_blocks
from tests.servers.packages import missing_packages
from tests.servers.process import Access, ServerProcess, ask
from tests.servers.prometheus import prometheus
from tests.servers.series import Series
from tests.servers.web_security import secure

pytestmark = pytest.mark.integration
DAY_MS = 86_400_000
OLD = 1_299_110_400_000
"""2011-03-03."""


@pytest.fixture(autouse=True)
def _installed():
    packages = missing_packages(
        "prometheus", "promtool", "openssl", "prometheus-node-exporter", "prometheus-libvirt-exporter"
    )
    if packages:
        pytest.skip(f"not installed: {', '.join(packages)}")


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days, two years apart."""
    if missing_packages("promtool"):
        pytest.skip("not installed: prometheus")
    folder = tmp_path_factory.mktemp("blocks") / "blocks"
    for start in (OLD, OLD + 730 * DAY_MS):
        ts_ms = np.arange(start, start + DAY_MS, 300_000)
        one = Series("novacron_vm_cpu_usage_percent", {"tenant_id": "acme", "vm_id": "a"}, ts_ms, ts_ms % 97 * 1.0)
        create_blocks([one], folder, max_block_days=1)
    return folder


def query(server: ServerProcess, expression: str, at_ms: int) -> tuple[int, dict]:
    form = urlencode({"query": expression, "time": str(at_ms / 1000)}).encode()
    status, body = server.ask("POST", "/api/v1/query", form, {"Content-Type": "application/x-www-form-urlencoded"})
    return status, json.loads(body)


def count(server: ServerProcess, start_ms: int) -> int:
    status, answer = query(server, "count_over_time(novacron_vm_cpu_usage_percent[1d])", start_ms + DAY_MS - 1)
    assert status == 200, answer
    return int(answer["data"]["result"][0]["value"][1]) if answer["data"]["result"] else 0


def test_old_blocks_survive_a_start_and_a_kill(blocks, tmp_path):
    """Stops the default retention of 15 days from deleting all but the newest day, moments after the start."""
    with prometheus(tmp_path, blocks=blocks) as server:
        assert (count(server, OLD), count(server, OLD + 730 * DAY_MS)) == (288, 288)
        server.kill()
        server.start()
        assert (count(server, OLD), count(server, OLD + 730 * DAY_MS)) == (288, 288)


def test_flags_reach_the_server(blocks, tmp_path):
    """Stops tests of limits from meeting a server without them."""
    with prometheus(tmp_path, blocks=blocks, flags=["--query.max-samples=100"]) as server:
        status, answer = query(server, "novacron_vm_cpu_usage_percent[1d]", OLD + DAY_MS - 1)
        assert status == 422
        assert "too many samples" in answer["error"]


def test_another_server_is_read_and_its_absence_is_a_warning(blocks, tmp_path):
    """Stops a partial answer from being unknown to the tests: the status is 200 all the same."""
    with prometheus(tmp_path / "far", blocks=blocks) as far:
        backend = {"url": f"{far.url}/api/v1/read", "read_recent": True}
        with prometheus(tmp_path / "near", remote_read=[backend]) as near:
            assert count(near, OLD) == 288
            far.kill()
            status, answer = query(near, "novacron_vm_cpu_usage_percent", OLD + DAY_MS - 1)
            assert (status, answer["data"]["result"]) == (200, [])
            assert "remote_read" in answer["warnings"][0]


def test_a_secured_server_answers_only_who_may_ask(blocks, tmp_path):
    """Stops tests of credentials and certificates from passing against an open server."""
    security = secure(tmp_path / "security")
    with prometheus(tmp_path / "server", blocks=blocks, security=security) as server:
        assert server.url.startswith("https://")
        assert count(server, OLD) == 288
        nobody = Access(security.access.ca_file)
        assert ask(server.port, nobody, "GET", "/api/v1/query?query=1")[0] == 401
        other = secure(tmp_path / "other").access.ca_file
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(server.port, Access(other), "GET", "/")


def test_a_wrong_configuration_is_refused_before_the_start(tmp_path):
    """Stops a server that "did not start" for a reason that only its log knows."""
    with pytest.raises(ValueError, match="is no configuration of Prometheus"):
        prometheus(tmp_path, scrape_configs=[{"job": "x"}])


def test_domains_with_odd_names_are_shown(tmp_path):
    """Stops a domain's name from breaking the file that libvirt reads."""
    domain = Domain("t&<>", 'a"b', vcpus=3, memory_bytes=2**30)
    with libvirt_exporter(tmp_path, [domain]) as server:
        status, body = server.ask("GET", "/metrics")
    shown = [line for line in body.decode().splitlines() if line.startswith("libvirt_domain_info_virtual_cpus{")]
    assert status == 200
    assert len(shown) == 1
    assert f'uuid="{domain.uuid}"' in shown[0]
    assert 'project_name="t&<>"' in shown[0]
    assert shown[0].endswith(" 3")


def test_live_servers_show_vms_and_the_node_under_novacrons_names(tmp_path):
    """Stops relabelling and recording rules that no series comes out of."""
    with live_servers(tmp_path, scrape_interval_seconds=0.5) as servers:
        assert {one["value"][1] for one in instant(servers.prometheus, "up")} == {"1"}
        vms = instant(servers.prometheus, "novacron_vm_memory_usage_bytes")
        assert {(one["metric"]["tenant_id"], one["metric"]["vm_id"], float(one["value"][1])) for one in vms} == {
            (domain.tenant, domain.uuid, domain.memory_bytes / 2) for domain in servers.domains
        }
        assert {one["metric"]["node_id"] for one in vms} == {servers.node_id}
        (load,) = instant(servers.prometheus, "node_load1")
        assert load["metric"]["node_id"] == servers.node_id
        assert "tenant_id" not in load["metric"]
        assert instant(servers.prometheus, "libvirt_domain_info_virtual_cpus{uuid!='',domain!=''}")


def test_promtool_is_the_servers_own():
    """Stops blocks of a newer promtool than the server can read."""
    versions = {
        subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
        for name in ("prometheus", "promtool")
    }
    assert len(versions) == 1
