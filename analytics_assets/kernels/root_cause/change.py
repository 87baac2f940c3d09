"""How far every series moved at the incident, against how far it usually moves.

A step is the median of a window less the median of the time right before it. The incident's step is
held against the steps of windows just as long elsewhere in the record: a series that often jumps
has to jump further. Medians, so that one sample alone is no change.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import row_median, row_quantile
from analytics_assets.kernels.root_cause.incident import Incident, Vector

BEFORE_WINDOWS = 2
"""How much time before a window it is held against, in lengths of the window."""

USUAL_SHARE = 0.75
"""Share of the reference's steps that are at most the usual one."""

FLOOR_SHARE = 0.01
"""The least that counts as a usual step, of the series' own level."""

HALF_CHANGE = 2.0
"""Usual steps at which the change counts half."""


@dataclass(frozen=True)
class Changes:
    """Per entity and metric: the level before the incident and inside of it (NaN where nothing was measured), the
    step between them, the usual size of a step (all in the metric's unit), and the change that they make, 0 to 1.
    """

    level: Vector
    inside: Vector
    step: Vector
    usual: Vector
    change: Vector


def changes(incident: Incident, reference: NDArray[np.int64]) -> Changes:
    """Return how far every series moved at the incident, with the usual taken from the steps at `reference`.

    Of a series that has nothing right before the window, the window is held against the nearest part of
    its reference. A series without samples in the window, or without reference, has change 0.
    """
    window = incident.window
    inside = row_median(incident.values[:, :, window])
    level = _quantiles(incident.values[:, :, steps_before(incident)], 0.5)
    nearest = row_median(incident.values[:, :, incident.reference(BEFORE_WINDOWS * len(window))])
    whole = row_median(incident.values[:, :, reference])
    level = np.where(np.isnan(level), np.where(np.isnan(nearest), whole, nearest), level)
    step = inside - level
    usual = _quantiles(np.abs(_reference_steps(incident, reference)), USUAL_SHARE)
    # Too short a record has no windows beside the incident: how far single samples lie off stands in.
    spread = row_quantile(np.abs(incident.values[:, :, reference] - whole[:, :, None]), USUAL_SHARE)
    usual = np.maximum(np.where(np.isnan(usual), spread, usual), FLOOR_SHARE * np.abs(whole))
    size = np.abs(step)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.where(size > 0, size / (size + HALF_CHANGE * usual), 0.0)
    return Changes(level, inside, step, usual, np.where(np.isnan(change), 0.0, change))


def steps_before(incident: Incident) -> NDArray[np.int64]:
    """Return the positions of the steps right before the window, none where the record does not reach up to it."""
    first = incident.step[incident.window[0]]
    begin = first - BEFORE_WINDOWS * len(incident.window)
    return np.flatnonzero((incident.step < first) & (incident.step >= begin) & ~incident.inside)


def _quantiles(values: Vector, share: float) -> Vector:
    """Return the quantiles over the last axis, NaN where it is empty."""
    return row_quantile(values, share) if values.shape[-1] else np.full(values.shape[:-1], np.nan)


def _reference_steps(incident: Incident, reference: NDArray[np.int64]) -> Vector:
    """Return the steps [entity, metric, place] of all windows as long as the incident's that lie in the reference."""
    window = len(incident.window)
    length = BEFORE_WINDOWS * window
    whole = length + window
    number = incident.step[reference]
    if len(reference) < whole:
        return np.full((*incident.values.shape[:2], 0), np.nan)
    # Gaps of up to the length itself are let pass; the incident's own steps are a gap.
    together = number[whole - 1 :] - number[: len(number) - whole + 1] < 2 * whole
    places = np.flatnonzero(together)
    steps = np.empty((*incident.values.shape[:2], len(places)))
    for entity, values in enumerate(incident.values[:, :, reference]):
        slid = np.lib.stride_tricks.sliding_window_view(values, whole, axis=1)[:, places]
        steps[entity] = row_median(slid[..., length:]) - row_median(slid[..., :length])
    return steps
