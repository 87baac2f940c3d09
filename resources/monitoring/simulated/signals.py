"""The numbers: what each VM and node does at every index, whether or not anybody samples it.

Everything is made a day at a time for some VMs at once, as a matrix of VM x sample of the day. A VM's
row depends on the VM and the day only, never on the rows beside it.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from resources.monitoring.simulated.catalogue import GIB, RATE_FLOOR, ROLES, daily_shape
from resources.monitoring.simulated.clock import DAY_SECONDS, Clock, stream
from resources.monitoring.simulated.nodes import Node
from resources.monitoring.simulated.vm import Disturbance, Trend, Vm

Matrix = NDArray[np.float64]
Floats = NDArray[np.float32]

KNOTS_PER_DAY = 96
"""Noise runs straight between knots a quarter of an hour apart, which makes neighbours alike."""
SMOOTH, WHITE = 0.8, 0.6
MEMORY_NOISE = 0.004
DISK_NOISE = 0.0002
DISK_TEMPORARY = 0.0005
"""Temporary files grow to this share of the disk in a day and are removed at midnight."""
RATE_NOISE = 0.35
RATE_DAY_NOISE = 0.05

BASE_CPU_PERCENT = 2.0
"""What the hypervisor takes of a node's CPUs, within `BASE_CPU_SPREAD`."""
BASE_CPU_SPREAD = 0.4
BASE_MEMORY_BYTES = 4 * GIB
ROOT_DISK_BYTES = 30 * GIB
LOG_BYTES_PER_DAY = 0.8 * GIB
LOAD_PERIODS = {"1m": 60, "5m": 300, "15m": 900}


class Signals:
    """The signals of a run. A matrix has one row per VM and `clock.per_day` columns."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self.seed = seed
        self.clock = clock
        per_day = clock.per_day
        # Twice the day, so that a shifted day is a slice of it.
        self._shapes = {role: np.tile(daily_shape(role, per_day), 2) for role in ROLES}
        position = np.arange(per_day) * (KNOTS_PER_DAY / per_day)
        self._knot = position.astype(np.int64)
        self._beyond_knot = (position - self._knot).astype(np.float32)
        self._day_totals = lru_cache(maxsize=8192)(self._sum_days)

    def gauge(self, vms: Sequence[Vm], column: str, day: int) -> Matrix:
        """Return the gauge that fills `column` on `day` of the run, as its exporter rounds it."""
        if column == "cpu_percent":
            return self._cpu(vms, day)
        return self._memory(vms, day) if column == "memory_bytes" else self._disk(vms, day)

    def _cpu(self, vms: Sequence[Vm], day: int) -> Matrix:
        low = _row(vm.cpu_low for vm in vms)
        rise = _row(vm.cpu_peak - vm.cpu_low for vm in vms)
        noise = self._noise(vms, "cpu_percent", day)
        cpu = self._load(vms, day)
        cpu *= rise
        cpu += low
        cpu += noise * _row(vm.cpu_noise for vm in vms)
        for row, vm in enumerate(vms):
            self._add_trends(cpu[row], vm, "cpu_percent", day)
            for disturbance, first, last in self.disturbances(vm, "cpu_percent", day):
                part = slice(first, last)
                if disturbance.shape == "hold":
                    cpu[row, part] = disturbance.value + 0.3 * noise[row, part]
                else:
                    cpu[row, part] += disturbance.value
        np.clip(cpu, 0, 100, out=cpu)
        cpu *= np.float32(100)
        np.rint(cpu, out=cpu)
        return cpu.astype(np.float64) / 100

    def _memory(self, vms: Sequence[Vm], day: int) -> Matrix:
        memory = self._load(vms, day).astype(np.float64)
        memory *= _row(vm.memory_swing for vm in vms)
        memory += _row(vm.memory_low for vm in vms)
        memory += self._noise(vms, "memory_bytes", day) * np.float32(MEMORY_NOISE)
        for row, vm in enumerate(vms):
            size = self._by_flavor(vm, day, [flavor.memory_bytes for _, flavor in vm.flavors])
            memory[row] *= size
            self._add_trends(memory[row], vm, "memory_bytes", day)
            for disturbance, first, last in self.disturbances(vm, "memory_bytes", day):
                start, end = disturbance.span
                index = np.arange(day * self.clock.per_day + first, day * self.clock.per_day + last)
                climbed = np.minimum((index - start + 1) / max(1.0, 0.6 * (end - start)), 1.0)
                memory[row, first:last] += (disturbance.value - memory[row, first:last]) * climbed
            np.clip(memory[row], 0, size, out=memory[row])
        np.rint(memory, out=memory)
        return memory

    def _disk(self, vms: Sequence[Vm], day: int) -> Matrix:
        disk = self._noise(vms, "disk_bytes", day).astype(np.float64)
        disk *= DISK_NOISE
        disk += np.arange(self.clock.per_day) * (DISK_TEMPORARY / self.clock.per_day)
        disk *= np.array([[float(vm.flavors[0][1].disk_bytes)] for vm in vms])
        disk += np.array([[vm.disk_level] for vm in vms])
        for row, vm in enumerate(vms):
            self._add_trends(disk[row], vm, "disk_bytes", day)
            size = self._by_flavor(vm, day, [flavor.disk_bytes for _, flavor in vm.flavors])
            np.clip(disk[row], 0, size, out=disk[row])
        np.rint(disk, out=disk)
        return disk

    def moved(self, vms: Sequence[Vm], column: str, day: int) -> Matrix:
        """Return the bytes moved from the VM's first start up to each index of `day`, by `column`'s rate.

        Each day's total is known by itself, so a day costs the same wherever it lies in the run.
        """
        moved = np.cumsum(self._weights(vms, column, day), axis=1, dtype=np.float64)
        before = np.stack([self._day_totals(vm, column)[day : day + 2] for vm in vms])
        moved *= (before[:, 1:] - before[:, :1]) / moved[:, -1:]
        moved += before[:, :1]
        for row, vm in enumerate(vms):
            for disturbance in vm.disturbances:
                start, end = disturbance.span
                if disturbance.column == column and start < (day + 1) * self.clock.per_day:
                    index = np.arange(day * self.clock.per_day, (day + 1) * self.clock.per_day)
                    samples = np.clip(index - start + 1, 0, end - start)
                    moved[row] += samples * (disturbance.value * self.clock.interval_seconds)
        return moved

    def rates(self, vms: Sequence[Vm], column: str, day: int) -> Matrix:
        """Return the bytes/s moved since the index before, by `column`'s rate: what `moved` grows by."""
        if not vms:
            return np.empty((0, self.clock.per_day))
        weights = self._weights(vms, column, day)
        before = np.stack([self._day_totals(vm, column)[day : day + 2] for vm in vms])
        total = np.cumsum(weights, axis=1, dtype=np.float64)[:, -1:]
        rates = weights * ((before[:, 1:] - before[:, :1]) / (total * self.clock.interval_seconds))
        for row, vm in enumerate(vms):
            for disturbance, first, last in self.disturbances(vm, column, day):
                rates[row, first:last] += disturbance.value
        return rates

    def _weights(self, vms: Sequence[Vm], column: str, day: int) -> Floats:
        """Return by what shares the bytes of `day` fall on its samples."""
        weights = self._profile(vms)
        weights += np.float32(RATE_FLOOR)
        weights *= _skewed(self._noise(vms, column, day) * np.float32(RATE_NOISE))
        return weights

    def demand(self, node: Node, day: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the cores and the memory (bytes) that its VMs ask of `node` on `day`, without the hypervisor."""
        cores, memory = np.zeros(self.clock.per_day), np.zeros(self.clock.per_day)
        vms = [vm for vm in node.vms if vm.running]
        if not vms:
            return cores, memory
        percent, used = self._cpu(vms, day), self._memory(vms, day)
        for row, vm in enumerate(vms):
            here = self.placed(vm, node, day)
            vcpus = self._by_flavor(vm, day, [flavor.vcpus for _, flavor in vm.flavors])
            cores += percent[row] * (vcpus / 100) * here
            memory += used[row] * here
        return cores, memory

    def node_cpus(self, node: Node, day: int) -> Matrix:
        """Return the use of each CPU of `node` in percent: one row per CPU, their mean being the node's."""
        cores, _ = self.demand(node, day)
        chance = stream(self.seed, node.id, "cpu", day=day)
        spread = np.clip(chance.standard_normal(self.clock.per_day, dtype=np.float32), -3, 3) / 3
        mean = np.minimum(100 * cores / node.cores + BASE_CPU_PERCENT + BASE_CPU_SPREAD * spread, 100.0)
        # CPUs differ in pairs, one as far above the mean as the other is below, and not at all at 0 and 100 %.
        apart = chance.standard_normal((node.cores // 2, self.clock.per_day), dtype=np.float32)
        np.clip(apart, -2, 2, out=apart)
        apart *= (0.3 * mean * (100 - mean) / 100).astype(np.float32)
        cpus = np.empty((node.cores, self.clock.per_day))
        cpus[0::2] = mean + apart
        cpus[1::2] = mean - apart
        cpus *= 100
        np.rint(cpus, out=cpus)
        cpus /= 100
        return cpus

    def node_memory(self, node: Node, day: int) -> NDArray[np.float64]:
        """Return the memory in use on `node` in bytes."""
        _, memory = self.demand(node, day)
        return np.minimum(np.rint(memory + BASE_MEMORY_BYTES), float(node.memory_bytes))

    def node_root_disk(self, node: Node, day: int) -> NDArray[np.float64]:
        """Return the bytes in use on the root disk of `node`: logs grow on it and are thrown away once a week."""
        week = 7 * self.clock.per_day
        rotation = int(stream(self.seed, node.id, "logs").integers(week))
        kept = (np.arange(day * self.clock.per_day, (day + 1) * self.clock.per_day) + rotation) % week
        used: NDArray[np.float64] = np.rint(ROOT_DISK_BYTES + kept * (LOG_BYTES_PER_DAY / self.clock.per_day))
        return used

    def node_load(self, node: Node, day: int) -> Matrix:
        """Return the load averages of `node`, a row for each of `LOAD_PERIODS`.

        The load is the cores asked for, which passes the cores there are. The mean is over the
        period before each sample, as far as that lies in the same day.
        """
        cores, _ = self.demand(node, day)
        running = np.cumsum(cores + BASE_CPU_PERCENT / 100 * node.cores)
        rows = []
        for seconds in LOAD_PERIODS.values():
            width = max(1, seconds // self.clock.interval_seconds)
            total = running.copy()
            total[width:] -= running[:-width]
            rows.append(np.rint(100 * total / np.minimum(np.arange(1, len(total) + 1), width)) / 100)
        return np.stack(rows)

    def placed(self, vm: Vm, node: Node, day: int) -> NDArray[np.float64]:
        """Return 1 where `vm` is on `node` on `day`, else 0."""
        return self._stepwise(day, [(start, float(ref == node.ref)) for start, ref in vm.placements])

    def _by_flavor(self, vm: Vm, day: int, values: Sequence[float]) -> NDArray[np.float64]:
        return self._stepwise(day, [(start, value) for (start, _), value in zip(vm.flavors, values, strict=True)])

    def _stepwise(self, day: int, steps: Sequence[tuple[int, float]]) -> NDArray[np.float64]:
        """Return the value in force at each index of `day`, of values that hold from an index on."""
        values = np.full(self.clock.per_day, float(steps[0][1]))
        for start, value in steps[1:]:
            values[max(0, start - day * self.clock.per_day) :] = value
        return values

    def _profile(self, vms: Sequence[Vm]) -> Floats:
        per_day = self.clock.per_day
        profile = np.empty((len(vms), per_day), dtype=np.float32)
        for row, vm in enumerate(vms):
            start = -vm.day_shift % per_day
            profile[row] = self._shapes[vm.role][start : start + per_day]
        return profile

    def _load(self, vms: Sequence[Vm], day: int) -> Floats:
        load = self._profile(vms)
        if self.clock.is_weekend(day):
            load *= _row(ROLES[vm.role].weekend for vm in vms)
        return load

    def _noise(self, vms: Sequence[Vm], name: str, day: int) -> Floats:
        return self.noise([vm.vm_id for vm in vms], name, day)

    def noise(self, entities: Sequence[str], name: str, day: int) -> Floats:
        """Return noise of standard deviation about 1, partly shared by neighbours in time, a row per entity."""
        noise = np.empty((len(entities), self.clock.per_day), dtype=np.float32)
        knots = np.zeros((len(entities), KNOTS_PER_DAY + 1), dtype=np.float32)
        for row, entity in enumerate(entities):
            chance = stream(self.seed, entity, name, day=day)
            chance.standard_normal(dtype=np.float32, out=noise[row])
            # The knots at midnight stay 0, so that the days join without knowing each other.
            knots[row, 1:-1] = chance.standard_normal(KNOTS_PER_DAY - 1, dtype=np.float32)
        noise *= np.float32(WHITE)
        knots *= np.float32(SMOOTH)
        noise += np.take(knots, self._knot, axis=1)
        noise += np.take(np.diff(knots, axis=1), self._knot, axis=1) * self._beyond_knot
        return noise

    def _add_trends(self, row: NDArray[np.float64] | Floats, vm: Vm, column: str, day: int) -> None:
        for trend in vm.trends:
            if trend.column == column:
                row += self._trend(trend, day).astype(row.dtype)

    def _trend(self, trend: Trend, day: int) -> NDArray[np.float64]:
        since = self.clock.elapsed_days(day) - trend.start * self.clock.interval_seconds / DAY_SECONDS
        grown = np.maximum(since, 0.0)
        if trend.restart_every_days:
            # Rounded to the sample, or a restart could come one sample late.
            samples = np.rint(grown * self.clock.per_day)
            grown = samples % (trend.restart_every_days * self.clock.per_day) / self.clock.per_day
        return grown * trend.slope_per_day

    def disturbances(self, vm: Vm, column: str, day: int) -> Iterator[tuple[Disturbance, int, int]]:
        """Yield the disturbances of `column` that reach into `day`, with the samples of the day they cover."""
        begin = day * self.clock.per_day
        for disturbance in vm.disturbances:
            first, last = max(disturbance.span[0] - begin, 0), min(disturbance.span[1] - begin, self.clock.per_day)
            if disturbance.column == column and first < last:
                yield disturbance, first, last

    def _sum_days(self, vm: Vm, column: str) -> NDArray[np.float64]:
        """Return what `vm` had moved at the start of each day of the run, and at its end."""
        chance = stream(self.seed, vm.vm_id, column, "days")
        weekend = ROLES[vm.role].weekend
        level = np.array([weekend if self.clock.is_weekend(day) else 1.0 for day in range(self.clock.days)])
        level *= 1 + RATE_DAY_NOISE * np.clip(chance.standard_normal(self.clock.days), -3, 3)
        daily = vm.rate(column) * DAY_SECONDS
        return np.concatenate(([0.0], np.cumsum(level * daily))) + vm.uptime_days * daily


def _row(values: Iterable[float]) -> Floats:
    return np.fromiter(values, dtype=np.float32)[:, np.newaxis]


def _skewed(noise: Floats) -> Floats:
    """Return factors about 1, at least a half, with a long tail above.

    The first terms of exp: unlike exp itself, the same to the last bit on every processor.
    """
    return np.float32(1) + noise + noise * noise * np.float32(0.5)
