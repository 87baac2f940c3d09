"""Sizes and placements of the VMs that a libvirt host has now, remembered from look to look.

Whose a machine is, is written in its own metadata, by whoever defines it:

    <metadata>
      <vm xmlns="https://novacron.example/vm" tenant="acme" vm_id="vm-1" flavor="s1.large"/>
    </metadata>

`tenant` decides; `vm_id` (the UUID if it is left out) and `flavor` are optional. A machine without
the element belongs to nobody, unless the caller says how machines and samples are joined.

libvirt knows only the present: a window that contains now takes a look and records it, every
window is answered from the record (`observations.py`). So a day nobody looked at is unknown. One
look shows the machines of all tenants.
"""

import time
from collections.abc import Callable, Iterable

import pyarrow as pa

from resources.errors import InvalidInput
from resources.inventory.libvirt_host import LOOK_SECONDS, Ask, HostNow, SeenMachine, ask_host, look_at
from resources.inventory.membership import Machine, TenantVms, attribute
from resources.inventory.observations import Observations
from resources.inventory.rows import VmRow
from resources.monitoring.server.failures import shown, without_secrets
from resources.partition import DAY_MS, PLATFORM, check_tenant

REUSED_MS = 60_000
"""How old a look may be that serves one more tenant: the host need not list everything for each of them."""

_STATES = {1: "running", 2: "running", 3: "running", 4: "running", 5: "stopped", 6: "stopped", 7: "running"}


def state_of(code: int) -> str | None:
    """Return libvirt's state of a domain (virDomainState) as the inventory's, None for one it does not tell.

    A paused or suspended machine counts as running: it still has the memory of its host.
    """
    return _STATES.get(code)


class LibvirtInventory:
    """The machines of the libvirt host at `uri` as an `InventorySource`.

    `vms` joins machines without metadata to a tenant's samples (by UUID, else by name). `node_id`
    is what the samples call this host, its own host name if not given. A look may take `seconds`.
    `now_ms` is the clock, `ask` what asks the host.
    """

    kind = "libvirt"

    def __init__(
        self,
        uri: str,
        observations: Observations,
        *,
        vms: TenantVms | None = None,
        node_id: str | None = None,
        seconds: float = LOOK_SECONDS,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        ask: Ask = ask_host,
    ) -> None:
        self.uri = uri
        self.observations = observations
        self._vms = vms
        self._node_id = node_id
        self._seconds = seconds
        self._now_ms = now_ms
        self._ask = ask
        self._latest: HostNow | None = None

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        """Return what was seen of the VMs of `tenant` in `[start_ms, end_ms)`, by `INVENTORY_SCHEMA`.

        A window that contains now is looked at first, or was within the last minute. The platform
        has no VMs of its own.

        Raises:
            InvalidInput, TransientFailure, PermanentFailure: as `see`, `record`, and `Observations.inventory`.
        """
        if check_tenant(tenant) != PLATFORM and start_ms <= self._now_ms() < end_ms:
            latest = self._latest
            fresh = latest is not None and 0 <= self._now_ms() - latest.at_ms <= REUSED_MS
            self.record(tenant, latest if latest is not None and fresh else self.see())
        return self.observations.inventory(tenant, start_ms, end_ms)

    def see(self) -> HostNow:
        """Return what the host has now, of all tenants.

        Raises:
            InvalidInput, TransientFailure, PermanentFailure: as `look_at`.
        """
        self._latest = look_at(self.uri, self._now_ms(), self._seconds, self._ask)
        return self._latest

    def record(self, tenant: str, host: HostNow) -> int:
        """Record what a look showed of `tenant`; return how many VMs changed since the look before.

        Raises:
            InvalidInput: two machines say that they are the same VM.
            TransientFailure, PermanentFailure: as `Observations.record`, or the samples' server does not answer.
        """
        owned = self._of_tenant(check_tenant(tenant), host)
        self._refuse_twins(tenant, owned)
        node_id = self._node_id or host.node_id
        rows = [_row(machine, vm_id, host.at_ms, node_id) for machine, vm_id in owned]
        return self.observations.record(tenant, host.at_ms, rows, self._now_ms())

    def _of_tenant(self, tenant: str, host: HostNow) -> list[tuple[SeenMachine, str]]:
        """Return the machines of `tenant`, each with the id of its VM."""
        vms = self._vms
        if vms is None:
            return [(seen, seen.vm_id or seen.uuid) for seen in host.machines if seen.tenant == tenant]
        window = (host.at_ms - DAY_MS, host.at_ms + 1)
        machines = [_known(seen, self._node_id or host.node_id) for seen in host.machines]
        owned = attribute(machines, tenant, vms.vms(tenant, *window), lambda names: vms.others(tenant, names, *window))
        return [
            (seen, owned[machine]) for seen, machine in zip(host.machines, machines, strict=True) if machine in owned
        ]

    def _refuse_twins(self, tenant: str, owned: Iterable[tuple[SeenMachine, str]]) -> None:
        names: dict[str, str] = {}
        for machine, vm_id in owned:
            if vm_id in names:
                raise InvalidInput(
                    f"libvirt at {shown(without_secrets(self.uri))} has two machines of {tenant}, "
                    f"{shown(names[vm_id])} and {shown(machine.name)}, that say they are VM {shown(vm_id)}. "
                    "Correct their metadata."
                )
            names[vm_id] = machine.name


def _known(seen: SeenMachine, node_id: str) -> Machine:
    """Return what tells whose a machine is. Whoever wrote down the VM's id meant it: the name is not asked then."""
    return Machine(seen.vm_id or seen.uuid, "" if seen.vm_id else seen.name, node_id, seen.tenant)


def _row(seen: SeenMachine, vm_id: str, at_ms: int, node_id: str) -> VmRow:
    return VmRow(
        vm_id=vm_id,
        valid_from_ms=at_ms,
        vm_name=seen.name,
        node_id=node_id,
        flavor=seen.flavor or None,
        vcpus=float(seen.vcpus) if seen.vcpus > 0 else None,
        memory_bytes=seen.memory_kib * 1024 if seen.memory_kib > 0 else None,
        disk_bytes=seen.disk_bytes,
        state=state_of(seen.state),
    )
