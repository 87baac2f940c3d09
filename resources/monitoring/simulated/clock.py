"""The run's time: samples are counted from its first instant, and chance is drawn by key."""

import hashlib
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from resources.partition import day_start_ms

DAY_SECONDS = 86_400


def stream(seed: int, *names: str | int, day: int = 0) -> np.random.Generator:
    """Return the random numbers that belong to `names` on `day` of the run.

    Every use has its own Philox key, and every day its own part of the counter: what is drawn does
    not depend on what was drawn before, so any piece of the run can be made by itself.
    """
    text = "/".join(map(str, (seed, *names)))
    key = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype="<u8")
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, day, 0]))


@dataclass(frozen=True)
class Clock:
    """When samples are taken: `interval_seconds` apart, for `days` UTC days from `first_day` on.

    An *index* counts the samples of a series from the first instant of the run. A scrape happens a
    little later than its index says, by an offset of its target that is below the interval.
    """

    first_day: date
    days: int
    interval_seconds: int

    @property
    def per_day(self) -> int:
        """Samples of a series in a day."""
        return DAY_SECONDS // self.interval_seconds

    @property
    def total(self) -> int:
        """Samples of a series in the run."""
        return self.days * self.per_day

    @property
    def step_ms(self) -> int:
        return self.interval_seconds * 1000

    @property
    def start_ms(self) -> int:
        return day_start_ms(self.first_day)

    def index(self, day: int, hours: float) -> int:
        """Return the index of the first sample at or after `hours` o'clock on `day` of the run."""
        return day * self.per_day - (-round(hours * 3600) // self.interval_seconds)

    def count(self, minutes: float) -> int:
        """Return how many samples `minutes` hold, at least one."""
        return max(1, round(minutes * 60 / self.interval_seconds))

    def ms(self, index: int) -> int:
        """Return the instant of `index` in milliseconds since the epoch."""
        return self.start_ms + index * self.step_ms

    def range(self, start_ms: int, end_ms: int, offset_ms: int) -> tuple[int, int]:
        """Return the indices `[first, last)` scraped in `[start_ms, end_ms)` by a target with `offset_ms`."""
        origin = self.start_ms + offset_ms
        first = min(max(-((origin - start_ms) // self.step_ms), 0), self.total)
        last = min(max(-((origin - end_ms) // self.step_ms), 0), self.total)
        return first, max(first, last)

    def elapsed_days(self, day: int) -> NDArray[np.float64]:
        """Return the time of each sample of `day` in days since the run began."""
        return day + np.arange(self.per_day, dtype=np.float64) * self.interval_seconds / DAY_SECONDS

    def is_weekend(self, day: int) -> bool:
        return (self.first_day.weekday() + day) % 7 >= 5
