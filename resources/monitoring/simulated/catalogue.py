"""What the simulated fleet is made of: flavours, storage tiers, and the roles with their day and week."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KIB, MIB, GIB = 2**10, 2**20, 2**30


@dataclass(frozen=True)
class Flavor:
    """A VM size that can be bought; each is dearer than the one before it in its family."""

    name: str
    vcpus: int
    memory_bytes: int
    disk_bytes: int


FLAVORS = {
    flavor.name: flavor
    for flavor in (
        Flavor("s1.small", 1, 2 * GIB, 40 * GIB),
        Flavor("s1.medium", 2, 4 * GIB, 80 * GIB),
        Flavor("s1.large", 4, 8 * GIB, 160 * GIB),
        Flavor("s1.xlarge", 8, 16 * GIB, 320 * GIB),
        Flavor("s1.2xlarge", 16, 32 * GIB, 640 * GIB),
        Flavor("s1.4xlarge", 32, 64 * GIB, 1280 * GIB),
        Flavor("s1.8xlarge", 64, 128 * GIB, 2560 * GIB),
        Flavor("m1.large", 2, 16 * GIB, 160 * GIB),
        Flavor("m1.xlarge", 4, 32 * GIB, 320 * GIB),
        Flavor("m1.2xlarge", 8, 64 * GIB, 640 * GIB),
    )
}
"""Name -> flavour. Family s1 has 2 GiB for a vCPU, m1 has 8; a step up doubles both."""

RATE_COLUMNS = (
    "disk_read_bytes_per_second",
    "disk_write_bytes_per_second",
    "network_receive_bytes_per_second",
    "network_transmit_bytes_per_second",
)
"""Columns that the fleet measures with counters, in the order of `Role.rates` and `Vm.rates`."""
RATE_FLOOR = 0.25
"""What a rate has left at night, as a share of what the day adds to it at its height."""


@dataclass(frozen=True)
class Tier:
    """A storage tier: its device on every node, and the median seconds of a read and a write when it is idle.

    The times are those a VM sees, through the hypervisor and its network.
    """

    name: str
    device: str
    read_seconds: float
    write_seconds: float


TIERS = (
    Tier("nvme", "/dev/nvme0n1", 0.0009, 0.0007),
    Tier("ssd", "/dev/sdb", 0.0022, 0.0028),
    Tier("hdd", "/dev/sdc", 0.012, 0.009),
)
"""Every node has each of these tiers."""


@dataclass(frozen=True)
class Role:
    """What a VM does: how much of its load is left at the weekend, and its usual mean rates in bytes/s."""

    name: str
    weekend: float
    whole_hours: bool
    """Its day begins at exact hours, as jobs do, rather than at any minute."""
    rates: tuple[float, float, float, float]
    tier: str
    """The storage tier that its disk is on."""
    block_bytes: int
    """How much one of its reads or writes moves."""


ROLES = {
    role.name: role
    for role in (
        Role("web", 0.6, False, (2e5, 4e5, 1.5e6, 6e6), "ssd", 32 * KIB),
        Role("db", 0.75, False, (4e6, 3e6, 1e6, 1.2e6), "nvme", 16 * KIB),
        Role("cache", 0.8, False, (5e4, 1e5, 3e6, 5e6), "nvme", 4 * KIB),
        Role("batch", 1.0, True, (6e6, 4e6, 8e5, 5e5), "hdd", 256 * KIB),
        Role("worker", 0.2, True, (5e5, 8e5, 6e5, 4e5), "ssd", 64 * KIB),
    )
}


def daily_shape(role: str, per_day: int) -> NDArray[np.float32]:
    """Return the load of `role` over a working day, 0 to 1, at `per_day` samples."""
    hour = np.arange(per_day) * (24.0 / per_day)
    if role == "worker":
        shape = ((hour >= 8) & (hour < 18)).astype(np.float64)
    elif role == "batch":
        shape = np.where((hour >= 1) & (hour < 3), 1.0, np.where((hour >= 13) & (hour < 14), 0.6, 0.0))
    elif role == "cache":
        shape = 0.5 + 0.5 * np.cos((hour - 15) * (np.pi / 12))
    else:
        shape = 1 / (1 + (np.abs(hour - 14) / 5.5) ** 6)
        if role == "db":
            # the nightly backup
            shape = np.maximum(shape, np.where((hour >= 2) & (hour < 2.5), 0.5, 0.0))
    return shape.astype(np.float32)
