"""The things that can be planted in a VM, each a function from a VM to that VM with the thing in it.

They keep to hours of their own (gaps from 00:00, outages from 02:00, restarts at 06:30, resizes at
07:00, incidents 08:00 to 18:00, late and doubled samples from 19:00, migrations from 22:00), so
that none hides another. Incidents lie in the last days of the run: what should find them has had
time to learn what is usual.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np

from resources.monitoring.simulated.catalogue import FLAVORS, MIB
from resources.monitoring.simulated.clock import Clock
from resources.monitoring.simulated.vm import Disturbance, Incident, Late, NodeRef, Span, Trend, TrendKind, Vm

TREND_DAYS = 28
"""Trends begin this long before the end of the run, or with the run where it is shorter."""
ALERT_FOR_MINUTES = 5
"""How long a condition must hold before its alert fires."""
NOISY_EVERY_DAYS = 3
NOISY_HOURS = (10, 13)
NOISY_PERCENT = 98.5

Plant = Callable[[Vm, Clock, np.random.Generator], Vm]


def _day(clock: Clock, share: float) -> int:
    return min(int(clock.days * share), clock.days - 1)


def _trend_start(clock: Clock) -> tuple[int, int]:
    """Return the index at which trends begin, and the days they last."""
    days = min(clock.days, TREND_DAYS)
    return (clock.days - days) * clock.per_day, days


def incident_span(clock: Clock, chance: np.random.Generator, minutes: int) -> Span:
    """Return a time of `minutes` that ends by 18:00, not on the last day unless it is the only one."""
    day = max(clock.days - 1 - int(chance.integers(1, 6)), 0)
    start = clock.index(day, int(chance.integers(8, min(16, 18 - minutes // 60))) + 1 / 12)
    return start, start + clock.count(minutes)


def _incident(
    vm: Vm,
    incident: Incident,
    *disturbances: Disturbance,
) -> Vm:
    return replace(vm, incidents=(*vm.incidents, incident), disturbances=(*vm.disturbances, *disturbances))


def cpu_saturation(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant 45 minutes at full CPU, within one hour."""
    span = incident_span(clock, chance, 45)
    return _incident(
        vm,
        Incident(
            "cpu_saturation", span, ("cpu_percent",), "VMCpuSaturated", "critical", clock.count(ALERT_FOR_MINUTES)
        ),
        Disturbance("cpu_percent", span, "hold", 99.0),
    )


def traffic_spike(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant 90 minutes of ten times the usual traffic, which costs some CPU."""
    span = incident_span(clock, chance, 90)
    received, sent = "network_receive_bytes_per_second", "network_transmit_bytes_per_second"
    return _incident(
        vm,
        Incident(
            "traffic_spike", span, (received, sent, "cpu_percent"),
            "VMTrafficSpike", "warning", clock.count(ALERT_FOR_MINUTES),
        ),
        Disturbance(received, span, "add", 9 * vm.rate(received)),
        Disturbance(sent, span, "add", 9 * vm.rate(sent)),
        Disturbance("cpu_percent", span, "add", 6.0),
    )  # fmt: skip


def write_burst(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant an hour of twenty times the usual disk writes, in large blocks: little work for the tier."""
    span = incident_span(clock, chance, 60)
    column = "disk_write_bytes_per_second"
    return _incident(
        vm,
        Incident("write_burst", span, (column,), "VMDiskWriteBurst", "warning", clock.count(ALERT_FOR_MINUTES)),
        Disturbance(column, span, "add", 19 * vm.rate(column), MIB),
    )


def io_storm(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant three hours of 25 times the usual reads and writes in small blocks: all that its tier can do."""
    span = incident_span(clock, chance, 180)
    columns = ("disk_read_bytes_per_second", "disk_write_bytes_per_second")
    return _incident(
        vm,
        Incident("io_storm", span, columns, "VMDiskIoStorm", "warning", clock.count(ALERT_FOR_MINUTES)),
        *(Disturbance(column, span, "add", 24 * vm.rate(column)) for column in columns),
    )


def memory_exhaustion(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant two hours in which memory climbs to 98.5 % and stays there."""
    span = incident_span(clock, chance, 120)
    climb = int(0.6 * (span[1] - span[0]))
    return _incident(
        vm,
        Incident(
            "memory_exhaustion", span, ("memory_bytes",),
            "VMMemoryExhausted", "critical", climb + clock.count(ALERT_FOR_MINUTES),
        ),
        Disturbance("memory_bytes", span, "climb", 0.985 * vm.flavor.memory_bytes),
    )  # fmt: skip


def noisy_neighbour(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant three hours at full CPU every third day, more than the node has left."""
    first = min(int(chance.integers(NOISY_EVERY_DAYS)), clock.days - 1)
    for day in range(first, clock.days, NOISY_EVERY_DAYS):
        span = clock.index(day, NOISY_HOURS[0]), clock.index(day, NOISY_HOURS[1])
        vm = _incident(
            vm,
            Incident(
                "noisy_neighbour", span, ("cpu_percent",), "VMCpuSaturated", "warning", clock.count(ALERT_FOR_MINUTES)
            ),
            Disturbance("cpu_percent", span, "hold", NOISY_PERCENT),
        )
    return vm


def cpu_growth(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant a growth of CPU by 14 to 17 points in 28 days, ending at a peak of 76 %."""
    start, days = _trend_start(clock)
    slope = float(chance.uniform(14, 17)) / TREND_DAYS
    gained = slope * days
    return replace(
        vm, cpu_low=28 - gained, cpu_peak=76 - gained, trends=(Trend("cpu_percent", "growth", start, slope),)
    )


def memory_growth(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant a growth of memory by 18 to 22 % of the flavour in 28 days, ending at a peak of 80 %."""
    return _memory_ramp(vm, clock, "growth", float(chance.uniform(0.18, 0.22)))


def leak(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant a leak of 38 to 46 % of the flavour in 28 days, ending at a peak of 80 %."""
    return _memory_ramp(vm, clock, "leak", float(chance.uniform(0.38, 0.46)))


def _memory_ramp(vm: Vm, clock: Clock, kind: TrendKind, share: float) -> Vm:
    start, days = _trend_start(clock)
    slope = share / TREND_DAYS
    return replace(
        vm,
        memory_low=0.80 - vm.memory_swing - slope * days,
        trends=(Trend("memory_bytes", kind, start, slope * vm.flavor.memory_bytes),),
    )


def restarting_leak(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant a leak of 6 % of the flavour a day that a weekly restart at 06:30 puts right."""
    slope = float(chance.uniform(0.055, 0.062))
    start = clock.index(0, 6.5)
    return replace(
        vm,
        memory_low=0.80 - vm.memory_swing - slope * 7,
        trends=(Trend("memory_bytes", "leak", start, slope * vm.flavor.memory_bytes, 7),),
        restarts=tuple(range(start + 7 * clock.per_day, clock.total, 7 * clock.per_day)),
    )


def disk_full_soon(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant a disk that is full 8 to 20 days after the run ends."""
    return _filling_disk(vm, clock, float(chance.uniform(0.82, 0.86)), int(chance.integers(8, 21)))


def disk_full_later(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant a disk that is full 90 to 150 days after the run ends."""
    return _filling_disk(vm, clock, float(chance.uniform(0.50, 0.58)), int(chance.integers(90, 151)))


def _filling_disk(vm: Vm, clock: Clock, used_at_end: float, days_left: int) -> Vm:
    start, days = _trend_start(clock)
    capacity = vm.flavor.disk_bytes
    # Full at noon, so that noise does not move the day.
    slope = (1 - used_at_end) * capacity / (days_left + 0.5)
    full = clock.first_day + timedelta(days=clock.days + days_left)
    return replace(
        vm,
        disk_level=used_at_end * capacity - slope * days,
        trends=(Trend("disk_bytes", "filling_disk", start, slope, exhaustion_day=full),),
    )


def migration(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant a live migration to the neighbour node."""
    at = clock.index(_day(clock, float(chance.uniform(0.3, 0.7))), 22 + float(chance.uniform(0, 1)))
    rack, number = vm.node
    return replace(vm, placements=(*vm.placements, (at, NodeRef(rack, number ^ 1))))


def resize(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant a resize to the next larger flavour, for a load that doubles with it."""
    larger = {"s1.medium": "s1.large", "s1.large": "s1.xlarge"}[vm.flavor.name]
    at = clock.index(_day(clock, float(chance.uniform(0.1, 0.3))), 7)
    return replace(vm, flavors=(*vm.flavors, (at, FLAVORS[larger])))


def restart(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant a restart: every counter begins again."""
    return replace(vm, restarts=(clock.index(_day(clock, float(chance.uniform(0.4, 0.8))), 6.5),))


def gap(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant three to six hours in which the VM is not scraped."""
    start = clock.index(_day(clock, float(chance.uniform(0.2, 0.8))), 0)
    return replace(vm, gaps=((start, start + clock.count(60 * int(chance.integers(3, 7)))),))


def late(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant ten minutes of samples that arrive half an hour late, up to three times."""
    days = sorted({_day(clock, share) for share in (0.2, 0.5, 0.8)})
    starts = [clock.index(day, 19 + float(chance.uniform(0, 2))) for day in days]
    block, delay = clock.count(10), max(clock.count(30), clock.count(10) + 1)
    return replace(vm, late=tuple(Late((start, start + block), delay) for start in starts))


def duplicates(vm: Vm, clock: Clock, chance: np.random.Generator) -> Vm:
    """Plant ten minutes of samples that are sent twice, up to three times."""
    days = sorted({_day(clock, share) for share in (0.3, 0.6, 0.9)})
    starts = [clock.index(day, 19 + float(chance.uniform(0, 2))) for day in days]
    return replace(vm, duplicates=tuple((start, start + clock.count(10)) for start in starts))


PLANTS: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        cpu_saturation, traffic_spike, write_burst, io_storm, memory_exhaustion, noisy_neighbour, cpu_growth,
        memory_growth, leak, restarting_leak, disk_full_soon, disk_full_later, migration, resize, restart,
        gap, late, duplicates,
    )
}  # fmt: skip
"""Everything that a slot of the plan can name."""
