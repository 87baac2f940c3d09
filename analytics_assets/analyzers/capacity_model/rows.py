"""From the hourly demand for one resource, and what there is of it, to the columns of the capacity table."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.kernels.coverage import coverage_of, has_recent
from analytics_assets.kernels.matrix import HOURS_PER_DAY, Floats, row_max, row_mean, row_quantile, row_quantiles
from analytics_assets.kernels.projection import Projection, first_above, project

RECENT_DAYS = 7
ROWS_AT_ONCE = 4_000
ABOVE_ROUNDING = 1 + 1e-9
"""A recommended size is this much more, so that its usable part is not below the need by rounding."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Demand:
    """Hourly demand [entity, hour] in the resource's unit, and the samples behind it, per entity."""

    mean: Floats
    maximum: Floats
    p95: Floats
    seen: NDArray[np.int64]
    expected: NDArray[np.int64]


@dataclass(frozen=True)
class Supply:
    """What there is, per entity: `physical`, what is `allocated` of it, and why there is no `physical` (or None)."""

    physical: Vector
    allocated: Vector
    missing: NDArray[np.object_]


@dataclass(frozen=True)
class ResourceRows:
    """The `columns` of one resource, and what the size classes read besides: percentiles of the demand."""

    columns: dict[str, Any]
    p95: Vector
    p995: Vector
    peak: Vector
    hours: NDArray[np.int64]


def resource_rows(
    resource: str,
    unit: str,
    demand: Demand,
    supply: Supply,
    parameters: CapacityParameters,
    minimum_coverage: float,
    *,
    node: bool = False,
    at_least: str = "",
) -> ResourceRows:
    """Return the rows of one resource for some entities.

    `at_least` says what the recommended size covers besides the projection: `p995` or `peak` of the
    demand times the headroom; `cpu` sizes of VMs are then whole vCPUs.
    """
    entities, width = demand.mean.shape
    by_day = demand.p95.reshape(entities, width // HOURS_PER_DAY, HOURS_PER_DAY)
    there = HOURS_PER_DAY - np.count_nonzero(np.isnan(by_day), axis=-1)
    daily = np.where(there >= parameters.minimum_hours, row_quantile(by_day, 0.95), np.nan)
    days_used = np.count_nonzero(~np.isnan(daily), axis=1)
    coverage = coverage_of(demand.seen, demand.expected)
    status, reason = _status(demand, supply, days_used, coverage, parameters, minimum_coverage)
    known = status == "ok"

    recent = slice(-RECENT_DAYS * HOURS_PER_DAY, None)
    demand_p95, recent_p995 = row_quantiles(demand.p95[:, recent], (0.95, 0.995))
    whole_p95, whole_p995 = row_quantiles(demand.p95, (0.95, 0.995))
    p95, p995 = np.fmax(whole_p95, demand_p95), np.fmax(whole_p995, recent_p995)
    peak = row_max(demand.maximum)
    usable = supply.physical * parameters.usable_share(node=node)
    projection = project(
        daily,
        minimum_days=parameters.minimum_days,
        significance=parameters.significance,
        minimum_change_share=parameters.minimum_change_share,
        bound_share=parameters.bound_share,
    )
    ahead = _ahead(projection, usable, parameters)
    recommended = ahead.pop("_needed") / parameters.usable_share(node=node) * ABOVE_ROUNDING
    if at_least:
        recommended = np.fmax(recommended, (p995 if at_least == "p995" else peak) * parameters.size_headroom)
        if resource == "cpu":
            recommended = np.maximum(np.ceil(recommended), 1.0)
    ahead["recommended_total"] = recommended
    sized = supply.physical > 0
    columns = {
        "resource": np.full(entities, resource, dtype=object),
        "unit": np.full(entities, unit, dtype=object),
        "status": status,
        "reason": reason,
        "level": _levels(ahead["time_remaining_days_conservative"], known, parameters),
        "physical": supply.physical,
        "usable": usable,
        "allocated": supply.allocated,
        "demand_mean": row_mean(demand.mean[:, recent]),
        "demand_p95": demand_p95,
        "demand_peak": peak,
        "utilization_percent": np.where(sized, 100 * demand_p95 / np.where(sized, supply.physical, 1.0), np.nan),
        "slope_per_day": np.where(known, projection.slopes.slope, np.nan),
        "direction": np.where(known, projection.direction, "unknown"),
        **{name: np.where(known, values, np.nan) for name, values in ahead.items()},
        "horizon_days": np.full(entities, parameters.horizon_days, np.int32),
        "window_days": np.full(entities, parameters.window_days, np.int32),
        "days_used": days_used.astype(np.int32),
        "coverage": coverage,
    }
    hours = np.count_nonzero(~np.isnan(demand.p95), axis=1)
    return ResourceRows(columns, p95, p995, peak, hours)


def _status(
    demand: Demand,
    supply: Supply,
    days_used: NDArray[np.int64],
    coverage: Vector,
    parameters: CapacityParameters,
    minimum_coverage: float,
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    status = np.full(len(coverage), "ok", dtype=object)
    reason = np.full(len(coverage), None, dtype=object)
    late = ~has_recent(demand.p95, HOURS_PER_DAY)
    few, thin = days_used < parameters.minimum_days, ~(coverage >= minimum_coverage)
    status[few | thin | late] = "insufficient_data"
    reason[late] = "no sample in the last 24 hours"
    for row in np.flatnonzero(thin):
        reason[row] = f"coverage {coverage[row]:.2f} is below {minimum_coverage:.2f}"
    for row in np.flatnonzero(few):
        reason[row] = (
            f"{days_used[row]} days with at least {parameters.minimum_hours} hours of samples; "
            f"needs {parameters.minimum_days}"
        )
    nothing = np.isnan(demand.p95).all(axis=1)
    status[nothing], reason[nothing] = "no_data", "no samples in the window"
    unsized = supply.missing != None  # noqa: E711  (element by element)
    status[unsized], reason[unsized] = "no_data", supply.missing[unsized]
    return status, reason


def _levels(conservative: Vector, known: NDArray[np.bool_], parameters: CapacityParameters) -> NDArray[np.str_]:
    days = np.where(np.isnan(conservative), np.inf, conservative)
    limits = [parameters.critical_days, parameters.immediate_days, parameters.warning_days]
    level = np.array(["critical", "immediate", "warning", "ok"])[np.searchsorted(limits, days, side="right")]
    return np.where(known, level, "unknown")


def _ahead(projection: Projection, usable: Vector, parameters: CapacityParameters) -> dict[str, Vector]:
    """Return what the projection says of the days ahead, some rows at a time: a year of days is wide."""
    parts = [
        _ahead_of(projection.rows(slice(start, start + ROWS_AT_ONCE)), usable[start : start + ROWS_AT_ONCE], parameters)
        for start in range(0, max(len(usable), 1), ROWS_AT_ONCE)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _ahead_of(projection: Projection, usable: Vector, parameters: CapacityParameters) -> dict[str, Vector]:
    days = np.arange(parameters.horizon_days + 1)
    expected, upper = projection.expected(days), projection.upper(days)
    # The last day is over and known: only what is expected of it can be "over now".
    upper[:, 0] = expected[:, 0]
    # Without growth nothing runs out: peaks that pass the usable size already are a matter of size, not of time.
    growing = (projection.slope > 0)[:, None]
    soon = expected[:, : parameters.remaining_days + 1].max(axis=1)
    return {
        "projected_30d": expected[:, 30],
        "projected_30d_high": upper[:, 30],
        "time_remaining_days_expected": first_above(expected, usable),
        "time_remaining_days_conservative": first_above(np.where(growing, upper, expected), usable),
        "capacity_remaining": np.maximum(usable - soon, 0.0),
        "_needed": upper[:, : parameters.lasting_days + 1].max(axis=1),
    }
