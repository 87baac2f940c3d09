"""Connections whose answers are either whole or an error, and that end at a deadline.

Two habits of Python's HTTP client make cut answers look whole: a line that the end of the
connection cuts off counts as a line (the chunk length `0` of `0a40` then ends the body), and the
blank line after the last chunk may be missing. And a timeout counts one read of the socket only, so
that a server that sends a byte a second never times out. The reader below stops both.
"""

import http.client
import io
import socket
import time
from functools import partial
from typing import Any, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError

from resources.monitoring.server.connection import Connection

CONNECT_SECONDS = 10.0
# Bytes taken from the socket at once.
BUFFER_BYTES = 256 * 1024


class DeadlinePassed(TimeoutError):
    """The answer was not whole when its time was over, although bytes may still have been coming."""


class _UntilDeadline(io.RawIOBase):
    """Bytes of a socket; every read ends at the socket's own timeout or at the deadline, whichever is first."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._bytes = cast(io.RawIOBase, sock.makefile("rb", buffering=0))
        self._silence = sock.gettimeout() or CONNECT_SECONDS
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise DeadlinePassed
        self._sock.settimeout(min(self._silence, left))
        try:
            return self._bytes.readinto(buffer)
        except TimeoutError:
            if left < self._silence:
                raise DeadlinePassed from None
            raise

    def close(self) -> None:
        self._bytes.close()
        super().close()


class _WholeLines(io.BufferedReader):
    """A reader that does not take the rest before the end of the connection for a line."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(-1 if size is None else size)
        if not line.endswith(b"\n") and len(line) != size:
            raise http.client.IncompleteRead(line)
        return line


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = _WholeLines(_UntilDeadline(sock, deadline), BUFFER_BYTES)


class _BoundedHttp(HTTPConnection):
    def __init__(self, *args: Any, answer_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answer_seconds = answer_seconds

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3 does
        """Read the head of the answer; the time for the whole of it begins now, as the request was just sent."""
        response = partial(_Response, deadline=time.monotonic() + self._answer_seconds)
        self.response_class = cast(type[http.client.HTTPResponse], response)
        return super().getresponse()


class _BoundedHttps(_BoundedHttp, HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except TimeoutError as error:  # within the TLS handshake
            raise ConnectTimeoutError(self, "the TLS handshake took too long") from error


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _BoundedHttp


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _BoundedHttps


def open_pool(connection: Connection, kept: int) -> urllib3.HTTPConnectionPool:
    """Return a pool of connections to the server that may be used by many threads; `kept` stay open when idle.

    Raises:
        InvalidInput: the file of certificate authorities cannot be used.
    """
    timeout = urllib3.Timeout(
        connect=min(CONNECT_SECONDS, connection.read_timeout_seconds), read=connection.read_timeout_seconds
    )
    settings: dict[str, Any] = {
        "port": connection.port,
        "maxsize": kept,
        "timeout": timeout,
        "retries": False,
        "answer_seconds": connection.request_timeout_seconds,
    }
    if connection.scheme == "https":
        return _HttpsPool(connection.host, ssl_context=connection.ssl_context(), **settings)
    return _HttpPool(connection.host, **settings)
