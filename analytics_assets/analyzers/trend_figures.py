"""The numbers of a trend: one metric of many entities, from samples on the grid to the table's columns."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from analytics_assets.components import Parameters
from analytics_assets.kernels.change_points import LEAST_JUMP_SDS, ChangePoints, change_points
from analytics_assets.kernels.coverage import SampleCounts, coverage_of, has_recent
from analytics_assets.kernels.daily import daily_levels, without_hours_of_day, without_weekdays
from analytics_assets.kernels.lasting_slope import lasting_trends
from analytics_assets.kernels.matrix import HOURS_PER_DAY, Grid, row_mean, row_median
from analytics_assets.kernels.recent_level import Forecast, next_days, next_hour, recent_levels
from analytics_assets.kernels.seasonal_slope import seasonal_slopes
from analytics_assets.kernels.slope import Slopes, robust_slopes
from resources.partition import DAY_MS

SHORT_WINDOW_DAYS = 5
LEVEL_DAYS = 7

AHEAD = ("next_hour", "next_day", "next_week")
INTERVAL_SHARE = 0.8


class MetricTrendsParameters(Parameters):
    """What may be set of the trend analysis."""

    window_days: int = Field(28, ge=1, le=400, description="Length of the window that ends with the day, in days.")
    metrics: tuple[str, ...] = Field(
        (), description="Metrics to analyze, as column stems such as cpu_percent; empty: all that the input measures."
    )
    minimum_days: int = Field(
        5, ge=1, le=400, description="Days with enough hours that a trend needs, a count; at most window_days."
    )
    minimum_hours: int = Field(12, ge=1, le=24, description="Hours with samples that make a day count, in hours.")
    significance: float = Field(
        0.01, gt=0, le=0.5, description="Probability of such an order without a trend, below which it counts, 0 to 0.5."
    )
    minimum_change_percent: float = Field(
        2.0, ge=0, le=100, description="Least change over the window of a metric in percent, in percentage points."
    )
    minimum_change_bytes: float = Field(
        1e6, ge=0, le=1e15, description="Least change over the window of a metric in bytes, in bytes."
    )
    minimum_change_bytes_per_second: float = Field(
        1e3, ge=0, le=1e15, description="Least change over the window of a metric in bytes/s, in bytes/s."
    )
    minimum_change_cores: float = Field(
        0.05, ge=0, le=1e6, description="Least change over the window of a metric in cores, in cores."
    )
    minimum_change_share: float = Field(
        0.05,
        ge=0,
        le=10,
        description="Least change over the window of any metric but those in percent, as a share of its level.",
    )
    change_point_sds: float = Field(
        LEAST_JUMP_SDS,
        gt=0,
        le=100,
        description="Least change of a level that counts as one, in standard deviations of what the days before do not "
        "tell of the next one.",
    )
    hourly_days: int = Field(
        28,
        ge=2,
        le=60,
        description="Days at the end of the window whose hours the hourly slope is told from, in days; at most the "
        "window's.",
    )
    half_life_days: float = Field(
        3.0, ge=0.5, le=10, description="Days after which a day counts half in the level that forecasts repeat."
    )

    @model_validator(mode="after")
    def _window_holds_the_minimum(self) -> "MetricTrendsParameters":
        if self.minimum_days > self.window_days:
            raise ValueError(f"minimum_days {self.minimum_days} is more than window_days {self.window_days}")
        return self

    def floor(self, unit: str, level: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the least change over the window that counts, in `unit`, for series at `level`."""
        absolute = {
            "percent": self.minimum_change_percent,
            "bytes": self.minimum_change_bytes,
            "bytes/s": self.minimum_change_bytes_per_second,
            "cores": self.minimum_change_cores,
        }.get(unit, 0.0)
        share = 0.0 if unit == "percent" else self.minimum_change_share
        return np.maximum(absolute, share * np.abs(np.where(np.isnan(level), 0.0, level)))


@dataclass(frozen=True)
class Samples:
    """One metric on the grid: `values` [entity, step], and the samples counted there."""

    metric: str
    unit: str
    values: NDArray[np.float32]
    counts: SampleCounts


def trend_columns(
    samples: Samples, grid: Grid, parameters: MetricTrendsParameters, minimum_coverage: float
) -> dict[str, Any]:
    """Return the columns of the table, but for the entity's, for one metric; one value per entity."""
    present = ~np.isnan(samples.values)
    infinite = np.isinf(samples.values).any(axis=1)
    hours = _hours(np.where(np.isinf(samples.values), np.float32(np.nan), samples.values), grid)
    seen, expected = samples.counts.seen_where(present), samples.counts.expected_per_entity
    coverage = coverage_of(seen, expected)
    daily = daily_levels(hours, parameters.minimum_hours)
    days_used = np.count_nonzero(~np.isnan(daily), axis=1)

    status = np.full(len(hours), "ok", dtype=object)
    reason = np.full(len(hours), None, dtype=object)
    few, thin = days_used < parameters.minimum_days, ~(coverage >= minimum_coverage)
    for row in np.flatnonzero(few | thin):
        status[row], reason[row] = (
            "insufficient_data",
            _why(days_used[row], coverage[row], minimum_coverage, parameters),
        )
    for row in np.flatnonzero(infinite):
        status[row], reason[row] = "degenerate", "infinite values: the metric has no scale"
    for row in np.flatnonzero(~present.any(axis=1)):
        status[row], reason[row] = "no_data", "no sample of this metric in the window"

    answered = status == "ok"
    late = answered & ~has_recent(hours, HOURS_PER_DAY)
    reason[late] = "no sample in the last 24 hours: no forecast"
    figures = _figures(hours, daily, samples.unit, grid, parameters)
    for name in figures:
        figures[name] = _blank(figures[name], answered & ~late if name.startswith("next_") else answered)
    for row in np.flatnonzero(answered & ~late):
        reason[row] = _without_interval([name for name in AHEAD if np.isnan(figures[f"{name}_low"][row])])
    return {
        "metric": np.full(len(hours), samples.metric, dtype=object),
        "unit": np.full(len(hours), samples.unit, dtype=object),
        "status": status,
        "reason": reason,
        "window_days": np.full(len(hours), parameters.window_days, np.int32),
        "days_used": days_used.astype(np.int32),
        "samples_seen": seen,
        "samples_expected": expected,
        "coverage": coverage,
        **figures,
    }


def _without_interval(names: list[str]) -> str | None:
    """Return why these forecasts have no interval, None if all have one."""
    if not names:
        return None
    listed = ", ".join(name.replace("_", " ") for name in names)
    return f"too few past errors for an interval of {listed}: that takes a longer history"


def _hours(values: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    if grid.steps_per_hour == 1:
        return values
    shape = (len(values), values.shape[1] // grid.steps_per_hour, grid.steps_per_hour)
    return row_mean(values.reshape(shape)).astype(np.float32)


def _why(days: int, coverage: float, minimum_coverage: float, parameters: MetricTrendsParameters) -> str:
    if days < parameters.minimum_days:
        return f"{days} days with at least {parameters.minimum_hours} hours of samples; needs {parameters.minimum_days}"
    return f"coverage {coverage:.2f} is below {minimum_coverage:.2f}"


def _blank(values: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
    nothing: Any = np.nan
    if values.dtype.kind == "U":
        nothing = "unknown"
    elif values.dtype.kind == "M":
        nothing = np.datetime64("NaT")
    elif values.dtype.kind == "O":
        nothing = None
    return np.where(known, values, nothing)


def _figures(
    hours: NDArray[np.float32],
    daily: NDArray[np.float64],
    unit: str,
    grid: Grid,
    parameters: MetricTrendsParameters,
) -> dict[str, NDArray[Any]]:
    if parameters.window_days < SHORT_WINDOW_DAYS:
        (steps, spent), per_day = without_hours_of_day(hours), HOURS_PER_DAY
        weekdays = np.zeros_like(daily)
    else:
        (steps, spent), per_day = without_weekdays(daily), 1
        weekdays = daily - steps
    raw = robust_slopes(steps, spent)
    present = ~np.isnan(steps)
    span = np.where(
        present.any(axis=1), steps.shape[1] - np.argmax(present[:, ::-1], axis=1) - np.argmax(present, axis=1), 0
    )
    level = row_median(daily[:, -LEVEL_DAYS:])
    level = np.where(np.isnan(level), row_median(daily), level)
    floor = parameters.floor(unit, level)
    changes = change_points(steps, raw.slope, parameters.change_point_sds)
    lasting = lasting_trends(steps, raw, spent, span, floor, parameters.significance, changes)
    slopes = lasting.slopes
    # A step belongs to the UTC day that holds its middle.
    middles = grid.start_ms + (np.arange(steps.shape[1]) * 2 + 1) * (DAY_MS // per_day // 2)
    days = (middles // DAY_MS).astype("datetime64[D]")
    return {
        "level": level,
        "slope_per_day": slopes.slope * per_day,
        "slope_low_per_day": slopes.low * per_day,
        "slope_high_per_day": slopes.high * per_day,
        "change_over_window": slopes.slope * span,
        "noise": slopes.noise,
        "p_value": slopes.p_value,
        "direction": lasting.direction,
        "left_out_step_day": _days_of(lasting.after_step, days),
        **_hourly(hours, weekdays, raw if per_day == 1 else None, parameters.hourly_days),
        **_changes(changes.of_at_least(floor), days),
        **_ahead(hours, daily, parameters.half_life_days),
    }


def _hourly(
    hours: NDArray[np.float32], weekdays: NDArray[np.float64], daily: Slopes | None, most_days: int
) -> dict[str, NDArray[Any]]:
    """Return the slope of the hours of the last days, without the effect of `weekdays` [entity, day].

    What ties the days together is told by the slopes of their `daily` values; few days tell nothing of it.
    """
    days = min(weekdays.shape[1], most_days)
    effect = np.nan_to_num(weekdays[:, -days:]).astype(np.float32)
    recent = hours[:, -days * HOURS_PER_DAY :] - np.repeat(effect, HOURS_PER_DAY, axis=1)
    share = np.ones(len(hours)) if daily is None else daily.effective_points / np.maximum(daily.points, 1)
    slopes = seasonal_slopes(recent, share)
    return {
        "hourly_days": np.full(len(hours), days, np.int32),
        "hourly_slope_per_day": slopes.slope,
        "hourly_slope_low_per_day": slopes.low,
        "hourly_slope_high_per_day": slopes.high,
        "hourly_p_value": slopes.p_value,
    }


def _days_of(steps: NDArray[np.int64], days: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Return the day of each of `steps`, none where that is negative."""
    return np.where(steps >= 0, days[np.maximum(steps, 0)], np.datetime64("NaT"))


def _changes(found: ChangePoints, days: NDArray[np.datetime64]) -> dict[str, NDArray[Any]]:
    rows = np.arange(len(found.steps))
    on = _days_of(found.steps, days)
    listed = np.full(len(rows), "[]", dtype=object)
    for row in np.flatnonzero(found.counts):
        changes = zip(on[row].tolist(), found.heights[row].tolist(), strict=True)
        # Six digits: the rest is noise that makes the text long.
        known = [{"day": str(day), "height": float(f"{height:.6g}")} for day, height in changes if day is not None]
        listed[row] = json.dumps(known)
    return {
        "change_point_count": found.counts,
        "change_point_day": on[rows, found.largest],
        "change_point_height": found.heights[rows, found.largest],
        "change_points": listed,
    }


def _ahead(
    hours: NDArray[np.float32], daily: NDArray[np.float64], half_life_days: float
) -> dict[str, NDArray[np.float64]]:
    levels = recent_levels(daily, half_life_days)
    first, last = hours[:, ::HOURS_PER_DAY], hours[:, HOURS_PER_DAY - 1 :: HOURS_PER_DAY]
    forecasts: Mapping[str, Forecast] = {
        "next_hour": next_hour(first.astype(np.float64), last.astype(np.float64), half_life_days, INTERVAL_SHARE),
        "next_day": next_days(daily, levels, 1, INTERVAL_SHARE),
        "next_week": next_days(daily, levels, 7, INTERVAL_SHARE),
    }
    columns = {}
    for name, forecast in forecasts.items():
        columns[name], columns[f"{name}_low"], columns[f"{name}_high"] = forecast.expected, forecast.low, forecast.high
    return columns
