"""Which VM of a group that should behave alike does not, from one metric over a common window.

The group's behaviour is its median series: the median over the members, step by step. A VM's distance is the mean
absolute difference from it, in the metric's unit; an outlier is farther away than a multiple of the members' median
distance, and than a floor. Method: distance from the median series against tolerance x median distance, as Datadog's
outlier monitors describe it (monitor types, "Outlier", DBSCAN); floor and "no common behaviour" are our own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import row_mean, row_median

LARGEST_OUTLIER_SHARE = 1 / 3
"""Where more of a group's members differ, none of them is an outlier: the group has no common behaviour."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class PeerComparison:
    """One entry per VM. Where `reason` is not None there is no answer: the numbers but `steps` are NaN or 0."""

    outlier: NDArray[np.bool_]

    distance: Vector
    limit: Vector
    """Distance from the group's median series, and the distance from which on a VM is an outlier, in the unit."""

    level: Vector
    group_level: Vector
    """Median of the VM's values, and of the group's median series at the same steps, in the unit."""

    peers: NDArray[np.int64]
    """Other members compared."""

    steps: NDArray[np.int64]
    """Steps at which the VM could be compared."""

    reason: tuple[str | None, ...]


def compare_with_peers(
    values: NDArray[np.floating[Any]],
    groups: Sequence[str | None],
    floor: float,
    tolerance: float = 3.0,
    minimum_members: int = 3,
    minimum_overlap: float = 0.5,
) -> PeerComparison:
    """Compare each row of `values` [vm, step] with the rows that have the same entry in `groups` [vm].

    NaN and infinite values are missing. `floor` is the least distance of an outlier, in the metric's unit, and
    `tolerance` the least one in median distances of its group. A group needs `minimum_members` VMs, and a VM values
    at the share `minimum_overlap` of the steps at which so many members have one.
    Raises ValueError where the shapes do not fit or a limit makes no sense.
    """
    if values.ndim != 2 or len(groups) != len(values):
        raise ValueError(f"values have the shape {values.shape} for {len(groups)} groups; give [vm, step] and one each")
    if not floor >= 0 or not tolerance > 0 or minimum_members < 3 or not 0 < minimum_overlap <= 1:
        raise ValueError(
            f"floor {floor}, tolerance {tolerance}, minimum_members {minimum_members}, minimum_overlap "
            f"{minimum_overlap}; needs floor >= 0, tolerance > 0, at least 3 members, an overlap over 0 and at most 1"
        )
    finite = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    vms = len(finite)
    distance, limit, level, group_level = (np.full(vms, np.nan) for _ in range(4))
    outlier = np.zeros(vms, np.bool_)
    peers, steps = np.zeros(vms, np.int64), np.zeros(vms, np.int64)
    reason: list[str | None] = ["no group is known"] * vms
    members_of: dict[str, list[int]] = {}
    for vm, group in enumerate(groups):
        if group is not None:
            members_of.setdefault(group, []).append(vm)
    for group, members in members_of.items():
        rows = np.array(members)
        there = ~np.isnan(finite[rows])
        common = np.count_nonzero(there, axis=0) >= minimum_members
        steps[rows] = np.count_nonzero(there & common, axis=1)
        needed = max(1, int(np.ceil(minimum_overlap * np.count_nonzero(common))))
        compared = rows[steps[rows] >= needed]
        for vm in members:
            reason[vm] = _why_not(group, len(members), len(compared), int(steps[vm]), needed, minimum_members)
        if len(compared) < minimum_members:
            continue
        series = finite[compared][:, common]
        middle = row_median(series.T)
        distances = row_mean(np.abs(series - middle))
        farthest = max(floor, tolerance * float(np.median(distances)))
        far = distances > farthest
        if np.count_nonzero(far) > LARGEST_OUTLIER_SHARE * len(compared):
            for vm in compared:
                reason[vm] = (
                    f"{np.count_nonzero(far)} of {len(compared)} members of {group} differ from their median: "
                    "no common behaviour"
                )
            continue
        outlier[compared], distance[compared], limit[compared] = far, distances, farthest
        level[compared] = row_median(series)
        group_level[compared] = row_median(np.where(np.isnan(series), np.nan, middle))
        peers[compared] = len(compared) - 1
    return PeerComparison(outlier, distance, limit, level, group_level, peers, steps, tuple(reason))


def _why_not(group: str, members: int, compared: int, steps: int, needed: int, minimum_members: int) -> str | None:
    if members < minimum_members:
        return f"{group} has {members} members; needs {minimum_members}"
    if steps < needed:
        return f"{steps} steps in common with enough other members of {group}; needs {needed}"
    if compared < minimum_members:
        return f"{compared} members of {group} have enough samples; needs {minimum_members}"
    return None
