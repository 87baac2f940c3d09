"""The samples around an incident: every metric of every entity on one time grid, and which steps are the incident's.

Only steps in which somebody was sampled are kept, so a record may lie months away from the incident.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.errors import InvalidInput

MINIMUM_REFERENCE_STEPS = 5

KEPT_REFERENCE_STEPS = 1000
"""Steps around the window that are kept, at least twice its length: the record may be of any length."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Incident:
    """What was measured: `values` [entity, metric, step], NaN where nothing was.

    `step` numbers the grid's steps of `step_ms` (they may leave out some), `inside` marks those of the
    incident's window, and the others are the reference: what was usual. `start_ms` is the window's begin.
    """

    entities: tuple[str, ...]
    metrics: tuple[str, ...]
    values: Vector
    step: NDArray[np.int64]
    step_ms: int
    first_step_ms: int
    inside: NDArray[np.bool_]

    @property
    def window(self) -> NDArray[np.int64]:
        """Positions of the window's steps."""
        return np.flatnonzero(self.inside)

    def reference(self, count: int) -> NDArray[np.int64]:
        """Return the positions of the last `count` steps before the window, in order of time.

        Where there are fewer, those nearest to the window on both sides; of two that are as near, the earlier one. What
        comes after tells less of what is usual: an incident often goes on.
        """
        before = np.flatnonzero(self.step < self.step[self.window[0]])
        return before[-count:] if len(before) >= count else _nearest(self.step, self.inside, count)

    def time_ms(self, position: int) -> int:
        """Return the instant of the step at `position`, in milliseconds since the epoch."""
        return int(self.first_step_ms + self.step[position] * self.step_ms)


def incident_of(
    entities: Sequence[str],
    metrics: Sequence[str],
    entity_code: NDArray[np.integer[Any]],
    metric_code: NDArray[np.integer[Any]],
    ts_ms: NDArray[np.int64],
    value: Vector,
    start_ms: int,
    end_ms: int,
) -> Incident:
    """Return the incident of the samples, one per row of the four last arrays, in any order.

    `entity_code` and `metric_code` are places in `entities` and `metrics`. The window is `start_ms` to
    `end_ms`, both counted in. The grid's step is the usual distance of a series' samples; samples of a
    series in one step are averaged; values that are not finite are left out, and so are steps far from the window.

    Raises:
        InvalidInput: the window is empty or holds no sample, or too few steps lie outside of it.
    """
    if end_ms < start_ms:
        raise InvalidInput(f"the incident's end ({end_ms}) lies before its start ({start_ms}). Exchange them.")
    known = np.isfinite(value)
    entity_code, metric_code, ts_ms, value = entity_code[known], metric_code[known], ts_ms[known], value[known]
    within = (ts_ms >= start_ms) & (ts_ms <= end_ms)
    if not within.any():
        raise InvalidInput(
            f"no sample lies in the incident's window, {start_ms} to {end_ms} ms since the epoch. "
            "Give a window inside the record."
        )
    series = entity_code.astype(np.int64) * len(metrics) + metric_code
    step_ms = _usual_distance(series, ts_ms)
    phase = _phase(ts_ms, step_ms)
    number = (ts_ms - phase + step_ms // 2) // step_ms
    steps, position = np.unique(number, return_inverse=True)
    # A step is the window's where most of its samples are: jitter must not split it.
    inside = np.bincount(position, within) * 2 > np.bincount(position)
    if not inside.any():
        inside[np.argmax(np.bincount(position, within))] = True
    if np.count_nonzero(~inside) < MINIMUM_REFERENCE_STEPS:
        raise InvalidInput(
            f"only {np.count_nonzero(~inside)} steps of {step_ms / 1000:g} s lie outside the incident's window, "
            f"and {MINIMUM_REFERENCE_STEPS} are needed to tell what is usual. Give a longer record."
        )
    most = max(KEPT_REFERENCE_STEPS, 2 * int(np.count_nonzero(inside)))
    kept = np.sort(np.append(np.flatnonzero(inside), _nearest(steps, inside, most)))
    if len(kept) < len(steps):
        place = np.full(len(steps), -1)
        place[kept] = np.arange(len(kept))
        position = place[position]
        near = position >= 0
        series, position, value = series[near], position[near], value[near]
        steps, inside = steps[kept], inside[kept]
    cell = series * len(steps) + position
    size = len(entities) * len(metrics) * len(steps)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(cell, value, size) / np.bincount(cell, minlength=size)
    return Incident(
        tuple(entities),
        tuple(metrics),
        mean.reshape(len(entities), len(metrics), len(steps)),
        steps,
        step_ms,
        phase,
        inside,
    )


def _nearest(steps: NDArray[np.int64], inside: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Return the positions of the `count` steps nearest to those `inside`, in order; of two as near, the earlier."""
    window = steps[inside]
    outside = np.flatnonzero(~inside)
    away = np.maximum(window[0] - steps[outside], steps[outside] - window[-1])
    return np.sort(outside[np.argsort(away, kind="stable")[:count]])


def _usual_distance(series: NDArray[np.int64], ts_ms: NDArray[np.int64]) -> int:
    order = np.lexsort((ts_ms, series))
    distance = np.diff(ts_ms[order])
    distance = distance[(np.diff(series[order]) == 0) & (distance > 0)]
    return max(1, int(np.median(distance))) if len(distance) else 1


def _phase(ts_ms: NDArray[np.int64], step_ms: int) -> int:
    """Return where in a step the samples usually lie: the direction of their mean on a circle."""
    angle = 2 * np.pi * (ts_ms % step_ms) / step_ms
    return round(float(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean())) / (2 * np.pi) * step_ms) % step_ms
