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

BEGUN_SHARE = 0.5
"""A last step that ends before this share of it, with less than this share of the samples of the step before it, has
hardly begun."""


@dataclass(frozen=True)
class Steps:
    """Means by UTC step. Step k of series i is at `first_step[i] + k`, in steps since the epoch; NaN has no sample.

    `values[i]` are the means of series i from its first step on, empty where it has no sample. `next_step[i]` is
    where its forecast begins (-1: it has no sample): after the step of its last sample, or of the last one of the
    whole file where that is less than a season later. A last step that has hardly begun is not learned from: it is
    missing in `values`, and not forecast either.
    """

    values: list[FloatArray]
    first_step: IntArray
    next_step: IntArray
    step_ms: int


def step_means(
    codes: NDArray[np.int32],
    ts_ms: IntArray,
    values: FloatArray,
    series: int,
    freq: str,
    from_ms: int | None = None,
) -> Steps:
    """Return the means of each series' samples by step; `freq` is h or d.

    With `from_ms` all forecasts begin at the step that it lies in, and samples from that step's begin on are left out.
    """
    step_ms = STEP_MS[freq]
    known = ~np.isnan(values)
    if from_ms is not None:
        known &= ts_ms < from_ms // step_ms * step_ms
    codes, ts_ms, values = codes[known], ts_ms[known], values[known]
    order = np.lexsort((ts_ms, codes))
    codes, ts_ms, values = codes[order], ts_ms[order], values[order]
    steps = ts_ms // step_ms
    first = np.flatnonzero(np.append(True, (codes[1:] != codes[:-1]) | (steps[1:] != steps[:-1]))[: len(codes)])
    counts = np.diff(np.append(first, len(codes)))
    means = np.add.reduceat(values, first) / counts if len(first) else np.empty(0)
    owner, at = codes[first], steps[first]
    reached = (ts_ms[first + counts - 1] - at * step_ms) / step_ms
    bounds = np.searchsorted(owner, np.arange(series + 1))
    gridded, first_step, next_step = [], np.zeros(series, np.int64), np.full(series, -1, np.int64)
    for place, (begin, beyond) in enumerate(pairwise(bounds)):
        if begin == beyond:
            gridded.append(np.empty(0))
            continue
        last = beyond - 1
        hardly_begun = last > begin and reached[last] < BEGUN_SHARE and counts[last] < BEGUN_SHARE * counts[last - 1]
        end = last if hardly_begun else beyond
        first_step[place], next_step[place] = at[begin], at[last] + 1
        grid = np.full(at[end - 1] + 1 - at[begin], np.nan)
        grid[at[begin:end] - at[begin]] = means[begin:end]
        gridded.append(grid)
    if from_ms is not None:
        return Steps(gridded, first_step, np.full(series, from_ms // step_ms), step_ms)
    latest = next_step.max(initial=-1)
    together = (next_step >= 0) & (next_step > latest - SEASON_STEPS[freq])
    return Steps(gridded, first_step, np.where(together, latest, next_step), step_ms)
