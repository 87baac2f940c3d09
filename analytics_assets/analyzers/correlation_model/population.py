"""All series of a partition as residuals, and the comparison of chosen ones among them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.cycle_residuals import cycle_residuals
from analytics_assets.kernels.lag_correlation import (
    Significance,
    autocorrelations,
    independent_movements,
    lag_correlations,
    shared_memory,
    significance,
)
from analytics_assets.kernels.matrix import HOURS_PER_DAY, Floats, Grid
from resources.partition import DAY_MS

MINIMUM_MOVEMENTS = 5
"""Independent movements of a series, below which any other of as few would agree with it at some lag."""

THURSDAY = 3
"""Weekday of the first day of the epoch."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Label:
    """Whose series it is: `vm` or `node`, of which tenant (or the platform), its id, and the metric."""

    kind: str
    tenant: str
    entity: str
    metric: str

    @property
    def owner(self) -> tuple[str, str, str]:
        return self.kind, self.tenant, self.entity


@dataclass(frozen=True)
class Population:
    """Series by row: labels, residuals [series, step], where samples are, autocorrelations, and coverage.

    `movement` is the mean distance of neighbouring steps over the level: what tells a busy series from an idle one.
    A series with too few samples, or one that hardly ever leaves its cycle, is all 0 and not `usable`.
    """

    labels: tuple[Label, ...]
    values: NDArray[np.float32]
    present: NDArray[np.float32]
    memory: NDArray[np.float32]
    coverage: NDArray[np.float64]
    movement: NDArray[np.float64]
    spent: int

    @property
    def usable(self) -> NDArray[np.bool_]:
        return np.asarray(self.values.any(axis=1))


@dataclass(frozen=True)
class Comparison:
    """Pairs of rows, each once: the coefficient of the best lag, the lag, the steps they share, and their memory."""

    left: Rows
    right: Rows
    coefficient: NDArray[np.float32]
    lag: NDArray[np.int32]
    shared: Rows
    memory: NDArray[np.float32]

    def take(self, places: Rows) -> "Comparison":
        """Return the pairs at `places`, in that order."""
        return Comparison(*(getattr(self, name)[places] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, parts: Sequence["Comparison"]) -> "Comparison":
        """Return the pairs of all parts, in their order."""
        if not parts:
            none = np.empty(0, np.int64)
            return cls(none, none, np.empty(0, np.float32), np.empty(0, np.int32), none, np.empty(0, np.float32))
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


def population(labels: Sequence[Label], values: Iterable[Floats], grid: Grid, minimum_coverage: float) -> Population:
    """Return the residuals of the series in `values`, matrices [entity, step] on `grid` that follow `labels`.

    The blocks of 24 hours of `grid` are its days; a block counts as the weekday that holds its middle.
    """
    steps_per_day = HOURS_PER_DAY * grid.steps_per_hour
    weekday = int((grid.start_ms + DAY_MS // 2) // DAY_MS + THURSDAY) % 7
    residuals, present, coverage, movement, spent = [], [], [], [], 0
    for matrix in values:
        there = np.isfinite(matrix)
        share = there.mean(axis=1) if matrix.shape[1] else np.zeros(len(matrix))
        kept = np.where((share >= minimum_coverage)[:, None], matrix, np.nan)
        rest = cycle_residuals(kept, steps_per_day, weekday)
        spent = rest.spent
        residuals.append(rest.values)
        present.append(rest.present.astype(np.float32))
        coverage.append(share)
        movement.append(_movement(matrix, there))
    if not residuals:
        empty = np.empty((0, grid.count), np.float32)
        return Population((), empty, empty, empty, np.empty(0), np.empty(0), 0)
    whole = np.concatenate(residuals)
    memory = autocorrelations(whole)
    whole[independent_movements(whole, memory) < MINIMUM_MOVEMENTS] = 0
    return Population(
        tuple(labels),
        whole,
        np.concatenate(present),
        memory,
        np.concatenate(coverage),
        np.concatenate(movement),
        spent,
    )


def _movement(matrix: Floats, there: NDArray[np.bool_]) -> NDArray[np.float64]:
    filled = np.where(there, matrix, 0).astype(np.float64)
    both = there[:, 1:] & there[:, :-1]
    distance = np.sum(np.where(both, np.abs(np.diff(filled, axis=1)), 0.0), axis=1) / np.maximum(both.sum(axis=1), 1)
    level = np.abs(filled).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return np.asarray(np.where(level > 0, distance / np.where(level > 0, level, 1), 0.0))


def compare(series: Population, left: Rows, right: Rows | None, maximum_lag: int) -> Comparison:
    """Return the comparison of all pairs of a row of `left` with one of `right`, or among `left` if that is None.

    The steps that two series share are counted without the lag, which is then taken off.
    """
    first = series.values[left]
    second = first if right is None else series.values[right]
    found = lag_correlations(first, second, maximum_lag)
    others = left if right is None else right
    pairs = (
        np.triu_indices(len(left), 1) if right is None else tuple(np.indices((len(left), len(others))).reshape(2, -1))
    )
    shared = series.present[left] @ series.present[others].T
    memory = shared_memory(series.memory[left], series.memory[others], series.values.shape[1])
    lag = found.lag[pairs]
    return Comparison(
        left[pairs[0]],
        others[pairs[1]],
        found.coefficient[pairs],
        lag,
        np.maximum(shared[pairs].astype(np.int64) - np.abs(lag), 0),
        memory[pairs],
    )


def judged(series: Population, pairs: Comparison, maximum_lag: int) -> Significance:
    """Return what the pairs are worth, all of them counted as tested together."""
    steps = series.values.shape[1]
    return significance(
        pairs.coefficient, pairs.shared, pairs.memory, 2 * maximum_lag + 1, series.spent / max(steps, 1)
    )
