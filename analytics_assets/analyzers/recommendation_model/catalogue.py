"""The flavours that can be had, and what things cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

GIB = 2**30
VCPU, MEMORY_GIB, DISK_GIB = "vcpu", "memory_gib", "disk_gib"


class Flavor(BaseModel):
    """A size that VMs can be made in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200, description="As the inventory names it.")
    vcpus: float = Field(gt=0, le=1e5, description="Virtual CPUs.")
    memory_gib: float = Field(gt=0, le=1e6, description="Memory, in GiB.")
    baseline_percent: float | None = Field(
        None, gt=0, le=100, description="Burstable: share of its vCPUs that it may use all the time, in percent."
    )

    @property
    def memory_bytes(self) -> float:
        return self.memory_gib * GIB

    @property
    def baseline_cores(self) -> float:
        """Cores that may be used all the time."""
        return self.vcpus * (100.0 if self.baseline_percent is None else self.baseline_percent) / 100


class Price(BaseModel):
    """What one thing costs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: str = Field(min_length=1, max_length=200, description="A flavour's name, or vcpu, memory_gib or disk_gib.")
    price_per_hour: float = Field(ge=0, le=1e9, description="In the currency, by the hour.")


@dataclass(frozen=True)
class Size:
    """A VM's size; `flavor` is empty for a free one, `disk_bytes` NaN where unknown."""

    vcpus: float
    memory_bytes: float
    disk_bytes: float
    flavor: str = ""


@dataclass(frozen=True)
class Need:
    """What a VM needs at least, and its CPU use over the window (in cores), which a burstable flavour is judged by."""

    vcpus: float
    memory_bytes: float
    mean_cores: float
    p95_cores: float


class Catalogue:
    """Flavours and prices together."""

    def __init__(self, flavors: Sequence[Flavor], prices: Sequence[Price]) -> None:
        self.flavors = {flavor.name: flavor for flavor in flavors}
        self.prices = {price.item: price.price_per_hour for price in prices}
        self._cost = self._costs()

    def hourly_price(self, size: Size) -> float | None:
        """Return what a VM of `size` costs an hour: its flavour's price, else its vCPUs' and memory's; and its disk's.

        None where neither has a price. A disk is free where disks have none or its size is unknown.
        """
        price = self.prices.get(size.flavor)
        if price is None:
            vcpu, gib = self.prices.get(VCPU), self.prices.get(MEMORY_GIB)
            if vcpu is None or gib is None:
                return None
            price = vcpu * size.vcpus + gib * size.memory_bytes / GIB
        disk = self.disk_price(size)
        return price + (disk or 0.0)

    def disk_price(self, size: Size) -> float | None:
        """Return what the disk alone costs an hour, None where disks have no price or its size is unknown."""
        if DISK_GIB not in self.prices or not size.disk_bytes >= 0:
            return None
        return self.prices[DISK_GIB] * size.disk_bytes / GIB

    def is_burstable(self, name: str) -> bool:
        return name in self.flavors and self.flavors[name].baseline_percent is not None

    def best_fit(self, need: Need, within: Size | None = None) -> Flavor | None:
        """Return the cheapest flavour that holds `need` and is `within` a size, if one is given; None where none does.

        A burstable one must give the mean all the time and the 95th percentile at twice its baseline. Without a
        price for every flavour, the one with the fewest vCPUs, then the least memory, counts as cheapest.
        """
        fitting = [
            flavor
            for flavor in self.flavors.values()
            if self._holds(flavor, need)
            and (within is None or (flavor.vcpus <= within.vcpus and flavor.memory_bytes <= within.memory_bytes))
        ]
        return min(fitting, key=lambda flavor: self._cost[flavor.name], default=None)

    def _costs(self) -> dict[str, tuple[float, float, float, str]]:
        prices = {name: self.hourly_price(_size(flavor)) for name, flavor in self.flavors.items()}
        priced = all(price is not None for price in prices.values())
        return {
            name: ((prices[name] or 0.0) if priced else 0.0, flavor.vcpus, flavor.memory_gib, name)
            for name, flavor in self.flavors.items()
        }

    @staticmethod
    def _holds(flavor: Flavor, need: Need) -> bool:
        if flavor.vcpus < need.vcpus or flavor.memory_bytes < need.memory_bytes:
            return False
        if flavor.baseline_percent is None:
            return True
        return need.mean_cores <= flavor.baseline_cores and need.p95_cores <= 2 * flavor.baseline_cores


def _size(flavor: Flavor) -> Size:
    return Size(flavor.vcpus, flavor.memory_bytes, float("nan"), flavor.name)
