"""Planted series for the forecasts: hourly, ending at an origin that is no special hour."""

import numpy as np

WEEKS = 8
HOURS = WEEKS * 168


def daily_job(level=10.0, height=50.0, noise=0.0, seed=0, days=WEEKS * 7):
    """A level with a job in the third hour of each forecast day, and noise."""
    values = np.full(days * 24, level)
    values[2::24] += height
    return np.maximum(values + np.random.default_rng(seed).normal(0, noise, len(values)), 0)


def office_hours(seed=0, noise=2.0, weeks=WEEKS):
    """High on five days of the week, low on two; the series ends with the last low day."""
    day = np.repeat(np.arange(weeks * 7) % 7, 24)
    hour = np.tile(np.arange(24), weeks * 7)
    busy = (day < 5) & (hour >= 8) & (hour < 18)
    return np.maximum(20 + 40 * busy + np.random.default_rng(seed).normal(0, noise, len(day)), 0)


def fleet(count, seed=0):
    """`count` different series of one kind, with gaps."""
    rng = np.random.default_rng(seed)
    rows = np.array(
        [daily_job(rng.uniform(5, 50), rng.uniform(0, 60), rng.uniform(0.5, 9), seed + row) for row in range(count)]
    )
    rows[rng.random(rows.shape) < 0.03] = np.nan
    return rows
