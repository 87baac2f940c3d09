"""A real Prometheus that holds a day of one simulated tenant: what the reading benchmarks read from."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from resources.monitoring.simulated.source import SimulatedFleet
from resources.partition import DAY_MS, Partition
from resources.settings import Settings, load_settings
from tests.servers.openmetrics import create_blocks
from tests.servers.process import ServerProcess
from tests.servers.prometheus import prometheus
from tests.servers.series import Kind, Series

TENANT = "acme"
FIRST_DAY = date(2026, 1, 1)
METRICS: dict[str, Kind] = {
    "novacron_vm_cpu_usage_percent": "gauge",
    "novacron_vm_memory_usage_bytes": "gauge",
    "novacron_vm_disk_usage_bytes": "gauge",
    "novacron_vm_network_receive_bytes_total": "counter",
    "novacron_vm_network_transmit_bytes_total": "counter",
}


@contextmanager
def loaded_server(folder: Path, vms: int, days: int = 1, interval_seconds: int = 300) -> Iterator[ServerProcess]:
    """Start a Prometheus in `folder` that holds `METRICS` of `vms` VMs from `FIRST_DAY` on."""
    blocks = folder / "blocks"
    if not blocks.exists():
        create_blocks(_series(vms, days, interval_seconds), blocks, max_block_days=1)
    with prometheus(folder / "server", blocks=blocks) as server:
        yield server


def settings_of(server: ServerProcess, home: Path, **more: str) -> Settings:
    """Return the settings of a home that reads `server`."""
    return load_settings(
        home,
        {
            "ANALYTICS_SOURCE": "prometheus",
            "ANALYTICS_PROMETHEUS_URL": server.url,
            "ANALYTICS_FIRST_DAY": FIRST_DAY.isoformat(),
            **more,
        },
    )


def day(number: int = 0) -> Partition:
    """Return the tenant's partition of a day, counted from the first."""
    return Partition(TENANT, date.fromordinal(FIRST_DAY.toordinal() + number))


def _series(vms: int, days: int, interval_seconds: int) -> Iterator[Series]:
    fleet = SimulatedFleet(42, 1, vms, FIRST_DAY, days, interval_seconds)
    for name, kind in METRICS.items():
        for batch in fleet.samples(TENANT, [name], fleet.clock.start_ms, fleet.clock.start_ms + days * DAY_MS):
            for number, labels in enumerate(batch.labels):
                span = slice(int(batch.offsets[number]), int(batch.offsets[number + 1]))
                yield Series(batch.metric, dict(labels), batch.ts_ms[span], batch.values[span], kind)
