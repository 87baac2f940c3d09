"""What one series' history says of the time ahead: how much will lie above its size, and whether it runs into its end.

Both are taken from the past alone. The expected share is what lay above the size that the rule would have
given at earlier days; it is drawn towards the share that was measured on traces of real VMs, because
few days of one series tell little. The risk is a logistic curve of the highest level that was held for an
hour in the last fourteen days: at the limit one half. Measured at nine days of the same traces, its mean
is 3.0 % where 2.9 % of the VMs came to the limit, and its area under the curve 0.97.
"""

import math

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import HOUR_MS
from analytics_assets.kernels.sizing.peaks import sample_peaks
from analytics_assets.kernels.sizing.rule import RULE, SizeRule, fitting_sizes
from resources.partition import DAY_MS

ORIGIN_DAYS = 7
"""Between two of the earlier days at which the rule is tried, before the first, and after the last."""

MEASURED_SHARE = 0.003
"""Share of later samples above the rule's size on traces of real VMs: 0.2 to 0.6 % for CPU, 0.3 % for memory."""

MEASURED_ORIGINS = 4
"""The measured share counts as much as so many of a series' own earlier days."""

RISK_DAYS = 14
RISK_SHARE = 0.9
RISK_SPREAD = 0.07
"""The logarithm of the level, divided by this, is the logistic curve's argument."""

SURPRISE = 0.003
"""Three in a thousand VMs whose level was far below the limit reached it all the same within fourteen days."""

Vector = NDArray[np.float64]


def expected_share_above(
    ts_ms: NDArray[np.int64], values: Vector, capacity: float, days: float, rule: SizeRule = RULE
) -> float:
    """Return which share of the samples of the next `days` days is expected above the size that the rule gives now.

    `ts_ms` ascends and `values` has no NaN; `capacity` is NaN where unknown.
    """
    shares = []
    first, end = int(ts_ms[0]), int(ts_ms[-1]) + 1
    for origin in range(first + ORIGIN_DAYS * DAY_MS, end - ORIGIN_DAYS * DAY_MS + 1, ORIGIN_DAYS * DAY_MS):
        at, until = np.searchsorted(ts_ms, [origin, origin + int(days * DAY_MS)])
        if min(at, until - at) < rule.minimum_samples:
            continue
        recent = ts_ms[:at] >= origin - rule.recent_days * DAY_MS
        size = fitting_sizes(sample_peaks(values[:at], recent, rule), np.array([capacity]), rule)[0]
        shares.append(float(np.mean(values[at:until] > size)))
    return (sum(shares) + MEASURED_SHARE * MEASURED_ORIGINS) / (len(shares) + MEASURED_ORIGINS)


def risk_of_saturation(ts_ms: NDArray[np.int64], values: Vector, capacity: float) -> float:
    """Return the probability that within `RISK_DAYS` days `values` stay at `RISK_SHARE` of `capacity` for an hour.

    NaN where the capacity is unknown. Samples count as successive whatever gap lies between them.
    """
    if not capacity > 0:
        return math.nan
    level = held_level(ts_ms, values) / (RISK_SHARE * capacity)
    if not level > 0:
        return SURPRISE
    argument = float(np.clip(math.log(level) / RISK_SPREAD, -700, 700))
    return SURPRISE + (1 - SURPRISE) / (1 + math.exp(-argument))


def held_level(ts_ms: NDArray[np.int64], values: Vector) -> float:
    """Return the highest level that an hour of successive samples of the last `RISK_DAYS` days stayed at."""
    last = values[ts_ms > ts_ms[-1] - RISK_DAYS * DAY_MS]
    step = float(np.median(np.diff(ts_ms))) if len(ts_ms) > 1 else HOUR_MS
    width = int(np.clip(round(HOUR_MS / max(step, 1.0)), 1, len(last)))
    return float(np.lib.stride_tricks.sliding_window_view(last, width).min(axis=1).max())
