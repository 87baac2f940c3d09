"""Raw samples by a range selector in an instant query: for servers that have no remote-read.

`selector[window]` returns samples as they are stored, but for stale markers, which it hides. It
costs the server and us several times what remote-read does.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from resources.monitoring.prometheus.series import Joined, Samples, asked, joined_samples, origin
from resources.monitoring.selector import Selector
from resources.monitoring.server.api import LATEST_MS, as_promql, as_seconds, open_envelope
from resources.monitoring.server.failures import Refused, shown
from resources.monitoring.server.http import Answer, HttpClient
from resources.monitoring.server.reader import Read
from resources.monitoring.server.verdict import Question

PATH = "/api/v1/query"
METHOD = "query"


class RangeSelector:
    """A `Reader` over the query API."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def read(self, selector: Selector, start_ms: int, end_ms: int) -> Read:
        """Return the samples of the selected series in `[start_ms, end_ms)`.

        Raises:
            InvalidInput: the window is none.
            TooMuch: the server refuses the amount.
            TransientFailure: no answer.
            PermanentFailure: the server refuses, or answers with what is no matrix of samples.
        """
        what = asked(selector, start_ms, end_ms)
        # Seen from the last millisecond, a window of this length begins one before ours: it holds our
        # first millisecond whether the server counts its open end in (2.x) or not (3.x).
        query = as_promql(f"{selector}[{end_ms - start_ms}ms]")
        form = {"query": query, "time": as_seconds(end_ms - 1), "nocache": "1"}
        about = origin(self._client.connection.url, what)

        def decoded(answer: Answer, question: Question) -> Read:
            with _no_collection():
                envelope = open_envelope(answer, question)
                del answer
                series, more = _series(envelope.data, about)
                return Read(joined_samples(series, start_ms, end_ms), METHOD, (*envelope.warnings, *more))

        return self._client.ask("POST", PATH, decoded, form=form, what=what)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from walking over millions of new objects that are no garbage: 40 % of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _series(data: Any, about: str) -> tuple[Joined[Samples], tuple[str, ...]]:
    """Return the series of a matrix, and what is to be said about it. The matrix is used up."""
    joined: Joined[Samples] = Joined()
    histograms = 0
    try:
        if data["resultType"] != "matrix":
            raise ValueError(f"it is a {data['resultType']}")
        results = data["result"]
        results.reverse()
        while results:
            # Taken off one by one, so that the objects of a series are gone when its arrays are made.
            series = results.pop()
            histograms += "histograms" in series
            joined.add(_labels(series["metric"]), _arrays(series.get("values", [])))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Refused(
            f"{about}: the answer is no matrix of samples ({type(error).__name__} {shown(str(error))}). Check that the "
            "address is that of a Prometheus server and that no proxy answers in its place."
        ) from error
    if not histograms:
        return joined, ()
    return joined, (f"{histograms} series have native histograms, which are not supported and were left out",)


def _labels(metric: Any) -> dict[str, str]:
    if not isinstance(metric, dict) or not all(isinstance(value, str) for value in metric.values()):
        raise ValueError("the labels of a series are no texts")
    return metric


def _arrays(pairs: list[Any]) -> Samples:
    """Return the arrays of `[[seconds, "value"], ...]`; a value may be "NaN" or "+Inf"."""
    seconds = np.fromiter((second for second, _ in pairs), np.float64, len(pairs))
    values = np.fromiter((value for _, value in pairs), np.float64, len(pairs))
    ts_ms = np.rint(seconds * 1000)
    if not (np.abs(ts_ms) <= LATEST_MS).all():
        raise ValueError("the time of a sample is none")
    return ts_ms.astype(np.int64), values
