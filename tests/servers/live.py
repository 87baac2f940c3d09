"""A Prometheus that scrapes a node exporter and a libvirt exporter, the way docs/connect-prometheus.md says.

Both exporters' series get NovaCron's labels. The node exporter's are read under their own names;
recording rules give the VMs' and the interfaces' NovaCron's names, so that what one machine does at
this moment can be collected like a cluster.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.servers.libvirt_exporter import DOMAINS, Domain, libvirt_exporter
from tests.servers.node_exporter import node_exporter
from tests.servers.process import ServerProcess
from tests.servers.prometheus import prometheus

FIRST_SAMPLES_SECONDS = 60.0
NODE = [{"source_labels": ["__address__"], "regex": "(.+):[0-9]+", "target_label": "node_id"}]
VM = [
    {"source_labels": ["uuid"], "target_label": "vm_id"},
    {"source_labels": ["domain"], "target_label": "vm_name"},
    {"source_labels": ["project_name"], "target_label": "tenant_id"},
]
OF_VM = "sum by (vm_id, vm_name, tenant_id, node_id)"


@dataclass(frozen=True)
class LiveServers:
    """The three running servers; `domains` are the VMs that the libvirt exporter shows."""

    prometheus: ServerProcess
    node_exporter: ServerProcess
    libvirt_exporter: ServerProcess
    domains: tuple[Domain, ...]
    scrape_interval_seconds: float
    node_id: str = "127.0.0.1"
    """The node that both exporters are on, as the relabelling names it."""

    @property
    def url(self) -> str:
        return self.prometheus.url

    @property
    def folder(self) -> Path:
        return self.prometheus.folder

    @property
    def process(self) -> ServerProcess:
        return self.prometheus

    @property
    def tenants(self) -> list[str]:
        return sorted({domain.tenant for domain in self.domains})


def scrape_configs(node_target: str, libvirt_target: str) -> list[dict[str, Any]]:
    """Return the scrape configurations of both exporters, with the relabelling that NovaCron's labels need."""
    return [
        {
            "job_name": "node",
            "static_configs": [{"targets": [node_target]}],
            "relabel_configs": NODE,
        },
        {
            "job_name": "libvirt",
            "static_configs": [{"targets": [libvirt_target]}],
            "relabel_configs": NODE,
            "metric_relabel_configs": VM,
        },
    ]


def recording_rules(window: str, *, loopback: bool = False) -> dict[str, Any]:
    """Return rules that record VMs and interfaces under NovaCron's names; rates are over `window`.

    With `loopback` that interface too, which is the one with traffic on a machine that nobody talks to.
    """

    def rule(name: str, expression: str, **labels: str) -> dict[str, Any]:
        return {"record": name, "expr": expression, **({"labels": labels} if labels else {})}

    vm = [
        rule(
            "novacron_vm_cpu_usage_percent",
            f"100 * {OF_VM} (rate(libvirt_domain_info_cpu_time_seconds_total[{window}]))"
            f" / {OF_VM} (libvirt_domain_info_virtual_cpus)",
        ),
        rule("novacron_vm_memory_usage_bytes", f"{OF_VM} (libvirt_domain_info_memory_usage_bytes)"),
        rule("novacron_vm_disk_read_bytes_total", f"{OF_VM} (libvirt_domain_block_stats_read_bytes_total)"),
        rule("novacron_vm_disk_write_bytes_total", f"{OF_VM} (libvirt_domain_block_stats_write_bytes_total)"),
        rule(
            "novacron_vm_network_receive_bytes_total", f"{OF_VM} (libvirt_domain_interface_stats_receive_bytes_total)"
        ),
        rule(
            "novacron_vm_network_transmit_bytes_total", f"{OF_VM} (libvirt_domain_interface_stats_transmit_bytes_total)"
        ),
    ]
    return {
        "groups": [
            {"name": "novacron-vms", "rules": vm},
            {
                "name": "novacron-nodes",
                "rules": [
                    rule(
                        "novacron_network_bandwidth_bytes_per_second", by_interface(direction, window, loopback),
                        direction=direction,
                    )
                    for direction in ("receive", "transmit")
                ],
            },
        ]
    }  # fmt: skip


def by_interface(direction: str, window: str, loopback: bool) -> str:
    """Return the expression of a node's traffic; the node exporter calls an interface a device."""
    devices = "" if loopback else '{device!="lo"}'
    rate = f"rate(node_network_{direction}_bytes_total{devices}[{window}])"
    return f'sum by (node_id, interface) (label_replace({rate}, "interface", "$1", "device", "(.*)"))'


@contextmanager
def live_servers(
    folder: Path,
    *,
    scrape_interval_seconds: float = 5,
    domains: tuple[Domain, ...] = DOMAINS,
    loopback: bool = False,
    port: int | None = None,
    wait: bool = True,
) -> Iterator[LiveServers]:
    """Start all three and stop them at the end; with `wait`, the first samples of every rule are there on entry.

    With `loopback` that interface is a node's like any other.
    """
    with ExitStack() as running:
        node = running.enter_context(node_exporter(folder / "node-exporter", loopback=loopback))
        libvirt = running.enter_context(libvirt_exporter(folder / "libvirt-exporter", domains))
        server = running.enter_context(
            prometheus(
                folder / "prometheus",
                scrape_configs=scrape_configs(f"127.0.0.1:{node.port}", f"127.0.0.1:{libvirt.port}"),
                scrape_interval_seconds=scrape_interval_seconds,
                rules=recording_rules(f"{round(4000 * scrape_interval_seconds)}ms", loopback=loopback),
                port=port,
            )
        )
        servers = LiveServers(server, node, libvirt, domains, scrape_interval_seconds)
        if wait:
            _wait_for_samples(servers)
        yield servers


def instant(server: ServerProcess, expression: str) -> list[dict[str, Any]]:
    """Return the vector that a Prometheus answers a query with, at this moment."""
    status, body = server.ask(
        "POST",
        "/api/v1/query",
        urlencode({"query": expression}).encode(),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    answer = json.loads(body)
    if status != 200:
        raise RuntimeError(f"{expression}: {status} {answer}")
    return list(answer["data"]["result"])


def _wait_for_samples(servers: LiveServers) -> None:
    # A machine without a network card records no bandwidth.
    wanted = {"node_load1", *(rule["record"] for rule in recording_rules("1m")["groups"][0]["rules"])}
    deadline = time.monotonic() + max(FIRST_SAMPLES_SECONDS, 8 * servers.scrape_interval_seconds)
    seen: set[str] = set()
    while time.monotonic() < deadline:
        found = instant(servers.prometheus, '{__name__=~"novacron_.+|node_load1"}')
        seen = {one["metric"]["__name__"] for one in found}
        if wanted <= seen:
            return
        time.sleep(0.1)
    raise RuntimeError(
        f"no samples of {', '.join(sorted(wanted - seen))}; {servers.prometheus.log} ends:\n"
        f"{servers.prometheus.log_tail()}"
    )
