"""A server asked in a hurry: each thing once, no long wait, and nothing more when the time is over.

Dagster gives a sensor's tick a minute. A tick that needs more fails with words that name no server,
and whatever it waits for is still waited for when the next tick comes.
"""

import time
from dataclasses import replace
from typing import Any

from resources.monitoring.server.connection import Connection
from resources.monitoring.server.failures import ServerUnavailable, shown
from resources.monitoring.server.http import HttpClient

SILENCE_SECONDS = 10.0
"""The longest wait for a connection, and for the next byte of an answer."""

REQUEST_SECONDS = 15.0
"""The longest time that an answer may take."""


class HurriedClient(HttpClient):
    """A client whose first request begins now and whose last begins within `within_seconds`.

    No failed attempt is repeated. Shorter limits of the connection stay.
    """

    def __init__(self, connection: Connection, within_seconds: float) -> None:
        super().__init__(
            replace(
                connection,
                attempts=1,
                read_timeout_seconds=min(connection.read_timeout_seconds, SILENCE_SECONDS),
                request_timeout_seconds=min(connection.request_timeout_seconds, REQUEST_SECONDS),
            )
        )
        self._within_seconds = within_seconds
        self._deadline = time.monotonic() + within_seconds

    def ask(self, *arguments: Any, **options: Any) -> Any:
        """Return what `HttpClient.ask` does.

        Raises:
            ServerUnavailable: the attempt failed in passing, or the time for attempts is over.
            TooMuch, Refused, InvalidInput: as `HttpClient.ask`.
        """
        if time.monotonic() >= self._deadline:
            raise ServerUnavailable(
                f"{self.connection.url} took {self._within_seconds:g} s for what was asked before, so it was not asked "
                f"for {shown(str(options.get('what', '')))}: Dagster ends a sensor's tick after a minute. The server "
                "is slow or overloaded; the next tick tries again."
            )
        try:
            return super().ask(*arguments, **options)
        except ServerUnavailable as error:
            limits = self.connection
            raise ServerUnavailable(
                f"{error} A sensor asks once and waits at most {limits.read_timeout_seconds:g} s for a byte and "
                f"{limits.request_timeout_seconds:g} s for an answer, because Dagster ends its tick after a minute."
            ) from error
