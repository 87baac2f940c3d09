"""From the hourly demand for one resource, and what there is of it, to the columns of the capacity table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.capacity_model.scenarios import Effects
from analytics_assets.kernels.coverage import coverage_of, has_recent
from analytics_assets.kernels.matrix import HOURS_PER_DAY, Floats, row_max, row_mean, row_quantile
from analytics_assets.kernels.projection import Projection, first_above, project
from analytics_assets.kernels.sizing.peaks import Hours, bucket_quantile, hourly_peaks
from analytics_assets.kernels.sizing.rule import Peaks, needed

RECENT_DAYS = 7
ROWS_AT_ONCE = 4_000
CPU_SHARE_ABOVE = 0.005
"""At most this share of the window's CPU samples lies above a recommended size: CPU that lacks only waits."""

ABOVE_ROUNDING = 1 + 1e-9
"""A recommended size is this much more, so that its usable part is not below the need by rounding."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Demand:
    """Hourly demand [entity, hour] in the resource's unit, and the samples behind it, per entity.

    Each hour was summarized from so many `buckets`. Of entities that are `infinite` infinite samples are left out.
    """

    mean: Floats
    maximum: Floats
    p95: Floats
    seen: NDArray[np.int64]
    expected: NDArray[np.int64]
    buckets: int = 12
    infinite: NDArray[np.bool_] | None = None

    def of(self, entities: Sequence[int]) -> "Demand":
        """Return the demand of the entities at these positions."""
        at = np.asarray(entities, dtype=np.int64)
        infinite = None if self.infinite is None else self.infinite[at]
        hourly = (self.mean[at], self.maximum[at], self.p95[at])
        return Demand(*hourly, self.seen[at], self.expected[at], self.buckets, infinite)

    @property
    def hours(self) -> Hours:
        return Hours(self.mean, self.p95, self.maximum, self.buckets)


@dataclass(frozen=True)
class Supply:
    """What there is, per entity: `physical`, what is `allocated` of it, and why there is no `physical` (or None).

    So many times what there is may be allocated, less the reserve for failures; NaN: without limit.
    """

    physical: Vector
    allocated: Vector
    missing: NDArray[np.object_]
    overcommit: float = math.nan

    def of(self, entities: Sequence[int]) -> "Supply":
        """Return the supply of the entities at these positions."""
        at = np.asarray(entities, dtype=np.int64)
        return Supply(self.physical[at], self.allocated[at], self.missing[at], self.overcommit)


@dataclass(frozen=True)
class ResourceRows:
    """The `columns` of one resource, and what the size classes read besides.

    `p95` and `high` (the 99th percentile) are those of all buckets, NaN but for a resource with a sizing rule; `peak`
    is the highest, and `hours` the number of hours with samples.
    """

    columns: dict[str, Any]
    p95: Vector
    high: Vector
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
    at_least: Literal["", "rule", "peak"] = "",
    changes: Effects | None = None,
) -> ResourceRows:
    """Return the rows of one resource for some entities, with the `changes` of scenarios if there are some.

    `at_least` says what the recommended size covers besides the projection: what the sizing `rule`
    (`kernels/sizing/rule.py`) asks for and all but 0.5 % of the time, or the `peak` times the headroom.
    `cpu` sizes of VMs are then whole vCPUs.
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
    demand_p95 = row_quantile(demand.p95[:, recent], 0.95)
    peak = row_max(demand.maximum)
    p95, high = np.full(entities, np.nan), np.full(entities, np.nan)
    if at_least == "rule":
        hours = demand.hours
        p95 = np.fmax(bucket_quantile(hours, 0.95), bucket_quantile(hours.columns(recent), 0.95))
        high = hourly_peaks(hours).high
    usable_share = parameters.usable_share(node=node)
    added = 0.0 if changes is None else changes.added
    physical = supply.physical + added
    allocated = supply.allocated + (0.0 if changes is None or changes.planned else changes.allocated)
    if changes is not None:
        _say_removed(reason, known, changes, supply.allocated, demand_p95, unit)
    projection = project(
        daily,
        minimum_days=parameters.minimum_days,
        significance=parameters.significance,
        minimum_change_share=parameters.minimum_change_share,
        bound_share=parameters.bound_share,
    )
    ahead = _ahead(projection, supply.physical, usable_share, parameters, changes)
    lasting, soon = (ahead.pop(name) / usable_share * ABOVE_ROUNDING for name in ("_lasting", "_soon"))
    if at_least == "rule":
        # The size that is there says nothing of the size that is needed: a fresh one must be needed just the same.
        need = needed(Peaks(high, peak), np.full(entities, np.nan), parameters.size_rule)
        peak_need = np.fmax(need, bucket_quantile(demand.hours, 1 - CPU_SHARE_ABOVE))
    else:
        peak_need = peak * parameters.size_headroom if at_least else np.full(entities, np.nan)
    whole = resource == "cpu" and bool(at_least)
    ahead["recommended_total"] = _at_least(lasting, peak_need, whole=whole)
    ahead["size_needed"] = _at_least(soon, peak_need, whole=whole) if at_least else np.full(entities, np.nan)
    sized = physical > 0
    utilization = np.where(sized, 100 * demand_p95 / np.where(sized, physical, 1.0), np.nan)
    limit = supply.overcommit * physical * (1 - parameters.reserve_percent(node=node) / 100)
    planned = np.full(entities, np.nan) if changes is None or not changes.planned else changes.on_once_begun(demand_p95)
    columns = {
        "resource": np.full(entities, resource, dtype=object),
        "unit": np.full(entities, unit, dtype=object),
        "status": status,
        "reason": reason,
        "level": _levels(ahead["time_remaining_days_conservative"], known, parameters),
        "use_level": _use_levels(utilization, known, parameters),
        "physical": physical,
        "usable": physical * usable_share,
        "allocated": np.maximum(allocated, 0.0),
        "allocation_limit": limit,
        "allocation_remaining": np.maximum(limit - allocated, 0.0),
        "committed": planned - demand_p95,
        "demand_mean": row_mean(demand.mean[:, recent]),
        "demand_p95": demand_p95,
        "demand_peak": peak,
        "utilization_percent": utilization,
        "slope_per_day": np.where(known, projection.slopes.slope, np.nan),
        "direction": np.where(known, projection.direction, "unknown"),
        **{name: np.where(known, values, np.nan) for name, values in ahead.items()},
        "average_vms_fit": np.full(entities, np.nan),
        "profile_vms_fit": np.full(entities, np.nan),
        "horizon_days": np.full(entities, parameters.horizon_days, np.int32),
        "window_days": np.full(entities, parameters.window_days, np.int32),
        "days_used": days_used.astype(np.int32),
        "coverage": coverage,
    }
    return ResourceRows(columns, p95, high, peak, np.count_nonzero(~np.isnan(demand.p95), axis=1))


def _say_removed(
    reason: NDArray[np.object_],
    known: NDArray[np.bool_],
    changes: Effects,
    allocated: Vector,
    demand_p95: Vector,
    unit: str,
) -> None:
    """Add as the reason of rows with an answer what their scenario removes and is not there."""
    there = {"demanded": demand_p95 * changes.growth[:, -1]}
    removed = {"demanded": -changes.demand[:, -1]}
    if not changes.planned:
        there["allocated"], removed["allocated"] = allocated, -changes.allocated
    for row in np.flatnonzero(known):
        reason[row] = "; ".join(
            f"removes {removed[name][row]:.4g} of {values[row]:.4g} {unit} {name}: none is left"
            for name, values in there.items()
            if removed[name][row] > values[row] * ABOVE_ROUNDING
        ) or None  # fmt: skip


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
    if demand.infinite is not None:
        status[demand.infinite], reason[demand.infinite] = "insufficient_data", "infinite samples: the use has no size"
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


def _at_least(size: Vector, need: Vector, *, whole: bool) -> Vector:
    """Return the larger of both, as whole vCPUs, at least one, if it is to be `whole`."""
    larger = np.fmax(size, need)
    return np.maximum(np.ceil(larger), 1.0) if whole else larger


def _use_levels(utilization: Vector, known: NDArray[np.bool_], parameters: CapacityParameters) -> NDArray[np.str_]:
    limits = [parameters.use_warning_percent, parameters.use_critical_percent]
    share = np.where(np.isnan(utilization), 0.0, utilization)
    level = np.array(["ok", "warning", "critical"])[np.searchsorted(limits, share, side="right")]
    return np.where(known, level, "unknown")


def _ahead(
    projection: Projection, physical: Vector, share: float, parameters: CapacityParameters, changes: Effects | None
) -> dict[str, Vector]:
    """Return what the projection says of the days ahead, some rows at a time: a year of days is wide."""
    parts = [
        _ahead_of(
            projection.rows(slice(start, start + ROWS_AT_ONCE)),
            physical[start : start + ROWS_AT_ONCE],
            share,
            parameters,
            None if changes is None else changes.rows(slice(start, start + ROWS_AT_ONCE)),
        )
        for start in range(0, max(len(physical), 1), ROWS_AT_ONCE)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _ahead_of(
    projection: Projection, physical: Vector, share: float, parameters: CapacityParameters, changes: Effects | None
) -> dict[str, Vector]:
    days = np.arange(parameters.horizon_days + 1)
    expected, upper = projection.expected(days), projection.upper(days)
    # The last day is over and known: only what is expected of it can be "over now".
    upper[:, 0] = expected[:, 0]
    soon = expected[:, : parameters.remaining_days + 1].max(axis=1)
    # Without growth nothing runs out: peaks that pass the usable size already are a matter of size, not of time.
    bound = np.where((projection.slope > 0)[:, None], upper, expected)
    usable, coming, added = physical * share, np.zeros((1, 1)), np.zeros(1)
    if changes is not None:
        expected, upper, bound = changes.on(expected), changes.on(upper), changes.on(bound)
        soon, coming, added = changes.on_once_begun(soon), changes.supply[:, :-1] * share, changes.added * share
    return {
        "projected_30d": expected[:, 30],
        "projected_30d_high": upper[:, 30],
        # What comes on a later day is taken off the demand from then on: the usable size is that of today.
        "time_remaining_days_expected": first_above(expected - coming, usable),
        "time_remaining_days_conservative": first_above(bound - coming, usable),
        "capacity_remaining": np.maximum(usable + added - soon, 0.0),
        "_lasting": upper[:, : parameters.lasting_days + 1].max(axis=1),
        "_soon": upper[:, : parameters.resize_days + 1].max(axis=1),
    }
