"""How large each VM was when, and whether it ran, from the inventory's rows of some days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from analytics_assets.kernels.held_values import held_values, latest_values
from analytics_assets.kernels.matrix import Grid, positions
from resources.partition import DAY_MS

COLUMNS = ("vm_id", "valid_from", "vcpus", "memory_bytes", "disk_bytes", "state")
SIZES = {"cpu": "vcpus", "memory": "memory_bytes", "disk": "disk_bytes"}


@dataclass(frozen=True)
class Sizes:
    """Sizes of some VMs.

    `at_end` (resource -> size) is what holds at the day's end, NaN where unknown; `ever` (resource
    -> bool) whether any day knew one; `vcpus` [VM, hour] the vCPUs of each hour; `stopped`
    [VM, hour] is 1 where the VM was stopped, 0 where not, NaN where unknown; `listed` whether the day's
    inventory has a size of it at all, and `there` whether it has it at all.
    """

    at_end: dict[str, NDArray[np.float64]]
    ever: dict[str, NDArray[np.bool_]]
    vcpus: NDArray[np.float32]
    stopped: NDArray[np.float32]
    listed: NDArray[np.bool_]
    there: NDArray[np.bool_]

    def gone(self, recent: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the VMs that are no more: not `recent` in what was measured, and not in the day's inventory either.

        Where the inventory has no VM at all it was not looked at, and none is known to be gone.
        """
        return ~self.there & ~recent & bool(self.there.any())


def vm_sizes(inventory: pa.Table, day: date, grid: Grid, vms: Sequence[str]) -> Sizes:
    """Return the sizes of `vms` from rows of the inventory (with their `day`), of which `day` is the last.

    A VM had its first known vCPUs before that row too; of a row that two days tell differently the
    later day's counts. What a day says at its midnight holds then, whatever a day before said, so that a
    VM which one day's inventory lacked has its size back the next day.
    """
    order = pc.sort_indices(inventory.column("day"))
    rows = inventory.take(order)
    midnight = np.asarray(rows.column("day").cast(pa.int32()).combine_chunks(), dtype=np.int64) * DAY_MS
    since = np.asarray(rows.column("valid_from").cast(pa.int64()).combine_chunks(), dtype=np.int64)
    rows = pa.concat_tables([rows, rows])
    vm = positions(rows.column("vm_id"), vms)
    since = np.r_[since, np.maximum(since, midnight)]
    today = np.asarray(pc.equal(rows.column("day"), pa.scalar(day, pa.date32())))
    values = {
        resource: np.asarray(rows.column(column).cast(pa.float64()).to_numpy(), dtype=np.float64)
        for resource, column in SIZES.items()
    }
    now = np.where(today, vm, -1)
    at_end = {resource: latest_values(now, since, sizes, len(vms)) for resource, sizes in values.items()}
    there = np.zeros(len(vms), dtype=bool)
    there[now[now >= 0]] = True
    ever = {}
    for resource, sizes in values.items():
        ever[resource] = np.zeros(len(vms), dtype=bool)
        ever[resource][vm[(vm >= 0) & (sizes > 0)]] = True
    vcpus = held_values(vm, since, values["cpu"], (len(vms), grid))
    known = ~np.isnan(vcpus)
    begin = np.argmax(known, axis=1)
    first = vcpus[np.arange(len(vms)), begin]
    state = rows.column("state").cast(pa.string())
    stopped = np.asarray(pc.equal(state, "stopped").cast(pa.float64()).to_numpy(), dtype=np.float64)
    told = np.asarray(pc.not_equal(state, "unknown").to_numpy(), dtype=bool)
    return Sizes(
        at_end=at_end,
        ever=ever,
        vcpus=np.where(np.arange(grid.count) < begin[:, None], first[:, None], vcpus),
        stopped=held_values(vm, since, np.where(told, stopped, np.nan), (len(vms), grid)),
        listed=np.any([~np.isnan(sizes) for sizes in at_end.values()], axis=0),
        there=there,
    )
