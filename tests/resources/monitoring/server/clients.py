"""Clients for the tests: quick limits, and waits that are written down instead of waited."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from resources.monitoring.server.connection import Connection
from resources.monitoring.server.http import HttpClient

QUICK_SECONDS = 0.3


class Waits(list[float]):
    """What a client would have slept between attempts, in seconds."""

    def sleep(self, seconds: float) -> None:
        self.append(seconds)


@contextmanager
def client(
    url: str, waits: Waits | None = None, max_body_bytes: int = 1_000_000, **changes: Any
) -> Iterator[HttpClient]:
    """Yield a client with 2 attempts and timeouts of 5 s unless `changes` say otherwise."""
    given = {"attempts": 2, "read_timeout_seconds": 5.0, "request_timeout_seconds": 5.0, **changes}
    waits = Waits() if waits is None else waits
    with HttpClient(Connection(url, **given), sleep=waits.sleep, max_body_bytes=max_body_bytes) as opened:
        yield opened
