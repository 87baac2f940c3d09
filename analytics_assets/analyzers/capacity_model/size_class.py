"""Which VMs have the wrong size: the first rule that matches names the class, so no VM counts twice.

| order | class | rule, with the default limits |
|---|---|---|
| 1 | powered_off | the inventory says stopped for 95 % of the last 14 days (and knows at least 5 of them) |
| 2 | insufficient_data | CPU or memory has no answer, or fewer than 100 hours have samples |
| 3 | idle | last 14 days: 97 % of the hours below 0.03 vCPU and 95 % below 2000 B/s received and 1000 B/s sent |
| 4 | undersized | CPU p95 above 85 %, or p99 from 95 %, or memory peak above 90 %, or one lasts less than 30 days |
| 5 | oversized | the recommended vCPUs and the recommended memory are both at most half of the size |
| 6 | optimal | everything else |

For idle an hour counts by its own 95th percentile, so that a busy five minutes in an idle hour are seen.
Undersized goes by the percentiles of all buckets, as the need does: a size must not be judged by more than
it was made for. What lasts is CPU, memory or disk by its conservative time remaining.
A stopped VM has no samples to judge by, so powered_off comes before insufficient_data. A VM whose
network is not measured is never idle, one whose disk is not measured is judged without it.

The needed size covers the bound of the next 30 days and the peak need: of CPU what the sizing rule
(`kernels/sizing/rule.py`) asks for and 99.5 % of the time, in whole vCPUs; of memory, whose lack ends
programs, the maximum times 1.2. The recommended total covers the bound for the warning time and 30 days
more. Neither depends on the present size: given one of them, and a disk that lasts, the same data are
`optimal`. Rules after Google's idle VM recommender (idle), and own
limits chosen above 100/1.2 = 83.3 % so that a fresh size is never undersized.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.capacity_model.rows import ResourceRows
from analytics_assets.kernels.matrix import HOURS_PER_DAY, Floats

SIZE_CLASSES = ("insufficient_data", "powered_off", "idle", "undersized", "oversized", "optimal")
GIB = 2**30
KNOWN_STATE_DAYS = 5


@dataclass(frozen=True)
class SizeEvidence:
    """What the rules read, per VM: rows of the resources, and hourly matrices [VM, hour] of the same window.

    `stopped` is 1 where the inventory says so, 0 where it says otherwise, NaN where it says nothing.
    """

    cpu: ResourceRows
    memory: ResourceRows
    disk: ResourceRows
    cores: Floats
    receive: Floats
    transmit: Floats
    stopped: Floats


def size_classes(
    evidence: SizeEvidence, parameters: CapacityParameters, minimum_coverage: float
) -> tuple[list[str], list[str]]:
    """Return each VM's size class and the reason in words with figures."""
    back = slice(-parameters.class_days * HOURS_PER_DAY, None)
    rest = _Rest(evidence, parameters)
    off, off_hours = _share_of(evidence.stopped[:, back], 0.5, above=True)
    idle_cpu, hours = _share_of(evidence.cores[:, back], parameters.idle_vcpus)
    received, _ = _share_of(evidence.receive[:, back], parameters.idle_receive_bytes_per_second)
    sent, _ = _share_of(evidence.transmit[:, back], parameters.idle_transmit_bytes_per_second)
    needed_hours = minimum_coverage * parameters.class_days * HOURS_PER_DAY
    classes, reasons = [], []
    for vm in range(len(evidence.cores)):
        if off[vm] >= parameters.powered_off_percent and off_hours[vm] >= KNOWN_STATE_DAYS * HOURS_PER_DAY:
            found = "powered_off", f"stopped in {off[vm]:.0f} % of the last {off_hours[vm]} h"
        elif reason := rest.insufficient(vm):
            found = "insufficient_data", reason
        elif (
            hours[vm] >= needed_hours
            and idle_cpu[vm] >= parameters.idle_cpu_percent_of_hours
            and received[vm] >= parameters.idle_network_percent_of_hours
            and sent[vm] >= parameters.idle_network_percent_of_hours
        ):
            found = (
                "idle",
                f"CPU below {parameters.idle_vcpus:g} vCPU in {idle_cpu[vm]:.0f} % of {hours[vm]} h, network below "
                f"{parameters.idle_receive_bytes_per_second:g} B/s received in {received[vm]:.0f} % and "
                f"{parameters.idle_transmit_bytes_per_second:g} B/s sent in {sent[vm]:.0f} %",
            )
        else:
            found = rest.by_use(vm)
        classes.append(found[0])
        reasons.append(found[1])
    return classes, reasons


def _share_of(values: Floats, limit: float, *, above: bool = False) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the percentage of a row's values below (or above) `limit`, NaN where none is there, and their number."""
    there = np.count_nonzero(~np.isnan(values), axis=1)
    hits = np.count_nonzero(values > limit if above else values < limit, axis=1)
    return np.where(there > 0, 100 * hits / np.maximum(there, 1), np.nan), there


class _Rest:
    """The rules that compare a VM's use with its size."""

    def __init__(self, evidence: SizeEvidence, parameters: CapacityParameters) -> None:
        self.evidence, self.parameters = evidence, parameters
        size = {name: getattr(evidence, name).columns["physical"] for name in ("cpu", "memory")}
        share = {name: 100 / np.where(values > 0, values, np.nan) for name, values in size.items()}
        self.size = size
        self.cpu_p95 = evidence.cpu.p95 * share["cpu"]
        self.cpu_p99 = evidence.cpu.high * share["cpu"]
        self.memory_peak = evidence.memory.peak * share["memory"]
        self.days_left = {
            name: rows.columns["time_remaining_days_conservative"]
            for name, rows in (("CPU", evidence.cpu), ("memory", evidence.memory), ("disk", evidence.disk))
        }
        self.disk_known = evidence.disk.columns["status"] == "ok"

    def insufficient(self, vm: int) -> str:
        """Return why the VM cannot be judged; empty if it can."""
        for name, rows in (("CPU", self.evidence.cpu), ("memory", self.evidence.memory)):
            if rows.columns["status"][vm] != "ok":
                return f"{name}: {rows.columns['reason'][vm]}"
        hours = min(self.evidence.cpu.hours[vm], self.evidence.memory.hours[vm])
        if hours < self.parameters.minimum_points:
            return f"{hours} h with samples; needs {self.parameters.minimum_points}"
        return ""

    def by_use(self, vm: int) -> tuple[str, str]:
        limits = self.parameters
        high = []
        if self.cpu_p95[vm] > limits.undersized_cpu_p95_percent:
            high.append(f"CPU p95 {self.cpu_p95[vm]:.0f} % is above {limits.undersized_cpu_p95_percent:g} %")
        if self.cpu_p99[vm] >= limits.undersized_cpu_p99_percent:
            high.append(f"CPU p99 {self.cpu_p99[vm]:.0f} % reaches {limits.undersized_cpu_p99_percent:g} %")
        if self.memory_peak[vm] > limits.undersized_memory_percent:
            high.append(f"memory peak {self.memory_peak[vm]:.0f} % is above {limits.undersized_memory_percent:g} %")
        for name, days in self.days_left.items():
            if days[vm] < limits.undersized_days:
                high.append(f"{name} lasts {days[vm]:.0f} days, less than {limits.undersized_days}")
        if high:
            return "undersized", "; ".join(high)
        cpu, memory = (rows.columns["recommended_total"][vm] for rows in (self.evidence.cpu, self.evidence.memory))
        vcpus, size = self.size["cpu"][vm], self.size["memory"][vm]
        share = limits.oversized_percent / 100
        unmeasured = "" if self.disk_known[vm] else "; disk not judged"
        if cpu <= share * vcpus and memory <= share * size:
            return "oversized", (
                f"with headroom and the growth of {limits.lasting_days} days it needs {cpu:g} of {vcpus:g} vCPUs and "
                f"{memory / GIB:.1f} of {size / GIB:.1f} GiB memory: both at most {limits.oversized_percent:g} % of "
                f"the size{unmeasured}"
            )
        return "optimal", (
            f"CPU p95 {self.cpu_p95[vm]:.0f} % and p99 {self.cpu_p99[vm]:.0f} %, memory peak "
            f"{self.memory_peak[vm]:.0f} %: nothing is short, and CPU and memory cannot both shrink to "
            f"{limits.oversized_percent:g} %{unmeasured}"
        )
