"""The best way to read that a Prometheus-like server offers, found by trying."""

import threading
from collections.abc import Callable, Mapping

from resources.monitoring.prometheus.range_selector import RangeSelector
from resources.monitoring.prometheus.remote_read import RemoteRead
from resources.monitoring.selector import Selector
from resources.monitoring.server.failures import Refused
from resources.monitoring.server.http import HttpClient
from resources.monitoring.server.reader import Read, Reader

WAYS: Mapping[str, Callable[[HttpClient], Reader]] = {
    "remote-read-chunks": lambda client: RemoteRead(client, "chunks"),
    "remote-read-samples": lambda client: RemoteRead(client, "samples"),
    "query": RangeSelector,
}
"""The ways to read, best first."""

DENIED = (401, 403)
"""Statuses that no other way to read would mend."""


class PrometheusReader:
    """A `Reader` that begins with the best of `WAYS` and stays with the first that the server answers.

    `passed_over` says why each better way was not taken.
    """

    def __init__(self, client: HttpClient, way: str = "auto") -> None:
        names = list(WAYS) if way == "auto" else [way]
        self._ways = [(name, WAYS[name](client)) for name in names]
        self._lock = threading.Lock()
        self.passed_over: dict[str, str] = {}

    def read(self, selector: Selector, start_ms: int, end_ms: int) -> Read:
        """Return the samples of the selected series in `[start_ms, end_ms)`.

        Raises:
            TooMuch, TransientFailure: as `Reader.read`.
            PermanentFailure: no way is left that the server answers; the message is the last one's.
        """
        while True:
            name, reader = self._ways[0]
            try:
                return reader.read(selector, start_ms, end_ms)
            except Refused as error:
                # A damaged chunk is no refusal: another way would hide it.
                if error.status in DENIED or not self._pass_over(name, error):
                    raise

    def _pass_over(self, name: str, error: Refused) -> bool:
        """Give up the way `name`; return whether another is left."""
        with self._lock:
            if self._ways[0][0] != name:
                return True  # another thread found out first
            if len(self._ways) == 1:
                return False
            self._ways = self._ways[1:]
            self.passed_over[name] = str(error)
            return True
