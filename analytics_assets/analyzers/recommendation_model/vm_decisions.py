"""What to do with one VM: the class it has, and the size that fits it.

| class | what is recommended |
|---|---|
| insufficient_data, optimal | nothing |
| powered_off, idle, zombie (idle on each of 30 days) | reclaim |
| undersized | the cheapest flavour that holds the need; without flavours the need, and less of nothing |
| oversized | the cheapest flavour that holds the need, if it is cheaper than the VM is now; without flavours the need |
| burstable | the same, where that flavour is a burstable one and the VM is not on one |

Classes and needs are those of `capacity`. With flavours, an oversized VM is one for which there is a cheaper
flavour, and of which `capacity` says neither that it is idle nor that something is short. Class names after
AWS Compute Optimizer's findings and Google's idle VM recommender.
"""

import math
from dataclasses import dataclass, replace

from analytics_assets.analyzers.recommendation_model.catalogue import GIB, Catalogue, Flavor, Need, Size

MIB = 2**20


@dataclass(frozen=True)
class Vm:
    """A VM as `capacity` sees it: its class and why, its size, and the size it needs (NaN where unknown)."""

    size_class: str
    size_reason: str
    size: Size
    need: Need
    disk_need: float = math.nan
    disk_short: bool = False
    idle_days: int = 0


@dataclass(frozen=True)
class Decision:
    """What to do: `to` is the size after a resize, None otherwise; `reason` says why nothing else is done."""

    action: str
    size_class: str
    to: Size | None = None
    reason: str = ""


def decide(vm: Vm, catalogue: Catalogue, zombie_days: int) -> Decision:
    """Return what to do with `vm`."""
    if vm.size_class in ("powered_off", "idle"):
        zombie = vm.size_class == "idle" and vm.idle_days >= zombie_days
        return Decision("reclaim", "zombie" if zombie else vm.size_class)
    if vm.size_class == "insufficient_data":
        return Decision("none", vm.size_class, reason=vm.size_reason)
    if vm.size_class == "undersized":
        return Decision("resize", vm.size_class, *_enough(vm, catalogue))
    if not catalogue.flavors:
        if vm.size_class == "oversized":
            return Decision("resize", vm.size_class, _free(vm))
        return Decision("none", "optimal")
    fitting = catalogue.best_fit(vm.need)
    if fitting is None or not _cheaper(fitting, vm, catalogue):
        return Decision("none", "optimal", reason="no cheaper flavour holds what it needs")
    present = catalogue.flavors.get(vm.size.flavor)
    burstable = fitting.baseline_percent is not None and (present is None or present.baseline_percent is None)
    return Decision("resize", "burstable" if burstable else "oversized", _of(fitting, vm.size))


def _free(vm: Vm) -> Size:
    """Return the need as a size: vCPUs are whole, and memory is in whole MiB."""
    return replace(vm.size, vcpus=vm.need.vcpus, memory_bytes=_whole_mib(vm.need.memory_bytes), flavor="")


def _enough(vm: Vm, catalogue: Catalogue) -> tuple[Size, str]:
    """Return a size that is short of nothing, and why it is of no flavour where there are some."""
    disk = max(vm.size.disk_bytes, _whole_mib(vm.disk_need)) if vm.disk_short else vm.size.disk_bytes
    fits = vm.size.vcpus >= vm.need.vcpus and vm.size.memory_bytes >= vm.need.memory_bytes
    if vm.disk_short and fits:
        return replace(vm.size, disk_bytes=disk), ""
    fitting = catalogue.best_fit(vm.need)
    if fitting is not None:
        return replace(_of(fitting, vm.size), disk_bytes=disk), ""
    more = Size(max(vm.size.vcpus, vm.need.vcpus), max(vm.size.memory_bytes, _whole_mib(vm.need.memory_bytes)), disk)
    return more, "no flavour is large enough" if catalogue.flavors else ""


def _of(flavor: Flavor, size: Size) -> Size:
    return Size(flavor.vcpus, flavor.memory_bytes, size.disk_bytes, flavor.name)


def _cheaper(flavor: Flavor, vm: Vm, catalogue: Catalogue) -> bool:
    """Return whether `flavor` costs less than `vm` does; without prices, whether it is smaller, in nothing larger."""
    to = _of(flavor, vm.size)
    before, after = catalogue.hourly_price(vm.size), catalogue.hourly_price(to)
    if before is not None and after is not None:
        return after < before
    smaller = to.vcpus < vm.size.vcpus or to.memory_bytes < vm.size.memory_bytes
    return smaller and to.vcpus <= vm.size.vcpus and to.memory_bytes <= vm.size.memory_bytes


def _whole_mib(amount: float) -> float:
    return amount if math.isnan(amount) else math.ceil(amount / MIB) * float(MIB)


def described(size: Size) -> str:
    """Return a size in words."""
    words = f"{size.vcpus:g} vCPU and {size.memory_bytes / GIB:.4g} GiB"
    return f"{size.flavor} ({words})" if size.flavor else words
