"""Compressed answers: whole to the end of the compressed stream itself, or not taken, whoever tidied up behind it."""

import gzip
import hashlib
import zlib

import pytest

from resources.monitoring.server.compressed import BUFFER_BYTES, unpacked
from resources.monitoring.server.http import Refused, ServerUnavailable, TooMuch
from tests.resources.monitoring.server.clients import client
from tests.resources.monitoring.server.scripted import Close, Script, answer, scripted

DENSE = b"".join(hashlib.sha512(bytes([number])).digest() for number in range(5))
BODY = DENSE + b"0" * 300
WHOLE = answer(body=BODY)


def bare(content: bytes) -> bytes:
    """Return deflate without zlib's header, as some servers send it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


PACKED = {
    "gzip": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY[:100]) + gzip.compress(b"") + gzip.compress(BODY[100:]),
    "deflate": zlib.compress(BODY),
    "Deflate": bare(BODY),
}
ALL = pytest.mark.parametrize("encoding", list(PACKED))


def packed(body: bytes, encoding: str, status: int = 200) -> Script:
    """Return the script of an answer whose length is right, and whose body is `body` as it stands."""
    return answer(status, body, headers=[f"Content-Encoding: {encoding}"])


def packed_in_chunks(body: bytes, encoding: str) -> Script:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return [head + b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body) + b"0\r\n\r\n"]


@ALL
def test_a_packed_answer_is_unpacked(encoding: str) -> None:
    """Stops a format, a second member or a piece of one byte from being refused or lost."""
    for script in (packed(PACKED[encoding], encoding), packed_in_chunks(PACKED[encoding], encoding)):
        with scripted(script) as server, client(server.url, attempts=1) as asking:
            assert asking.send("GET", "/x", what="up").body == BODY
            assert asking.send("GET", "/x", what="up").body == BODY
            assert server.connections == 1  # the connection is used again


@ALL
def test_a_packed_answer_cut_anywhere_is_asked_for_again(encoding: str) -> None:
    """Stops what a proxy packed of a server that died from counting as whole: the proxy ends it as an answer should."""
    whole = PACKED[encoding]
    begun_again = len(gzip.compress(BODY[:100])), len(gzip.compress(BODY[:100]) + gzip.compress(b""))
    cuts = [end for end in range(len(whole)) if encoding != "x-gzip" or end not in begun_again]
    scripts = [script for end in cuts for script in (packed(whole[:end], encoding), WHOLE)]
    with scripted(*scripts) as server, client(server.url) as asking:
        for number, end in enumerate(cuts):
            assert asking.send("GET", "/x", what="up").body == BODY
            assert len(server.requests) == 2 * (number + 1), f"{end} of {len(whole)} bytes passed for a whole answer"
    with (
        scripted(packed(whole[:-1], encoding)) as server,
        client(server.url) as asking,
        pytest.raises(ServerUnavailable, match="in 2 attempts; the last: its answer broke off before the end"),
    ):
        asking.send("GET", "/x", what="up")


def test_a_stream_that_was_flushed_and_not_ended_is_cut() -> None:
    """Stops ten of twenty series from being stored: a flush gives whole lines and no end."""
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    flushed = packer.compress(BODY) + packer.flush(zlib.Z_SYNC_FLUSH)
    with (
        scripted(packed(flushed, "gzip")) as server,
        client(server.url) as asking,
        pytest.raises(ServerUnavailable, match="broke off before the end"),
    ):
        asking.send("GET", "/x", what="up")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(BODY) + b"garbage", "gzip"),
        (gzip.compress(BODY) + b"\0\0", "gzip"),
        (zlib.compress(BODY) + b"x", "deflate"),
        (bare(BODY) + bare(BODY), "deflate"),
        (gzip.compress(BODY)[:-6] + b"\0" + gzip.compress(BODY)[-5:], "gzip"),
        (zlib.compress(BODY)[:-1] + b"\0", "deflate"),
        (b"\xff\xff\xff\xff", "deflate"),
        (BODY, "gzip"),
    ],
)
def test_a_damaged_packed_answer_is_asked_for_again(body: bytes, encoding: str) -> None:
    """Stops a wrong checksum, or what follows the end, from passing."""
    with scripted(packed(body, encoding), WHOLE) as server, client(server.url) as asking:
        assert asking.send("GET", "/x", what="up").body == BODY
        assert len(server.requests) == 2
    with (
        scripted(packed(body, encoding)) as server,
        client(server.url) as asking,
        pytest.raises(ServerUnavailable, match="its compressed answer is broken"),
    ):
        asking.send("GET", "/x", what="up")


def test_a_bomb_is_unpacked_piece_by_piece() -> None:
    """Stops a thousandfold packed answer from filling the memory before its size is known."""
    for bomb in (gzip.compress(b"\0" * 50_000_000), zlib.compress(b"\0" * 50_000_000)):
        encoding = "gzip" if bomb[0] == 0x1F else "deflate"
        assert max(map(len, unpacked([bomb], encoding))) == BUFFER_BYTES
        assert sum(map(len, unpacked([bomb[:9], bomb[9:]], encoding))) == 50_000_000
        with scripted(packed(bomb, encoding)) as server, client(server.url) as asking:
            with pytest.raises(TooMuch, match="than the 1000000 bytes"):
                asking.send("GET", "/x", what="up")
            assert len(server.requests) == 1


def test_snappy_is_left_as_it_is() -> None:
    """Stops remote-read's own compression, which a server may name, from being undone twice or refused."""
    with scripted(packed(b"\x05\x10hello", "snappy")) as server, client(server.url) as asking:
        assert asking.send("POST", "/read", what="up").body == b"\x05\x10hello"


def test_the_words_of_a_packed_error_are_read_as_far_as_they_go() -> None:
    """Stops an error that a proxy packed, and perhaps cut, from being shown without its words or as bytes."""
    words = gzip.compress(b"no such tenant " + DENSE.hex().encode())
    for body, said in (
        (words, "HTTP 403, 'no such tenant "),
        (words[:-9], "HTTP 403, 'no such tenant "),
        (b"hello", "HTTP 403 without a word"),
        (gzip.compress(b""), "HTTP 403 without a word"),
        (gzip.compress(b"\0" * 50_000_000), "and 65336 more characters"),
    ):
        for script in (packed(body, "gzip", 403), [*packed(body, "gzip", 403), Close()]):
            with scripted(script) as server, client(server.url) as asking:
                with pytest.raises(Refused) as failed:
                    asking.send("GET", "/x", what="up")
                assert len(server.requests) == 1
            assert said in str(failed.value)
