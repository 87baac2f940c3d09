"""Remote-read's messages: the request that Prometheus understands, and answers that are not what they should be."""

from contextlib import suppress

import cramjam
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import PermanentFailure, TransientFailure
from resources.monitoring.prometheus import wire
from resources.monitoring.prometheus.wire import MESSAGES, ResponseType
from resources.monitoring.selector import Matcher, Selector, parse_selector
from tests.resources.monitoring.prometheus.answers import chunked, frame, from_bits, sampled

STALE = 0x7FF0000000000002
START, END = 1_700_000_000_000, 1_700_086_400_000
ABOUT = "http://prometheus.test:9090 was asked for 'm'"


def test_the_request_is_the_bytes_that_prometheus_documents() -> None:
    """Stops a wrong field number, which a server skips without a word: these bytes are laid out by hand."""
    selector = parse_selector('up{job!="a",node=~"n1|n2",x!~"y"}')
    body = wire.encode_request(selector, 1000, 2000, [ResponseType.STREAMED_XOR_CHUNKS, ResponseType.SAMPLES])
    matchers = (
        b"\x1a\x0e" + b"\x12\x08__name__" + b"\x1a\x02up"  # type EQ is 0 and not sent
        b"\x1a\x0a" + b"\x08\x01" + b"\x12\x03job" + b"\x1a\x01a"
        b"\x1a\x0f" + b"\x08\x02" + b"\x12\x04node" + b"\x1a\x05n1|n2"
        b"\x1a\x08" + b"\x08\x03" + b"\x12\x01x" + b"\x1a\x01y"
    )
    query = b"\x08\xe8\x07" + b"\x10\xcf\x0f" + matchers
    expected = b"\x0a" + bytes([len(query)]) + query + b"\x12\x02\x01\x00"
    assert bytes(cramjam.snappy.decompress_raw(body)) == expected


def test_the_last_millisecond_asked_for_is_the_one_before_the_end() -> None:
    """Stops the sample at the end of a window from being read twice: the protocol's window is closed."""
    body = wire.encode_request(parse_selector("m"), START, END, [ResponseType.SAMPLES])
    request = MESSAGES["ReadRequest"].FromString(bytes(cramjam.snappy.decompress_raw(body)))
    assert (request.queries[0].start_timestamp_ms, request.queries[0].end_timestamp_ms) == (START, END - 1)
    assert list(request.accepted_response_types) == [0]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_label_value_arrives_unchanged(value: str) -> None:
    """Stops a hostile label value from changing what is selected: it is data here, not text to be escaped."""
    selector = Selector((Matcher("__name__", "=", "m"), Matcher("tenant_id", "=", value)))
    body = wire.encode_request(selector, START, END, [ResponseType.SAMPLES])
    request = MESSAGES["ReadRequest"].FromString(bytes(cramjam.snappy.decompress_raw(body)))
    assert [(matcher.type, matcher.name, matcher.value) for matcher in request.queries[0].matchers] == [
        (0, "__name__", "m"),
        (0, "tenant_id", value),
    ]


def test_frames_of_any_size_are_taken_apart() -> None:
    """Stops lengths of two and three bytes from being misread."""
    messages = [b"", b"a", bytes(127), bytes(128), bytes(16_383), bytes(16_384), bytes(3_000_000)]
    assert list(wire.frames(b"".join(map(frame, messages)), ABOUT)) == messages
    assert list(wire.frames(b"", ABOUT)) == []


def test_a_checksum_is_the_one_of_castagnoli() -> None:
    """Stops checksum and check from sharing one mistake: this pair is the published one."""
    assert list(wire.frames(b"\x09\xe3\x06\x92\x83123456789", ABOUT)) == [b"123456789"]


@pytest.mark.parametrize("left", range(1, 20))
def test_a_body_that_ends_within_a_frame_is_not_taken_for_whole(left: int) -> None:
    """Stops the loss of the series after the point where a killed server stopped sending."""
    body = frame(b"first") + frame(bytes(200))
    assert len(frame(bytes(200))) > 20
    with pytest.raises(TransientFailure, match="the body ends in the middle of frame 2"):
        list(wire.frames(body[: len(frame(b"first")) + left], ABOUT))


def test_the_error_that_a_server_writes_behind_the_frames_is_shown() -> None:
    """Stops the server's reason from getting lost: its status 200 was sent long before."""
    with pytest.raises(
        TransientFailure, match=r"asked for 'm': .*frame 2, which begins with 'expanding series: context"
    ):
        list(wire.frames(frame(b"first") + b"expanding series: context canceled\n", ABOUT))


def test_a_wrong_checksum_is_an_error() -> None:
    """Stops damaged samples from being stored as measured ones."""
    good = frame(b"first")
    with pytest.raises(TransientFailure, match="the checksum of frame 2"):
        list(wire.frames(good + frame(b"second", crc=1), ABOUT))
    with pytest.raises(TransientFailure, match="the checksum of frame 1"):
        list(wire.frames(good[:-1] + b"T", ABOUT))


@given(st.binary(max_size=60))
def test_any_bytes_are_frames_or_an_error(body: bytes) -> None:
    """Stops hostile bytes from ending in anything but the two kinds of failure."""
    with suppress(TransientFailure, PermanentFailure):
        for message in wire.frames(body, ABOUT):
            list(wire.chunked(message, ABOUT))
    with suppress(TransientFailure, PermanentFailure):
        list(wire.samples(body, ABOUT))


def test_chunks_and_labels_come_out_as_sent() -> None:
    """Stops labels or chunks of one series from being given to another."""
    sent = [({"__name__": "m", "vm_id": 'a"\\\n\u00e9'}, [b"one", b"two"]), ({}, [])]
    (message,) = wire.frames(chunked(*sent), ABOUT)
    found = [(one.labels, one.chunks) for one in wire.chunked(message, ABOUT)]
    assert found == [(labels, [(1, data) for data in chunks]) for labels, chunks in sent]


def test_samples_keep_every_bit() -> None:
    """Stops a stale marker from becoming an ordinary NaN on its way through Python's floats."""
    bits = [
        STALE,
        0x7FF8000000000001,
        0xFFF8000000000123,
        0x7FF0000000000000,
        0xFFF0000000000000,
        1,
        0x3FF0000000000000,
    ]
    (series,) = wire.samples(sampled(({"__name__": "m"}, list(enumerate(bits, START)))), ABOUT)
    assert series.values.view(np.uint64).tolist() == bits
    assert series.ts_ms.tolist() == list(range(START, START + len(bits)))
    assert from_bits(STALE) != from_bits(STALE)


def test_a_compressed_body_that_is_damaged_is_an_error() -> None:
    """Stops half a body from being read as all of it."""
    body = sampled(({"__name__": "m"}, [(START + n, n) for n in range(1000)]))
    for damaged in (body[:-1], body[: len(body) // 2], b"", b"<html>", b"\xff" * 12):
        with pytest.raises(TransientFailure, match="is not whole snappy data"):
            list(wire.samples(damaged, ABOUT))


def test_a_body_that_claims_gigabytes_is_not_given_them() -> None:
    """Stops ten bytes from reserving four gigabytes of memory."""
    with pytest.raises(TransientFailure, match="it claims to be larger than it can be"):
        list(wire.samples(b"\xff\xff\xff\xff\x0f" + bytes(5), ABOUT))
    most = cramjam.snappy.compress_raw(bytes(50_000_000))
    assert len(bytes(cramjam.snappy.decompress_raw(most))) <= wire.SNAPPY_MOST * len(most)


def test_what_is_no_message_is_an_error_for_good() -> None:
    """Stops the answer of another protocol from being taken for no data."""
    with pytest.raises(PermanentFailure, match="what came is no ChunkedReadResponse message"):
        list(wire.chunked(b"\x0a\x05abc", ABOUT))
    with pytest.raises(PermanentFailure, match="what came is no ReadResponse message"):
        list(wire.samples(bytes(cramjam.snappy.compress_raw(b"\x0a\x05abc")), ABOUT))


def test_a_label_twice_is_an_error() -> None:
    """Stops one of two tenant labels from being picked silently."""
    message = MESSAGES["ChunkedReadResponse"]()
    series = message.chunked_series.add()
    for value in ("acme", "other"):
        series.labels.add(name="tenant_id", value=value)
    with pytest.raises(PermanentFailure, match=r"tenant_id=\"acme\", tenant_id=\"other\".* has a label twice"):
        list(wire.chunked(message.SerializeToString(), ABOUT))
