"""Long samples for the root-cause tests, and the incident made of them."""

import numpy as np

from analytics_assets.kernels.root_cause.incident import incident_of

STEP_MS = 60_000


def incident(series, window, step_ms=STEP_MS, start_ms=0, order=None):
    """The incident of `series` {(entity, metric): values by step, NaN where none}; window (first, last) in steps."""
    entities = sorted({entity for entity, _ in series})
    metrics = sorted({metric for _, metric in series})
    rows = [
        (entities.index(entity), metrics.index(metric), start_ms + step * step_ms, value)
        for (entity, metric), values in series.items()
        for step, value in enumerate(values)
    ]
    if order is not None:
        rows = [rows[place] for place in order(len(rows))]
    entity, metric, ts, value = (np.array(column) for column in zip(*rows, strict=True))
    first, last = window
    return incident_of(
        entities,
        metrics,
        entity,
        metric,
        ts,
        value.astype(float),
        start_ms + first * step_ms,
        start_ms + last * step_ms,
    )


def noise(seed, steps=200, level=100.0, spread=1.0):
    return level + spread * np.random.default_rng(seed).standard_normal(steps)


def raised(values, first, last, by):
    values = values.copy()
    values[first : last + 1] += by
    return values
