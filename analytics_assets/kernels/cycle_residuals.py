"""What is left of many series when their days' levels and their daily cycles are taken off.

Two machines that are both busy at noon and quiet on Sundays correlate without having anything to do with
each other. What remains here moves within the day and differs from what the series does at that hour anyway.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import row_median
from analytics_assets.kernels.slope import MAD_TO_SD

MINIMUM_DAYS = 4
"""Days of a group, below which a profile of its own would be the days themselves."""

DAYS_FOR_EVERY_WEEKDAY = 28
"""Days from which every weekday has a profile of its own; before, working days and weekends have."""

CLIP_SDS = 5.0
"""Residuals are clipped at this many of their robust standard deviations: one spike in common is one coincidence."""


Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Residuals:
    """`values` [series, step] with mean 0 and length 1, and 0 where nothing was measured; `present` says where.

    `spent` is the degrees of freedom that the cycle took. A series that never leaves its cycle is all 0.
    """

    values: NDArray[np.float32]
    present: NDArray[np.bool_]
    spent: int


def cycle_residuals(values: Floats, steps_per_day: int, first_weekday: int) -> Residuals:
    """Return the residuals of `values` [series, step], whole days of which the first is `first_weekday`.

    Monday is weekday 0. From each day its median is taken, and from each step of the day the median over the days
    of its kind, times the size (least squares) that the cycle had on that very day: a holiday that all machines have
    in common is no correlation either. Days are of a kind by weekday from `DAYS_FOR_EVERY_WEEKDAY` on, by
    working day and weekend where either has `MINIMUM_DAYS`, else all alike; below `MINIMUM_DAYS` days only the
    days' medians are taken off.
    """
    series, steps = values.shape
    if steps % steps_per_day or not steps:
        raise ValueError(f"{steps} steps are no whole days of {steps_per_day} steps")
    days = values.reshape(series, steps // steps_per_day, steps_per_day).astype(np.float64)
    rest = days - row_median(days)[:, :, None]
    kinds = _kinds_of_days(days.shape[1], first_weekday)
    for kind in kinds:
        cycle = row_median(np.swapaxes(rest[:, kind], 1, 2))[:, None, :]
        rest[:, kind] -= _sizes(rest[:, kind], cycle) * cycle
    flat = rest.reshape(series, steps)
    middle = row_median(flat)[:, None]
    away = np.abs(flat - middle)
    spread = MAD_TO_SD * row_median(away)[:, None]
    # Of a series that mostly stands still, the steps in which it does not tell its size.
    still = np.flatnonzero(spread[:, 0] == 0)
    spread[still] = MAD_TO_SD * row_median(np.where(away[still] > 0, away[still], np.nan))[:, None]
    with np.errstate(invalid="ignore"):
        clipped = np.clip(flat - middle, -CLIP_SDS * spread, CLIP_SDS * spread)
    present = np.isfinite(flat)
    spent = days.shape[1] * (2 if kinds else 1) + len(kinds) * steps_per_day
    return Residuals(_unit_length(clipped, present, values), present, spent)


def _sizes(days: NDArray[np.float64], cycle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much the cycle [series, 1, step] was larger or smaller on each of `days` [series, day, step]."""
    there = np.isfinite(days) & np.isfinite(cycle)
    along = np.where(there, cycle, 0.0)
    power = np.sum(along * along, axis=2, keepdims=True)
    matched = np.sum(along * np.where(there, days, 0.0), axis=2, keepdims=True)
    return np.where(power > 0, matched / np.where(power > 0, power, 1.0), 1.0)


def _kinds_of_days(days: int, first_weekday: int) -> list[NDArray[np.int64]]:
    if days < MINIMUM_DAYS:
        return []
    weekday = (first_weekday + np.arange(days)) % 7
    if days >= DAYS_FOR_EVERY_WEEKDAY:
        return [np.flatnonzero(weekday == day) for day in range(7)]
    kinds = [np.flatnonzero(weekday < 5), np.flatnonzero(weekday >= 5)]
    return kinds if all(len(kind) >= MINIMUM_DAYS for kind in kinds) else [np.arange(days)]


def _unit_length(residuals: NDArray[np.float64], present: NDArray[np.bool_], values: Floats) -> NDArray[np.float32]:
    count = np.maximum(np.count_nonzero(present, axis=1), 1)[:, None]
    filled = np.where(present & np.isfinite(residuals), residuals, 0.0)
    filled = np.where(present, filled - filled.sum(axis=1, keepdims=True) / count, 0.0)
    length = np.sqrt(np.sum(filled * filled, axis=1, keepdims=True))
    # What is only the rounding of float32 values is no movement.
    largest = np.max(np.where(np.isfinite(values), np.abs(values), 0), axis=1, initial=0)[:, None]
    moves = length > np.finfo(np.float32).eps * largest * np.sqrt(count)
    return np.where(moves, filled / np.where(moves, length, 1.0), 0.0).astype(np.float32)
