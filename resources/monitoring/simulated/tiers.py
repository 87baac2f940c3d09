"""The storage tiers under the VMs: whose disk is on which, and how many operations each can do.

A tier is sized by the VMs on it, with room for their busiest hour. Only one with an I/O storm is
too small: for the storm, never for its ordinary load.
"""

from collections.abc import Sequence

import numpy as np

from resources.monitoring.simulated.catalogue import RATE_COLUMNS, RATE_FLOOR, ROLES, TIERS, daily_shape
from resources.monitoring.simulated.vm import Vm

DISK_COLUMNS = RATE_COLUMNS[:2]
"""Columns of reads and writes, in the order of a tier's operations."""
NORMAL_BUSY = 0.3
"""Share of its operations that a tier is expected to do in the busiest hour."""
HIGHEST_BUSY = 0.5
"""The same for a tier that is sized to be too small for a storm."""
STORM_OVERLOAD = 1.1
"""What is asked of a tier in a storm, as a multiple of what it can do, at the least busy time."""
SMALLEST = 400.0

HOST_OPERATIONS = 4.0
"""Reads, and writes, per second that each node does on each tier for itself."""
HOST_BLOCK_BYTES = 4096

_HOURS = 24
_NUMBER = {tier.name: number for number, tier in enumerate(TIERS)}


def tier_of(vm: Vm) -> int:
    """Return the position in `TIERS` of the tier that the disk of `vm` is on."""
    return _NUMBER[ROLES[vm.role].tier]


def operations_for(vms: Sequence[Vm]) -> tuple[float, ...]:
    """Return the operations per second that each of `TIERS` can do under `vms`."""
    expected = np.zeros((len(TIERS), _HOURS))
    storms = np.zeros(len(TIERS))
    for vm in vms:
        if not vm.running:
            continue
        block = ROLES[vm.role].block_bytes
        shape = daily_shape(vm.role, _HOURS).astype(np.float64) + RATE_FLOOR
        mean = sum(vm.rate(column) for column in DISK_COLUMNS) / block
        expected[tier_of(vm)] += mean * shape / shape.mean()
        for incident in vm.incidents:
            if incident.kind == "io_storm":
                added = [d.value for d in vm.disturbances if d.span == incident.span and d.column in DISK_COLUMNS]
                storms[tier_of(vm)] = sum(added) / block
    sizes = []
    for tier in range(len(TIERS)):
        highest, lowest = expected[tier].max(), expected[tier].min()
        size = highest / NORMAL_BUSY
        if storms[tier]:
            size = max(highest / HIGHEST_BUSY, min(size, (storms[tier] + lowest) / STORM_OVERLOAD))
        sizes.append(max(SMALLEST, float(size)))
    return tuple(sizes)
