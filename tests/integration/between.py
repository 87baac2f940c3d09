"""What may stand between this software and a server: proxies that swap, cut and hold back answers.

`swapping` asks the real server and plays what a test makes of the answer; `Held` forwards bytes and
stops in the middle of a large answer until it is told to go on.
"""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.resources.monitoring.server.scripted import Close, Request, Reset, Script, answer
from tests.servers.process import ServerProcess

HELD_AFTER = 8 * 1024
"""Bytes of an answer that `Held` lets through; lists of names are shorter, samples longer."""
SMALL_BUFFER, SMALL_SEGMENT = 4096, 536
DROPPED = frozenset({"host", "connection", "content-length"})


@dataclass(frozen=True)
class Passed:
    """A question and what the real server answered."""

    request: Request
    status: int
    content_type: str
    body: bytes

    @property
    def path(self) -> str:
        return self.request.target.partition("?")[0]

    def unchanged(self) -> Script:
        return answer(self.status, self.body, self.content_type)


Swap = Callable[[Passed], Script]


@dataclass
class Between:
    """Where a proxy listens, what passed it, and what it makes of each answer; a test may change `swap`."""

    url: str
    swap: Swap
    passed: list[Passed] = field(default_factory=list)

    def of(self, path: str) -> list[Passed]:
        return [one for one in self.passed if one.path == path]


@contextmanager
def swapping(server: ServerProcess, swap: Swap = Passed.unchanged) -> Iterator[Between]:
    """Yield a proxy in front of `server` that answers with the script that `swap` returns."""
    lock = threading.Lock()
    connections: set[socket.socket] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            connections.add(self.connection)

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in DROPPED}
            try:
                status, found, content_type = _forwarded(server, self.command, self.path, body, headers)
            except (OSError, http.client.HTTPException):
                self.close_connection = True
                return
            lowered = {name.lower(): value for name, value in headers.items()}
            passed = Passed(Request(self.command, self.path, lowered, body), status, content_type, found)
            with lock:
                between.passed.append(passed)
                script = between.swap(passed)
            self._play(script)

        def _play(self, script: Script) -> None:
            for step in script:
                if isinstance(step, bytes):
                    with suppress(OSError):  # the client has heard enough
                        self.wfile.write(step)
                elif isinstance(step, (Close, Reset)):
                    self.close_connection = True
                    return
                else:
                    raise TypeError(f"{step} cannot be played here")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = False
        request_queue_size = 64

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of clients that went away."""

    with Server(("127.0.0.1", 0), Handler) as proxy:
        between = Between(f"http://127.0.0.1:{proxy.server_port}", swap)
        serving = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield between
        finally:
            proxy.shutdown()
            serving.join()
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _forwarded(
    server: ServerProcess, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, path, body or None, headers)
        found = connection.getresponse()
        return found.status, found.read(), found.headers.get("Content-Type", "")
    finally:
        connection.close()


class Held:
    """A relay of bytes to a server. While `holding`, an answer stops after `HELD_AFTER` bytes: `reached` is set.

    Its buffers are small, so that the rest of the answer is still in the server. `go_on` lets all flow.
    """

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.reached = threading.Event()
        self._go = threading.Event()
        self._go.set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def hold(self) -> None:
        """Let no more than `HELD_AFTER` bytes of any answer through from now on.

        Connections end, because one that was in use has learned to hold a whole answer in its buffers.
        """
        self.reached.clear()
        self._go.clear()
        _end(*self._open)

    def wait_for(self, reading: "Future[Any]") -> None:
        """Return when an answer to `reading` is held; raise what it raised if it ended before."""
        while not self.reached.wait(0.02):
            if reading.done():
                raise AssertionError(f"nothing was held: {reading.result()}")

    def go_on(self) -> None:
        """Let everything flow."""
        self._go.set()

    def __enter__(self) -> "Held":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._go.set()
        for sock in (self._listener, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the end of the test
                return
            upstream = socket.socket()
            self._open += [client, upstream]
            try:
                upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
                # A sender's buffer holds some segments, and those of the loopback interface have 64 KiB.
                upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT)
                upstream.connect(("127.0.0.1", self.server.port))
            except OSError:  # the server is down
                _end(client, upstream)
                continue
            asked = threading.Event()
            self._start(self._questions, client, upstream, asked)
            self._start(self._answers, client, upstream, asked)

    def _questions(self, client: socket.socket, upstream: socket.socket, asked: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                asked.set()
                upstream.sendall(data)
        _end(client, upstream)

    def _answers(self, client: socket.socket, upstream: socket.socket, asked: threading.Event) -> None:
        through = 0
        with suppress(OSError):
            while data := upstream.recv(SMALL_BUFFER):
                if asked.is_set():  # the connection is used again
                    asked.clear()
                    through = 0
                client.sendall(data)
                through += len(data)
                if through > HELD_AFTER and not self._go.is_set():
                    self.reached.set()
                    self._go.wait()
        _end(client, upstream)


def _end(*sockets: socket.socket) -> None:
    for sock in sockets:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
