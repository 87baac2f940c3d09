"""The loops of `scores` as machine code. Imported where it is used: it needs numba."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from analytics_assets.kernels.anomaly.residuals_kernel import (
    DAY_MS,
    LONGEST_GAP_STEPS,
    BoolArray,
    FloatArray,
    IntArray,
    in_unit,
    log_place,
    replay_residuals,
    usual_step,
)

BINS = 80
LOWEST, HIGHEST = 0.02, 1e4
LOG_LOWEST, BIN_WIDTH = math.log(LOWEST), math.log(HIGHEST / LOWEST) / BINS
"""The residuals' histogram: equal bins of their logarithm."""

HISTOGRAM_DAYS = 14.0
"""Memory of the histogram."""

PRIOR_POINTS, PRIOR_MEAN = 200.0, 1.2
"""What a series is taken to be before it is known: so many residuals, exponential with this mean."""

ALARM_WEIGHT, LONG_EVENT_POINTS, LONG_EVENT_WEIGHT = 0.35, 48, 0.02
"""Weight in the histogram of a point beyond the line, and of any point of an event after so many: what is
abnormal today must not hide what is so tomorrow."""

BULK, SHOULDER, TAIL = 0.2, 0.05, 0.005
"""Shares of points above the three quantiles that the tail is judged by."""

PARETO_SHARE = 0.9
"""Share of the growth from bulk to shoulder that the line goes on with at most."""

RARE_SHARE, RARE_STEP_MS, RARE_POWER = 0.05 / 288, 300_000.0, 1.6
"""The line is where so small a share of points is expected, at a step of five minutes or less; it grows with the
step to this power (one in 108 at a step of an hour)."""

COMMONEST_RARE_SHARE = SHOULDER / 2
"""The share grows no further than this, at steps of hours and days."""

LEAST_LINE = 4.5
"""Least residual that may alarm, however regular the series: floors in the metric's unit are for its owner to set."""

LINE_EVERY = 16
"""The line is found anew after so many points."""

LEARNING_MS = DAY_MS
"""Nothing alarms before a series is so old: nobody can say yet what its day looks like."""

NOVEL_AFTER_MS = 3 * DAY_MS
"""Before this age the farthest point yet is nothing to compare with."""

NOVEL, NOVEL_RESIDUAL = 1.05, 4.0
"""A point so many times as far from the level as any before is an alarm if its residual is this large."""

RISING_MS, TOLD_MS = 1_800_000.0, DAY_MS / 2
"""From so long after an alarm, when what happens has risen to its height, for so long it must be farther by as much as
within an event: the noise on a new level is no news."""

PEAK_SHARE, PEAK_DAYS = 0.6, 1.0
"""An alarm must exceed this share of the highest of late, which fades with this time constant."""

REPEATED_DAYS, REPEATED_BUT, REPEATED = 12, 3, 2.0
"""Where the same quarter of an hour was beyond the line on all but three of twelve days, an alarm must be so many times
as high: a nightly job is no news."""

QUARTER_MS, QUARTERS_PER_DAY = 900_000, 96
RING = QUARTERS_PER_DAY * (REPEATED_DAYS + 1)
REPEATED_STEP_MS = 900_000.0
"""That is told at steps up to this: with few points in an hour, any two days have something in common."""

GROWN = 1.5
"""While an event lasts only a point so many times as high as its peak is another alarm."""

OVER_SHARE, OVER_POINTS = 0.5, 5
"""An event is over after so many points in a row below this share of the line."""

SMOOTHING = 0.5
"""Weight of the last point in the smoothed residual."""

HALF_SCORE = 10.0
"""Smoothed residual at which a point that does not alarm scores one half."""

SCORE, EXPECTED, LOW, HIGH, EXCESS = 0, 1, 2, 3, 4
COLUMNS = 5


@njit(cache=True, nogil=True, error_model="numpy")
def prior_histogram() -> FloatArray:
    """Return the weights of the bins before any residual was seen; the outer bins hold all beyond."""
    histogram = np.empty(BINS)
    above = 1.0
    for b in range(BINS):
        beyond = math.exp(-math.exp(LOG_LOWEST + (b + 1) * BIN_WIDTH) / PRIOR_MEAN) if b < BINS - 1 else 0.0
        histogram[b] = PRIOR_POINTS * (above - beyond)
        above = beyond
    return histogram


@njit(cache=True, nogil=True, error_model="numpy")
def bin_of(residual: float) -> int:
    """Return the bin that a residual falls in."""
    if residual <= LOWEST:
        return 0
    return min(int((math.log(residual) - LOG_LOWEST) / BIN_WIDTH), BINS - 1)


@njit(cache=True, nogil=True, error_model="numpy")
def rare_distance(step_ms: float) -> tuple[float, float]:
    """Return how far the rare share of points is beyond the shoulder and beyond the tail, at this step.

    The unit is the distance from bulk to shoulder and from shoulder to tail, on the scale of the share's logarithm.
    """
    share = RARE_SHARE * (max(step_ms, RARE_STEP_MS) / RARE_STEP_MS) ** RARE_POWER
    share = min(share, COMMONEST_RARE_SHARE)
    beyond_shoulder = math.log(SHOULDER / share) / math.log(BULK / SHOULDER)
    return beyond_shoulder, math.log(TAIL / share) / math.log(SHOULDER / TAIL)


@njit(cache=True, nogil=True, error_model="numpy")
def alarm_line(histogram: FloatArray, total: float, rare: tuple[float, float]) -> float:
    """Return the residual that is expected to be exceeded at the rare share of points, at least the least line.

    `rare` is that share's `rare_distance`.
    The logarithm of the quantile grows in proportion to that of the share, as in a Pareto tail. The growth
    from shoulder to tail is carried on, but at most nearly that from bulk to shoulder: tails thin out, and
    where anomalies make up the last one in two hundred points, the bulk still tells.
    """
    log_tail = log_shoulder = log_bulk = LOG_LOWEST
    above = 0.0
    found = 0
    for b in range(BINS - 1, -1, -1):
        beyond = above + histogram[b]
        while found < 3:
            wanted = total * (TAIL if found == 0 else SHOULDER if found == 1 else BULK)
            if beyond < wanted:
                break
            quantile = LOG_LOWEST + (b + 1 - (wanted - above) / histogram[b]) * BIN_WIDTH
            if found == 0:
                log_tail = quantile
            elif found == 1:
                log_shoulder = quantile
            else:
                log_bulk = quantile
            found += 1
        if found == 3:
            break
        above = beyond
    pareto = (log_shoulder - log_bulk) * rare[0]
    carried_on = (log_tail - log_shoulder) * rare[1] + log_tail
    line = min(log_shoulder + PARETO_SHARE * pareto, carried_on)
    return max(LEAST_LINE, math.exp(line))


@njit(cache=True, nogil=True, error_model="numpy")
def repeated_peak(quarter_peak: FloatArray, quarter: int) -> float:
    """Return the peak that this quarter of an hour had on all but a few days, 0 if that is not beyond the line.

    `quarter_peak` is a ring of the peaks of all quarters of an hour. Those before and after count as
    the same: jobs begin a little early or late.
    """
    lowest = np.full(REPEATED_BUT + 1, np.inf)
    for day in range(1, REPEATED_DAYS + 1):
        highest = 0.0
        for near in range(-1, 2):
            highest = max(highest, quarter_peak[(quarter - QUARTERS_PER_DAY * day + near) % RING])
        for place in range(REPEATED_BUT + 1):
            if highest < lowest[place]:
                lowest[place], highest = highest, lowest[place]
    return lowest[REPEATED_BUT] if lowest[REPEATED_BUT] >= 1.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def replay_scores(
    ts_ms: IntArray,
    values: NDArray[np.floating[Any]],
    reference: BoolArray,
    side: int,
    floors: tuple[float, float],
    out: FloatArray,
) -> None:
    """Fill `out` [column, m] for the last m points, as `scores.Scores` has them."""
    n, m = len(values), out.shape[1]
    residual, novelty, evidence = np.empty(n), np.empty(n), np.empty((m, 3))
    replay_residuals(ts_ms, values, reference, side, floors, residual, novelty, evidence)
    histogram = prior_histogram()
    total = PRIOR_POINTS
    weight = 1.0
    line = LEAST_LINE
    first_ms = last_ms = 0
    smoothed = peak = event_peak = 0.0
    quarter_peak = np.zeros(RING)
    quarter = 0
    open_event = alarmed = False
    alarm_ms = 0
    event_points = below = seen = 0
    step_ms = 0.0
    faded_ms = rare_ms = -1.0
    rare = (0.0, 0.0)
    fading = growing = 1.0
    for i in range(n):
        row = i - (n - m)
        if math.isnan(residual[i]):
            if row >= 0:
                out[:, row] = math.nan
                out[SCORE, row] = 0.0
            continue
        if seen == 0:
            first_ms = last_ms = ts_ms[i]
            quarter = first_ms // QUARTER_MS
        elapsed_ms = float(ts_ms[i] - last_ms)
        last_ms = ts_ms[i]
        step_ms = usual_step(step_ms, elapsed_ms)
        if elapsed_ms != faded_ms:
            faded_ms = elapsed_ms
            fading = math.exp(-elapsed_ms / (PEAK_DAYS * DAY_MS))
            growing = math.exp(min(elapsed_ms, LONGEST_GAP_STEPS * step_ms) / (HISTOGRAM_DAYS * DAY_MS))
        if seen % LINE_EVERY == 0:
            if step_ms != rare_ms:
                rare_ms, rare = step_ms, rare_distance(step_ms)
            line = alarm_line(histogram, total, rare)
        seen += 1
        size = abs(residual[i])
        excess = size / line
        smoothed += SMOOTHING * (size - smoothed)
        peak *= fading
        this_quarter = ts_ms[i] // QUARTER_MS
        if this_quarter != quarter:
            for skipped in range(max(quarter + 1, this_quarter - RING + 1), this_quarter + 1):
                quarter_peak[skipped % RING] = 0.0
            quarter = this_quarter
        known = len(reference) > 0 and reference[i]
        bar = max(1.0, PEAK_SHARE * peak)
        if open_event:
            bar = max(bar, GROWN * event_peak)
        if excess >= bar and step_ms <= REPEATED_STEP_MS:
            bar = max(bar, REPEATED * repeated_peak(quarter_peak, quarter))
        news = excess / bar
        age_ms = ts_ms[i] - first_ms
        novel = GROWN if alarmed and RISING_MS <= ts_ms[i] - alarm_ms < TOLD_MS else NOVEL
        if novelty[i] >= novel and size >= NOVEL_RESIDUAL and age_ms >= NOVEL_AFTER_MS:
            news = max(news, novelty[i] / NOVEL)
        alarms = news >= 1.0 and age_ms >= LEARNING_MS and not known
        if alarms:
            alarmed, alarm_ms = True, ts_ms[i]
        if row >= 0:
            center, log_unit = evidence[row, 0], evidence[row, 2]
            reach = line
            if alarms:
                # All predictions alarm together: the one that is named may be off by less, and so may its band be wide.
                place = log_place(float(values[i]) / log_unit) if log_unit > 0 else float(values[i])
                reach = min(line, size) * min(1.0, abs(place - center) / (evidence[row, 1] * size))
            reach *= evidence[row, 1]
            expected = in_unit(center, log_unit)
            floor = max(floors[0], floors[1] * abs(expected))
            floors_off = abs(float(values[i]) - expected) / floor if floor > 0 else math.inf
            times_line = max(1.0, min(max(news, excess), floors_off))
            out[SCORE, row] = 1.0 + math.log(times_line) if alarms else smoothed / (smoothed + HALF_SCORE)
            out[EXPECTED, row] = expected
            out[LOW, row] = min(in_unit(center - reach, log_unit), expected - floor)
            out[HIGH, row] = max(in_unit(center + reach, log_unit), expected + floor)
            out[EXCESS, row] = math.copysign(min(excess, floors_off), residual[i])
        if not known:
            peak = max(peak, excess)
            quarter_peak[quarter % RING] = max(quarter_peak[quarter % RING], excess)
            if open_event:
                event_peak = max(event_peak, excess)
                below = below + 1 if excess < OVER_SHARE else 0
                open_event = below < OVER_POINTS
            elif alarms:
                open_event, event_peak, event_points, below = True, excess, 0, 0
        weight *= growing
        added = weight
        if not known:
            if open_event:
                event_points += 1
            if open_event and event_points > LONG_EVENT_POINTS:
                added *= LONG_EVENT_WEIGHT
            elif excess > 1.0:
                added *= ALARM_WEIGHT
        histogram[bin_of(size)] += added
        total += added
        if weight > 1e100:
            for b in range(BINS):
                histogram[b] /= weight
            total /= weight
            weight = 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def replay_rows(
    ts_ms: IntArray,
    values: NDArray[np.floating[Any]],
    reference: BoolArray,
    side: int,
    floors: tuple[float, float],
    out: FloatArray,
) -> None:
    """Fill `out` [row, column, m] for the rows of `values` [row, point]."""
    for row in range(len(values)):
        replay_scores(ts_ms, values[row], reference, side, floors, out[row])
