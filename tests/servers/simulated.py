"""The simulated fleet as series, for whoever has no real traces."""

from collections.abc import Iterator
from datetime import date

from resources.monitoring.metrics import METRICS
from resources.monitoring.simulated.source import SimulatedFleet
from tests.servers.series import Kind, Series

FIRST_DAY = date(2026, 1, 1)


def fleet(
    tenants: int = 2, vms: int = 4, days: int = 3, first_day: date = FIRST_DAY, interval_seconds: int = 300
) -> SimulatedFleet:
    """Return a small fleet; `vms` are those of each tenant."""
    return SimulatedFleet(42, tenants, vms, first_day, days, interval_seconds)


def simulated(source: SimulatedFleet) -> Iterator[Series]:
    """Yield every series of the fleet over its whole run, those of the nodes too, samples in order of arrival."""
    start, end = source.clock.start_ms, source.clock.start_ms + source.clock.days * 86_400_000
    for tenant in source.tenants():
        for name, kind in exposed():
            for batch in source.samples(tenant, [name], start, end):
                for number, labels in enumerate(batch.labels):
                    part = slice(int(batch.offsets[number]), int(batch.offsets[number + 1]))
                    yield Series(batch.metric, dict(labels), batch.ts_ms[part], batch.values[part], kind)


def exposed() -> Iterator[tuple[str, Kind]]:
    """Yield the names under which the exporter shows NovaCron's metrics: three for a histogram."""
    for metric in METRICS.values():
        if metric.kind == "histogram":
            yield from ((f"{metric.name}{part}", "unknown") for part in ("_bucket", "_sum", "_count"))
        else:
            yield metric.name, metric.kind
