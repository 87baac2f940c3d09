"""The simulated fleet as series, for whoever has no real traces."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from itertools import zip_longest

import numpy as np

from resources.monitoring.metrics import METRICS
from resources.monitoring.simulated.source import SimulatedFleet
from tests.servers.series import Kind, Series

FIRST_DAY = date(2026, 1, 1)
SIZES_EVERY_MS = 300_000


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


def simulated_sizes(source: SimulatedFleet) -> Iterator[Series]:
    """Yield the sizes of the fleet's VMs as libvirt exporters on their nodes show them: none of a VM that is off."""
    start, end = source.clock.start_ms, source.clock.start_ms + source.clock.days * 86_400_000
    for tenant in source.tenants():
        spans: dict[tuple[str, str, str], list[tuple[int, int, dict[str, float]]]] = defaultdict(list)
        rows = source.inventory(tenant, start, end).sort_by([("vm_id", "ascending"), ("valid_from_ms", "ascending")])
        listed = rows.to_pylist()
        for row, following in zip_longest(listed, listed[1:]):
            until = following["valid_from_ms"] if following and following["vm_id"] == row["vm_id"] else end
            shown = {"virtual_cpus": row["vcpus"], "maximum_memory_bytes": float(row["memory_bytes"])}
            if row["state"] == "running":
                spans[row["vm_id"], row["vm_name"], row["node_id"]].append((row["valid_from_ms"], until, shown))
        for (vm_id, name, node), parts in spans.items():
            labels = {"uuid": vm_id, "domain": name, "tenant_id": tenant, "node_id": node, "instance": f"{node}:9177"}
            times = [np.arange(begin, until, SIZES_EVERY_MS) for begin, until, _ in parts]
            for what in ("virtual_cpus", "maximum_memory_bytes"):
                values = [np.full(len(ts), shown[what]) for ts, (_, _, shown) in zip(times, parts, strict=True)]
                metric = f"libvirt_domain_info_{what}"
                yield Series(metric, labels, np.concatenate(times), np.concatenate(values), "gauge")
            running = np.ones(sum(map(len, times)))
            yield Series("libvirt_domain_state_code", labels, np.concatenate(times), running, "gauge")


def exposed() -> Iterator[tuple[str, Kind]]:
    """Yield the names under which the exporter shows NovaCron's metrics: three for a histogram."""
    for metric in METRICS.values():
        if metric.kind == "histogram":
            yield from ((f"{metric.name}{part}", "unknown") for part in ("_bucket", "_sum", "_count"))
        else:
            yield metric.name, metric.kind
