"""What a libvirt host is asked, with a stand-in for its module where that says more than libvirt's own test driver."""

import json
import sys
from types import SimpleNamespace

import pytest

from resources.errors import InvalidInput, PermanentFailure, TransientFailure
from resources.inventory import libvirt_program
from resources.inventory.libvirt import LibvirtInventory
from resources.inventory.membership import TenantVm
from resources.inventory.observations import Observations

NOW = 1_772_400_000_000
HOUR = 3_600_000
TODAY = (NOW - 10 * HOUR, NOW + 14 * HOUR)


class LibvirtError(Exception):
    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code

    def get_error_code(self) -> int:
        return self.code


class Domain:
    """A machine of the stand-in. `disks` are (target, device, has a source, capacity or None for an error)."""

    def __init__(self, name, uuid, tenant=None, vcpus=2, kib=1024, state=1, disks=(), about="", gone=False, xml=None):
        self._name, self._uuid, self._info = name, uuid, [state, kib, kib, vcpus, 0]
        self._disks, self.gone = disks, gone
        if tenant is not None:
            about = f'tenant="{tenant}" {about}'
        element = f'<nc:vm xmlns:nc="https://novacron.example/vm" {about}/>' if about else ""
        devices = "".join(
            f'<disk type="file" device="{device}">{"<source file=" + chr(34) + "/d" + chr(34) + "/>" if source else ""}'
            f'<target dev="{target}"/></disk>'
            for target, device, source, _ in disks
        )
        self._xml = xml or f"<domain><metadata>{element}</metadata><devices>{devices}</devices></domain>"

    def name(self):
        return self._name

    def UUIDString(self):  # noqa: N802 - libvirt's name
        return self._uuid

    def XMLDesc(self, flags):  # noqa: N802 - libvirt's name
        if self.gone:
            raise LibvirtError("Domain not found", 42)
        return self._xml

    def info(self):
        return self._info

    def blockInfo(self, target):  # noqa: N802 - libvirt's name
        capacity = {disk[0]: disk[3] for disk in self._disks}[target]
        if capacity is None:
            raise LibvirtError("cannot stat", 38)
        return [capacity, 0, 0]


class Host:
    """A stand-in for the module, and for the one connection it opens."""

    libvirtError = LibvirtError  # noqa: N815 - libvirt's name
    VIR_ERR_NO_DOMAIN, VIR_ERR_XML_ERROR, VIR_ERR_NO_CONNECT = 42, 27, 5

    def __init__(self, *domains):
        self.domains, self.opened, self.closed, self.alive = list(domains), [], 0, True
        self.fails: LibvirtError | None = None

    def registerErrorHandler(self, handler, context):  # noqa: N802 - libvirt's name
        handler(context, None)

    def openReadOnly(self, uri):  # noqa: N802 - libvirt's name
        self.opened.append(uri)
        if self.fails and not self.domains:
            raise self.fails
        return self

    def listAllDomains(self, flags):  # noqa: N802 - libvirt's name
        if self.fails:
            raise self.fails
        return self.domains

    def getHostname(self):  # noqa: N802 - libvirt's name
        return "host-1"

    def isAlive(self):  # noqa: N802 - libvirt's name
        return self.alive

    def close(self):
        self.closed += 1


@pytest.fixture
def connect(tmp_path):
    """Return what makes an inventory of a stand-in; its clock is `clock.now`."""

    def make(host, **options):
        def ask(uri, seconds):
            return json.loads(json.dumps(libvirt_program.seen(host, uri)))

        clock = SimpleNamespace(now=NOW)
        source = LibvirtInventory("test:///x", Observations(tmp_path), now_ms=lambda: clock.now, ask=ask, **options)
        return source, clock

    return make


def rows(source, tenant="acme", window=TODAY):
    return source.inventory(tenant, *window).to_pylist()


def test_a_machine_with_metadata_is_its_tenants_and_no_others(connect):
    """Stops a machine without owner, or another tenant's, from being listed."""
    host = Host(
        Domain("web", "u1", "acme", 4, 8, disks=[("vda", "disk", True, 100), ("vdb", "lun", True, 20)]),
        Domain("db", "u2", "globex"),
        Domain("own", "u3"),
        Domain("named", "u4", "acme", state=5, about='vm_id="vm-4" flavor="s1"'),
    )
    source, _ = connect(host)
    assert rows(source) == [
        {
            "vm_id": "u1", "valid_from_ms": NOW, "vm_name": "web", "node_id": "host-1", "flavor": None, "vcpus": 4.0,
            "memory_bytes": 8192, "disk_bytes": 120, "state": "running",
        },
        {
            "vm_id": "vm-4", "valid_from_ms": NOW, "vm_name": "named", "node_id": "host-1", "flavor": "s1",
            "vcpus": 2.0, "memory_bytes": 1 << 20, "disk_bytes": None, "state": "stopped",
        },
    ]  # fmt: skip
    assert [row["vm_id"] for row in rows(source, "globex")] == ["u2"]
    assert rows(source, "platform") == []
    assert (host.opened, host.closed) == (["test:///x"], 1)


@pytest.mark.parametrize(
    ("code", "state"),
    [(0, None), (1, "running"), (2, "running"), (3, "running"), (4, "running"), (5, "stopped"), (6, "stopped"),
     (7, "running"), (99, None)],
)  # fmt: skip
def test_states(connect, code, state):
    source, _ = connect(Host(Domain("web", "u1", "acme", state=code)))
    assert rows(source)[0]["state"] == state


def test_only_a_window_with_now_in_it_looks(connect):
    """Stops a backfill of last year from recording the present, and from asking the host a thousand times."""
    host = Host(Domain("web", "u1", "acme"))
    source, _ = connect(host)
    for window in ((NOW - 24 * HOUR, NOW), (NOW + 1, NOW + HOUR), (0, 1)):
        assert rows(source, window=window) == []
    assert host.opened == []
    assert len(rows(source, window=(NOW, NOW + 1))) == 1
    assert rows(source, window=(NOW - 24 * HOUR, NOW)) == []


def test_a_look_serves_other_tenants_for_a_minute(connect):
    """Stops the host from listing a thousand machines once for each tenant of a run, and an old look from passing
    for the present."""
    host = Host(Domain("a", "u1", "acme", 2), Domain("b", "u2", "globex", 2))
    source, clock = connect(host)
    rows(source)
    host.domains = [Domain("a", "u1", "acme", 4), Domain("b", "u2", "globex", 4)]
    clock.now = NOW + 60_000
    assert [(row["valid_from_ms"], row["vcpus"]) for row in rows(source, "globex")] == [(NOW, 2.0)]
    clock.now = NOW + 60_001
    assert [row["vcpus"] for row in rows(source)] == [2.0, 4.0]
    clock.now = NOW + 30_000
    rows(source, "globex")
    assert len(host.opened) == 3


def test_a_look_that_took_long_is_not_recorded_over_a_newer_one(connect):
    """Stops two processes that look at once from leaving the older state as the present one."""
    host = Host(Domain("a", "u1", "acme", 2))
    slow, clock = connect(host)
    rows(slow)
    clock.now = NOW + HOUR
    host.domains = [Domain("a", "u1", "acme", 4)]
    old = slow.see()
    quick, other = connect(host)
    other.now = NOW + HOUR + 1
    host.domains = [Domain("a", "u1", "acme", 2)]
    assert quick.record("acme", quick.see()) == 0
    clock.now = NOW + HOUR + 5000
    assert slow.record("acme", old) == 0
    assert [row["vcpus"] for row in slow.observations.inventory("acme", *TODAY).to_pylist()] == [2.0]


def test_a_resize_and_a_removal_count_from_the_look_that_saw_them(connect):
    """Stops yesterday from changing when the host does."""
    host = Host(Domain("web", "u1", "acme", 2))
    source, clock = connect(host)
    rows(source)
    clock.now = NOW + HOUR
    host.domains = [Domain("web", "u1", "acme", 4), Domain("db", "u2", "acme")]
    assert source.record("acme", source.see()) == 2
    assert [(row["valid_from_ms"], row["vcpus"]) for row in rows(source)[:2]] == [(NOW, 2.0), (NOW + HOUR, 4.0)]
    host.domains = []
    clock.now = NOW + 2 * HOUR
    assert rows(source)[2]["state"] is None
    clock.now = NOW + 48 * HOUR
    assert [row["vcpus"] for row in rows(source)] == [2.0, 4.0, None, 2.0, None]
    assert rows(source, window=(TODAY[1], TODAY[1] + 24 * HOUR)) == []


def test_what_the_driver_does_not_tell_is_unknown(connect):
    """Stops half of a machine's disks, or a machine without sizes, from being taken for small."""
    host = Host(
        Domain("a", "u1", "acme", disks=[("vda", "disk", True, 100), ("vdb", "disk", True, None)]),
        Domain("b", "u2", "acme", disks=[("a", "disk", True, 7), ("b", "cdrom", True, 9), ("c", "disk", False, 5)]),
        Domain("c", "u3", "acme", vcpus=0, kib=0),
        Domain("d", "u4", "acme", gone=True),
    )
    found = {row["vm_name"]: row for row in rows(connect(host)[0])}
    assert {name: row["disk_bytes"] for name, row in found.items()} == {"a": None, "b": 7, "c": None}
    assert (found["c"]["vcpus"], found["c"]["memory_bytes"]) == (None, None)


def test_a_broken_connection_records_nothing(connect):
    """Stops a host that went away in the middle from being recorded as one without disks or VMs."""
    host = Host(Domain("a", "u1", "acme", disks=[("vda", "disk", True, 100)]))
    source, clock = connect(host)
    rows(source)
    clock.now = NOW + HOUR
    host.domains = [Domain("a", "u1", "acme", disks=[("vda", "disk", True, None)])]
    host.alive = False
    with pytest.raises(TransientFailure, match=r"libvirt at 'test:///x' says 'cannot stat'\. Nothing was recorded"):
        source.record("acme", source.see())
    host.fails = LibvirtError("Domain not found", 42)
    with pytest.raises(TransientFailure, match="Domain not found"):
        source.record("acme", source.see())
    host.fails = LibvirtError("later", 27)
    with pytest.raises(TransientFailure, match="later"):
        source.record("acme", source.see())
    assert rows(source, window=(NOW, NOW + 1))[0]["disk_bytes"] == 100
    assert host.closed == 4


@pytest.mark.parametrize(
    ("code", "failure", "message"),
    [(38, TransientFailure, "run it again"), (27, InvalidInput, "libvirt_uri"), (5, InvalidInput, "libvirt_uri")],
)
def test_a_host_that_cannot_be_opened(connect, code, failure, message):
    """Stops a wrong address from being tried for ever, and a host that is down from being called a wrong address."""
    host = Host()
    host.fails = LibvirtError("no\nway", code)
    with pytest.raises(failure, match=message) as caught:
        rows(connect(host)[0])
    assert "says 'no\\nway'" in str(caught.value)


def test_two_machines_that_say_they_are_one_vm_are_refused(connect):
    host = Host(Domain("a", "u1", "acme", about='vm_id="v"'), Domain("b", "u2", "acme", about='vm_id="v"'))
    with pytest.raises(InvalidInput, match="two machines of acme, 'a' and 'b', that say they are VM 'v'"):
        rows(connect(host)[0])


@pytest.mark.parametrize("xml", ["<domain", '<!DOCTYPE d [<!ENTITY a "aa">]><domain>&a;</domain>', ""])
def test_a_description_that_is_not_libvirts_is_refused(connect, xml):
    """Stops entities from growing without end."""
    domain = Domain("a", "u1", "acme")
    domain._xml = xml
    with pytest.raises(PermanentFailure, match="describes 'a' by what is not its XML"):
        rows(connect(Host(domain))[0])


def test_without_the_package_it_says_what_to_install(tmp_path):
    """Stops a traceback of ImportError, and a past day from needing the package."""
    source = LibvirtInventory(
        "test:///x", Observations(tmp_path), now_ms=lambda: NOW, ask=lambda uri, seconds: {"failure": "package"}
    )
    with pytest.raises(InvalidInput, match=r"Install novacron-performance-analytics\[libvirt\]"):
        rows(source)
    assert rows(source, window=(0, 1)) == []


class Samples:
    """VMs as a tenant's samples name them."""

    def vms(self, tenant, start_ms, end_ms):
        assert start_ms < NOW < end_ms
        return {"acme": [TenantVm("v1", "web"), TenantVm("u2", "db", frozenset({"n7"}))]}.get(tenant, [])

    def others(self, tenant, names, start_ms, end_ms):
        return []


def test_machines_without_metadata_join_the_samples_if_asked_to(connect):
    host = Host(
        Domain("web", "u1"), Domain("x", "u2"), Domain("web", "u3", "globex"), Domain("y", "u9"),
        Domain("web", "u5", about='vm_id="v1"'), Domain("db", "u6", "acme", about='vm_id="own"'),
    )  # fmt: skip
    source, _ = connect(host, vms=Samples(), node_id="n7")
    assert [(row["vm_id"], row["vm_name"], row["node_id"]) for row in rows(source)] == [
        ("own", "db", "n7"),
        ("u2", "x", "n7"),
        ("v1", "web", "n7"),
    ]
    assert [row["vm_id"] for row in rows(source, "globex")] == ["u3"]


NODE = """<node>
  <domain type='test'><name>web</name><uuid>11111111-2222-3333-4444-555555555555</uuid>
    <metadata><vm xmlns='https://novacron.example/vm' tenant='acme' flavor='s1.large'/></metadata>
    <memory unit='KiB'>8388608</memory><vcpu>4</vcpu><os><type>hvm</type></os>
    <devices><disk type='file' device='disk'><source file='/d1'/><target dev='hda'/></disk>
      <disk type='file' device='disk'><source file='/d2'/><target dev='hdb'/></disk></devices></domain>
  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
    <name>off</name><uuid>21111111-2222-3333-4444-555555555555</uuid>
    <metadata><vm xmlns='https://novacron.example/vm' tenant='acme'/></metadata>
    <memory unit='MiB'>512</memory><vcpu>1</vcpu><os><type>hvm</type></os><test:runstate>5</test:runstate></domain>
  <domain type='test'><name>other</name><uuid>31111111-2222-3333-4444-555555555555</uuid>
    <memory>1024</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>
</node>"""


DRIVERS_DISK = 1_099_506_450_432
"""What the test driver says that any disk holds."""


def test_with_libvirts_own_test_driver(tmp_path, monkeypatch):
    """Stops what a stand-in cannot show: libvirt's real answers, units, codes and errors."""
    # Debian's package is outside of any virtual environment, but works in one of the same Python.
    monkeypatch.setattr(sys, "path", [*sys.path, "/usr/lib/python3/dist-packages"])
    libvirt = pytest.importorskip(
        "libvirt", reason="libvirt's Python package is not here for this Python (Debian: python3-libvirt)"
    )
    (tmp_path / "node.xml").write_text(NODE)
    source = LibvirtInventory(
        f"test://{tmp_path}/node.xml", Observations(tmp_path / "record"), node_id="n1", now_ms=lambda: NOW
    )
    assert [tuple(row.values()) for row in rows(source)] == [
        ("11111111-2222-3333-4444-555555555555", NOW, "web", "n1", "s1.large", 4.0, 2**33, 2 * DRIVERS_DISK, "running"),
        ("21111111-2222-3333-4444-555555555555", NOW, "off", "n1", None, 1.0, 2**29, None, "stopped"),
    ]
    assert libvirt.getVersion() > 0
    wrong = LibvirtInventory(f"test://{tmp_path}/none.xml", Observations(tmp_path / "none"), now_ms=lambda: NOW)
    with pytest.raises(InvalidInput, match="failed to parse xml document"):
        rows(wrong)
    nobody = f"qemu+unix:///system?socket={tmp_path}/no"
    down = LibvirtInventory(nobody, Observations(tmp_path / "x"), now_ms=lambda: NOW)
    with pytest.raises(TransientFailure, match="No such file or directory"):
        rows(down)
