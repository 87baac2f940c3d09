"""A loopback server that sends, for each request, exactly the bytes and pauses that a test wrote down."""

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

POLL_SECONDS = 0.005


@dataclass(frozen=True)
class Pause:
    """Wait before the next bytes; ends early when the server stops."""

    seconds: float


class Close:
    """End the connection in the ordinary way (FIN)."""


class Reset:
    """Break the connection (RST), as a killed process or a firewall does."""


class Hang:
    """Send nothing more and keep the connection until the server stops."""


Step = bytes | Pause | Close | Reset | Hang
Script = Sequence[Step]


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass
class ScriptedServer:
    """Where it listens, and what it was asked so far."""

    port: int
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


def answer(
    status: int = 200, body: bytes = b"", content_type: str = "application/json", headers: Sequence[str] = ()
) -> list[Step]:
    """Return the script of an ordinary answer with a length."""
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
    return [("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body]


def chunked(*chunks: bytes, content_type: str = "application/json", size: str = "%x") -> bytes:
    """Return the bytes of an answer in chunks; `size` formats their lengths."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    parts = [(size % len(chunk)).encode() + b"\r\n" + chunk + b"\r\n" for chunk in chunks]
    return head + b"".join(parts) + b"0\r\n\r\n"


def success(data: object, **more: object) -> list[Step]:
    """Return the script of a successful answer of the API."""
    return answer(body=json.dumps({"status": "success", "data": data, **more}).encode())


def failure(status: int, error_type: str, error: str, headers: Sequence[str] = ()) -> list[Step]:
    """Return the script of an error of the API."""
    body = json.dumps({"status": "error", "errorType": error_type, "error": error}).encode()
    return answer(status, body, headers=headers)


@contextmanager
def scripted(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Yield a server that plays one script for each request, in order; further requests get the last one."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    server = ScriptedServer(listener.getsockname()[1], "https" if tls else "http")
    stop = threading.Event()
    lock = threading.Lock()
    threads: list[threading.Thread] = []

    def next_script(request: Request) -> Script:
        with lock:
            server.requests.append(request)
            return scripts[min(len(server.requests), len(scripts)) - 1]

    def serve(plain: socket.socket) -> None:
        # OSError: the client went away, or did not like the certificate
        with plain, contextlib.suppress(OSError):
            if tls is None:
                _converse(plain, next_script, stop)
            else:
                with tls.wrap_socket(plain, server_side=True) as secure:
                    _converse(secure, next_script, stop)

    def accept() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:  # the end of the test
                return
            connection.settimeout(10)
            server.connections += 1
            thread = threading.Thread(target=serve, args=(connection,))
            threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield server
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listener.close()
        for thread in threads:
            thread.join()


def _converse(sock: socket.socket, next_script: Callable[[Request], Script], stop: threading.Event) -> None:
    waiting = b""
    while True:
        request, waiting = _receive(sock, waiting, stop)
        if request is None:
            return
        for step in next_script(request):
            if isinstance(step, bytes):
                sock.sendall(step)
            elif isinstance(step, Pause):
                stop.wait(step.seconds)
            elif isinstance(step, Hang):
                stop.wait()
                return
            elif isinstance(step, Reset):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            else:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                return


def _receive(sock: socket.socket, waiting: bytes, stop: threading.Event) -> tuple[Request | None, bytes]:
    """Return the next whole request and what came after it; None when the client or the server is done.

    A TLS hello, which a server of plain HTTP cannot read, is a request with the method TLS.
    """
    sock.settimeout(POLL_SECONDS)
    try:
        while b"\r\n\r\n" not in waiting:
            more = _more(sock, stop)
            if not more:
                return None, b""
            waiting += more
            if waiting.startswith(b"\x16"):
                return Request("TLS", "", {}, waiting), b""
        head, _, rest = waiting.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(rest) < length:
            more = _more(sock, stop)
            if not more:
                return None, b""
            rest += more
    finally:
        sock.settimeout(10)
    return Request(method, target, headers, rest[:length]), rest[length:]


def _more(sock: socket.socket, stop: threading.Event) -> bytes:
    while not stop.is_set():
        try:
            return sock.recv(65536)
        except TimeoutError:
            continue
    return b""
