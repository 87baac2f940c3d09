"""A server as a child process: on a free loopback port, in its own folder, ready when `start` returns.

with ServerProcess("prometheus", folder, lambda port: [...], ready="/-/ready") as server:
    server.url
"""

import base64
import http.client
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
PORT_ATTEMPTS = 5
LOG_TAIL = 3000
"""Characters of the log that an error shows."""
TAKEN = "address already in use"
"""What servers log when another program has the port."""


class ServerDidNotStart(Exception):
    """A server ended or did not become ready in time; the message has the end of its log."""


@dataclass(frozen=True)
class Access:
    """How to reach a server that does not answer everybody: TLS by the authority `ca_file`, a user and password."""

    ca_file: Path | None = None
    username: str = ""
    password: str = ""

    @property
    def scheme(self) -> str:
        return "https" if self.ca_file else "http"

    @property
    def headers(self) -> dict[str, str]:
        if not self.username:
            return {}
        token = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {token}"}


class ServerProcess:
    """A server that can be started, stopped, killed and started again on the same port.

    `command` makes the command line for a port. A port that is not given is chosen free; when
    another program takes it before the server does, another is chosen. The output goes to
    `<folder>/<name>.log`, and `ready` is a path that answers 200 as soon as the server can be used.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Callable[[int], Sequence[str]],
        *,
        ready: str,
        port: int | None = None,
        access: Access | None = None,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._command = command
        self._ready = ready
        self._port = port
        self.access = access or Access()
        self._ready_seconds = ready_seconds
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        if self._port is None:
            raise RuntimeError(f"{self.name} has no port before it is started")
        return self._port

    @property
    def url(self) -> str:
        return f"{self.access.scheme}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the server and return when it answers.

        Raises:
            ServerDidNotStart: it ended, did not answer in time, or its port is taken.
        """
        if self.running:
            raise RuntimeError(f"{self.name} is already running")
        self.folder.mkdir(parents=True, exist_ok=True)
        chosen = self._port is None
        for attempt in range(PORT_ATTEMPTS):
            port = free_port() if self._port is None else self._port
            trouble = self._try(port)
            if trouble is None:
                self._port = port
                return self
            if not (chosen and TAKEN in trouble.lower() and attempt + 1 < PORT_ATTEMPTS):
                raise ServerDidNotStart(trouble)
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """End the server by SIGTERM, and by SIGKILL if that takes too long; nothing if it is not running."""
        if self._process is None:
            return
        if self.running:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)  # a paused process would not see the other signal
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End the server by SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop the server from doing anything, its connections open: it hangs."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wait(self) -> int:
        """Return the exit status when the server ends by itself."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.wait()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return status and body of a request; `OSError` or `http.client.HTTPException` where there is no answer."""
        return ask(self.port, self.access, method, path, body, headers)

    def log_tail(self, offset: int = 0) -> str:
        """Return the end of the log after `offset` bytes."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")[-LOG_TAIL:]

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _try(self, port: int) -> str | None:
        """Start on `port`; return what went wrong, None if the server is ready."""
        command = list(self._command(port))
        with self.log.open("ab") as log:
            offset = log.tell()
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + self._ready_seconds
        ready = False
        try:
            while not ready and self.running and time.monotonic() < deadline:
                ready = self._answers(port)
                if not ready:
                    time.sleep(0.02)
        finally:
            if not ready:
                status = self._process.poll()
                self.kill()
        if ready:
            return None
        how = f"did not answer {self._ready} in {self._ready_seconds:g} s" if status is None else f"ended with {status}"
        return f"{self.name} on port {port} {how}: {' '.join(command)}\n{self.log} ends:\n{self.log_tail(offset)}"

    def _answers(self, port: int) -> bool:
        """Return whether it is this process that answers on `port`, and says that it is ready."""
        try:
            status, _ = ask(port, self.access, "GET", self._ready)
        except ssl.SSLCertVerificationError:
            raise
        except (OSError, http.client.HTTPException):
            return False
        # A server that another test started may have taken the port and be ready.
        return status == 200 and listens(self.pid, port)


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(pid: int, port: int) -> bool:
    """Return whether the process listens on `port`."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


def ask(
    port: int,
    access: Access,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    seconds: float = 60.0,
) -> tuple[int, bytes]:
    """Return status and body that the server on `port` answers a request with."""
    if access.ca_file:
        context = ssl.create_default_context(cafile=str(access.ca_file))
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=seconds, context=context
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, body, {**access.headers, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
