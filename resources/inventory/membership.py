"""Which machines of a VM manager are the VMs that a tenant's samples come from.

A VM manager knows machines by UUID and name, and seldom says whose they are. The tenant's own
series do (`vm_id`, `vm_name`, `node_id`), so the two are joined: by UUID, else by name. Names are
not unique in a cluster: a name counts only where nothing else could be meant by it, because a
wrong guess would show one tenant the size of another's VM. What is left is nobody's.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from resources.inventory.answers import MOST_CHARACTERS, Series, alternatives, whole_answer
from resources.monitoring.selector import quoted
from resources.monitoring.server.api import PrometheusApi


@dataclass(frozen=True)
class TenantVm:
    """A VM as samples name it, with every node it had samples from."""

    vm_id: str
    vm_name: str = ""
    node_ids: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, order=True)
class Machine:
    """A machine as its manager names it; empty is what it does not say."""

    uuid: str = ""
    name: str = ""
    node_id: str = ""
    tenant: str = ""


class TenantVms(Protocol):
    """What knows which VMs are whose."""

    def vms(self, tenant: str, start_ms: int, end_ms: int) -> Sequence[TenantVm]:
        """Return the VMs of `tenant` that had samples in `[start_ms, end_ms)`."""
        ...

    def others(self, tenant: str, names: Sequence[str], start_ms: int, end_ms: int) -> Sequence[TenantVm]:
        """Return the VMs of all other tenants with one of `names` that had samples in `[start_ms, end_ms)`."""
        ...


class VmsInMetrics:
    """Which VMs are whose, by the labels of the VMs' own series (`metrics`, any of which a VM may have)."""

    def __init__(
        self,
        api: PrometheusApi,
        metrics: Sequence[str] = ("novacron_vm_cpu_usage_percent", "novacron_vm_memory_usage_bytes"),
        step_seconds: int = 300,
    ) -> None:
        self._api = api
        self._metrics = f'__name__=~"{alternatives(metrics)}"'
        self._step_seconds = step_seconds

    def vms(self, tenant: str, start_ms: int, end_ms: int) -> list[TenantVm]:
        """Return the VMs of `tenant` that had samples in `[start_ms, end_ms)`, by id.

        Raises:
            TransientFailure, PermanentFailure: as `whole_answer`.
        """
        found = self._labelled(f"tenant_id={quoted(tenant)}", start_ms, end_ms)
        return _tenant_vms([series for series in found if series[0].get("tenant_id") == tenant])

    def others(self, tenant: str, names: Sequence[str], start_ms: int, end_ms: int) -> list[TenantVm]:
        """Return the VMs of all other tenants with one of `names` that had samples in `[start_ms, end_ms)`.

        Raises:
            TransientFailure, PermanentFailure: as `whole_answer`.
        """
        found: list[Series] = []
        for part in portions(names):
            condition = f'tenant_id!={quoted(tenant)},tenant_id!="",vm_name=~"{alternatives(part)}"'
            found += self._labelled(condition, start_ms, end_ms)
        return _tenant_vms(found)

    def _labelled(self, condition: str, start_ms: int, end_ms: int) -> list[Series]:
        query = f"group by (tenant_id, vm_id, vm_name, node_id) ({{{self._metrics},{condition}}})"
        return whole_answer(self._api, query, start_ms, end_ms, self._step_seconds)


def _tenant_vms(series: Sequence[Series]) -> list[TenantVm]:
    def key(labels: dict[str, str]) -> tuple[str, str, str]:
        return labels.get("tenant_id", ""), labels.get("vm_id", ""), labels.get("vm_name", "")

    labelled = sorted((labels for labels, _, _ in series if labels.get("vm_id")), key=key)
    return [
        TenantVm(vm_id, vm_name, frozenset(node for labels in same if (node := labels.get("node_id"))))
        for (_, vm_id, vm_name), same in groupby(labelled, key)
    ]


def portions(values: Sequence[str]) -> list[list[str]]:
    """Return `values` in parts that are short enough to be named in one query."""
    parts: list[list[str]] = []
    length = 0
    for value in values:
        size = len(alternatives([value]).encode()) + 1
        if not parts or length + size > MOST_CHARACTERS:
            parts.append([])
            length = 0
        parts[-1].append(value)
        length += size
    return parts


def attribute(
    machines: Iterable[Machine],
    tenant: str,
    vms: Sequence[TenantVm],
    others: Callable[[Sequence[str]], Sequence[TenantVm]],
) -> dict[Machine, str]:
    """Return the machines that are VMs of `tenant`, with their `vm_id`.

    A machine whose manager names a tenant is that tenant's: under the `vm_id` of its samples, else
    under its own UUID (else name). Of the rest, those are whose UUID is a `vm_id` of the tenant,
    and those with the name of exactly one of the tenant's VMs, if their nodes agree where both are
    known, no VM of another tenant (`others`, asked only for such names) could be meant as well, and
    no second machine claims to be that VM.
    """
    ids = {vm.vm_id for vm in vms}
    by_name: dict[str, list[TenantVm]] = defaultdict(list)
    for vm in vms:
        if vm.vm_name:
            by_name[vm.vm_name].append(vm)
    found: dict[Machine, str] = {}
    by_name_only: dict[Machine, str] = {}
    for machine in sorted(set(machines)):
        if machine.tenant not in ("", tenant):
            continue
        namesakes = [vm for vm in by_name.get(machine.name, ()) if _may_be(machine, vm)]
        if machine.uuid in ids:
            found[machine] = machine.uuid
        elif len(namesakes) == 1:
            by_name_only[machine] = namesakes[0].vm_id
        elif machine.tenant and (machine.uuid or machine.name):
            found[machine] = machine.uuid or machine.name
    return found | _unmistakable(by_name_only, set(found.values()), others)


def _unmistakable(
    by_name: dict[Machine, str], taken: set[str], others: Callable[[Sequence[str]], Sequence[TenantVm]]
) -> dict[Machine, str]:
    """Return those of the machines known by name only that can be nothing else."""
    doubtful = sorted({machine.name for machine in by_name if not machine.tenant})
    strangers = others(doubtful) if doubtful else ()
    claims: dict[str, set[str]] = defaultdict(set)
    for machine, vm_id in by_name.items():
        claims[vm_id].add(machine.uuid or f"{machine.name} on {machine.node_id}")
    return {
        machine: vm_id
        for machine, vm_id in by_name.items()
        if vm_id not in taken
        and len(claims[vm_id]) == 1
        and (machine.tenant or not any(vm.vm_name == machine.name and _may_be(machine, vm) for vm in strangers))
    }


def _may_be(machine: Machine, vm: TenantVm) -> bool:
    """Return whether a machine and a VM of the same name may be one, by what is known of where they run."""
    return not machine.node_id or not vm.node_ids or machine.node_id in vm.node_ids
