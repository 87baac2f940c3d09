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
            PermanentFailure: no way is left that the server answers; the message is the first one's, and the last
                one's where the server refuses that for another reason.
        """
        refusals: dict[str, Refused] = {}
        for name, reader in self._ways:
            try:
                read = reader.read(selector, start_ms, end_ms)
            except Refused as error:
                # A damaged chunk is no refusal: another way would hide it.
                if not _may_be_this_way_only(error):
                    raise
                refusals[name] = error
            else:
                self._pass_over(refusals)
                return read
        first, last = refusals[next(iter(refusals))], refusals[name]
        if last.status == first.status:
            raise first
        raise Refused(f"{first} By {name} it refuses too: {last}", first.status) from last

    def _pass_over(self, refusals: Mapping[str, Refused]) -> None:
        """Give up the ways that were refused, now that a later one was answered: it was not the server as such."""
        with self._lock:
            self._ways = [(name, reader) for name, reader in self._ways if name not in refusals]
            self.passed_over.update({name: str(error) for name, error in refusals.items()})


def _may_be_this_way_only(refusal: Refused) -> bool:
    """Return whether another way may be open. A login page or a redirect, which may pass, stands before all of them.

    A gateway may deny (401, 403) what it does not know, and let queries through.
    """
    return refusal.status is None or refusal.status >= 400
