"""Raw samples by Prometheus's remote-read protocol: the fastest way, and the cheapest for the server.

Asked to stream, Prometheus sends the chunks it has stored, as they are. Servers that cannot do that
answer with plain samples.
"""

from typing import Literal

import numpy as np

from resources.errors import PermanentFailure
from resources.monitoring.prometheus import wire, xor
from resources.monitoring.prometheus.series import (
    Joined,
    Samples,
    asked,
    beginning,
    cut,
    described,
    joined_samples,
    origin,
)
from resources.monitoring.prometheus.wire import ResponseType
from resources.monitoring.selector import Selector
from resources.monitoring.server.failures import Refused, shown
from resources.monitoring.server.http import Answer, HttpClient
from resources.monitoring.server.reader import RawSeries, Read
from resources.monitoring.server.verdict import Question

PATH = "/api/v1/read"
HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Read-Version": "0.1.0",
}
CHUNKED = "prometheus.ChunkedReadResponse"

Method = Literal["chunks", "samples"]

_ACCEPT: dict[Method, tuple[ResponseType, ...]] = {
    "chunks": (ResponseType.STREAMED_XOR_CHUNKS, ResponseType.SAMPLES),
    "samples": (ResponseType.SAMPLES,),
}
_HISTOGRAMS = {2: "histogram", 3: "float histogram"}


class RemoteRead:
    """A `Reader`. With `method` "chunks" it asks for stored chunks and takes samples too, with "samples" only these.

    Values keep every bit, so stale markers can be told from NaN; only a server's plain samples lose
    the sign of zero. `Read.method` says which of the two the server answered with.
    """

    def __init__(self, client: HttpClient, method: Method = "chunks") -> None:
        self._client = client
        self._method = method

    def read(self, selector: Selector, start_ms: int, end_ms: int) -> Read:
        """Return the samples of the selected series in `[start_ms, end_ms)`.

        Raises:
            InvalidInput: the window is none.
            TransientFailure: no answer, or a damaged one in every attempt.
            PermanentFailure: the server refuses, is no Prometheus, or has native histograms under this name.
        """
        what = asked(selector, start_ms, end_ms)
        request = wire.encode_request(selector, start_ms, end_ms, _ACCEPT[self._method])
        about = origin(self._client.connection.url, what)

        def decoded(answer: Answer, question: Question) -> Read:
            kind = _kind(answer, about)
            read = _chunks if kind == "chunks" else _samples
            return Read(read(answer.body, start_ms, end_ms, about), f"remote-read {kind}")

        return self._client.ask("POST", PATH, decoded, body=request, headers=HEADERS, what=what)


def _kind(answer: Answer, about: str) -> Method:
    """Return what the content type says the body is."""
    media, *parameters = (part.strip() for part in answer.content_type.split(";"))
    message = next((text[6:].strip('"') for text in parameters if text.startswith("proto=")), None)
    if media.lower() == "application/x-streamed-protobuf" and message in (CHUNKED, None):
        return "chunks"
    if media.lower() == "application/x-protobuf":
        return "samples"
    raise Refused(
        f"{about}: the answer is {shown(answer.content_type)} and begins with {beginning(answer.body)}; remote-read "
        "answers application/x-protobuf or application/x-streamed-protobuf. Check that the address is that of a "
        "Prometheus server and that no proxy answers in its place, or choose another way to read."
    )


def _chunks(body: bytes, start_ms: int, end_ms: int, about: str) -> RawSeries:
    joined: Joined[bytes] = Joined()
    for message in wire.frames(body, about):
        for series in wire.chunked(message, about):
            for encoding, _ in series.chunks:
                if encoding != wire.XOR:
                    raise _unknown(series.labels, _HISTOGRAMS.get(encoding, f"encoding {encoding}"), about)
            joined.add(series.labels, *(data for _, data in series.chunks))
    bounds = np.cumsum([0, *map(len, joined.pieces)])
    try:
        decoded = xor.decode([chunk for pieces in joined.pieces for chunk in pieces])
    except xor.BadChunk as error:
        number = int(np.searchsorted(bounds, error.number, side="right")) - 1
        raise PermanentFailure(
            f"{about}: chunk {error.number - bounds[number] + 1} of {len(joined.pieces[number])} of the series "
            f"{described(joined.labels[number].items())} is corrupt: {error.reason}. Check the server's storage."
        ) from error
    return cut(joined.labels, decoded.offsets[bounds], decoded.ts_ms, decoded.values, start_ms, end_ms)


def _samples(body: bytes, start_ms: int, end_ms: int, about: str) -> RawSeries:
    joined: Joined[Samples] = Joined()
    for series in wire.samples(body, about):
        if series.histograms:
            raise _unknown(series.labels, "histogram", about)
        joined.add(series.labels, (series.ts_ms, series.values))
    return joined_samples(joined, start_ms, end_ms)


def _unknown(labels: dict[str, str], kind: str, about: str) -> PermanentFailure:
    return PermanentFailure(
        f"{about}: the series {described(labels.items())} has samples of the kind {kind}; native histograms are not "
        "supported. Have the target expose a classic histogram with buckets, and select its series."
    )
