"""How well a series agrees with the alarming one over an incident.

Both are taken as deviations from their own reference, in their own noise. Agreement is the mean of two
cosines, one of the deviations themselves (did both leave their level?) and one of their course within the window
(did they move together?). Noise is added to both lengths, so that series that hardly moved agree with nothing.
"""

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import row_median, row_quantiles
from analytics_assets.kernels.root_cause.incident import Incident, Vector

IQR_TO_SD = 1.349
"""Interquartile range over this estimates the standard deviation of normal noise."""

NOISE_FLOOR_SHARE = 0.001
"""The least noise of a series, of its own level, or of its largest deviation where the level is 0."""

COURSE_SHARE = 0.75
"""Weight of the course within the window; the rest is the level's."""


def deviations(incident: Incident, reference: NDArray[np.int64]) -> tuple[Vector, Vector]:
    """Return the window's deviations [entity, metric, step] from the medians of `reference`.

    First in each metric's unit, NaN where there is no sample, then over the series' own noise, 0 there:
    a missing sample says nothing.
    """
    before = incident.values[:, :, reference]
    middle = row_median(before)
    low, high = row_quantiles(before, (0.25, 0.75))
    away = incident.values[:, :, incident.window] - middle[:, :, None]
    furthest = np.max(np.where(np.isnan(away), 0.0, np.abs(away)), axis=2)
    noise = np.maximum((high - low) / IQR_TO_SD, NOISE_FLOOR_SHARE * np.abs(middle))
    noise = np.where(noise > 0, noise, NOISE_FLOOR_SHARE * furthest)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = away / noise[:, :, None]
    return away, np.where(np.isfinite(relative), relative, 0.0)


def agreement(relative: Vector, alarming: Vector) -> Vector:
    """Return how well the series `relative` [..., step] agree with `alarming` [step], 0 to 1.

    A cosine below 0, movement the other way, is no agreement.
    """
    level = _cosine(relative, alarming)
    course = _cosine(relative - relative.mean(axis=-1, keepdims=True), alarming - alarming.mean())
    return np.asarray(COURSE_SHARE * np.maximum(course, 0.0) + (1 - COURSE_SHARE) * np.maximum(level, 0.0))


def leading_agreement(relative: Vector, alarming: Vector, most_steps: int) -> Vector:
    """Return the agreement at the best of the leads, from none to `most_steps`: a cause moves before its effect."""
    best = agreement(relative, alarming)
    moved = np.zeros_like(relative)
    for lead in range(1, min(most_steps, alarming.shape[-1] - 1) + 1):
        moved[..., :lead] = 0.0
        moved[..., lead:] = relative[..., :-lead]
        best = np.maximum(best, agreement(moved, alarming))
    return best


def _cosine(left: Vector, right: Vector) -> Vector:
    steps = right.shape[-1]  # the squared length of that many steps of noise
    lengths = (np.sum(left * left, axis=-1) + steps) * (np.sum(right * right) + steps)
    return np.asarray(left @ right / np.sqrt(lengths))
