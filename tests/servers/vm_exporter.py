"""An exporter of VMs in this process, as NovaCron's is: it knows what it said at every scrape.

Every request moves the VMs on by one step, so that what a scraper must have seen is known without a
clock. As with NovaCron's exporter, a VM that moves leaves its old label set behind, frozen, and its
counters begin at zero under the new one.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import numpy as np

from tests.servers.openmetrics import number, selector
from tests.servers.series import Series

CPU, MEMORY = "novacron_vm_cpu_usage_percent", "novacron_vm_memory_usage_bytes"
RECEIVED, SENT = "novacron_vm_network_receive_bytes_total", "novacron_vm_network_transmit_bytes_total"
COUNTERS = (RECEIVED, SENT)
NAMES = (CPU, MEMORY, *COUNTERS)
CPU_STEPS = 1_000
"""Steps until a value of a VM's CPU use comes again."""

Said = dict[str, dict[str, float]]
"""Values of a VM by node and metric."""


@dataclass
class ExportedVm:
    """A VM on `node_id`; `said` has its values on every node that it has been on."""

    vm_id: str
    tenant: str
    node_id: str
    received_a_step: float
    memory_bytes: float = 2.0**30
    step: int = 0
    said: Said = field(default_factory=dict)

    def advance(self) -> None:
        """Go on by a step: the counters of the present node grow, by half as much sent as received."""
        before = self.said.get(self.node_id, dict.fromkeys(COUNTERS, 0.0))
        self.step += 1
        self.said[self.node_id] = {
            CPU: 10 + (self.step % CPU_STEPS) / 16,
            MEMORY: self.memory_bytes,
            RECEIVED: before[RECEIVED] + self.received_a_step,
            SENT: before[SENT] + self.received_a_step / 2,
        }

    def labels(self, node_id: str) -> dict[str, str]:
        return {"vm_id": self.vm_id, "vm_name": self.vm_id, "tenant_id": self.tenant, "node_id": node_id}


class VmExporter:
    """Serves `vms` on a free port of this machine inside `with`; a request while it is `down` fails, and is a step."""

    def __init__(self, vms: Sequence[ExportedVm]) -> None:
        self.vms = {vm.vm_id: vm for vm in vms}
        self.down = False
        self.answered: list[dict[str, Said]] = []
        """What each scrape that succeeded was told, by VM."""
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def target(self) -> str:
        """Its address as a scrape configuration has it."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def move(self, vm_id: str, node_id: str) -> None:
        """Migrate a VM between two scrapes."""
        with self._lock:
            self.vms[vm_id].node_id = node_id

    def past(self, job: str, ts_ms: Sequence[int]) -> list[Series]:
        """Go a step for each of `ts_ms` and return what scrapes as `job` would have stored; before any real one."""
        seen: dict[tuple[str, str, str], list[float]] = {}
        for _ in ts_ms:
            for vm in self.vms.values():
                vm.advance()
                for node_id, values in vm.said.items():
                    for name, value in values.items():
                        seen.setdefault((vm.vm_id, node_id, name), []).append(value)
        return [
            Series(
                name, {**self.vms[vm_id].labels(node_id), "instance": self.target, "job": job},
                np.array(ts_ms, np.int64), np.array(values), "counter" if name in COUNTERS else "gauge",
            )
            for (vm_id, node_id, name), values in seen.items()
        ]  # fmt: skip

    def _scraped(self) -> bytes | None:
        """Return the page, None if it fails; either is a step."""
        with self._lock:
            for vm in self.vms.values():
                vm.advance()
            if self.down:
                return None
            told = {vm.vm_id: {node: dict(values) for node, values in vm.said.items()} for vm in self.vms.values()}
            self.answered.append(told)
            return self._page().encode()

    def _page(self) -> str:
        lines = []
        for name in NAMES:
            lines.append(f"# TYPE {name} {'counter' if name in COUNTERS else 'gauge'}\n")
            for vm in self.vms.values():
                for node_id, values in vm.said.items():
                    series = Series(name, vm.labels(node_id), np.zeros(0, np.int64), np.zeros(0))
                    lines.append(f"{selector(series)} {number(values[name])}\n")
        return "".join(lines)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        scraped = self._scraped

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = scraped()
                self.send_response(503 if page is None else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(page or b"")))
                self.end_headers()
                self.wfile.write(page or b"")

            def log_message(self, *_: object) -> None:
                pass

        return Handler
