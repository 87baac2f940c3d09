"""Series made up so that the right answer is known: how often `analyze anomalies` alarms where nothing is wrong.

56 days every 5 minutes, every kind with 10 seeds. An alarm is a run of alarm rows; runs at most 30
minutes apart are one. All days count, the first ones too, when nothing is known yet.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.quality.measures import Measure, SetReport
from benchmarks.quality.processes import analyze

DAYS, SEEDS = 56, 10
STEP = pd.Timedelta("5min")
STEPS_PER_DAY = 288
MERGED_STEPS = 6
START = pd.Timestamp("2026-01-05", tz="UTC")
SHIFT_DAY, RESTART_DAY = 30.4, 20.7

Floats = NDArray[np.float64]


def flat(_random: np.random.Generator, days: Floats) -> Floats:
    """The same value always."""
    return np.full(len(days), 42.0)


def noise(random: np.random.Generator, days: Floats) -> Floats:
    """Normal noise around a level."""
    return 50 + 2 * random.standard_normal(len(days))


def daily(random: np.random.Generator, days: Floats) -> Floats:
    """A daily cycle with noise."""
    return 50 + 20 * np.sin(2 * np.pi * days) + 2 * random.standard_normal(len(days))


def weekly(random: np.random.Generator, days: Floats) -> Floats:
    """A daily cycle that is a third at the weekend, with noise."""
    share = np.where(days % 7 >= 5, 0.33, 1.0)
    values: Floats = 20 + share * (30 + 20 * np.sin(2 * np.pi * days)) + 2 * random.standard_normal(len(days))
    return values


def counter(random: np.random.Generator, days: Floats) -> Floats:
    """A running sum of a daily cycle."""
    sums: Floats = np.cumsum(1000 * (1 + 0.5 * np.sin(2 * np.pi * days)) + 50 * random.standard_normal(len(days)))
    return sums


def restarted_counter(random: np.random.Generator, days: Floats) -> Floats:
    """The same that once begins again at 0."""
    sums = counter(random, days)
    since: Floats = sums - np.where(days >= RESTART_DAY, sums[np.searchsorted(days, RESTART_DAY)], 0)
    return since


def gaps(random: np.random.Generator, days: Floats) -> Floats:
    """The daily cycle with every fifth sample missing at random."""
    return np.where(random.random(len(days)) < 0.2, np.nan, daily(random, days))


def heavy_tails(random: np.random.Generator, days: Floats) -> Floats:
    """Noise of Student's t with three degrees of freedom around a level."""
    return 50 + 2 * random.standard_t(3, len(days))


def level_shift(random: np.random.Generator, days: Floats) -> Floats:
    """The daily cycle, 40 higher from one moment on."""
    return daily(random, days) + 40 * (days >= SHIFT_DAY)


QUIET: dict[str, tuple[Callable[[np.random.Generator, Floats], Floats], float]] = {
    "flat": (flat, 0.02),
    "normal noise": (noise, 0.02),
    "daily cycle": (daily, 0.02),
    "weekly cycle": (weekly, 0.02),
    "counter": (counter, 0.02),
    "counter that once restarts": (restarted_counter, 0.02),
    "20 % missing": (gaps, 0.02),
    "heavy-tailed noise": (heavy_tails, 0.1),
}
"""Kind -> how it is made, and the alarms a day that it may raise."""


def run(folder: Path) -> SetReport:
    """Score all series and count their alarms."""
    days = np.arange(DAYS * STEPS_PER_DAY) / STEPS_PER_DAY
    kinds = {**{name: make for name, (make, _) in QUIET.items()}, "level shift": level_shift}
    parts = []
    for kind, make in kinds.items():
        for seed in range(SEEDS):
            values = make(np.random.default_rng(seed), days)
            ts = START + np.arange(len(days)) * STEP
            parts.append(pd.DataFrame({"series": f"{kind}/{seed}", "ts": ts, "value": values}).dropna())
    path, output = folder / "synthetic.parquet", folder / "synthetic-scored.parquet"
    pd.concat(parts).to_parquet(path, index=False)
    analyze("anomalies", path, "--output", output)
    scored = pd.read_parquet(output)
    events: dict[str, list[int]] = {kind: [] for kind in kinds}
    for name, series in scored.groupby("series", sort=False):
        kind = str(name).rpartition("/")[0]
        events[kind].append(alarm_events(series["alarm"].to_numpy()))
    measures = [
        Measure(f"{kind}: alarms a day", float(np.mean(events[kind]) / DAYS), high=most)
        for kind, (_, most) in QUIET.items()
    ]
    once = float(np.mean([count == 1 for count in events["level shift"]]))
    measures.append(Measure("level shift: share of series with one alarm", once, low=1))
    return SetReport(
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        measures,
        ["novacron-analytics analyze anomalies synthetic.parquet --output scored.parquet"],
    )


def alarm_events(alarm: NDArray[np.integer]) -> int:
    """Return how many alarms a series raised."""
    rows = np.flatnonzero(alarm)
    return int(len(rows) > 0) + int(np.count_nonzero(np.diff(rows) > MERGED_STEPS + 1))
