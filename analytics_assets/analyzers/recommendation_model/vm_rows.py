"""The rows of a tenant's VMs: each one's decision with what it saves, how sure it is, and what it was read from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.recommendation_model.catalogue import GIB, Catalogue, Need, Size
from analytics_assets.analyzers.recommendation_model.history import Replay
from analytics_assets.analyzers.recommendation_model.parameters import RecommendationsParameters
from analytics_assets.analyzers.recommendation_model.vm_decisions import Decision, Vm, decide, described

Row = dict[str, Any]
SHRINKING = ("oversized", "burstable")


@dataclass(frozen=True)
class VmCase:
    """A VM with its capacity rows by resource."""

    vm_id: str
    vm: Vm
    capacity: Mapping[str, Row]


def vm_case(
    vm_id: str,
    capacity: Mapping[str, Row],
    flavor: str | None,
    use: tuple[float, float],
    idle_days: int,
    limits: CapacityParameters,
) -> VmCase:
    """Return the VM of `capacity`, its rows by resource.

    `use` is mean and 95th percentile of its CPU, in cores; `limits` are those of the size classes.
    """
    disk_lasts = capacity["disk"]["time_remaining_days_conservative"]
    number = {name: _number(row["physical"]) for name, row in capacity.items()}
    need = {name: _number(row["size_needed"]) for name, row in capacity.items()}
    total = {name: _number(row["recommended_total"]) for name, row in capacity.items()}
    share = limits.oversized_percent / 100
    vm = Vm(
        size_class=capacity["cpu"]["size_class"],
        size_reason=capacity["cpu"]["size_reason"],
        size=Size(number["cpu"], number["memory"], number["disk"], flavor or ""),
        need=Need(need["cpu"], need["memory"], *use),
        disk_need=total["disk"],
        disk_short=disk_lasts is not None and disk_lasts < limits.undersized_days,
        shrinks=all(total[name] <= share * number[name] for name in ("cpu", "memory")),
        idle_days=idle_days,
    )
    return VmCase(vm_id, vm, capacity)


def decisions(cases: Sequence[VmCase], catalogue: Catalogue, parameters: RecommendationsParameters) -> list[Decision]:
    """Return what to do with each VM, but for resizes that save too little."""
    found = []
    for case in cases:
        decision = decide(case.vm, catalogue, parameters.zombie_days)
        saved = monthly_savings(case.vm, decision, catalogue, parameters)
        little = saved is not None and saved < parameters.minimum_monthly_savings
        if decision.action == "resize" and decision.size_class in SHRINKING and little:
            why = f"saves {saved:.2f} {parameters.currency} a month, less than {parameters.minimum_monthly_savings:g}"
            decision = replace(decision, action="none", to=None, reason=why)
        found.append(decision)
    return found


def monthly_savings(
    vm: Vm, decision: Decision, catalogue: Catalogue, parameters: RecommendationsParameters
) -> float | None:
    """Return what the decision saves in a month (below 0: costs), None where something has no price."""
    before = catalogue.hourly_price(vm.size)
    if decision.action == "reclaim":
        # A VM that is switched off uses nothing but its disk.
        price = catalogue.disk_price(vm.size) if decision.size_class == "powered_off" else before
        return None if price is None else price * parameters.hours_per_month
    if decision.to is None:
        return None
    after = catalogue.hourly_price(decision.to)
    return None if before is None or after is None else (before - after) * parameters.hours_per_month


def vm_rows(
    cases: Sequence[VmCase],
    found: Sequence[Decision],
    played: Replay,
    catalogue: Catalogue,
    parameters: RecommendationsParameters,
) -> list[Row]:
    """Return the rows of the VMs; `played` is the replay of each VM on the size that is recommended, or on its own."""
    return [
        _row(case, decision, number, played, catalogue, parameters)
        for number, (case, decision) in enumerate(zip(cases, found, strict=True))
    ]


def _row(
    case: VmCase,
    decision: Decision,
    number: int,
    played: Replay,
    catalogue: Catalogue,
    parameters: RecommendationsParameters,
) -> Row:
    cpu, vm, to = case.capacity["cpu"], case.vm, decision.to
    saved = monthly_savings(vm, decision, catalogue, parameters)
    known = decision.size_class != "insufficient_data"
    row: Row = {
        "entity_kind": "vm", "entity_id": case.vm_id, "resource": "size", "action": decision.action,
        "size_class": decision.size_class,
        "status": "ok" if known else cpu["status"] if cpu["status"] != "ok" else "insufficient_data",
        "reason": decision.reason or None,
        "severity": _severity(decision),
        "vcpus_from": _null(vm.size.vcpus), "memory_bytes_from": _null(vm.size.memory_bytes),
        "disk_bytes_from": _null(vm.size.disk_bytes), "flavor_from": vm.size.flavor or None,
        "monthly_savings": saved, "currency": parameters.currency if saved is not None else None,
        "savings_reason": None if saved is not None else _unpriced(decision, catalogue),
        "cpu_minutes_above": _null(played.cpu_minutes[number]),
        "memory_minutes_above": _null(played.memory_minutes[number]),
        "replay_hours": int(played.hours[number]),
        "worst_hour": int(played.worst_hour_ms[number]) if played.worst_hour_ms[number] >= 0 else None,
        "worst_hour_percent": _null(played.worst_percent[number]),
        "days_used": cpu["days_used"], "coverage": cpu["coverage"],
    }  # fmt: skip
    if to is not None:
        row |= {
            "vcpus_to": to.vcpus, "memory_bytes_to": to.memory_bytes, "disk_bytes_to": _null(to.disk_bytes),
            "flavor_to": to.flavor or None,
        }  # fmt: skip
    elif decision.action == "reclaim":
        row |= {"vcpus_to": 0.0, "memory_bytes_to": 0.0, "disk_bytes_to": 0.0}
    row["confidence"] = confidence(row, parameters) if known else "none"
    row["evidence"] = _evidence(case, decision, row)
    return row


def _severity(decision: Decision) -> str:
    if decision.action == "none":
        return "none"
    if decision.size_class == "undersized":
        return "high"
    return "medium" if decision.size_class in ("zombie", "powered_off") else "low"


def confidence(row: Row, parameters: RecommendationsParameters) -> str:
    """Return how sure a recommendation is, by days with data, coverage, and minutes above in its replay."""
    days, coverage = row["days_used"], row["coverage"] or 0.0
    if row["size_class"] == "powered_off":
        return "high"  # it is the inventory that says so, and needs no samples
    above = row.get("memory_minutes_above") or 0.0
    if days < parameters.medium_confidence_days or coverage < parameters.medium_confidence_coverage or above:
        return "low"
    if days < parameters.high_confidence_days or coverage < parameters.high_confidence_coverage:
        return "medium"
    return "high"


def _unpriced(decision: Decision, catalogue: Catalogue) -> str:
    if decision.action == "none":
        return "nothing is changed"
    if not catalogue.prices:
        return "no price list"
    if decision.size_class == "powered_off":
        return "the price list has no price for its disk, or its size is unknown"
    return "the price list has neither its flavour nor vcpu and memory_gib"


def _evidence(case: VmCase, decision: Decision, row: Row) -> str:
    cpu, memory = case.capacity["cpu"], case.capacity["memory"]
    parts = [decision.grounds or ""]
    if decision.size_class == "zombie":
        parts.append(f"idle on each of the last {case.vm.idle_days} days")
    if decision.size_class not in ("insufficient_data", "powered_off"):
        parts.append(
            f"{cpu['days_used']} of {cpu['window_days']} days, coverage {100 * (cpu['coverage'] or 0):.0f} %: CPU p95 "
            f"{_said(cpu['demand_p95'])} and highest {_said(cpu['demand_peak'])} cores, memory at most "
            f"{_said(memory['demand_peak'], GIB)} GiB"
        )
    if decision.to is not None and row["worst_hour"] is not None:
        at = datetime.fromtimestamp(row["worst_hour"] / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        parts.append(
            f"on {described(decision.to)} about {row['cpu_minutes_above']:.0f} min above its CPU and "
            f"{row['memory_minutes_above']:.0f} min above its memory in {row['replay_hours']} h, at most "
            f"{row['worst_hour_percent']:.0f} % full ({at})"
        )
    return "; ".join(part for part in parts if part)


def _said(value: float | None, unit: float = 1.0) -> str:
    return "?" if value is None else f"{value / unit:.3g}"


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _null(value: float | np.floating[Any]) -> float | None:
    return None if math.isnan(value) else float(value)
