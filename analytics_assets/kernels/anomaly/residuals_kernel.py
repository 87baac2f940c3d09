"""The loop of `residuals` as machine code: one pass over one series. Imported where it is used: it needs numba."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

HOUR_MS = 3_600_000.0
DAY_MS = 86_400_000.0

SLOTS = 288
"""Slots of the day that have a profile of their own: five minutes each."""

SLOT_MS = DAY_MS / SLOTS

LEVEL_DAYS, PROFILE_DAYS, SCALE_DAYS, HOUR_SCALE_DAYS = 14.0, 10.0, 7.0, 28.0
"""Memory (time constants) of the level, of the time of day, of the usual error, and of that at an hour of the day."""

OFFSET_MS = HOUR_MS
"""Memory of how far the last points were off the time of day."""

RECENT_SHARE = 0.5
"""Weight of the last point in the mean of the last few."""

RECENT_TELLS = 2.0
"""The last few points say what was expected only where the point is so many times as far off them as off all else:
within an event they are part of it."""

PROFILE_READY_DAYS = 2.0
"""Days that a slot must have been seen before it predicts."""

WEEK_HOURS, WEEK_MEMORY_WEEKS, WEEK_READY_WEEKS = 168, 4.0, 1.9
"""Hours of the week, how many of its weeks each remembers, and how many it must have seen (nearly two whole ones)."""

WEEK_PROVEN = 0.5
"""The hour of the week is used where it leaves at most this share of the error that the time of day leaves."""

WEEK_PROOF_DAYS = (7.0, 28.0)
"""Memories of both errors, of which one has to prove it: a week that has just begun to differ is soon known, and by
the long one a weekend does not lose its weight by the Saturday after."""

WEEK_EXPLAINS = 2.0
"""A point is then at most so many times as far off as it is from what the hour of the week led to expect."""

CLIP = 4.0
"""What is learned from one point is at most so many usual errors."""

CLIP_AFTER, SCALE_AFTER = 20, 8
"""Points before anything is clipped, and errors before any is judged."""

HOUR_SHARE, HOUR_SHARE_POINTS = 0.5, 36.0
"""Share of the hour's own usual error in the scale, reached after so many points in that hour."""

SPREAD = 1.25
"""Standard deviation by mean absolute error, of a normal distribution."""

FLOOR = 0.015
"""Least scale: this share of the mean absolute value, or so much on the logarithmic scale."""

TINY = 1e-12
LARGEST_VALUE, LARGEST_RESIDUAL, LARGEST_LOG = 1e100, 1000.0, 300.0
RECORD_AFTER = 50
"""Points before the largest deviation from the level is worth comparing with."""

USUAL = 1.0
"""Residual of a point whose deviation is below the floors that were asked for."""

LONGEST_GAP_STEPS = 4.0
"""A gap counts as at most so many usual steps: one point after it must not replace what was learned."""

LEVEL, LOG_LEVEL, LOG_PROFILE, RECENT = 0, 1, 2, 3
PREDICTORS = 4


@njit(cache=True, nogil=True, error_model="numpy")
def usual_step(step_ms: float, elapsed_ms: float) -> float:
    """Return the running median of the steps, moved towards this one by at most a twentieth."""
    if elapsed_ms <= 0:
        return step_ms
    if step_ms == 0:
        return elapsed_ms
    if elapsed_ms > step_ms:
        return min(elapsed_ms, step_ms * 1.05)
    return max(elapsed_ms, step_ms / 1.05)


@njit(cache=True, nogil=True, error_model="numpy")
def clipped(error: float, limit: float) -> float:
    """Return `error`, or the nearest to it that is at most `limit` from 0."""
    return max(-limit, min(limit, error))


@njit(cache=True, nogil=True, error_model="numpy")
def learning_rate(least: float, seen: float) -> float:
    """Return the weight of a point after `seen` others: that of a plain mean at first, and never less than `least`."""
    return max(least, 1.0 / (seen + 1.0))


@njit(cache=True, nogil=True, error_model="numpy")
def in_unit(place: float, log_unit: float) -> float:
    """Return a place on the logarithmic scale of this unit, or on none (0), in the metric's unit."""
    return log_unit * math.sinh(clipped(place, LARGEST_LOG)) if log_unit > 0 else place


@njit(cache=True, nogil=True, error_model="numpy")
def replay_residuals(
    ts_ms: IntArray,
    values: NDArray[np.floating[Any]],
    reference: BoolArray,
    side: int,
    floors: tuple[float, float],
    residual: FloatArray,
    novelty: FloatArray,
    evidence: FloatArray,
) -> None:
    """Fill `residual` [n], `novelty` [n] and, of the last rows, `evidence` [m <= n, 3].

    `side` is 0, or 1 or -1 if only deviations upwards or downwards count. `floors` are the least
    deviation that counts, in the metric's unit and as a share of the expectation. `reference` may
    be empty. `novelty` is the distance from the level over the largest before. `evidence` is what
    the prediction that fits worst expected (see `RECENT_TELLS`), its usual error, and the unit of the logarithm that
    both are in: expected value = unit x sinh(first); 0 where they are in the metric's own unit.
    """
    n = len(values)
    evidence_from = n - len(evidence)
    level = log_level = offset = recent = magnitude = record = 0.0
    profile, profile_days = np.zeros(SLOTS), np.zeros(SLOTS)
    week, week_seen = np.zeros(WEEK_HOURS), np.zeros(WEEK_HOURS)
    week_error, day_error, proof_rate = np.zeros(2), np.zeros(2), np.zeros(2)
    week_points = 0.0
    scale, hour_scale = np.zeros(PREDICTORS), np.zeros((PREDICTORS, 24))
    # Errors counted of the profile (1), which begins later, and of the other predictors (0).
    points, hour_points = np.zeros(2), np.zeros((2, 24))
    rate, rate_of_hour, share_of_hour = np.zeros(2), np.zeros(2), np.zeros(2)
    center, error, unit = np.zeros(PREDICTORS), np.zeros(PREDICTORS), np.zeros(PREDICTORS)
    seen = 0
    last_ms = 0
    step_ms = rated_ms = shared_ms = 0.0
    slot_share = hour_share = 1.0
    level_rate = scale_rate = hour_rate = offset_rate = 0.0
    for i in range(n):
        value = float(values[i])
        if not math.isfinite(value):
            residual[i], novelty[i] = math.nan, 0.0
            if i >= evidence_from:
                evidence[i - evidence_from] = math.nan
            continue
        value = clipped(value, LARGEST_VALUE)
        now_ms = ts_ms[i]
        elapsed_ms = float(now_ms - last_ms) if seen else 0.0
        last_ms = now_ms
        step_ms = usual_step(step_ms, elapsed_ms)
        passed_ms = min(elapsed_ms, LONGEST_GAP_STEPS * step_ms) if elapsed_ms > 0 else step_ms
        if passed_ms != rated_ms:
            rated_ms = passed_ms
            level_rate = -math.expm1(-passed_ms / (LEVEL_DAYS * DAY_MS))
            scale_rate = -math.expm1(-passed_ms / (SCALE_DAYS * DAY_MS))
            hour_rate = min(1.0, passed_ms / HOUR_MS) / HOUR_SCALE_DAYS
            offset_rate = -math.expm1(-passed_ms / OFFSET_MS)
            for m in range(2):
                proof_rate[m] = -math.expm1(-passed_ms / (WEEK_PROOF_DAYS[m] * DAY_MS))
        if step_ms != shared_ms:
            shared_ms = step_ms
            slot_share, hour_share = min(1.0, step_ms / SLOT_MS), min(1.0, step_ms / HOUR_MS)
        level_learns = learning_rate(level_rate, seen)
        recent_learns = learning_rate(RECENT_SHARE, seen)
        seen += 1
        trusted = seen <= CLIP_AFTER or (len(reference) > 0 and reference[i])

        if trusted or magnitude == 0.0:
            magnitude += level_learns * (abs(value) - magnitude)
        else:
            magnitude += level_rate * (min(abs(value), 2 * CLIP * magnitude) - magnitude)
        log_value = math.asinh(value / magnitude) if magnitude > 0 else 0.0
        slot = int((now_ms % 86_400_000) // 300_000)
        hour = slot // 12
        week_hour = int((now_ms // 3_600_000) % WEEK_HOURS)
        ready = profile_days[slot] >= PROFILE_READY_DAYS
        week_ready = week_seen[week_hour] >= WEEK_READY_WEEKS
        proven = week_error[0] < WEEK_PROVEN * day_error[0] or week_error[1] < WEEK_PROVEN * day_error[1]
        weekly = ready and week_ready and proven
        if seen == 1:
            level, log_level, recent = value, log_value, value
        daily = log_level + profile[slot]
        by_time = daily + week[week_hour] if weekly else daily
        center[LEVEL], center[LOG_LEVEL], center[LOG_PROFILE], center[RECENT] = (
            level,
            log_level,
            by_time + offset,
            recent,
        )
        for k in range(PREDICTORS):
            error[k] = (log_value if k in (LOG_LEVEL, LOG_PROFILE) else value) - center[k]

        for g in range(2):
            rate[g] = learning_rate(scale_rate, points[g])
            rate_of_hour[g] = learning_rate(hour_rate, hour_points[g, hour])
            share_of_hour[g] = min(HOUR_SHARE, HOUR_SHARE / HOUR_SHARE_POINTS * hour_points[g, hour])
        total = 0.0
        count = 0
        largest = -1.0
        which = LEVEL
        for k in range(PREDICTORS):
            g = 1 if k == LOG_PROFILE else 0
            floor = FLOOR if k in (LOG_LEVEL, LOG_PROFILE) else FLOOR * magnitude
            unit[k] = SPREAD * (scale[k] + share_of_hour[g] * (hour_scale[k, hour] - scale[k])) + floor + TINY
            if k == LOG_PROFILE and not ready:
                continue
            count += 1
            judged = points[g] >= SCALE_AFTER
            size = 0.0
            # Back from a spike is not down: less than the last points counts only below the level.
            if judged and (k != RECENT or side * error[LEVEL] >= 0):
                size = abs(error[k]) if side == 0 else max(0.0, side * error[k])
                size = min(size / unit[k], LARGEST_RESIDUAL)
            if size > (RECENT_TELLS if k == RECENT else 1.0) * largest:
                largest, which = size, k
            total += size * size * size * size
            learned = abs(error[k])
            if judged and not trusted:
                learned = min(learned, CLIP * scale[k] + floor)
            scale[k] += rate[g] * (learned - scale[k])
            hour_scale[k, hour] += rate_of_hour[g] * (learned - hour_scale[k, hour])
        for g in range(2 if ready else 1):
            points[g] += 1
            hour_points[g, hour] += 1
        size = math.sqrt(math.sqrt(total / count))
        if weekly:
            off = min(abs(log_value - by_time), abs(error[LOG_PROFILE])) / unit[LOG_PROFILE]
            size = min(size, WEEK_EXPLAINS * off)
        log_unit = magnitude if which in (LOG_LEVEL, LOG_PROFILE) else 0.0
        if floors[0] > 0 or floors[1] > 0:
            expected = in_unit(center[which], log_unit)
            if abs(value - expected) < max(floors[0], floors[1] * abs(expected)):
                size = min(size, USUAL)
        residual[i] = size if error[which] >= 0 else -size
        if i >= evidence_from:
            row = i - evidence_from
            evidence[row, 0], evidence[row, 1], evidence[row, 2] = center[which], unit[which], log_unit

        off = abs(error[LEVEL]) if side == 0 else max(0.0, side * error[LEVEL])
        novelty[i] = min(off / max(record, TINY), LARGEST_RESIDUAL) if seen > RECORD_AFTER else 0.0
        record = max(record, off)

        level_error, log_error = error[LEVEL], error[LOG_LEVEL]
        if not trusted:
            level_error = clipped(level_error, CLIP * scale[LEVEL])
            log_error = clipped(log_error, CLIP * scale[LOG_LEVEL])
        level += level_learns * level_error
        daily_error = log_value - daily
        if ready:
            limit = CLIP * max(scale[LOG_PROFILE], FLOOR)
            if week_ready:
                week_points += 1
                by_day = min(abs(daily_error), 2 * limit)
                by_week = min(abs(daily_error - week[week_hour]), 2 * limit)
                for m in range(2):
                    error_rate = max(proof_rate[m], 1.0 / week_points)
                    day_error[m] += error_rate * (by_day - day_error[m])
                    week_error[m] += error_rate * (by_week - week_error[m])
            week_rate = hour_share / min(WEEK_MEMORY_WEEKS, week_seen[week_hour] + hour_share)
            week[week_hour] += week_rate * clipped(daily_error - week[week_hour], 2 * limit)
            week_seen[week_hour] += hour_share
            offset += offset_rate * error[LOG_PROFILE]
            if not trusted:
                daily_error = clipped(daily_error, limit)
        profile[slot] += slot_share / min(PROFILE_DAYS, profile_days[slot] + slot_share) * daily_error
        profile_days[slot] += slot_share
        log_level += level_learns * log_error
        recent += recent_learns * error[RECENT]
