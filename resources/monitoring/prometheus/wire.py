"""The messages of Prometheus's remote-read protocol, as far as we use them.

They are declared here by field numbers, which is all that goes over the wire; fields that a server
sends beyond these are skipped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import cramjam
import google_crc32c
import numpy as np
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from resources.errors import PermanentFailure, TransientFailure
from resources.monitoring.prometheus.series import beginning, described
from resources.monitoring.selector import Operator, Selector

XOR = 1
"""The encoding of chunks of ordinary samples."""

SNAPPY_MOST = 24
"""No byte of a snappy block stands for more bytes than this; who claims more would have us reserve memory."""

_TYPES: dict[str, "FieldDescriptorProto.Type.ValueType"] = {
    "int64": FieldDescriptorProto.TYPE_INT64,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}

# Message -> field -> (number, type). "[]" marks a repeated field, a capital letter a message. Enums travel as int32.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "ReadRequest": {"queries": (1, "Query[]"), "accepted_response_types": (2, "int32[]")},
    "Query": {
        "start_timestamp_ms": (1, "int64"),
        "end_timestamp_ms": (2, "int64"),
        "matchers": (3, "LabelMatcher[]"),
    },
    "LabelMatcher": {"type": (1, "int32"), "name": (2, "string"), "value": (3, "string")},
    "ReadResponse": {"results": (1, "QueryResult[]")},
    "QueryResult": {"timeseries": (1, "TimeSeries[]")},
    "TimeSeries": {"labels": (1, "Label[]"), "samples": (2, "Sample[]"), "histograms": (4, "bytes[]")},
    "Label": {"name": (1, "string"), "value": (2, "string")},
    "Sample": {"value": (1, "double"), "timestamp": (2, "int64")},
    "ChunkedReadResponse": {"chunked_series": (1, "ChunkedSeries[]")},
    "ChunkedSeries": {"labels": (1, "Label[]"), "chunks": (2, "Chunk[]")},
    "Chunk": {"type": (3, "int32"), "data": (4, "bytes")},
}


class ResponseType(IntEnum):
    """What a server may be asked to answer with."""

    SAMPLES = 0
    STREAMED_XOR_CHUNKS = 1


_OPERATORS: dict[Operator, int] = {"=": 0, "!=": 1, "=~": 2, "!~": 3}


def _declare() -> dict[str, Any]:
    """Return the class of each message, from a pool of their own: others may declare Prometheus's messages too."""
    file = FileDescriptorProto(name="remote_read.proto", package="prometheus", syntax="proto3")
    for message, fields in _MESSAGES.items():
        declared: DescriptorProto = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            single = kind.removesuffix("[]")
            added = declared.field.add(
                name=name,
                number=number,
                label=FieldDescriptorProto.LABEL_OPTIONAL if single == kind else FieldDescriptorProto.LABEL_REPEATED,
            )
            if single in _MESSAGES:
                added.type, added.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".prometheus.{single}"
            else:
                added.type = _TYPES[single]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        message: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"prometheus.{message}"))
        for message in _MESSAGES
    }


MESSAGES = _declare()
"""The classes of the messages by name."""


@dataclass
class ChunkSeries:
    """Chunks of a series as sent: (encoding, data)."""

    labels: dict[str, str]
    chunks: list[tuple[int, bytes]]


@dataclass
class SampleSeries:
    """Samples of a series as sent, and how many native histograms came with them."""

    labels: dict[str, str]
    ts_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    histograms: int = 0


def encode_request(selector: Selector, start_ms: int, end_ms: int, accept: Sequence[ResponseType]) -> bytes:
    """Return the body that asks for the samples of `selector` in `[start_ms, end_ms)`, snappy-compressed.

    `accept` are the answers we understand, the best first. The protocol's window is closed at both
    ends, so it is one millisecond shorter than ours.
    """
    query = MESSAGES["Query"](start_timestamp_ms=start_ms, end_timestamp_ms=end_ms - 1)
    for matcher in selector.matchers:
        query.matchers.add(type=_OPERATORS[matcher.operator], name=matcher.label, value=matcher.value)
    request = MESSAGES["ReadRequest"](queries=[query], accepted_response_types=[int(kind) for kind in accept])
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def frames(body: bytes, about: str) -> Iterator[bytes]:
    """Yield the messages of a streamed answer; `about` names the request in errors.

    Raises:
        TransientFailure: the body is cut off or damaged.
    """
    position, number = 0, 0
    while position < len(body):
        number += 1
        length, start = _length(body, position)
        message = body[start + 4 : start + 4 + length]
        if start < 0 or len(message) < length:
            # A server that fails while it answers writes its error behind the frames.
            raise TransientFailure(
                f"{about}: the body ends in the middle of frame {number}, which begins with "
                f"{beginning(body[position:])}. The server stopped while it answered: try again."
            )
        if google_crc32c.value(message) != int.from_bytes(body[start : start + 4], "big"):
            raise TransientFailure(
                f"{about}: the checksum of frame {number}, which begins with {beginning(body[position:])}, "
                "is wrong. The answer was damaged on its way: try again."
            )
        yield message
        position = start + 4 + length


def _length(body: bytes, position: int) -> tuple[int, int]:
    """Return the length that a frame begins with and where its checksum is, -1 where the length does not end."""
    length = 0
    for group, byte in enumerate(body[position : position + 10]):
        length |= (byte & 127) << (7 * group)
        if byte < 128:
            return length, position + group + 1
    return length, -1


def chunked(message: bytes, about: str) -> Iterator[ChunkSeries]:
    """Yield the series of one frame.

    Raises:
        PermanentFailure: it is no such message.
    """
    for series in _parsed("ChunkedReadResponse", message, about).chunked_series:
        yield ChunkSeries(_labels(series, about), [(chunk.type, chunk.data) for chunk in series.chunks])


def samples(body: bytes, about: str) -> Iterator[SampleSeries]:
    """Yield the series of an answer of plain samples.

    Raises:
        TransientFailure: the body is damaged.
        PermanentFailure: it is no such message.
    """
    for result in _parsed("ReadResponse", _decompressed(body, about), about).results:
        for series in result.timeseries:
            count = len(series.samples)
            yield SampleSeries(
                _labels(series, about),
                np.fromiter((sample.timestamp for sample in series.samples), np.int64, count),
                np.fromiter((sample.value for sample in series.samples), np.float64, count),
                len(series.histograms),
            )


def _decompressed(body: bytes, about: str) -> bytes:
    try:
        if cramjam.snappy.decompress_raw_len(body) <= SNAPPY_MOST * len(body):
            return bytes(cramjam.snappy.decompress_raw(body))
        reason = "it claims to be larger than it can be"
    except cramjam.DecompressionError as error:
        reason = str(error)
    raise TransientFailure(
        f"{about}: the body of {len(body)} bytes is not whole snappy data ({reason[:200]}); it begins with "
        f"{beginning(body)}. The answer was damaged on its way: try again."
    )


def _parsed(name: str, message: bytes, about: str) -> Any:
    try:
        return MESSAGES[name].FromString(message)
    except DecodeError as error:
        raise PermanentFailure(
            f"{about}: what came is no {name} message ({str(error)[:200]}); it begins with {beginning(message)}. "
            "Check that the address is that of a Prometheus server, and its version."
        ) from error


def _labels(series: Any, about: str) -> dict[str, str]:
    pairs = [(label.name, label.value) for label in series.labels]
    labels = dict(pairs)
    if len(labels) != len(pairs):
        raise PermanentFailure(
            f"{about}: the series {described(pairs)} has a label twice. The server's data is corrupt."
        )
    return labels
