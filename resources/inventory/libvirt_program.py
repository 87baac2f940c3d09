"""The program that looks at a libvirt host: an address in, what the host has now out, both as JSON.

It is a process of its own, because a call of libvirt that hangs cannot be ended from within Python;
a process can. It imports nothing else of this project, so that it starts at once.
"""

import json
import math
import signal
import sys
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

NAMESPACE = "https://novacron.example/vm"
"""Namespace of the metadata element `vm`."""

ORPHAN_SECONDS = 5
"""How much longer than its time the program lives where whoever started it is not there to end it."""

_WRONG_ADDRESS = (
    "VIR_ERR_NO_CONNECT", "VIR_ERR_INVALID_ARG", "VIR_ERR_XML_ERROR", "VIR_ERR_CONF_SYNTAX",
    "VIR_ERR_CONFIG_UNSUPPORTED", "VIR_ERR_AUTH_FAILED", "VIR_ERR_NO_SUPPORT",
)  # fmt: skip
"""Errors of opening a connection that stay until somebody changes the address or the credentials."""


def main() -> None:
    """Answer the request on standard input."""
    asked = json.load(sys.stdin)
    signal.alarm(math.ceil(asked["seconds"]) + ORPHAN_SECONDS)  # ends the process within a call of libvirt, too
    try:
        import libvirt
    except ImportError:
        answer = {"failure": "package"}
    else:
        answer = seen(libvirt, asked["uri"])
    json.dump(answer, sys.stdout)


def seen(libvirt: Any, uri: str) -> dict[str, Any]:
    """Return the host's name and its machines, or which `failure` there was and what was `said` of it.

    `libvirt` is the module. A failure is of the `address`, of the `host`, or of the `machine` that is named.
    """
    libvirt.registerErrorHandler(_say_nothing, None)  # it prints errors, which are raised as well
    connection = None
    try:
        connection = libvirt.openReadOnly(uri)
        machines = [_machine(libvirt, connection, domain) for domain in connection.listAllDomains(0)]
        return {"node_id": connection.getHostname(), "machines": [machine for machine in machines if machine]}
    except _NoXml as error:
        return {"failure": "machine", "machine": error.machine, "said": str(error)}
    except libvirt.libvirtError as error:
        lasting = {getattr(libvirt, name) for name in _WRONG_ADDRESS if hasattr(libvirt, name)}
        wrong = connection is None and error.get_error_code() in lasting
        return {"failure": "address" if wrong else "host", "said": str(error)}
    finally:
        if connection is not None:
            connection.close()


class _NoXml(ValueError):
    def __init__(self, machine: str, cause: object) -> None:
        super().__init__(str(cause))
        self.machine = machine


def _say_nothing(_context: object, _error: object) -> None:
    pass


def _machine(libvirt: Any, connection: Any, domain: Any) -> dict[str, Any] | None:
    """Return what the host says of a machine, None if it was removed since it was listed."""
    try:
        name, uuid, text = domain.name(), domain.UUIDString(), domain.XMLDesc(0)
        state, memory_kib, _, vcpus, *_ = domain.info()
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    root = _parsed(text, name)
    about = root.find(f"./metadata/{{{NAMESPACE}}}vm")
    told = {} if about is None else about.attrib
    return {
        "name": name,
        "uuid": uuid,
        "tenant": told.get("tenant", ""),
        "vm_id": told.get("vm_id", ""),
        "flavor": told.get("flavor", ""),
        "state": state,
        "vcpus": vcpus,
        "memory_kib": memory_kib,
        "disk_bytes": _capacity(libvirt, connection, domain, root),
    }


def _parsed(text: str, name: str) -> ElementTree.Element:
    if "<!DOCTYPE" in text:  # libvirt writes none, and entities could be made to grow without end
        raise _NoXml(name, "it declares a document type")
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - without a document type there are no entities
    except ElementTree.ParseError as error:
        raise _NoXml(name, error) from error


def _disks(root: ElementTree.Element) -> Iterator[str]:
    """Yield the targets of a machine's disks that have something behind them; CD drives are not disks."""
    for disk in root.findall("./devices/disk"):
        target = disk.find("target")
        if disk.get("device", "disk") in ("disk", "lun") and disk.find("source") is not None and target is not None:
            yield target.get("dev", "")


def _capacity(libvirt: Any, connection: Any, domain: Any, root: ElementTree.Element) -> int | None:
    """Return the bytes of all disks of a machine; None if it has none, or the size of one cannot be told."""
    total = 0
    for target in _disks(root):
        try:
            total += int(domain.blockInfo(target)[0])
        except libvirt.libvirtError:
            if not connection.isAlive():
                raise
            return None
    return total or None


if __name__ == "__main__":
    main()
