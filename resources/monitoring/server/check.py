"""What can be known of a monitoring server before anything is computed from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from resources.monitoring.metrics import METRICS, VM_METRICS, Metric
from resources.monitoring.selector import NAME, Matcher, Selector
from resources.monitoring.server.listing import list_values
from resources.monitoring.server.source import ServerSource
from resources.monitoring.source import SeriesBatch
from resources.partition import DAY_MS, PLATFORM, day_start_ms

LOOKED_AT_MS = 3 * 3_600_000
"""How much of a tenant's newest samples its interval and coverage are judged by."""

MOST_SKEW_SECONDS = 30.0
"""Beyond this the newest samples of a day fall into the wrong bucket."""


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


@dataclass(frozen=True)
class SourceCheck:
    """What a server said. `problems` are sentences about what will go wrong; without any all is well."""

    kind: str
    url: str
    version: str
    read_method: str
    passed_over: dict[str, str]
    clock_skew_seconds: float
    metrics_found: list[str]
    metrics_missing: list[str]
    tenants: list[TenantCheck]
    tenants_unchecked: list[str]
    quarantine: dict[str, str]
    problems: list[str] = field(default_factory=list)

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
    source: ServerSource, now_ms: int, minimum_coverage: float, tenants: Sequence[str] | None, most_tenants: int = 10
) -> SourceCheck:
    """Ask `source` for everything that a run will need; `tenants` (else its first `most_tenants`) are looked at.

    Raises:
        TransientFailure, PermanentFailure: it does not answer, or refuses.
    """
    version = source.api.version()
    skew = (source.api.server_time_ms() - now_ms) / 1000
    found, missing = _metrics(source, now_ms)
    known = source.tenants()
    wanted = list(tenants) if tenants else known[:most_tenants]
    methods: set[str] = set()
    checked = [_tenant(source, tenant, now_ms, methods) for tenant in wanted]
    check = SourceCheck(
        kind=source.kind,
        url=source.server,
        version=version,
        read_method=" and ".join(sorted(methods)) or "not known: there were no samples to read",
        passed_over=dict(getattr(source.reader, "passed_over", {})),
        clock_skew_seconds=round(skew, 3),
        metrics_found=found,
        metrics_missing=missing,
        tenants=checked,
        tenants_unchecked=[tenant for tenant in known if tenant not in wanted],
        quarantine=source.refused_tenants(),
    )
    check.problems.extend(_problems(check, known, minimum_coverage))
    return check


def _metrics(source: ServerSource, now_ms: int) -> tuple[list[str], list[str]]:
    """Return NovaCron's metrics that the server has, and those whose place nothing else fills."""
    selector = Selector((Matcher(NAME, "=~", "novacron_.+"),))
    window = day_start_ms(source.first_day), now_ms + DAY_MS
    names = set(list_values(source.api, NAME, selector, *window).values)
    found = [metric for metric in METRICS.values() if exposed(metric) in names]
    filled = {(metric.entity, metric.column) for metric in found}
    missing = [
        metric.name
        for metric in METRICS.values()
        if (metric.entity, metric.column) not in filled and not _stands_in(metric)
    ]
    return [metric.name for metric in found], missing


def exposed(metric: Metric) -> str:
    """Return the name under which a server has `metric`."""
    return f"{metric.name}_bucket" if metric.kind == "histogram" else metric.name


def _stands_in(metric: Metric) -> bool:
    """Return whether `metric` is a rate for which NovaCron exports a counter."""
    return metric.kind == "gauge" and any(m.kind == "counter" and m.column == metric.column for m in VM_METRICS)


def _tenant(source: ServerSource, tenant: str, now_ms: int, methods: set[str]) -> TenantCheck:
    extent = source.extent(tenant)
    if extent is None:
        return TenantCheck(tenant, None, None, 0, None, None, None)
    end_ms = min(now_ms, day_start_ms(extent[1]) + DAY_MS)
    names = ["novacron_system_cpu_usage_percent", "node_load1"] if tenant == PLATFORM else [VM_METRICS[0].name]
    for length in (LOOKED_AT_MS, DAY_MS):
        batches = list(source.samples(tenant, names, end_ms - length, end_ms))
        methods.update(batch.method for batch in batches)
        series = sum(len(batch.labels) for batch in batches)
        ts_ms = np.concatenate([batch.ts_ms for batch in batches]) if batches else np.zeros(0, np.int64)
        interval_ms = _interval_ms(batches)
        if interval_ms:
            # From a series' own first sample to the newest of all: neither what began later nor what is on
            # its way is missing.
            newest_ms = int(ts_ms.max())
            first = np.concatenate([batch.ts_ms[batch.offsets[:-1]] for batch in batches])
            expected = float(np.sum(np.round((newest_ms - first) / interval_ms) + 1))
            coverage = round(min(1.0, len(ts_ms) / expected), 4)
            return TenantCheck(tenant, *extent, series, _iso(newest_ms), max(1, round(interval_ms / 1000)), coverage)
    return TenantCheck(tenant, *extent, series, None, None, None)


def _interval_ms(batches: Sequence[SeriesBatch]) -> float:
    """Return the median time between two samples of a series, 0 where no series has two."""
    steps = [
        np.diff(batch.ts_ms[batch.offsets[number] : batch.offsets[number + 1]])
        for batch in batches
        for number in range(len(batch.labels))
    ]
    gaps = np.concatenate(steps) if steps else np.zeros(0)
    gaps = gaps[gaps > 0]
    return float(np.median(gaps)) if len(gaps) else 0.0


def _iso(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, UTC).isoformat(timespec="seconds")


def _problems(check: SourceCheck, known: Sequence[str], minimum_coverage: float) -> list[str]:
    said = []
    if not check.metrics_found:
        said.append("The server has no metric of NovaCron. Does it scrape NovaCron's exporter?")
    elif not known:
        said.append("No series carries a tenant_id that is a tenant id, so there is nobody to analyse.")
    if abs(check.clock_skew_seconds) > MOST_SKEW_SECONDS:
        said.append(f"The server's clock is {check.clock_skew_seconds:+.0f} s off this machine's. Synchronise them.")
    for tenant in check.tenants:
        if tenant.coverage is not None and tenant.coverage < minimum_coverage:
            said.append(
                f"{tenant.tenant} sends {tenant.coverage:.0%} of its samples, less than minimum_coverage = "
                f"{minimum_coverage:.0%}: its analyses will say insufficient_data."
            )
        if tenant.first_day is None:
            said.append(f"{tenant.tenant} has no samples from the grid's first day on.")
    if check.quarantine:
        said.append(f"{len(check.quarantine)} tenant label(s) are no tenant ids; nothing under them is read.")
    return said
