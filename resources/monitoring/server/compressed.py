"""Compressed bodies, whole or an error: urllib3 does not ask whether a stream has come to its own end."""

import http.client
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

GZIP = frozenset({"gzip", "x-gzip"})
DEFLATE = "deflate"

# Bytes taken out of a body at once, so that a small one cannot fill the memory.
BUFFER_BYTES = 256 * 1024


def unpacked(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield what a body that is compressed as `encoding` (gzip or deflate) holds, at most `BUFFER_BYTES` at once.

    Raises:
        http.client.IncompleteRead: the compressed stream has no end.
        zlib.error: it is damaged, is none, or something follows it.
    """
    stream: Any = None
    ended = False
    rest = b""
    for piece in pieces:
        rest += piece
        more = False
        while rest or more:
            if stream is None:
                if ended and encoding == DEFLATE:
                    raise zlib.error("something follows its end")
                if len(rest) < 2:  # the first two bytes tell what it is
                    break
                stream = zlib.decompressobj(_window_bits(encoding, rest))  # of gzip, the first or one more member
            content = stream.decompress(rest, BUFFER_BYTES)
            # What has been read may hold more than has come out.
            more = len(content) == BUFFER_BYTES and not stream.eof
            rest = stream.unconsumed_tail or stream.unused_data
            if stream.eof:
                stream, ended = None, True
            yield content
    if stream is not None or rest or not ended:
        raise http.client.IncompleteRead(rest)


def _window_bits(encoding: str, beginning: bytes) -> int:
    """Return zlib's name for the format; what is called deflate comes with zlib's header or, against the rule, bare."""
    if encoding in GZIP:
        return 16 + zlib.MAX_WBITS
    has_header = beginning[0] & 15 == 8 and int.from_bytes(beginning[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
