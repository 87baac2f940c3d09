"""What to do with one VM: the class it has, and the size that fits it.

| class | what is recommended |
|---|---|
| insufficient_data, optimal | nothing |
| powered_off, idle, zombie (idle on each of 30 days) | reclaim |
| undersized | the cheapest flavour that holds the need; without flavours the need, and less of nothing |
| undersized in disk alone | a disk that lasts, and what an oversized VM would get where it is that, too |
| oversized | the cheapest flavour that holds the need and is larger in nothing; without flavours the need |
| burstable | the same, where that flavour is a burstable one and the VM is not on one |

Classes and needs are those of `capacity`. With flavours, an oversized VM is one for which there is a cheaper
flavour that is larger in nothing, and of which `capacity` says neither that it is idle nor that something is
short. Given what is recommended, the next run recommends nothing. Class names after AWS Compute
Optimizer's findings and Google's idle VM recommender.
"""

import math
from dataclasses import dataclass, replace

from analytics_assets.analyzers.recommendation_model.catalogue import GIB, Catalogue, Flavor, Need, Size

MIB = 2**20


@dataclass(frozen=True)
class Vm:
    """A VM as `capacity` sees it: its class and why, its size, and the size it needs (NaN where unknown).

    `shrinks` says that CPU and memory are oversized, whatever the disk is; `disk_short` that the disk does not last.
    """

    size_class: str
    size_reason: str
    size: Size
    need: Need
    disk_need: float = math.nan
    disk_short: bool = False
    shrinks: bool = False
    idle_days: int = 0


@dataclass(frozen=True)
class Decision:
    """What to do: `to` is the size after a resize, None otherwise; `reason` says why nothing else is done.

    `grounds` is what it rests on, in figures.
    """

    action: str
    size_class: str
    grounds: str
    to: Size | None = None
    reason: str = ""


def decide(vm: Vm, catalogue: Catalogue, zombie_days: int) -> Decision:
    """Return what to do with `vm`."""
    if vm.size_class in ("powered_off", "idle"):
        zombie = vm.size_class == "idle" and vm.idle_days >= zombie_days
        return Decision("reclaim", "zombie" if zombie else vm.size_class, vm.size_reason)
    if vm.size_class == "insufficient_data":
        return Decision("none", vm.size_class, vm.size_reason, reason=vm.size_reason)
    smaller = _smaller(vm, catalogue)
    if vm.size_class == "undersized":
        if not (vm.disk_short and _holds(vm)):
            return Decision("resize", vm.size_class, vm.size_reason, *_larger(vm, catalogue))
        grounds = vm.size_reason if smaller is None else f"{vm.size_reason}; {_needs(vm)}"
        to = replace(vm.size if smaller is None else smaller, disk_bytes=_lasting_disk(vm))
        return Decision("resize", vm.size_class, grounds, to)
    # Where there are flavours, it is they that decide what can be had for less, and not the shares of `capacity`.
    agree = vm.size_class == ("optimal" if smaller is None else "oversized") or not catalogue.flavors
    grounds = vm.size_reason if agree else _needs(vm)
    if smaller is None:
        reason = "no cheaper flavour holds what it needs and is larger in nothing" if catalogue.flavors else ""
        return Decision("none", "optimal", grounds, reason=reason)
    return Decision(
        "resize", "burstable" if _turns_burstable(smaller, vm, catalogue) else "oversized", grounds, smaller
    )


def _smaller(vm: Vm, catalogue: Catalogue) -> Size | None:
    """Return the smaller size that holds the need, None where there is none."""
    if not catalogue.flavors:
        # vCPUs are whole, and memory is in whole MiB.
        memory = _whole_mib(vm.need.memory_bytes)
        return replace(vm.size, vcpus=vm.need.vcpus, memory_bytes=memory, flavor="") if vm.shrinks else None
    fitting = catalogue.best_fit(vm.need, within=vm.size)
    return _of(fitting, vm.size) if fitting is not None and _cheaper(fitting, vm, catalogue) else None


def _turns_burstable(to: Size, vm: Vm, catalogue: Catalogue) -> bool:
    present = catalogue.flavors.get(vm.size.flavor)
    return catalogue.is_burstable(to.flavor) and (present is None or present.baseline_percent is None)


def _holds(vm: Vm) -> bool:
    return vm.size.vcpus >= vm.need.vcpus and vm.size.memory_bytes >= vm.need.memory_bytes


def _larger(vm: Vm, catalogue: Catalogue) -> tuple[Size, str]:
    """Return a size that is short of nothing, and why it is of no flavour where there are some."""
    fitting = catalogue.best_fit(vm.need)
    if fitting is not None:
        return replace(_of(fitting, vm.size), disk_bytes=_lasting_disk(vm)), ""
    more = Size(
        max(vm.size.vcpus, vm.need.vcpus),
        max(vm.size.memory_bytes, _whole_mib(vm.need.memory_bytes)),
        _lasting_disk(vm),
    )
    return more, "no flavour is large enough" if catalogue.flavors else ""


def _lasting_disk(vm: Vm) -> float:
    return max(vm.size.disk_bytes, _whole_mib(vm.disk_need)) if vm.disk_short else vm.size.disk_bytes


def _needs(vm: Vm) -> str:
    return (
        f"needs {vm.need.vcpus:g} of {vm.size.vcpus:g} vCPUs and {vm.need.memory_bytes / GIB:.1f} of "
        f"{vm.size.memory_bytes / GIB:.1f} GiB memory, headroom and the growth until the next resize included"
    )


def _of(flavor: Flavor, size: Size) -> Size:
    return Size(flavor.vcpus, flavor.memory_bytes, size.disk_bytes, flavor.name)


def _cheaper(flavor: Flavor, vm: Vm, catalogue: Catalogue) -> bool:
    """Return whether `flavor`, larger in nothing, is less than `vm` is; and costs less, where both have a price."""
    to = _of(flavor, vm.size)
    smaller = to.vcpus < vm.size.vcpus or to.memory_bytes < vm.size.memory_bytes
    before, after = catalogue.hourly_price(vm.size), catalogue.hourly_price(to)
    if before is not None and after is not None:
        return after < before and (smaller or _turns_burstable(to, vm, catalogue))
    return smaller


def _whole_mib(amount: float) -> float:
    return amount if math.isnan(amount) else math.ceil(amount / MIB) * float(MIB)


def described(size: Size) -> str:
    """Return a size in words."""
    words = f"{size.vcpus:g} vCPU and {size.memory_bytes / GIB:.4g} GiB"
    return f"{size.flavor} ({words})" if size.flavor else words
