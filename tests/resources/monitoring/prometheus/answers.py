"""A client that gives prepared answers, and the bodies of such answers as a server writes them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import cramjam
import google_crc32c
import numpy as np

from resources.monitoring.prometheus.wire import MESSAGES
from resources.monitoring.server.connection import Connection
from resources.monitoring.server.http import Answer, Form, HttpClient
from resources.monitoring.server.reader import RawSeries
from resources.monitoring.server.verdict import Question

CHUNKED = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
SAMPLED = "application/x-protobuf"

T = TypeVar("T")
Series = tuple[dict[str, str], Sequence[Any]]


class Client(HttpClient):
    """Answers every request with `body` of `content_type`, and remembers the requests."""

    def __init__(self, content_type: str, body: bytes) -> None:
        super().__init__(Connection("http://prometheus.test:9090", attempts=1))
        self.answer = Answer(status=200, content_type=content_type, body=body)
        self.sent: list[dict[str, Any]] = []

    def ask(
        self,
        method: str,
        path: str,
        decode: Callable[[Answer, Question], T],
        *,
        form: Form | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        what: str,
    ) -> T:
        self.sent.append(
            {"method": method, "path": path, "form": form, "body": body, "headers": headers or {}, "what": what}
        )
        return super().ask(method, path, decode, form=form, body=body, headers=headers, what=what)

    def _attempt(self, *asked: Any) -> Answer:
        return self.answer


def frame(message: bytes, crc: int | None = None) -> bytes:
    """Return a message with its length and checksum before it."""
    length, size = b"", len(message)
    while size >= 128:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    checksum = google_crc32c.value(message) if crc is None else crc
    return length + bytes([size]) + checksum.to_bytes(4, "big") + message


def chunked(*series: Series, encoding: int = 1) -> bytes:
    """Return one frame of series, whose second part are chunks."""
    message = MESSAGES["ChunkedReadResponse"]()
    for labels, chunks in series:
        one = message.chunked_series.add()
        for name, value in labels.items():
            one.labels.add(name=name, value=value)
        for data in chunks:
            one.chunks.add(type=encoding, data=data)
    return frame(message.SerializeToString())


def sampled(*series: Series, histograms: int = 0) -> bytes:
    """Return an answer of series, whose second part are pairs (time, bits of the value)."""
    message = MESSAGES["ReadResponse"]()
    result = message.results.add()
    for labels, samples in series:
        one = result.timeseries.add(histograms=[b""] * histograms)
        for name, value in labels.items():
            one.labels.add(name=name, value=value)
        for ts, bits in samples:
            one.samples.add(timestamp=ts, value=from_bits(bits))
    return bytes(cramjam.snappy.compress_raw(message.SerializeToString()))


def from_bits(bits: int) -> float:
    return float(np.array([bits], np.uint64).view(np.float64)[0])


def to_bits(value: float) -> int:
    return int(np.array([value], np.float64).view(np.uint64)[0])


def as_lists(series: RawSeries) -> list[tuple[dict[str, str], list[tuple[int, int]]]]:
    """Return the series with their samples as (time, bits of the value)."""
    assert series.ts_ms.dtype == np.int64
    assert series.values.dtype == np.float64
    assert series.offsets.dtype == np.int64
    assert len(series.offsets) == len(series.labels) + 1
    pairs = list(zip(series.ts_ms.tolist(), series.values.view(np.uint64).tolist(), strict=True))
    return [
        (labels, pairs[begin:end])
        for labels, begin, end in zip(series.labels, series.offsets[:-1], series.offsets[1:], strict=True)
    ]
