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
LARGEST_RATIO = math.sinh(LARGEST_LOG)
"""Values and what is made of them are clipped to these, so that no square or exponential is infinite."""

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
    if elapsed_ms <= 0 or elapsed_ms == step_ms:
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
def log_place(ratio: float) -> float:
    """Return asinh of a value over its mean size, exact to 1e-15 of it or of 1; `math.asinh` takes longer."""
    size = min(abs(ratio), LARGEST_RATIO)
    return math.copysign(math.log(size + math.sqrt(size * size + 1.0)), ratio)


@njit(cache=True, nogil=True, error_model="numpy")
def in_unit(place: float, log_unit: float) -> float:
    """Return a place on the logarithmic scale of this unit, or on none (0), in the metric's unit."""
    return log_unit * math.sinh(clipped(place, LARGEST_LOG)) if log_unit > 0 else place


@njit(cache=True, nogil=True, error_model="numpy")
def usual_error(scale: float, scale_of_hour: float, weight_of_hour: float, floor: float) -> float:
    """Return the usual error of a prediction, as a standard deviation: some of it that of the hour of the day."""
    return SPREAD * (scale + weight_of_hour * (scale_of_hour - scale)) + floor + TINY


@njit(cache=True, nogil=True, error_model="numpy")
def in_units(error: float, unit: float, side: int, judged: bool) -> float:
    """Return how many usual errors this one is, 0 on the side that does not count or where nothing can be judged."""
    size = abs(error) if side == 0 else max(0.0, side * error)
    return min(size / unit, LARGEST_RESIDUAL) if judged else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def learned_error(error: float, scale: float, floor: float, whole: bool) -> float:
    """Return the size of an error as the usual error learns it."""
    size = abs(error)
    return size if whole else min(size, CLIP * scale + floor)


@njit(cache=True, nogil=True, error_model="numpy")
def fourth_power(size: float) -> float:
    """Return what the power mean takes the mean of: of a sum of these, two square roots are left for the end."""
    return size * size * size * size


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
    # Usual errors of the four predictions, and their usual errors at each hour of the day.
    level_scale = log_scale = profile_scale = recent_scale = 0.0
    hour_scale = np.zeros((24, PREDICTORS))
    # Errors counted of the profile, which begins later, and of the other predictions.
    points = profile_points = 0.0
    hour_points, hour_profile_points = np.zeros(24), np.zeros(24)
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
        log_value = log_place(value / magnitude) if magnitude > 0 else 0.0
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
        profile_center = by_time + offset
        level_error, log_error = value - level, log_value - log_level
        profile_error, recent_error = log_value - profile_center, value - recent

        scale_learns = learning_rate(scale_rate, points)
        hour_learns = learning_rate(hour_rate, hour_points[hour])
        hour_weight = min(HOUR_SHARE, HOUR_SHARE / HOUR_SHARE_POINTS * hour_points[hour])
        profile_weight = min(HOUR_SHARE, HOUR_SHARE / HOUR_SHARE_POINTS * hour_profile_points[hour])
        judged, profile_judged = points >= SCALE_AFTER, profile_points >= SCALE_AFTER
        floor = FLOOR * magnitude
        level_unit = usual_error(level_scale, hour_scale[hour, LEVEL], hour_weight, floor)
        log_unit = usual_error(log_scale, hour_scale[hour, LOG_LEVEL], hour_weight, FLOOR)
        profile_unit = usual_error(profile_scale, hour_scale[hour, LOG_PROFILE], profile_weight, FLOOR)
        recent_unit = usual_error(recent_scale, hour_scale[hour, RECENT], hour_weight, floor)

        level_size = in_units(level_error, level_unit, side, judged)
        log_size = in_units(log_error, log_unit, side, judged)
        profile_size = in_units(profile_error, profile_unit, side, profile_judged) if ready else 0.0
        # Back from a spike is not down: less than the last points counts only below the level.
        recent_size = in_units(recent_error, recent_unit, side, judged and side * level_error >= 0)
        total = (
            fourth_power(level_size) + fourth_power(log_size) + fourth_power(profile_size) + fourth_power(recent_size)
        )
        power = total / (4 if ready else 3)
        if weekly:
            off = min(abs(log_value - by_time), abs(profile_error)) / profile_unit
            power = min(power, fourth_power(WEEK_EXPLAINS * off))

        largest, center, unit, farthest_error, unit_of_log = level_size, level, level_unit, level_error, 0.0
        if log_size > largest:
            largest, center, unit, farthest_error, unit_of_log = log_size, log_level, log_unit, log_error, magnitude
        if profile_size > largest:
            largest, center, unit = profile_size, profile_center, profile_unit
            farthest_error, unit_of_log = profile_error, magnitude
        if recent_size > RECENT_TELLS * largest:
            center, unit, farthest_error, unit_of_log = recent, recent_unit, recent_error, 0.0

        learned = learned_error(level_error, level_scale, floor, trusted or not judged)
        level_scale += scale_learns * (learned - level_scale)
        hour_scale[hour, LEVEL] += hour_learns * (learned - hour_scale[hour, LEVEL])
        learned = learned_error(log_error, log_scale, FLOOR, trusted or not judged)
        log_scale += scale_learns * (learned - log_scale)
        hour_scale[hour, LOG_LEVEL] += hour_learns * (learned - hour_scale[hour, LOG_LEVEL])
        learned = learned_error(recent_error, recent_scale, floor, trusted or not judged)
        recent_scale += scale_learns * (learned - recent_scale)
        hour_scale[hour, RECENT] += hour_learns * (learned - hour_scale[hour, RECENT])
        points += 1
        hour_points[hour] += 1
        if ready:
            learned = learned_error(profile_error, profile_scale, FLOOR, trusted or not profile_judged)
            profile_scale += learning_rate(scale_rate, profile_points) * (learned - profile_scale)
            hour_scale[hour, LOG_PROFILE] += learning_rate(hour_rate, hour_profile_points[hour]) * (
                learned - hour_scale[hour, LOG_PROFILE]
            )
            profile_points += 1
            hour_profile_points[hour] += 1

        if power > fourth_power(USUAL) and (floors[0] > 0 or floors[1] > 0):
            expected = in_unit(center, unit_of_log)
            if abs(value - expected) < max(floors[0], floors[1] * abs(expected)):
                power = fourth_power(USUAL)
        residual[i] = power if farthest_error >= 0 else -power
        if i >= evidence_from:
            row = i - evidence_from
            evidence[row, 0], evidence[row, 1], evidence[row, 2] = center, unit, unit_of_log

        off = abs(level_error) if side == 0 else max(0.0, side * level_error)
        novelty[i] = min(off / max(record, TINY), LARGEST_RESIDUAL) if seen > RECORD_AFTER else 0.0
        record = max(record, off)

        if not trusted:
            level_error = clipped(level_error, CLIP * level_scale)
            log_error = clipped(log_error, CLIP * log_scale)
        level += level_learns * level_error
        daily_error = log_value - daily
        if ready:
            limit = CLIP * max(profile_scale, FLOOR)
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
            offset += offset_rate * profile_error
            if not trusted:
                daily_error = clipped(daily_error, limit)
        profile[slot] += slot_share / min(PROFILE_DAYS, profile_days[slot] + slot_share) * daily_error
        profile_days[slot] += slot_share
        log_level += level_learns * log_error
        recent += recent_learns * recent_error
    for i in range(n):
        residual[i] = math.copysign(math.sqrt(math.sqrt(abs(residual[i]))), residual[i])
