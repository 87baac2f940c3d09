"""A source that remembers what was read through it, for the facts of the partition made from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from resources.lake.lake import Facts
from resources.monitoring.source import MetricSource, SeriesBatch


@dataclass
class WatchedSource:
    """`source`, watched. A series that is read twice counts once."""

    source: MetricSource
    methods: set[str] = field(default_factory=set)
    warnings: set[str] = field(default_factory=set)
    _series: set[int] = field(default_factory=set)

    @property
    def kind(self) -> str:
        return self.source.kind

    def tenants(self) -> list[str]:
        return self.source.tenants()

    def refused_tenants(self) -> dict[str, str]:
        return self.source.refused_tenants()

    def extent(self, tenant: str) -> tuple[date, date] | None:
        return self.source.extent(tenant)

    def has_passed(self, tenant: str, ts_ms: int) -> bool:
        return self.source.has_passed(tenant, ts_ms)

    def sample_interval_seconds(self, tenant: str) -> int | None:
        return self.source.sample_interval_seconds(tenant)

    def samples(self, tenant: str, selectors: Sequence[str], start_ms: int, end_ms: int) -> Iterator[SeriesBatch]:
        for batch in self.source.samples(tenant, selectors, start_ms, end_ms):
            # Hashes are enough to count by, and 70,000 label sets are not kept.
            self._series.update(hash((batch.metric, frozenset(labels.items()))) for labels in batch.labels)
            self.warnings.update(batch.warnings)
            if batch.method:
                self.methods.add(batch.method)
            yield batch

    def completed(self, facts: Facts) -> Facts:
        """Return `facts` with what was read: series, methods and warnings; unchanged where there was none."""
        if not self._series and not self.warnings:
            return facts
        return replace(
            facts,
            series=len(self._series),
            read_methods=tuple(sorted(self.methods)),
            warnings=tuple(sorted({*facts.warnings, *self.warnings})),
        )
