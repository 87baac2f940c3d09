"""The figures that the sizing rule reads, from raw samples or from hourly summaries of many series.

An hourly summary (mean, 95th percentile and maximum of the hour's buckets) is taken for as many
buckets as it was made of: the highest, the second highest (which the percentile and the maximum
tell: the percentile lies between the two), and others spread evenly around the mean that is left.
Of one or two buckets the maximum and the mean tell all.
Measured on traces of real VMs with 12 buckets an hour, the 99th percentile that comes of it is 1.02
times that of the buckets in the median, 0.98 to 2.1 in nine of ten; sizes by the rule are 1.2 %
(CPU) and 3.5 % (memory) larger in total, and hold for as many VMs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import HOURS_PER_DAY, Floats, row_max
from analytics_assets.kernels.sizing.rule import RULE, Peaks, SizeRule

SPREAD = (-0.8, -0.4, 0.0, 0.4, 0.8)
"""Where the other buckets lie: so many times the distance from their mean to the second highest one."""

PERCENTILE = 0.95
ROWS_AT_ONCE = 2_000

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Hours:
    """Hourly summaries [series, hour], NaN where there is none, each of `buckets` values."""

    mean: Floats
    p95: Floats
    maximum: Floats
    buckets: int = 12

    def __post_init__(self) -> None:
        if self.buckets < 1:
            raise ValueError(f"buckets is {self.buckets}: an hour must be summarized from at least 1")

    def rows(self, part: slice) -> "Hours":
        return Hours(self.mean[part], self.p95[part], self.maximum[part], self.buckets)

    def columns(self, part: slice) -> "Hours":
        return Hours(self.mean[:, part], self.p95[:, part], self.maximum[:, part], self.buckets)


def sample_peaks(values: Vector, recent: NDArray[np.bool_], rule: SizeRule = RULE) -> Peaks:
    """Return the figures of one series, from samples without NaN; `recent` are those of the last days."""
    if not len(values):
        return Peaks(np.array([np.nan]), np.array([np.nan]))
    high = np.quantile(values, rule.high_share)
    if recent.any():
        high = max(high, np.quantile(values[recent], rule.high_share))
    return Peaks(np.array([high]), np.array([values.max()]))


def hourly_peaks(hours: Hours, rule: SizeRule = RULE) -> Peaks:
    """Return the figures of many series; the last hours of the matrices are the recent ones."""
    recent = slice(-rule.recent_days * HOURS_PER_DAY, None)
    last = bucket_quantile(hours.columns(recent), rule.high_share)
    high = np.fmax(bucket_quantile(hours, rule.high_share), last)
    return Peaks(high, row_max(hours.maximum))


def bucket_quantile(hours: Hours, share: float) -> Vector:
    """Return per series the least value above which at most 1 - `share` of its buckets lie; NaN without hours."""
    found = np.full(len(hours.mean), np.nan)
    for part in _blocks(len(found)):
        found[part] = _upper_quantile(*_buckets(hours.rows(part)), share)
    return found


def buckets_above(hours: Hours, size: Vector) -> NDArray[np.float64]:
    """Return [series, hour]: how many of the hour's buckets lie above the series' `size`; 0 where there is no hour."""
    above = np.zeros(hours.mean.shape)
    for part in _blocks(len(size)):
        values, weights = _buckets(hours.rows(part))
        above[part] = ((values > size[part, None, None]) * weights).sum(axis=-1)
    return above


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(start, start + ROWS_AT_ONCE) for start in range(0, rows, ROWS_AT_ONCE))


def _buckets(hours: Hours) -> tuple[Floats, Vector]:
    """Return values [series, hour, value] that stand for the hours' buckets, and how many each value stands for."""
    mean, p95, maximum = hours.mean, hours.p95, hours.maximum
    if hours.buckets == 1:
        return np.expand_dims(maximum, -1), np.ones(1)
    if hours.buckets == 2:
        return np.stack([maximum, np.clip(2 * mean - maximum, 0.0, maximum)], axis=-1), np.ones(2)
    # The percentile lies so far of the way from the second highest bucket to the highest one. Of more than 20 buckets
    # it lies below both, and each of the two stands for half of those above it.
    beyond = max(PERCENTILE * (hours.buckets - 1) - (hours.buckets - 2), 0.0)
    each = max(1.0, (1 - PERCENTILE) * hours.buckets / 2)
    rest = hours.buckets - 2 * each
    second = np.clip((p95 - beyond * maximum) / (1 - beyond), np.minimum(mean, p95), p95)
    left = np.clip((hours.buckets * mean - each * (maximum + second)) / rest, 0.0, second)
    values = np.stack([maximum, second, *(left + step * (second - left) for step in SPREAD)], axis=-1)
    return values, np.array([each, each, *(rest / len(SPREAD) for _ in SPREAD)])


def _upper_quantile(values: Floats, weights: Vector, share: float) -> Vector:
    """Return per series the least value above which at most 1 - `share` of the weight lies; NaN without values."""
    series = len(values)
    flat = np.where(np.isnan(values), -np.inf, values).reshape(series, -1)
    weight = np.broadcast_to(weights, values.shape).reshape(series, -1)
    total = (~np.isnan(values) * weights).sum(axis=(1, 2))
    # No value stands for less than one bucket, so that so many of the highest ones hold the quantile.
    most = min(flat.shape[1], math.ceil((1 - share) * values.shape[1] * weights.sum() / min(weights.min(), 1.0)) + 1)
    top = np.argpartition(-flat, most - 1, axis=1)[:, :most] if most < flat.shape[1] else None
    chosen = flat if top is None else np.take_along_axis(flat, top, axis=1)
    weight = weight if top is None else np.take_along_axis(weight, top, axis=1)
    order = np.argsort(-chosen, axis=1, kind="stable")
    chosen, weight = np.take_along_axis(chosen, order, axis=1), np.take_along_axis(weight, order, axis=1)
    reached = np.cumsum(weight, axis=1) > ((1 - share) * total)[:, None] + 1e-9
    found = chosen[np.arange(series), np.argmax(reached, axis=1)]
    return np.where(total > 0, found, np.nan).astype(np.float64)
