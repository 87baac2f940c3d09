"""How abnormal each point of a metric is, judged by what came before it; 1.0 is the alarm line of every metric.

The size of a point's residual (see `residuals`) is compared with an alarm line of the series' own:
the size that so few of its points should exceed that one series raises about one false alarm in
three weeks. It is carried on from the quantiles of the residuals of the last two weeks, kept in a
histogram of their logarithms that forgets, by a Pareto tail (Hill 1975, "A simple general approach
to inference about the tail of a distribution"), bounded by what the bulk of the points allows. So a
metric whose noise has heavy tails has a higher line, and one that often alarms keeps its line.
Nothing alarms on a series' first day.

What is already known is no news. After an alarm the same event alarms again only if it grows; the
alarms of a day must compare with the highest of it; so a new level is one alarm while its baseline
is learned; and what comes at the same time of most days must be much higher than on those. A point
farther from the level than any before it is always news, if it is unusual at all.

A score of 1 or more is an alarm, 1 + log(times the line); below 1 it is s / (s + 10) of the residual s,
smoothed over the last few points: it ranks what does not alarm and says how an event goes on.
Where least deviations are given, a point is at most so many times beyond its line as it is off by
them: next to a metric that never moves every step is out of all proportion, and says nothing.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.anomaly.counter_rates import counter_rates, counter_span
from analytics_assets.kernels.anomaly.residuals import (
    BoolArray,
    FloatArray,
    IntArray,
    checked_instants,
    checked_reference,
)

SIDES = {"both": 0, "up": 1, "down": -1}


@dataclass(frozen=True)
class DetectorParameters:
    """What may alarm: deviations in this `direction` that are large enough to matter to anyone.

    `minimum_deviation` is in the metric's unit, `minimum_deviation_share` a share of the expected
    value; a point must be off by the larger of both.
    """

    direction: Literal["both", "up", "down"] = "both"
    minimum_deviation: float = 0.0
    minimum_deviation_share: float = 0.0

    def __post_init__(self) -> None:
        if self.direction not in SIDES:
            raise ValueError(f"direction is {self.direction!r}; it is one of {', '.join(SIDES)}")
        for name in ("minimum_deviation", "minimum_deviation_share"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} is {value}; it is a finite number of at least 0")


@dataclass(frozen=True)
class Scores:
    """What is known of each point, [point] of one series or [series, step] of many.

    `score` is 0 where the value is missing or infinite, and all else NaN there. `expected` is what
    the prediction that the point is farthest from led to expect, `low` and `high` how far from it
    the point could have been without an alarm, all in the metric's unit. `excess` is the point's
    residual over the alarm line, without smoothing and whether or not it is news: beyond 1 or -1 the
    metric is outside of its band, and the sign tells the direction.
    """

    score: FloatArray
    expected: FloatArray
    low: FloatArray
    high: FloatArray
    excess: FloatArray

    @property
    def alarm(self) -> BoolArray:
        return np.asarray(self.score >= 1.0)


DEFAULTS = DetectorParameters()


def score_series(
    ts_ms: IntArray,
    values: NDArray[np.floating[Any]],
    parameters: DetectorParameters = DEFAULTS,
    reference: BoolArray | None = None,
) -> Scores:
    """Score the points of one series: `values` at the instants `ts_ms` (milliseconds, never falling).

    Steps may be of any length, from seconds to days, uneven, with gaps and duplicates. A missing
    (NaN) or infinite value is passed over: it scores 0, and neither begins nor ends anything.
    `reference` marks points known to be normal: they are learned from without suspicion and never
    alarm. A series that shows to be a counter is judged by its rate per second from there on (see
    `counter_span`), and its evidence is in that unit. Scores of the first points do not change when
    more points follow.
    """
    from analytics_assets.kernels.anomaly.scores_kernel import COLUMNS, replay_scores

    checked_instants(ts_ms, len(values))
    mask = checked_reference(reference, len(values))
    instants = np.asarray(ts_ms, np.int64)
    side, floors = SIDES[parameters.direction], _floors(parameters)
    out = np.empty((COLUMNS, len(values)))
    replay_scores(instants, values, mask, side, floors, out)
    begin, end = counter_span(values)
    if begin < end:
        of_rates = np.empty_like(out)
        replay_scores(instants, counter_rates(instants, values), mask, side, floors, of_rates)
        out[:, begin:end] = of_rates[:, begin:end]
    return Scores(*out)


def score_matrix(
    values: NDArray[np.floating[Any]],
    start_ms: int,
    step_ms: int,
    last_steps: int,
    parameters: DetectorParameters = DEFAULTS,
    threads: int = 1,
) -> Scores:
    """Score the `last_steps` of each row of `values` [series, step], on an even grid from `start_ms`.

    The steps before are history. Rows are scored as `score_series` does, each by itself, to the same
    numbers, on so many `threads`; but none is taken for a counter: give rates.
    """
    from analytics_assets.kernels.anomaly.scores_kernel import COLUMNS, replay_rows

    rows, steps = values.shape
    if not 0 <= last_steps <= steps:
        raise ValueError(f"last_steps is {last_steps} of {steps} steps; it is at least 0 and at most all of them")
    if step_ms <= 0:
        raise ValueError(f"step_ms is {step_ms}; a step takes at least a millisecond")
    ts_ms = start_ms + step_ms * np.arange(steps, dtype=np.int64)
    mask = checked_reference(None, steps)
    out = np.empty((rows, COLUMNS, last_steps))
    side, floors = SIDES[parameters.direction], _floors(parameters)
    bounds = np.linspace(0, rows, max(threads, 1) + 1).astype(int)
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        parts = [
            pool.submit(replay_rows, ts_ms, values[begin:end], mask, side, floors, out[begin:end])
            for begin, end in pairwise(bounds)
        ]
        for part in parts:
            part.result()
    return Scores(*np.moveaxis(out, 1, 0))


def _floors(parameters: DetectorParameters) -> tuple[float, float]:
    return float(parameters.minimum_deviation), float(parameters.minimum_deviation_share)
