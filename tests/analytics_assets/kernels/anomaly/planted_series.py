"""Series of which it is known what is normal, on a five-minute grid from a Monday at midnight."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEP_MS = 300_000
STEPS_PER_DAY = 288
MONDAY_MS = 1_704_067_200_000
"""2024-01-01 00:00 UTC."""


def instants(points: int, step_ms: int = STEP_MS) -> NDArray[np.int64]:
    return MONDAY_MS + step_ms * np.arange(points, dtype=np.int64)


def normal(kind: str, days: int, seed: int) -> Floats:
    """Return a series in which nothing is abnormal."""
    random = np.random.default_rng(seed)
    points = days * STEPS_PER_DAY
    day = np.arange(points) / STEPS_PER_DAY
    wave = np.sin(2 * np.pi * day)
    noise = random.normal(0, 1, points)
    daily = 50 + 20 * wave + 2 * noise
    missing = random.random(points) < 0.2
    made = {
        "flat": 50 + noise,
        "constant": np.full(points, 5.0),
        "zero": np.zeros(points),
        "daily": daily,
        "weekly": 20 + 30 * np.where(day.astype(int) % 7 < 5, 1.0, 0.4) * (1 + wave) / 2 + noise,
        "counter": np.cumsum(np.maximum(0, 100 * (1 + 0.5 * wave) + 10 * noise)),
        "a fifth missing": np.where(missing, np.nan, daily),
        "t with 2 degrees": 50 + random.standard_t(2, points),
        "t with 3 degrees": 50 + random.standard_t(3, points),
        "lognormal": random.lognormal(0, 1, points),
        "pareto": random.pareto(2, points),
        "exponential": random.exponential(1, points),
        "calm weekend": 20 + np.where(day.astype(int) % 7 < 5, 1.0, 0.33) * (30 + 20 * wave) + 2 * noise,
        "weekend halves": np.where(day.astype(int) % 7 < 5, 100.0, 50.0) + 3 * noise,
    }
    series: Floats = made[kind]
    return series


def runs(alarm: NDArray[np.bool_]) -> int:
    """Return how many runs of alarms there are."""
    return int(np.count_nonzero(np.diff(alarm.astype(int), prepend=0) == 1))
