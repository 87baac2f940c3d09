"""How many VMs still fit: average ones, and ones of a size that was asked for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters

Vector = NDArray[np.float64]


def add_fitting(
    columns: dict[str, Any], resource: str, average_demand: float, average_size: float, parameters: CapacityParameters
) -> None:
    """Fill in how many VMs fit into what remains of each of the `columns`' entities.

    A VM fits while its demand does (of the average one that runs `average_demand`, of one that was asked for its whole
    size), and its size into what may still be allocated, where that is limited. NaN where it is not known.
    """
    wanted = parameters.profile(resource)
    columns["average_vms_fit"] = _fit(columns, average_demand, average_size)
    columns["profile_vms_fit"] = _fit(columns, wanted, wanted)


def _fit(columns: dict[str, Any], demand: float, size: float) -> Vector:
    known = columns["status"] == "ok"
    remaining, allocatable = columns["capacity_remaining"], columns["allocation_remaining"]
    by_demand = remaining / demand if demand > 0 else np.full(len(remaining), np.nan)
    by_size = allocatable / size if size > 0 else np.full(len(remaining), np.nan)
    fewest = np.where(np.isnan(by_size), by_demand, np.minimum(by_demand, by_size))
    return np.where(known & (demand > 0), np.floor(fewest + 1e-9), np.nan)
