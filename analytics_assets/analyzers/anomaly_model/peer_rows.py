"""Rows about VMs that behave unlike their peers: those of one flavour whose names differ only in their number.

A VM that was as odd on some of the days before does other work than its peers: that is no news.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.analyzers.anomaly_model.metric_rows import Span
from analytics_assets.analyzers.anomaly_model.parameters import AnomaliesParameters
from analytics_assets.kernels.anomaly.intervals import severity
from analytics_assets.kernels.matrix import HOURS_PER_DAY, row_mean
from analytics_assets.kernels.peers import PeerComparison, compare_with_peers
from analytics_assets.reports.words import count, quantity

PEER_DAYS = 7
"""Days before the day on which a VM is also compared with its peers."""

NUMBER = re.compile(r"[-_.]?\d+$")


def peer_groups(inventory: pa.Table, by: Literal["name", "flavor", "none"]) -> dict[str, str]:
    """Return the group of each VM that has one, from rows of `vm_inventory` of the day; its last row counts."""
    if by == "none":
        return {}
    groups: dict[str, str] = {}
    for row in sorted(inventory.to_pylist(), key=lambda row: (row["vm_id"], row["valid_from"])):
        role = role_of(row["vm_name"]) if by == "name" else row["flavor"]
        groups.pop(row["vm_id"], None)
        if role:
            groups[row["vm_id"]] = f"{role}, {row['flavor']}" if by == "name" and row["flavor"] else role
    return groups


def role_of(vm_name: str | None) -> str | None:
    """Return a VM's name without the number at its end: `web-03` and `web-12` are peers. None if it has none."""
    if vm_name is None or not NUMBER.search(vm_name):
        return None
    return NUMBER.sub("", vm_name) or None


def without_peers(vms: Sequence[str], groups: Mapping[str, str], minimum: int) -> int:
    """Return how many of the `vms` are in no group with so many of them."""
    members = Counter(groups[vm] for vm in vms if vm in groups)
    return len(vms) - sum(size for size in members.values() if size >= minimum)


def days_before(day_step: int, steps_per_hour: int) -> int:
    """Return how many whole days before the day there are to compare peers on, at most `PEER_DAYS`."""
    return min(PEER_DAYS, day_step // (steps_per_hour * HOURS_PER_DAY))


def peer_hours(values: NDArray[np.float32], day_step: int, steps_per_hour: int) -> NDArray[np.float32]:
    """Return the hourly means [entity, hour] of those days and of the whole hours of the day."""
    first = day_step - days_before(day_step, steps_per_hour) * HOURS_PER_DAY * steps_per_hour
    hours = (values.shape[1] - first) // steps_per_hour
    part = values[:, first : first + hours * steps_per_hour]
    return row_mean(part.reshape(len(values), hours, steps_per_hour)).astype(np.float32)


def peer_rows(
    metrics: Mapping[str, tuple[str, NDArray[np.float32], NDArray[np.int64]]],
    vms: Sequence[str],
    groups: Mapping[str, str],
    span: Span,
    parameters: AnomaliesParameters,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield a row for each new outlier: a VM in one of the `metrics`.

    These give unit, hourly means [VM, hour], which are those of `peer_hours`, and the day's buckets with samples [VM].
    """
    named = [groups.get(vm) for vm in vms]
    steps_per_hour = span.grid.steps_per_hour
    days = days_before(span.day_step, steps_per_hour)
    unwanted = {"up": "down", "down": "up"}.get(parameters.direction)
    for metric, (unit, hours, points) in metrics.items():

        def compared(days_back: int, hours: NDArray[np.float32] = hours, unit: str = unit) -> PeerComparison:
            first = (days - days_back) * HOURS_PER_DAY
            of_day = hours[:, first : first + HOURS_PER_DAY]
            return compare_with_peers(
                of_day, named, parameters.floor(unit), parameters.peer_tolerance, parameters.peers_minimum
            )

        found = compared(0)
        if not found.outlier.any():
            continue
        earlier = [compared(days_back).outlier for days_back in range(1, days + 1)]
        before = np.count_nonzero(np.reshape(earlier, (days, len(vms))), axis=0)
        for row in np.flatnonzero(found.outlier & (before < parameters.recurring_days_at_that_time)).tolist():
            score = float(found.distance[row] / found.limit[row])
            level, usual = float(found.level[row]), float(found.group_level[row])
            direction = "up" if level >= usual else "down"
            if direction == unwanted:
                continue
            peers = int(found.peers[row])
            away, limit = quantity(float(found.distance[row]), unit), quantity(float(found.limit[row]), unit)
            yield (
                row,
                {
                    "kind": "peer",
                    "metric": metric,
                    "unit": unit,
                    "status": "ok",
                    "start": span.day_ms,
                    "end": span.grid.end_ms,
                    "ongoing": False,
                    "severity": severity(score, 0),
                    "score": score,
                    "direction": direction,
                    "value": level,
                    "expected": usual,
                    "peers": peers,
                    "points": int(points[row]),
                    "days_alike": int(before[row]),
                    "why": (
                        f"median of {quantity(level, unit)}, where {count(peers, 'peer')} ({named[row]}) had "
                        f"{quantity(usual, unit)}; on average {away} away from them, up to {limit} is usual"
                    ),
                },
            )
