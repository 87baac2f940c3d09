"""Samples of a file as hourly or daily means, each series up to where its forecast begins."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from portal.analyze.columns import FloatArray
from portal.analyze.times import IntArray

HOUR_MS = 3_600_000
STEP_MS = {"h": HOUR_MS, "d": 24 * HOUR_MS}
SEASON_STEPS = {"h": 24, "d": 7}

FINISHED_SHARE = 0.5
"""Of the samples that its steps usually have, what the last step must have to be taken as finished."""


@dataclass(frozen=True)
class Steps:
    """Means by UTC step. Step k of series i is at `first_step[i] + k`, in steps since the epoch; NaN has no sample.

    `values[i]` are the means of series i, from its first step to its last finished one (empty where it
    has no sample). `next_step[i]` is where its forecast begins: after its last finished step, or after the last of
    the whole file where that is less than a season later.
    """

    values: list[FloatArray]
    first_step: IntArray
    next_step: IntArray
    step_ms: int


def step_means(codes: NDArray[np.int32], ts_ms: IntArray, values: FloatArray, series: int, freq: str) -> Steps:
    """Return the means of each series' samples by step; `freq` is h or d."""
    step_ms = STEP_MS[freq]
    known = ~np.isnan(values)
    codes, steps, values = codes[known], ts_ms[known] // step_ms, values[known]
    order = np.lexsort((steps, codes))
    codes, steps, values = codes[order], steps[order], values[order]
    first = np.flatnonzero(np.append(True, (codes[1:] != codes[:-1]) | (steps[1:] != steps[:-1]))[: len(codes)])
    counts = np.diff(np.append(first, len(codes)))
    means = np.add.reduceat(values, first) / counts if len(first) else np.empty(0)
    owner, at = codes[first], steps[first]
    bounds = np.searchsorted(owner, np.arange(series + 1))
    gridded, first_step, next_step = [], np.zeros(series, np.int64), np.full(series, -1, np.int64)
    for place, (begin, beyond) in enumerate(pairwise(bounds)):
        started = counts[begin:beyond]
        unfinished = len(started) > 1 and started[-1] < FINISHED_SHARE * np.median(started)
        end = beyond - 1 if unfinished else beyond
        grid = np.empty(0)
        if end > begin:
            first_step[place], next_step[place] = at[begin], at[end - 1] + 1
            grid = np.full(at[end - 1] + 1 - at[begin], np.nan)
            grid[at[begin:end] - at[begin]] = means[begin:end]
        gridded.append(grid)
    last = next_step.max(initial=-1)
    together = (next_step >= 0) & (next_step > last - SEASON_STEPS[freq])
    return Steps(gridded, first_step, np.where(together, last, next_step), step_ms)
