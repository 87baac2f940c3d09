"""Sizes and placements of the VMs that a libvirt host has now, remembered from look to look.

Whose a machine is, is written in its own metadata, by whoever defines it:

    <metadata>
      <vm xmlns="https://novacron.example/vm" tenant="acme" vm_id="vm-1" flavor="s1.large"/>
    </metadata>

`tenant` decides; `vm_id` (the UUID if it is left out) and `flavor` are optional. A machine without
the element belongs to nobody, unless the caller says how machines and samples are joined.

libvirt knows only the present: a window that contains now takes a look and records it, every
window is answered from the record (`observations.py`). So a day nobody looked at is unknown.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa

from resources.errors import AnalyticsError, InvalidInput, PermanentFailure, TransientFailure
from resources.inventory.membership import Machine, TenantVms, attribute
from resources.inventory.observations import Observations
from resources.inventory.rows import VmRow
from resources.monitoring.server.failures import shown
from resources.partition import DAY_MS, PLATFORM, check_tenant

NAMESPACE = "https://novacron.example/vm"
"""Namespace of the metadata element `vm`."""

_STATES = {1: "running", 2: "running", 3: "running", 4: "running", 5: "stopped", 6: "stopped", 7: "running"}

_WRONG_ADDRESS = (
    "VIR_ERR_NO_CONNECT", "VIR_ERR_INVALID_ARG", "VIR_ERR_XML_ERROR", "VIR_ERR_CONF_SYNTAX",
    "VIR_ERR_CONFIG_UNSUPPORTED", "VIR_ERR_AUTH_FAILED", "VIR_ERR_NO_SUPPORT",
)  # fmt: skip
"""Errors of opening a connection that stay until somebody changes the address or the credentials."""


def state_of(code: int) -> str | None:
    """Return libvirt's state of a domain (virDomainState) as the inventory's, None for one it does not tell.

    A paused or suspended machine counts as running: it still has the memory of its host.
    """
    return _STATES.get(code)


@dataclass(frozen=True)
class _Seen:
    """A machine of the host: what tells whose it is, and its row without an owner."""

    machine: Machine
    row: VmRow
    disks: tuple[str, ...]
    domain: Any


class LibvirtInventory:
    """The machines of the libvirt host at `uri` as an `InventorySource`.

    `vms` joins machines without metadata to a tenant's samples (by UUID, else by name). `node_id`
    is what the samples call this host, its own host name if not given. `now_ms` is the clock.
    """

    kind = "libvirt"

    def __init__(
        self,
        uri: str,
        observations: Observations,
        *,
        vms: TenantVms | None = None,
        node_id: str | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.uri = uri
        self.observations = observations
        self._vms = vms
        self._node_id = node_id
        self._now_ms = now_ms

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        """Return what was seen of the VMs of `tenant` in `[start_ms, end_ms)`, by `INVENTORY_SCHEMA`.

        A window that contains now looks first. The platform has no VMs of its own.

        Raises:
            InvalidInput, TransientFailure, PermanentFailure: as `look`, and as `Observations.inventory`.
        """
        if check_tenant(tenant) != PLATFORM and start_ms <= self._now_ms() < end_ms:
            self.look(tenant)
        return self.observations.inventory(tenant, start_ms, end_ms)

    def look(self, tenant: str) -> int:
        """Record what the host has of `tenant` now; return how many VMs changed since the last look.

        Raises:
            InvalidInput: libvirt's Python package is not installed, the address is wrong, or two
                machines say that they are the same VM.
            TransientFailure: the host cannot be reached, or as `Observations.record`.
            PermanentFailure: the record is damaged, or a machine's description is not XML.
        """
        return self.observations.record(check_tenant(tenant), lambda: self._present(tenant))

    def _present(self, tenant: str) -> tuple[int, list[VmRow]]:
        libvirt = _libvirt()
        now_ms = self._now_ms()
        with self._connected(libvirt) as connection:
            node_id = self._node_id or connection.getHostname()
            looked = (self._read(libvirt, domain, node_id) for domain in connection.listAllDomains(0))
            seen = [found for found in looked if found is not None]
            rows = []
            for found, vm_id in self._of_tenant(tenant, seen, now_ms):
                disk_bytes = _capacity(libvirt, connection, found)
                rows.append(replace(found.row, vm_id=vm_id, valid_from_ms=now_ms, disk_bytes=disk_bytes))
        self._refuse_twins(tenant, rows)
        return now_ms, rows

    @contextmanager
    def _connected(self, libvirt: Any) -> Iterator[Any]:
        connection = None
        try:
            connection = libvirt.openReadOnly(self.uri)
            yield connection
        except libvirt.libvirtError as error:
            raise self._failure(libvirt, error, opened=connection is not None) from error
        finally:
            if connection is not None:
                connection.close()

    def _failure(self, libvirt: Any, error: Any, opened: bool) -> AnalyticsError:
        said = f"libvirt at {shown(self.uri)} says {shown(str(error))}."
        lasting = {getattr(libvirt, name) for name in _WRONG_ADDRESS if hasattr(libvirt, name)}
        if not opened and error.get_error_code() in lasting:
            return InvalidInput(f"{said} Correct the setting libvirt_uri.")
        return TransientFailure(f"{said} Nothing was recorded; run it again when the host answers.")

    def _read(self, libvirt: Any, domain: Any, node_id: str) -> _Seen | None:
        """Return what the host says of a machine, None if it was removed since it was listed."""
        try:
            name, uuid, text = domain.name(), domain.UUIDString(), domain.XMLDesc(0)
            code, memory_kib, _, vcpus, *_ = domain.info()
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        root = self._parsed(text, name)
        about = root.find(f"./metadata/{{{NAMESPACE}}}vm")
        told = {} if about is None else about.attrib
        row = VmRow(
            vm_id=uuid,
            valid_from_ms=0,
            vm_name=name,
            node_id=node_id,
            flavor=told.get("flavor") or None,
            vcpus=float(vcpus) if vcpus > 0 else None,
            memory_bytes=int(memory_kib) * 1024 if memory_kib > 0 else None,
            state=state_of(code),
        )
        tenant, own_id = told.get("tenant", ""), told.get("vm_id", "")
        # Whoever wrote down the VM's id meant it: the name is not asked then.
        machine = Machine(own_id, "", node_id, tenant) if own_id else Machine(uuid, name, node_id, tenant)
        return _Seen(machine, row, tuple(_disks(root)), domain)

    def _parsed(self, text: str, name: str) -> ElementTree.Element:
        try:
            if "<!DOCTYPE" in text:  # libvirt writes none, and entities could be made to grow without end
                raise ElementTree.ParseError("it declares a document type")
            return ElementTree.fromstring(text)  # noqa: S314 - without a document type there are no entities
        except ElementTree.ParseError as error:
            raise PermanentFailure(
                f"libvirt at {shown(self.uri)} describes {shown(name)} by what is not its XML: {error}."
            ) from error

    def _of_tenant(self, tenant: str, seen: Sequence[_Seen], now_ms: int) -> list[tuple[_Seen, str]]:
        """Return the machines of `tenant`, each with the id of its VM."""
        vms = self._vms
        if vms is None:
            return [(found, found.machine.uuid) for found in seen if found.machine.tenant == tenant]
        window = (now_ms - DAY_MS, now_ms + 1)
        owned = attribute(
            [found.machine for found in seen],
            tenant,
            vms.vms(tenant, *window),
            lambda names: vms.others(tenant, names, *window),
        )
        return [(found, owned[found.machine]) for found in seen if found.machine in owned]

    def _refuse_twins(self, tenant: str, rows: Sequence[VmRow]) -> None:
        names: dict[str, str | None] = {}
        for row in rows:
            if row.vm_id in names:
                raise InvalidInput(
                    f"libvirt at {shown(self.uri)} has two machines of {tenant}, {shown(names[row.vm_id] or '')} and "
                    f"{shown(row.vm_name or '')}, that say they are VM {shown(row.vm_id)}. Correct their metadata."
                )
            names[row.vm_id] = row.vm_name


def _libvirt() -> Any:
    """Return libvirt's module, with its habit of printing errors switched off: they are raised as well."""
    try:
        import libvirt
    except ImportError as error:
        raise InvalidInput(
            "the inventory comes from libvirt, but its Python package is not installed. "
            "Install novacron-performance-analytics[libvirt], or set inventory to another kind."
        ) from error
    libvirt.registerErrorHandler(_say_nothing, None)
    return libvirt


def _say_nothing(_context: object, _error: object) -> None:
    pass


def _disks(root: ElementTree.Element) -> Iterator[str]:
    """Yield the targets of a machine's disks that have something behind them; CD drives are not disks."""
    for disk in root.findall("./devices/disk"):
        target = disk.find("target")
        if disk.get("device", "disk") in ("disk", "lun") and disk.find("source") is not None and target is not None:
            yield target.get("dev", "")


def _capacity(libvirt: Any, connection: Any, found: _Seen) -> int | None:
    """Return the bytes of all disks of a machine; None if it has none, or the size of one cannot be told."""
    total = 0
    for target in found.disks:
        try:
            total += int(found.domain.blockInfo(target)[0])
        except libvirt.libvirtError:
            if not connection.isAlive():
                raise
            return None
    return total or None
