"""A real libvirt exporter, on libvirt's test driver: domains that exist in a file only.

Sizes are as the file says. Their use is not: libvirt's test driver makes CPU time, disk and network
counters out of the wall clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5
from xml.sax.saxutils import escape, quoteattr

from tests.servers.packages import program
from tests.servers.process import ServerProcess

NOVA = "http://openstack.org/xmlns/libvirt/nova/1.0"


@dataclass(frozen=True)
class Domain:
    """A VM in the test driver's file; its name in libvirt is `<tenant>-<name>`."""

    tenant: str
    name: str
    vcpus: int = 2
    memory_bytes: int = 4 * 1024**3
    flavor: str = "m1.small"

    @property
    def domain(self) -> str:
        return f"{self.tenant}-{self.name}"

    @property
    def uuid(self) -> str:
        return str(uuid5(NAMESPACE_DNS, f"{self.domain}.novacron.example"))


DOMAINS = (
    Domain("acme", "web-1", 2, 4 * 1024**3, "m1.small"),
    Domain("acme", "db-1", 8, 32 * 1024**3, "m1.xlarge"),
    Domain("globex", "build-1", 4, 8 * 1024**3, "m1.medium"),
)


def libvirt_exporter(folder: Path, domains: Sequence[Domain] = DOMAINS, *, port: int | None = None) -> ServerProcess:
    """Return a libvirt exporter over `domains`, to be started; their file and the log are in `folder`."""
    binary = program("prometheus-libvirt-exporter")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder.absolute() / "node.xml"
    file.write_text(node_xml(domains), encoding="utf-8")
    return ServerProcess(
        "libvirt-exporter",
        folder,
        lambda port: [
            binary,
            f"--libvirt.uri=test://{file}",
            "--libvirt.export-nova-metadata",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        ready="/metrics",
        port=port,
    )


def node_xml(domains: Sequence[Domain]) -> str:
    """Return the file of libvirt's test driver: a node of 16 cores and 64 GiB with `domains` on it."""
    return (
        "<node>\n"
        "  <cpu><mhz>2600</mhz><model>x86_64</model><active>16</active>"
        "<nodes>1</nodes><sockets>2</sockets><cores>8</cores><threads>1</threads></cpu>\n"
        f"  <memory>{64 * 1024**2}</memory>\n" + "".join(_domain_xml(domain) for domain in domains) + "</node>\n"
    )


def _domain_xml(domain: Domain) -> str:
    kib = domain.memory_bytes // 1024
    return f"""  <domain type="test">
    <name>{escape(domain.domain)}</name><uuid>{domain.uuid}</uuid>
    <memory unit="KiB">{kib}</memory><currentMemory unit="KiB">{kib // 2}</currentMemory><vcpu>{domain.vcpus}</vcpu>
    <metadata><nova:instance xmlns:nova="{NOVA}"><nova:name>{escape(domain.name)}</nova:name>
      <nova:flavor name={quoteattr(domain.flavor)}/>
      <nova:owner><nova:project uuid={quoteattr(domain.tenant)}>{escape(domain.tenant)}</nova:project></nova:owner>
    </nova:instance></metadata>
    <os><type>hvm</type></os>
    <devices>
      <disk type="file" device="disk"><source file="/disks/{domain.uuid}.img"/><target dev="vda" bus="virtio"/></disk>
      <interface type="network"><source network="default"/></interface>
    </devices>
  </domain>
"""
