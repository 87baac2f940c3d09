"""The line of a trend over the data it describes, with the interval of its slope.

A trend is a slope per day with its interval. The line goes through the data at the middle of their
time with the intercept that goes with a Theil-Sen slope: the median of what remains of the daily
means after the slope is taken away (Conover, Practical Nonparametric Statistics, 3rd ed., 1999,
section 5.5). The interval opens from that middle to both ends.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.charts.frame import Box
from analytics_assets.charts.svg import Svg
from resources.partition import DAY_MS

FAN_OPACITY = 0.22


@dataclass(frozen=True)
class Trend:
    """A slope in the data's unit per day, and the interval it lies in; of the data `from_ms` on, if that is given."""

    per_day: float
    low_per_day: float
    high_per_day: float
    from_ms: int | None = None


@dataclass(frozen=True)
class TrendLine:
    """A trend placed on data: `level` is its value at `pivot_ms`; it is drawn from `first_ms` to `last_ms`."""

    trend: Trend
    pivot_ms: float
    level: float
    first_ms: float
    last_ms: float

    def at(self, ms: NDArray[np.float64], per_day: float) -> NDArray[np.float64]:
        return self.level + per_day * (ms - self.pivot_ms) / DAY_MS


def place_trend(trend: Trend, ts_ms: NDArray[np.int64], mean: NDArray[np.float64]) -> TrendLine | None:
    """Return the trend laid through the data (instants and means, NaN missing); None where fewer than two points."""
    there = np.isfinite(mean)
    if trend.from_ms is not None:
        there &= ts_ms >= trend.from_ms
    if np.count_nonzero(there) < 2:
        return None
    at, values = ts_ms[there].astype(np.float64), mean[there]
    pivot = (at[0] + at[-1]) / 2
    rest = values - trend.per_day * (at - pivot) / DAY_MS
    _, day = np.unique(at // DAY_MS, return_inverse=True)
    level = np.median(np.bincount(day, rest) / np.bincount(day))
    return TrendLine(trend, float(pivot), float(level), float(at[0]), float(at[-1]))


def draw_trend(svg: Svg, box: Box, line: TrendLine, colour: str, dash: str = "6 3", fan: bool = True) -> None:
    """Draw the trend's line, over the fan of its interval, inside the box only."""
    slopes = (line.trend.per_day, line.trend.low_per_day, line.trend.high_per_day)
    edges = {line.first_ms, line.pivot_ms, line.last_ms}
    for slope in slopes:
        for border in (box.value.low, box.value.high):
            if slope:
                # Where a line leaves the box it bends along the border, so the crossing must be a corner.
                crossing = line.pivot_ms + (border - line.level) / slope * DAY_MS
                if line.first_ms < crossing < line.last_ms:
                    edges.add(crossing)
    at = np.array(sorted(edges))
    if fan:
        one, other = (np.clip(line.at(at, slope), box.value.low, box.value.high) for slope in slopes[1:])
        x = box.x(at)
        svg.polygon(np.r_[x, x[::-1]], np.r_[box.y(one), box.y(other)[::-1]], colour, FAN_OPACITY)
    centre = line.at(at, slopes[0])
    tolerance = 1e-9 * (box.value.high - box.value.low)
    inside = (centre >= box.value.low - tolerance) & (centre <= box.value.high + tolerance)
    if np.count_nonzero(inside) > 1:
        svg.polyline(box.x(at[inside][[0, -1]]), box.y(centre[inside][[0, -1]]), colour, 1.5, dash)
