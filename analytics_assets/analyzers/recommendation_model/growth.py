"""What runs out and needs more capacity: nodes, storage tiers and tenants, from the rows of `capacity`."""

from collections.abc import Iterable, Iterator
from typing import Any

from analytics_assets.analyzers.recommendation_model.catalogue import GIB
from analytics_assets.analyzers.recommendation_model.parameters import RecommendationsParameters
from analytics_assets.analyzers.recommendation_model.vm_rows import Row, confidence

SEVERITIES = {"critical": "critical", "immediate": "high", "warning": "medium"}
COLUMNS = {"cpu": "vcpus", "memory": "memory_bytes", "disk": "disk_bytes"}


def growth_rows(capacity: Iterable[Row], parameters: RecommendationsParameters) -> Iterator[Row]:
    """Yield a row for each resource of what is no VM: `add_capacity` where it runs out within the warning time."""
    for row in capacity:
        if row["entity_kind"] == "vm":
            continue
        known = row["status"] == "ok"
        short = known and row["level"] in SEVERITIES and row["recommended_total"] is not None
        found: Row = {
            "entity_kind": row["entity_kind"], "entity_id": row["entity_id"], "resource": row["resource"],
            "action": "add_capacity" if short else "none", "size_class": None,
            "status": row["status"], "reason": row["reason"] if not known else None if short else _lasts(row),
            "severity": SEVERITIES[row["level"]] if short else "none",
            f"{COLUMNS[row['resource']]}_from": row["physical"],
            "savings_reason": "capacity has no price here" if short else "nothing is changed",
            "days_used": row["days_used"], "coverage": row["coverage"], "evidence": _evidence(row),
        }  # fmt: skip
        if short:
            found[f"{COLUMNS[row['resource']]}_to"] = max(row["recommended_total"], row["physical"])
        found["confidence"] = confidence(found, parameters) if known else "none"
        yield found


def _lasts(row: Row) -> str:
    return (
        f"lasts longer than {row['horizon_days']} days"
        if row["time_remaining_days_conservative"] is None
        else (f"lasts {row['time_remaining_days_conservative']:.0f} days")
    )


def _evidence(row: Row) -> str:
    if row["status"] != "ok":
        return str(row["reason"])

    unit, name_of_unit = (GIB, "GiB") if row["unit"] == "bytes" else (1, row["unit"])

    def said(name: str) -> str:
        value: Any = row[name]
        return "unknown" if value is None else f"{value / unit:.4g}"

    return (
        f"{row['days_used']} of {row['window_days']} days: daily p95 {said('demand_p95')} of {said('usable')} usable "
        f"{name_of_unit}, {row['direction']} by {said('slope_per_day')} a day; "
        f"in 30 days {said('projected_30d')} expected and at most {said('projected_30d_high')}"
    )
