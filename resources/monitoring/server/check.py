"""What can be known of a monitoring server before anything is computed from it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.errors import AnalyticsError
from resources.inventory.prometheus import LIBVIRT_METRICS
from resources.inventory.source import InventorySource
from resources.monitoring.metrics import METRICS, VM_METRICS, Metric
from resources.monitoring.selector import NAME, Matcher, Selector, one_of
from resources.monitoring.server.failures import ServerUnavailable
from resources.monitoring.server.listing import list_values
from resources.monitoring.server.source import TENANT_LABEL, ServerSource
from resources.monitoring.source import SeriesBatch
from resources.partition import DAY_MS, PLATFORM, day_start_ms

IntArray = NDArray[np.int64]

LOOKED_AT_MS = 3 * 3_600_000
"""How much of a tenant's newest samples its interval and coverage are judged by."""

MOST_SKEW_SECONDS = 30.0
"""Beyond this the newest samples of a day fall into the wrong bucket."""

NODE_EXPORTER = {
    "novacron_system_cpu_usage_percent": ("node_cpu_seconds_total",),
    "novacron_system_memory_usage_bytes": ("node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes"),
    "novacron_system_load_average": ("node_load1",),
}
"""What is read of node-exporter where NovaCron's own metric of a node is missing."""


@dataclass(frozen=True)
class TenantCheck:
    """A tenant's samples: days, and of the newest hours the series, seconds between samples and share that arrived."""

    tenant: str
    first_day: date | None
    last_day: date | None
    series: int
    newest_sample: str | None
    interval_seconds: int | None
    coverage: float | None
    sized: int | None = None
    """VMs of the last day whose size the inventory knows; None for the platform, or where nobody looked."""
    failed: str | None = None
    """A sentence on what of the tenant cannot be read, and why."""


@dataclass(frozen=True)
class SourceCheck:
    """What a server said. `problems` are sentences about what will go wrong, `notes` about what cannot be told."""

    kind: str
    url: str
    version: str
    read_method: str
    passed_over: dict[str, str]
    clock_skew_seconds: float
    metrics_found: list[str]
    metrics_missing: list[str]
    metrics_of_others: list[str]
    tenants: list[TenantCheck]
    tenants_unchecked: list[str]
    quarantine: dict[str, str]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        found = {name: value for name, value in vars(self).items() if name != "tenants"}
        days = ("first_day", "last_day")
        found["tenants"] = [
            {name: str(value) if name in days and value else value for name, value in vars(tenant).items()}
            for tenant in self.tenants
        ]
        return found


def check_source(
    source: ServerSource,
    clock: Callable[[], int],
    minimum_coverage: float,
    tenants: Sequence[str] | None,
    sizes: InventorySource | None = None,
    most_tenants: int = 10,
) -> SourceCheck:
    """Ask `source` for everything that a run will need; `tenants` (else its first `most_tenants`) are looked at.

    `clock` gives the milliseconds since 1970 of this machine. With `sizes`, the inventory is asked
    for the VMs of their last day too. What cannot be read of a server that answers is a problem.

    Raises:
        TransientFailure, PermanentFailure: it does not answer, or refuses.
    """
    version = source.api.version()
    before_ms, server_ms, after_ms = clock(), source.api.server_time_ms(), clock()
    found, missing, others = _metrics(source, after_ms)
    failed: list[str] = []
    known, quarantine = _tenants(source, failed)
    wanted = list(tenants) if tenants else known[:most_tenants]
    methods: set[str] = set()
    checked = [_sized(_tenant(source, tenant, after_ms, methods), sizes) for tenant in wanted]
    check = SourceCheck(
        kind=source.kind,
        url=source.server,
        version=version,
        read_method=" and ".join(sorted(methods)) or "not known: there were no samples to read",
        passed_over=dict(getattr(source.reader, "passed_over", {})),
        clock_skew_seconds=round((server_ms - (before_ms + after_ms) / 2) / 1000, 3),
        metrics_found=found,
        metrics_missing=missing,
        metrics_of_others=others,
        tenants=checked,
        tenants_unchecked=[tenant for tenant in known if tenant not in wanted],
        quarantine=quarantine,
        problems=failed,
    )
    check.problems.extend(_problems(check, known, minimum_coverage))
    check.notes.extend(_notes(check))
    return check


def _tenants(source: ServerSource, failed: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the tenants and the labels that are none; a list that the server cannot give is `failed`."""
    try:
        return source.tenants(), source.refused_tenants()
    except ServerUnavailable:
        raise
    except AnalyticsError as error:
        failed.append(str(error))
        return [], {}


def _metrics(source: ServerSource, now_ms: int) -> tuple[list[str], list[str], list[str]]:
    """Return NovaCron's metrics that the server has, those whose place nothing fills, and those of other exporters."""
    of_nodes = [name for names in NODE_EXPORTER.values() for name in names]
    selectors = [
        # One by one, so that a server with limits can be asked for one after the other.
        Selector((one_of(NAME, [exposed(metric) for metric in METRICS.values()]),)),
        Selector((one_of(NAME, of_nodes), Matcher(TENANT_LABEL, "=", ""))),
        Selector((one_of(NAME, list(LIBVIRT_METRICS.values())),)),
    ]
    window = day_start_ms(source.first_day), now_ms + DAY_MS
    names = {name for selector in selectors for name in list_values(source.api, NAME, selector, *window).values}
    found = [metric for metric in METRICS.values() if exposed(metric) in names]
    filled = {(metric.entity, metric.column) for metric in found}
    filled |= {(METRICS[name].entity, METRICS[name].column) for name, read in NODE_EXPORTER.items() if names >= {*read}}
    missing = [
        metric.name
        for metric in METRICS.values()
        if (metric.entity, metric.column) not in filled and not _stands_in(metric)
    ]
    others = [name for name in (*of_nodes, *LIBVIRT_METRICS.values()) if name in names]
    return [metric.name for metric in found], missing, others


def exposed(metric: Metric) -> str:
    """Return the name under which a server has `metric`."""
    return f"{metric.name}_bucket" if metric.kind == "histogram" else metric.name


def _stands_in(metric: Metric) -> bool:
    """Return whether `metric` is a rate for which NovaCron exports a counter."""
    return metric.kind == "gauge" and any(m.kind == "counter" and m.column == metric.column for m in VM_METRICS)


def _sized(check: TenantCheck, sizes: InventorySource | None) -> TenantCheck:
    if sizes is None or check.tenant == PLATFORM or check.last_day is None:
        return check
    start_ms = day_start_ms(check.last_day)
    try:
        listed = sizes.inventory(check.tenant, start_ms, start_ms + DAY_MS)
    except ServerUnavailable:
        raise
    except AnalyticsError as error:
        return replace(check, failed=f"The sizes of {check.tenant}'s VMs cannot be read: {error}")
    known = listed.filter(listed.column("vcpus").is_valid())
    return replace(check, sized=len(known.column("vm_id").unique()))


def _tenant(source: ServerSource, tenant: str, now_ms: int, methods: set[str]) -> TenantCheck:
    found = TenantCheck(tenant, None, None, 0, None, None, None)
    try:
        extent = source.extent(tenant)
        if extent is None:
            return found
        found = replace(found, first_day=extent[0], last_day=extent[1])
        return _newest(source, found, min(now_ms, day_start_ms(extent[1]) + DAY_MS), methods)
    except ServerUnavailable:
        raise
    except AnalyticsError as error:
        return replace(found, failed=f"{tenant} cannot be read: {error}")


def _newest(source: ServerSource, found: TenantCheck, end_ms: int, methods: set[str]) -> TenantCheck:
    """Return `found` with what the samples before `end_ms` tell."""
    platform = ["novacron_system_cpu_usage_percent", "node_load1"]
    names = platform if found.tenant == PLATFORM else [VM_METRICS[0].name]
    series: list[IntArray] = []
    for length in (LOOKED_AT_MS, DAY_MS):
        series = []
        for batch in source.samples(found.tenant, names, end_ms - length, end_ms):
            methods.add(batch.method)
            series += _sampled(batch)
        interval_ms = _interval_ms(series)
        if interval_ms:
            # From a series' own first sample to the newest of all: neither what began later nor what is on
            # its way is missing.
            newest_ms = max(int(times[-1]) for times in series)
            expected = sum(round((newest_ms - int(times[0])) / interval_ms) + 1 for times in series)
            return replace(
                found,
                series=len(series),
                newest_sample=_iso(newest_ms),
                interval_seconds=max(1, round(interval_ms / 1000)),
                coverage=round(min(1.0, sum(map(len, series)) / expected), 4),
            )
    return replace(found, series=len(series))


def _sampled(batch: SeriesBatch) -> Iterator[IntArray]:
    """Yield when each series was sampled, in order; markers of a series' end and other NaN are no samples."""
    for begin, end in pairwise(batch.offsets.tolist()):
        times = np.unique(batch.ts_ms[begin:end][np.isfinite(batch.values[begin:end])])
        if len(times):
            yield times


def _interval_ms(series: Sequence[IntArray]) -> float:
    """Return the median time between two samples of a series, 0 where no series has two."""
    gaps = np.concatenate([np.diff(times) for times in series]) if series else np.zeros(0)
    return float(np.median(gaps)) if len(gaps) else 0.0


def _iso(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, UTC).isoformat(timespec="seconds")


def _problems(check: SourceCheck, known: Sequence[str], minimum_coverage: float) -> list[str]:
    said = []
    if not check.metrics_found:
        said.append(
            "The server has no metric of NovaCron. Does it scrape NovaCron's exporter, or has it the recording rules "
            "of docs/connect-prometheus.md?"
        )
    elif not known and not check.problems:
        said.append("No series carries a tenant_id that is a tenant id, so there is nobody to analyse.")
    if abs(check.clock_skew_seconds) > MOST_SKEW_SECONDS:
        said.append(f"The server's clock is {check.clock_skew_seconds:+.0f} s off this machine's. Synchronise them.")
    for tenant in check.tenants:
        if tenant.failed is not None:
            said.append(tenant.failed)
        if tenant.coverage is not None and tenant.coverage < minimum_coverage:
            said.append(
                f"{tenant.tenant} sends {tenant.coverage:.0%} of its samples, less than minimum_coverage = "
                f"{minimum_coverage:.0%}: its analyses will say insufficient_data."
            )
        if tenant.first_day is None and tenant.failed is None:
            said.append(f"{tenant.tenant} has no samples from the grid's first day on.")
    if check.quarantine:
        said.append(f"{len(check.quarantine)} tenant label(s) are no tenant ids; nothing under them is read.")
    return said


def _notes(check: SourceCheck) -> list[str]:
    unsized = [tenant.tenant for tenant in check.tenants if tenant.series and tenant.sized == 0]
    if not unsized:
        return []
    return [
        f"No VM of {', '.join(unsized)} has a known size, so what it uses of its cores and memory cannot be told. "
        "docs/inventory.md says where sizes come from."
    ]
