"""A tenant's VMs: each one's demand for each resource, and that of all of them together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.capacity_model.rows import Demand, ResourceRows, Supply, resource_rows
from analytics_assets.analyzers.capacity_model.size_class import SizeEvidence, size_classes
from analytics_assets.analyzers.capacity_model.sizes import Sizes
from analytics_assets.kernels.coverage import SampleCounts, has_recent
from analytics_assets.kernels.matrix import HOURS_PER_DAY
from analytics_assets.kernels.totals import total_of

UNITS = {"cpu": "cores", "memory": "bytes", "disk": "bytes"}
STEMS = {"cpu": "cpu_percent", "memory": "memory_bytes", "disk": "disk_bytes"}
NETWORK = ("network_receive_bytes_per_second", "network_transmit_bytes_per_second")
AT_LEAST: Mapping[str, Literal["", "rule", "peak"]] = {"cpu": "rule", "memory": "peak", "disk": ""}

Hourly = NDArray[np.float32]


@dataclass(frozen=True)
class VmSamples:
    """Hourly matrices [VM, hour] by column name (`cpu_percent_p95`, ...), each hour of `buckets`, and the samples."""

    columns: Mapping[str, Hourly]
    counts: SampleCounts
    buckets: int = 12


@dataclass(frozen=True)
class VmCapacity:
    """Rows of all VMs by resource, what all of them demand and have together, and their size classes with reasons.

    `counted` (resource -> bool) are the VMs whose size is in the total.
    """

    vms: Mapping[str, ResourceRows]
    total: Mapping[str, tuple[Demand, Supply]]
    counted: Mapping[str, NDArray[np.bool_]]
    size_class: list[str]
    size_reason: list[str]


def vm_capacity(
    samples: VmSamples, sizes: Sizes, parameters: CapacityParameters, minimum_coverage: float
) -> VmCapacity:
    """Return the capacity of some VMs and of all of them together."""
    vms, total, counted = {}, {}, {}
    demands = {resource: vm_demand(resource, samples, sizes) for resource in STEMS}
    for resource, unit in UNITS.items():
        demand, size = demands[resource], sizes.at_end[resource]
        supply = Supply(np.where(size > 0, size, np.nan), np.full(len(size), np.nan), _unsized(resource, sizes))
        vms[resource] = resource_rows(
            resource, unit, demand, supply, parameters, minimum_coverage, at_least=AT_LEAST[resource]
        )
        _say_stopped(vms[resource], sizes)
        # A stopped VM uses neither CPU nor memory; its disk is in use all the same, and nobody measures it.
        off = np.zeros(len(size), np.bool_) if resource == "disk" else sizes.stopped[:, -1] == 1
        counted[resource] = in_total(supply.physical, demand, off)
        known, held = float(size[counted[resource]].sum()), float(np.nansum(size))
        whole = Supply(
            np.array([known if known > 0 else np.nan]),
            np.array([held if held > 0 else np.nan]),
            np.array([None if known > 0 else f"no VM has a known {resource} size"], dtype=object),
        )
        total[resource] = (total_demand(demand, sizes.ever[resource], sizes.stopped, minimum_coverage), whole)
    evidence = SizeEvidence(
        cpu=vms["cpu"],
        memory=vms["memory"],
        disk=vms["disk"],
        cores=demands["cpu"].p95,
        receive=samples.columns["network_receive_bytes_per_second_p95"],
        transmit=samples.columns["network_transmit_bytes_per_second_p95"],
        stopped=sizes.stopped,
    )
    size_class, size_reason = size_classes(evidence, parameters, minimum_coverage)
    return VmCapacity(vms, total, counted, size_class, size_reason)


def vm_demand(resource: str, samples: VmSamples, sizes: Sizes) -> Demand:
    """Return the VMs' demand; CPU in cores of the vCPUs that held in each hour. Stopped hours expect no samples."""
    mean, maximum, p95 = (samples.columns[f"{STEMS[resource]}_{which}"] for which in ("mean", "max", "p95"))
    if resource == "cpu":
        cores = sizes.vcpus / np.float32(100)
        mean, maximum, p95 = mean * cores, maximum * cores, p95 * cores
    infinite = np.isinf(maximum) | np.isinf(mean) | np.isinf(p95)
    if infinite.any():
        mean, maximum, p95 = (np.where(infinite, np.float32(np.nan), values) for values in (mean, maximum, p95))
    expected = expected_while_running(samples.counts, sizes.stopped)
    seen = samples.counts.seen_where(~np.isnan(p95))
    return Demand(mean, maximum, p95, seen, expected, samples.buckets, np.asarray(infinite.any(axis=1)))


def expected_while_running(counts: SampleCounts, stopped: Hourly) -> NDArray[np.int64]:
    """Return the samples expected per VM; none in the hours in which it was `stopped` (1) [VM, hour]."""
    return np.asarray(np.sum(counts.expected, axis=1, dtype=np.float64, where=stopped != 1), np.int64)


def in_total(physical: NDArray[np.float64], demand: Demand, off: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which VMs or nodes the size of all together is of: those of a known size whose use is known, too.

    Those are the ones with a sample in the last day, and the `off` ones, which use nothing. Where none
    has one nobody measured, and it is of all.
    """
    sized = physical > 0
    measured = sized & has_recent(demand.mean, HOURS_PER_DAY)
    return sized & (measured | off) if measured.any() else sized


def total_demand(demand: Demand, included: NDArray[np.bool_], stopped: Hourly, minimum_coverage: float) -> Demand:
    """Return the demand of those of the `included` VMs that have samples of it together, as one row.

    It is `total_of` them, but for the hours they were stopped.
    Mean and p95 are both of the sum of the hourly means, for peaks within an hour need not meet; the
    maximum is the sum of the maxima, an upper bound.
    """
    included = included & ~np.isnan(demand.mean).all(axis=1)
    means, maxima = (
        total_of(values[included], minimum_coverage, stopped[included])[None, :]
        for values in (demand.mean, demand.maximum)
    )
    return Demand(
        means,
        maxima,
        means,
        np.array([demand.seen[included].sum()]),
        np.array([demand.expected[included].sum()]),
    )


def _unsized(resource: str, sizes: Sizes) -> NDArray[np.object_]:
    missing = np.full(len(sizes.listed), None, dtype=object)
    missing[~(sizes.at_end[resource] > 0)] = f"the inventory has no {resource} size"
    missing[~sizes.listed] = "no inventory"
    return missing


def _say_stopped(rows: ResourceRows, sizes: Sizes) -> None:
    """Add to the reasons of VMs without samples that the inventory says they are stopped."""
    reason = rows.columns["reason"]
    for vm in np.flatnonzero(sizes.stopped[:, -1] == 1):
        if reason[vm] is not None and reason[vm].startswith("no sample"):
            reason[vm] = f"{reason[vm]}: the VM is stopped"
