"""What a VM's history says of a size (how long would it have been too small?) and of its idleness."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.kernels.coverage import SampleCounts
from analytics_assets.kernels.matrix import HOUR_MS, HOURS_PER_DAY, Floats, Grid
from analytics_assets.kernels.sizing.peaks import Hours, buckets_above

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Replay:
    """A window's demand on a size, per VM: about how many minutes above it, and its fullest hour with its use.

    `worst_hour_ms` is -1 and the numbers are NaN where there is no size or no sample; `hours` counts those with
    samples of both CPU and memory.
    """

    cpu_minutes: Vector
    memory_minutes: Vector
    worst_hour_ms: NDArray[np.int64]
    worst_percent: Vector
    hours: NDArray[np.int64]


def replay(cpu: Hours, memory: Hours, vcpus: Vector, memory_bytes: Vector, measured: Floats, grid: Grid) -> Replay:
    """Run the hours of `grid` that have both CPU and memory on VMs of `vcpus` and `memory_bytes`.

    Minutes are an estimate: of the buckets that the hourly summaries stand for, those above the size, times the share
    of the hour that was `measured` [VM, hour]. Of two hours as full the earlier counts.
    """
    known = ~np.isnan(vcpus) & ~np.isnan(memory_bytes)
    both = ~np.isnan(cpu.maximum) & ~np.isnan(memory.maximum)
    minutes = np.where(both, measured * (60.0 / cpu.buckets), 0.0)
    fullest = np.fmax(_filled(cpu.maximum, vcpus), _filled(memory.maximum, memory_bytes))
    fullest[~both] = np.nan
    there = known & ~np.isnan(fullest).all(axis=1)
    worst = np.argmax(np.where(np.isnan(fullest), -np.inf, fullest), axis=1)
    percent = fullest[np.arange(len(worst)), worst]
    return Replay(
        cpu_minutes=np.where(there, (buckets_above(cpu, vcpus) * minutes).sum(axis=1), np.nan),
        memory_minutes=np.where(there, (buckets_above(memory, memory_bytes) * minutes).sum(axis=1), np.nan),
        worst_hour_ms=np.where(there, grid.start_ms + worst * HOUR_MS, -1),
        worst_percent=np.where(there, percent, np.nan),
        hours=np.count_nonzero(both, axis=1),
    )


def measured_share(counts: SampleCounts) -> Floats:
    """Return which share of each hour was measured [VM, hour], by its samples."""
    return np.minimum(counts.seen / np.maximum(counts.expected, np.float32(1)), np.float32(1))


def _filled(values: Floats, size: Vector) -> Vector:
    return np.asarray(100 * values.astype(np.float64) / np.where(size > 0, size, np.nan)[:, None])


def idle_every_day(
    cores: Floats, receive: Floats, transmit: Floats, limits: CapacityParameters, minimum_hours: int
) -> NDArray[np.int64]:
    """Return on how many successive days, up to the last one, each VM was idle by `limits`, of hourly [VM, hour].

    A day needs `minimum_hours` hours of each, of which the shares of the limits must be below them.
    """
    quiet = np.ones((len(cores), cores.shape[1] // HOURS_PER_DAY), dtype=bool)
    for values, limit, percent in (
        (cores, limits.idle_vcpus, limits.idle_cpu_percent_of_hours),
        (receive, limits.idle_receive_bytes_per_second, limits.idle_network_percent_of_hours),
        (transmit, limits.idle_transmit_bytes_per_second, limits.idle_network_percent_of_hours),
    ):
        days = values.reshape(len(values), -1, HOURS_PER_DAY)
        there = np.count_nonzero(~np.isnan(days), axis=-1)
        below = np.count_nonzero(days < limit, axis=-1)
        quiet &= (there >= minimum_hours) & (100 * below >= percent * there)
    busy = ~quiet[:, ::-1]
    return np.asarray(np.where(busy.any(axis=1), np.argmax(busy, axis=1), quiet.shape[1]), np.int64)
