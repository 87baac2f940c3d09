"""The process that looks at a libvirt host: it ends in time whatever libvirt does, and its failures have names."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resources.errors import InvalidInput, PermanentFailure, TransientFailure
from resources.inventory.libvirt_host import PROGRAM, SeenMachine, ask_host, look_at

WITH_LOGIN = "qemu+tcp://admin:hunter2@node-1/system"

HANGS = """
import os, pathlib, subprocess, time
def openReadOnly(uri):
    helper = subprocess.Popen(["sleep", "600"])
    pathlib.Path(os.environ["PIDS"]).write_text(f"{os.getpid()} {helper.pid}")
    time.sleep(600)
def registerErrorHandler(handler, context): pass
class libvirtError(Exception): pass
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return what makes a module called libvirt out of its text, for this process and those it starts."""

    def make(text):
        (tmp_path / "libvirt.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)

    return make


def is_running(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_host_that_hangs_is_given_up_and_nothing_of_the_look_is_left(module, tmp_path, monkeypatch):
    """Stops a host that does not answer from holding up a run for ever, and looks from piling up behind it."""
    pids = tmp_path / "pids"
    monkeypatch.setenv("PIDS", str(pids))
    module(HANGS)
    began = time.monotonic()
    with pytest.raises(TransientFailure) as caught:
        ask_host(WITH_LOGIN, 2)
    assert time.monotonic() - began < 6
    said = str(caught.value)
    assert "libvirt at 'qemu+tcp://***@node-1/system' gave no whole answer within 2 s" in said
    assert "hunter2" not in said
    assert "nothing was recorded. Check that the host runs" in said
    deadline = time.monotonic() + 10
    while any(map(is_running, pids.read_text().split())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in pids.read_text().split() if is_running(pid)] == []


def test_the_program_ends_itself_where_nobody_is_there_to_end_it(module, tmp_path, monkeypatch):
    """Stops a look from outliving a worker that was killed."""
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    module(HANGS)
    done = subprocess.run(
        [sys.executable, "-P", "-m", PROGRAM],
        input=json.dumps({"uri": "test:///x", "seconds": -4}).encode(),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)},
        start_new_session=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == -signal.SIGALRM
    os.killpg(os.getpgid(int((tmp_path / "pids").read_text().split()[1])), signal.SIGKILL)


def test_a_process_that_dies_is_told(module):
    """Stops a crash of libvirt from being an empty host, or an error of JSON."""
    module("import sys\nprint('Segmentation \\x1b[31mfault', file=sys.stderr)\nimport os\nos._exit(3)")
    with pytest.raises(
        TransientFailure, match=r"ended with code 3 and without an answer: 'Segmentation \\x1b\[31mfault'"
    ):
        ask_host("test:///x", 20)


def test_without_the_package_it_says_what_to_install(module):
    """Stops a traceback of ImportError."""
    module("raise ImportError('libvirt')")
    with pytest.raises(InvalidInput, match=r"Install novacron-performance-analytics\[libvirt\]"):
        look_at("test:///x", 1, 20)


def test_what_was_seen_comes_back(module):
    module(
        "VIR_ERR_NO_DOMAIN = 42\nclass libvirtError(Exception): pass\ndef registerErrorHandler(*_): pass\n"
        "class D:\n name = lambda s: 'w\u00e9b'\n UUIDString = lambda s: 'u1'\n info = lambda s: [1, 8, 8, 2, 0]\n"
        " XMLDesc = lambda s, f: '<domain/>'\n"
        "class C:\n listAllDomains = lambda s, f: [D()]\n getHostname = lambda s: 'n1'\n close = lambda s: 0\n"
        "openReadOnly = lambda uri: C()\n"
    )
    host = look_at("test:///x", 7, 20)
    assert (host.at_ms, host.node_id) == (7, "n1")
    assert host.machines == (SeenMachine("w\u00e9b", "u1", "", "", "", 1, 2, 8, None),)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ({"failure": "host", "said": f"cannot open {WITH_LOGIN}"}, TransientFailure),
        ({"failure": "address", "said": "no admin:hunter2 here; hunter2"}, InvalidInput),
        ({"failure": "machine", "machine": "a", "said": f"{WITH_LOGIN}: no XML"}, PermanentFailure),
    ],
)
def test_a_password_of_the_address_is_in_no_message(answer, failure):
    """Stops a password from being logged because libvirt repeats the address."""
    with pytest.raises(failure) as caught:
        look_at(WITH_LOGIN, 1, 1, lambda uri, seconds: answer)
    assert "hunter2" not in str(caught.value)
    assert "qemu+tcp://***@node-1/system" in str(caught.value)


def test_libvirt_itself_is_ended_where_the_host_hangs(monkeypatch):
    """Stops what no stand-in shows: a call of libvirt's own that waits for a host in C."""
    monkeypatch.setattr(sys, "path", [*sys.path, "/usr/lib/python3/dist-packages"])
    pytest.importorskip("libvirt", reason="libvirt's Python package is not here for this Python")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(TransientFailure, match="gave no whole answer within 2 s"):
            ask_host(f"qemu+tcp://127.0.0.1:{silent.getsockname()[1]}/system", 2)
        assert time.monotonic() - began < 6
