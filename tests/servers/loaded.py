"""Servers that hold known series, as the tests' fixtures hand them out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from resources.monitoring.simulated.source import SimulatedFleet
from tests.servers import expected, traces
from tests.servers.events import Event
from tests.servers.process import ServerProcess
from tests.servers.prometheus import prometheus
from tests.servers.series import Series
from tests.servers.victoriametrics import load, victoriametrics


@dataclass(frozen=True)
class Traces:
    """The real traces that both servers are loaded with, and what is true of them.

    PlanetLab: `planetlab_vms` of the tenant planetlab on `planetlab_day`. Bitbrains: `bitbrains_vms`
    of the tenants leiden and delft on `bitbrains_days` days from `bitbrains_first`, with `events`.
    """

    data: Path
    planetlab_vms: tuple[traces.TracedVm, ...]
    bitbrains_vms: tuple[traces.TracedVm, ...]
    events: tuple[Event, ...]
    planetlab_series: tuple[Series, ...]
    bitbrains_series: tuple[Series, ...]
    size_series: tuple[Series, ...]
    count_series: tuple[Series, ...]
    planetlab_day: date = traces.PLANETLAB_DAY
    bitbrains_first: date = traces.BITBRAINS_FIRST
    bitbrains_days: int = traces.BITBRAINS_DAYS

    @property
    def series(self) -> tuple[Series, ...]:
        return (*self.planetlab_series, *self.of_bitbrains)

    @property
    def of_bitbrains(self) -> tuple[Series, ...]:
        return (*self.bitbrains_series, *self.size_series, *self.count_series)

    def expected_planetlab(self) -> pd.DataFrame:
        """Return the totals by tenant, VM and day that `expected.py` describes."""
        return expected.planetlab_days(self.data, self.planetlab_vms, self.planetlab_day)

    def expected_bitbrains(self) -> pd.DataFrame:
        """Return the totals by tenant, VM and day that `expected.py` describes."""
        return expected.bitbrains_days(
            self.data, self.bitbrains_vms, self.bitbrains_first, self.bitbrains_days, self.events
        )


def read_traces(
    data: Path,
    planetlab_count: int = 100,
    bitbrains_count: int = 12,
    days: int = traces.BITBRAINS_DAYS,
    *,
    with_events: bool = True,
) -> Traces:
    """Return the traces in the folder `data` as series."""
    slices = traces.planetlab_vms(data, planetlab_count)
    vms = traces.bitbrains_vms(data, bitbrains_count)
    events = traces.planted_events(vms) if with_events else ()
    sizes = traces.bitbrains_sizes(data, vms, days=days)
    return Traces(
        data,
        tuple(slices),
        tuple(vms),
        events,
        tuple(traces.planetlab(data, slices)),
        tuple(traces.bitbrains(data, vms, days=days, events=events)),
        tuple(sizes),
        tuple(traces.vm_counts(sizes, days=days)),
        bitbrains_days=days,
    )


@dataclass(frozen=True)
class LoadedPrometheus:
    """A running Prometheus on `blocks`, which hold `series`."""

    process: ServerProcess
    series: tuple[Series, ...]
    blocks: Path
    traces: Traces | None = None
    fleet: SimulatedFleet | None = None

    @property
    def url(self) -> str:
        return self.process.url

    @property
    def folder(self) -> Path:
        return self.process.folder

    def another(self, folder: Path, **options: Any) -> ServerProcess:
        """Return one more on a copy of the same blocks, to be started; a test may kill it. Options as `prometheus`."""
        return prometheus(folder, blocks=self.blocks, **options)


@dataclass(frozen=True)
class LoadedVictoriaMetrics:
    """A running VictoriaMetrics that holds `series`."""

    process: ServerProcess
    series: tuple[Series, ...]
    traces: Traces | None = None

    @property
    def url(self) -> str:
        return self.process.url

    @property
    def folder(self) -> Path:
        return self.process.folder

    @contextmanager
    def another(self, folder: Path, **options: Any) -> Iterator[ServerProcess]:
        """Start and load one more, which a test may kill. Options as `victoriametrics`."""
        with victoriametrics(folder, **options) as server:
            load(server, self.series)
            yield server
