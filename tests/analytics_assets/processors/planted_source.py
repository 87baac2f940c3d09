"""A source of planted series that remembers what it was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from analytics_assets.components import Component, Instance, Result, Workplace
from resources.lake.lake import Lake
from resources.lake.warehouse import QueryLimits
from resources.monitoring.selector import parse_selector
from resources.monitoring.source import SeriesBatch
from resources.partition import Partition

Samples = list[tuple[int, float]]


@dataclass
class PlantedSource:
    """Series by tenant, each `(metric, labels, samples in order of arrival)`; `now_ms` of None is long after."""

    series: dict[str, list[tuple[str, dict[str, str], Samples]]] = field(default_factory=dict)
    interval: int | None = None
    calls: list[tuple[str, tuple[str, ...], int, int]] = field(default_factory=list)
    kind: str = "planted"
    now_ms: int | None = None

    def add(self, tenant: str, metric: str, labels: dict[str, str], samples: Samples) -> None:
        self.series.setdefault(tenant, []).append((metric, labels, samples))

    def tenants(self) -> list[str]:
        return sorted(self.series)

    def refused_tenants(self) -> dict[str, str]:
        return {}

    def extent(self, tenant: str) -> tuple[date, date] | None:
        return None

    def has_passed(self, tenant: str, ts_ms: int) -> bool:
        return self.now_ms is None or self.now_ms >= ts_ms

    def sample_interval_seconds(self, tenant: str) -> int | None:
        self.calls.append((tenant, ("interval",), 0, 0))
        return self.interval

    def samples(self, tenant: str, selectors: Sequence[str], start_ms: int, end_ms: int):
        self.calls.append((tenant, tuple(selectors), start_ms, end_ms))
        for text in selectors:
            selector = parse_selector(text)
            chosen = [row for row in self.series.get(tenant, []) if selector.matches(row[0], row[1])]
            for metric in sorted({row[0] for row in chosen}):
                own = [
                    (labels, [(ts, value) for ts, value in samples if start_ms <= ts < end_ms])
                    for name, labels, samples in chosen
                    if name == metric
                ]
                flat = [sample for _, samples in own for sample in samples]
                yield SeriesBatch(
                    metric,
                    tuple(dict(labels) for labels, _ in own),
                    np.r_[0, np.cumsum([len(samples) for _, samples in own])].astype(np.int64),
                    np.array([ts for ts, _ in flat], np.int64),
                    np.array([value for _, value in flat], np.float64),
                )


def compute(
    component: Component, source: PlantedSource, partition: Partition, folder, resolution: int = 300, **parameters
) -> Result:
    """Compute one partition of `component` from `source` alone, and check it against the table's declaration."""
    values = component.parameters(**parameters)
    instance = Instance(component.name.replace("_", "-"), component, values)
    with Workplace(
        partition,
        instance,
        Lake(folder),
        source,
        None,
        QueryLimits(1000, 10, 100, 1),
        resolution,
        0.9,  # type: ignore[arg-type]
    ) as workplace:
        result = component.compute(workplace, values)
    component.table.conform(result.data)
    return result
