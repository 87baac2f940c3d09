"""The fleets the tests look at, and how they read them."""

from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.metrics import METRICS
from resources.monitoring.simulated.source import SimulatedFleet
from resources.monitoring.simulated.vm import Vm
from resources.partition import DAY_MS

FIRST_DAY = date(2026, 1, 1)


def _exposed(name: str) -> list[str]:
    """Return the names under which a metric's samples are asked for."""
    parts = ("_bucket", "_sum", "_count") if METRICS[name].kind == "histogram" else ("",)
    return [name + part for part in parts]


VM_NAMES = [name for name, metric in METRICS.items() if metric.entity == "vm" and not name.endswith("_per_second")]
NODE_NAMES = [name for name, metric in METRICS.items() if metric.entity == "node"]
VM_COUNT = "novacron_vm_count"
PLATFORM_NAMES = [
    exposed
    for name, metric in METRICS.items()
    if metric.entity != "vm" and name != VM_COUNT
    for exposed in _exposed(name)
]
CPU, MEMORY, DISK = VM_NAMES[:3]
COUNTERS = VM_NAMES[3:]
NAME_OF_COLUMN = {METRICS[name].column: name for name in VM_NAMES}

Series = dict[tuple[tuple[str, str], ...], tuple[NDArray[np.int64], NDArray[np.float64]]]


@lru_cache
def month(tenants: int = 3) -> SimulatedFleet:
    """A fleet that shows everything: 20 VMs a tenant, 28 days at 5 minutes."""
    return SimulatedFleet(42, tenants, 20, FIRST_DAY, 28, 300)


def read(
    fleet: SimulatedFleet, tenant: str, metric: str, start_ms: int | None = None, end_ms: int | None = None
) -> Series:
    """Return each series of a metric by its labels: times and values in order of arrival."""
    clock = fleet.clock
    start_ms = clock.start_ms if start_ms is None else start_ms
    end_ms = clock.start_ms + clock.days * DAY_MS if end_ms is None else end_ms
    found: Series = {}
    for batch in fleet.samples(tenant, [metric], start_ms, end_ms):
        assert batch.metric == metric
        for row, labels in enumerate(batch.labels):
            part = slice(batch.offsets[row], batch.offsets[row + 1])
            key = tuple(sorted(labels.items()))
            assert key not in found
            found[key] = batch.ts_ms[part], batch.values[part]
    return found


def by_label(series: Series, label: str, **fixed: str) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return the times and values of the series with the `fixed` labels, by what else `label` is."""
    found = {}
    for key, samples in series.items():
        labels = dict(key)
        if all(labels[name] == value for name, value in fixed.items()):
            assert labels[label] not in found
            found[labels[label]] = samples
    return found


def index_of(fleet: SimulatedFleet, ts: NDArray[np.int64], offset_ms: int) -> NDArray[np.int64]:
    """Return the sample indices that a target with this offset was scraped at."""
    return (ts - offset_ms - fleet.clock.start_ms) // fleet.clock.step_ms


def rates_of(fleet: SimulatedFleet, vm: Vm, metric: str) -> NDArray[np.float64]:
    """Return what a reader of a VM's counter finds at each index of the run in bytes/s, NaN where it cannot know."""
    rates = np.full(fleet.clock.total, np.nan)
    if not vm.running:
        return np.zeros(fleet.clock.total)
    if (fleet, vm.tenant, metric) not in _READ:
        _READ[fleet, vm.tenant, metric] = read(fleet, vm.tenant, metric)
    for number, (_, arrived, counted) in enumerate(of_vm(_READ[fleet, vm.tenant, metric], vm.vm_id)):
        ts, first = np.unique(arrived, return_index=True)
        index, values = index_of(fleet, ts, vm.offset_ms), counted[first]
        grown = np.diff(values, prepend=0.0)
        grown = np.where(grown < 0, values, grown)
        known = np.diff(index, prepend=-1) == 1
        # The first series began before the run, with a count that nobody saw grow; a later one begins at 0.
        known[0] = number > 0
        if number + 1 < len(vm.placements):
            known &= index < vm.placements[number + 1][0]
        rates[index[known]] = grown[known] / fleet.clock.interval_seconds
    return rates


_READ: dict[tuple[SimulatedFleet, str, str], Series] = {}


def of_vm(series: Series, vm_id: str) -> list[tuple[dict[str, str], NDArray[np.int64], NDArray[np.float64]]]:
    """Return the series of a VM, the one with the earliest sample first."""
    found = [(dict(key), ts, values) for key, (ts, values) in series.items() if dict(key).get("vm_id") == vm_id]
    return sorted(found, key=lambda item: int(item[1].min()))


def same(one: Series, other: Series) -> bool:
    """Say whether two readings hold the same series, samples and order."""
    return one.keys() == other.keys() and all(
        np.array_equal(one[key][0], other[key][0]) and np.array_equal(one[key][1], other[key][1]) for key in one
    )
