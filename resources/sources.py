"""Which source serves which tenant: imported traces where a tenant has some, else the configured source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import pyarrow as pa

from resources.inventory.source import InventorySource
from resources.monitoring.simulated.source import SimulatedFleet
from resources.monitoring.source import MetricSource, SeriesBatch
from resources.monitoring.traces.source import TraceFiles
from resources.settings import Settings


class Source(MetricSource, InventorySource, Protocol):
    """A source of both samples and sizes."""


@dataclass(frozen=True)
class TenantSources:
    """Samples and sizes of every tenant, each from the source that has them."""

    traces: TraceFiles
    configured: Source | None
    kind: str = "by tenant"

    def of(self, tenant: str) -> Source:
        """Return the source of `tenant`; one without imported traces and configured source has no samples."""
        if self.configured is None or self.traces.has(tenant):
            return self.traces
        return self.configured

    def tenants(self) -> list[str]:
        configured = self.configured.tenants() if self.configured else []
        return sorted({*self.traces.tenants(), *configured})

    def extent(self, tenant: str) -> tuple[date, date] | None:
        return self.of(tenant).extent(tenant)

    def sample_interval_seconds(self, tenant: str) -> int:
        return self.of(tenant).sample_interval_seconds(tenant)

    def samples(self, tenant: str, metrics: Sequence[str], start_ms: int, end_ms: int) -> Iterator[SeriesBatch]:
        return self.of(tenant).samples(tenant, metrics, start_ms, end_ms)

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        return self.of(tenant).inventory(tenant, start_ms, end_ms)

    def first_day(self) -> date | None:
        """Return the first day that any tenant has samples of, None where there are none at all."""
        extents = (self.extent(tenant) for tenant in self.tenants())
        return min((extent[0] for extent in extents if extent), default=None)


def open_sources(settings: Settings) -> TenantSources:
    """Return the sources that `settings` name."""
    configured = None
    if settings.source == "simulated":
        configured = SimulatedFleet(
            seed=settings.simulated_seed,
            tenants=settings.simulated_tenants,
            vms_per_tenant=settings.simulated_vms,
            first_day=settings.simulated_first_day,
            days=settings.simulated_days,
            interval_seconds=settings.simulated_interval_seconds,
        )
    return TenantSources(TraceFiles(settings.traces_root), configured)


def known_tenants(settings: Settings) -> list[str]:
    """Return every tenant that a source has samples of, sorted."""
    return open_sources(settings).tenants()
