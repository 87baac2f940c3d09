"""One look at a libvirt host, which has ended when its time is over."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resources.errors import AnalyticsError, InvalidInput, PermanentFailure, TransientFailure
from resources.monitoring.server.failures import shown, without_secrets

LOOK_SECONDS = 30.0
"""The longest time that a look may take: for a thousand machines it is a second or two."""

HURRIED_LOOK_SECONDS = 15.0
"""The same for a sensor, whose tick Dagster ends after a minute."""

PROGRAM = "resources.inventory.libvirt_program"

Answer = dict[str, Any]
Ask = Callable[[str, float], Answer]
"""Returns what the host at an address has, as `libvirt_program.seen` does, within some seconds."""


@dataclass(frozen=True)
class SeenMachine:
    """A machine as its host shows it; `tenant`, `vm_id` and `flavor` are empty where its metadata names none."""

    name: str
    uuid: str
    tenant: str
    vm_id: str
    flavor: str
    state: int
    vcpus: int
    memory_kib: int
    disk_bytes: int | None


@dataclass(frozen=True)
class HostNow:
    """All machines of a host, of all tenants and of none, as a look that began at `at_ms` showed them."""

    at_ms: int
    node_id: str
    machines: tuple[SeenMachine, ...]


def ask_host(uri: str, seconds: float) -> Answer:
    """Return what the host at `uri` has, read by a process that is ended after `seconds`.

    Raises:
        TransientFailure: the time was over, or the process ended without an answer.
    """
    request = json.dumps({"uri": uri, "seconds": seconds}).encode()  # not an argument: everybody may read these
    # The process finds the packages, libvirt's among them, that this one would.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}
    with subprocess.Popen(  # noqa: S603 - a fixed program, without a shell
        [sys.executable, "-P", "-m", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # nothing it starts, such as ssh, can ask a terminal, and all of it is ended together
    ) as process:
        try:
            answer, errors = process.communicate(request, timeout=seconds)
        except subprocess.TimeoutExpired as error:
            _end(process)
            raise TransientFailure(
                f"libvirt at {_named(uri)} gave no whole answer within {seconds:g} s, so the look was ended and "
                "nothing was recorded. Check that the host runs, and that `virsh -r -c` with this address lists its "
                "machines without asking for a password; then run it again."
            ) from error
        except BaseException:
            _end(process)
            raise
    try:
        found = json.loads(answer)
    except ValueError as error:
        last = (errors.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1]
        raise TransientFailure(
            f"the process that looked at libvirt at {_named(uri)} ended with code {process.returncode} and without an "
            f"answer: {shown(_clean(uri, last))}. Nothing was recorded; run it again."
        ) from error
    return dict(found)


def look_at(uri: str, at_ms: int, seconds: float, ask: Ask = ask_host) -> HostNow:
    """Return what the host at `uri` has now, which is `at_ms`.

    Raises:
        InvalidInput: libvirt's Python package is not installed, or the address is wrong.
        TransientFailure: the host cannot be reached, or does not answer within `seconds`.
        PermanentFailure: a machine's description is not XML.
    """
    answer = ask(uri, seconds)
    if "failure" in answer:
        raise _failure(uri, answer)
    machines = tuple(SeenMachine(**machine) for machine in answer["machines"])
    return HostNow(at_ms, answer["node_id"], machines)


def _failure(uri: str, answer: Answer) -> AnalyticsError:
    if answer["failure"] == "package":
        return InvalidInput(
            "the inventory comes from libvirt, but its Python package is not installed. "
            "Install novacron-performance-analytics[libvirt], or set inventory to another kind."
        )
    text = _clean(uri, answer["said"])
    if answer["failure"] == "machine":
        return PermanentFailure(
            f"libvirt at {_named(uri)} describes {shown(answer['machine'])} by what is not its XML: {text}."
        )
    said = f"libvirt at {_named(uri)} says {shown(text)}."
    if answer["failure"] == "address":
        return InvalidInput(f"{said} Correct the setting libvirt_uri.")
    return TransientFailure(f"{said} Nothing was recorded; run it again when the host answers.")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _named(uri: str) -> str:
    return shown(without_secrets(uri))


def _clean(uri: str, text: str) -> str:
    """Return libvirt's words without a password that they repeat from the address."""
    text = text.replace(uri, without_secrets(uri))
    login = re.search("//([^/]*:[^/]*)@", uri)
    for secret in (login.group(1), login.group(1).partition(":")[2]) if login else ():
        text = text.replace(secret, "***") if secret else text
    return text
