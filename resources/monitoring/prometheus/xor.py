"""Prometheus's XOR chunks: how it stores the samples of a series, and what it sends when asked to stream.

A chunk is a count (16 bit), the first time (varint) and value (64 bit), the distance to the second
time (uvarint), then for each sample the change of that distance (prefix 0, 10, 110, 1110 or 1111
and none, 14, 17, 20 or 64 bits) and the value's bits XORed with the ones before: 0 for no change,
10 and the bits in the same place as last time, or 11, the number of leading zeros (5 bits), of
bits that follow (6 bits, 0 means 64), and these. Numbers are big-endian and not aligned to bytes.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from resources.errors import PermanentFailure

PADDING = 64
"""Bytes after the last chunk, so that a decoder may read on there for a sample and notice afterwards."""

_FAULTS = {
    1: "it ends before its last sample",
    2: "a number in it does not fit into 64 bits",
    3: "a value in it has more than 64 bits",
}
_LEAST_BYTES = 2 + 1 + 8
_MASK = (1 << 64) - 1

IntArray = NDArray[np.int64]


class BadChunk(PermanentFailure):
    """Chunk `number` of those to be decoded is none: `reason`."""

    def __init__(self, number: int, reason: str) -> None:
        self.number = number
        self.reason = reason
        super().__init__(f"XOR chunk {number} is corrupt: {reason}")


@dataclass(frozen=True)
class Decoded:
    """Samples of chunks: those of chunk `i` are `offsets[i]` to `offsets[i + 1]` of `ts_ms` and `values`."""

    offsets: IntArray
    ts_ms: IntArray
    values: NDArray[np.float64]


Decoder = Callable[[NDArray[np.uint8], IntArray, IntArray, IntArray, NDArray[np.uint64]], tuple[int, int]]


def decode(chunks: Sequence[bytes], decoder: Decoder | None = None) -> Decoded:
    """Return the samples of `chunks`, every bit of the values as stored, so that stale markers stay what they are.

    Raises:
        BadChunk: a chunk ends too early, or says of itself what cannot be.
    """
    sizes = np.fromiter(map(len, chunks), np.int64, len(chunks))
    offsets = np.zeros(len(chunks) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    data = np.zeros(-(-int(offsets[-1]) // 8) * 8 + PADDING, np.uint8)
    data[: offsets[-1]] = np.frombuffer(b"".join(chunks), np.uint8)
    counts = _counts(data, offsets, sizes)
    samples = np.zeros(len(chunks) + 1, np.int64)
    np.cumsum(counts, out=samples[1:])
    ts_ms = np.empty(samples[-1], np.int64)
    bits = np.empty(samples[-1], np.uint64)
    number, fault = (decoder or best_decoder())(data, offsets, counts, ts_ms, bits)
    if fault:
        raise BadChunk(number, _FAULTS[fault])
    return Decoded(samples, ts_ms, bits.view(np.float64))


def _counts(data: NDArray[np.uint8], offsets: IntArray, sizes: IntArray) -> IntArray:
    """Return how many samples each chunk says it has, which is checked against the fewest bits these would need."""
    if (short := np.flatnonzero(sizes < 2)).size:
        raise BadChunk(int(short[0]), f"it has {sizes[short[0]]} bytes")
    begin = offsets[:-1]
    counts: IntArray = data[begin].astype(np.int64) * 256 + data[begin + 1]
    needed = np.where(counts == 0, 0, 8 * _LEAST_BYTES + np.where(counts > 1, 9 + 2 * (counts - 2), 0))
    if (absurd := np.flatnonzero(needed > 8 * sizes)).size:
        worst = int(absurd[0])
        raise BadChunk(worst, f"it claims {counts[worst]} samples in {sizes[worst]} bytes")
    return counts


@cache
def best_decoder() -> Decoder:
    """Return the compiled decoder, or the one in Python where numba is not installed."""
    try:
        from resources.monitoring.prometheus.xor_kernel import decode_compiled
    except ImportError:
        return decode_in_python
    return decode_compiled


def decode_in_python(
    data: NDArray[np.uint8],
    offsets: IntArray,
    counts: IntArray,
    ts_ms: IntArray,
    value_bits: NDArray[np.uint64],
) -> tuple[int, int]:
    """Decode chunks `data[offsets[i]:offsets[i + 1]]` of `counts[i]` samples into the last two arrays.

    `data` is followed by `PADDING` zeros. Returns (0, 0), or the number of the first bad chunk and
    what is wrong with it (a key of `_FAULTS`).
    """
    content = data.tobytes()
    filled = 0
    for chunk, (begin, end, count) in enumerate(zip(offsets[:-1], offsets[1:], counts, strict=True)):
        times: list[int] = []
        values: list[int] = []
        fault = _decode_one(content, int(begin), int(end), int(count), times, values)
        if fault:
            return chunk, fault
        ts_ms[filled : filled + count] = np.array(times, np.uint64).view(np.int64)
        value_bits[filled : filled + count] = np.array(values, np.uint64)
        filled += int(count)
    return 0, 0


def _decode_one(content: bytes, begin: int, end: int, count: int, times: list[int], values: list[int]) -> int:
    """Append the samples of one chunk, times and value bits as unsigned 64-bit numbers; return the fault or 0."""
    if count == 0:
        return 0
    number, position = _uvarint(content, begin + 2)
    if position < 0:
        return 2
    ts = (number >> 1) ^ -(number & 1) & _MASK
    (value,) = struct.unpack_from(">Q", content, position)
    bit = 8 * (position + 8)
    if bit > 8 * end:
        return 1
    times.append(ts)
    values.append(value)
    if count == 1:
        return 0
    delta, position = _uvarint(content, position + 8)
    if position < 0:
        return 2
    bit = 8 * position
    width, trailing = 64, 0
    for sample in range(1, count):
        # The bits of one sample are at most 145; `rest` holds 160, `bit` of which at most 7 are used already.
        byte = bit >> 3
        rest = int.from_bytes(content[byte : byte + 20], "big") << (bit & 7)
        used = 0
        if sample > 1:
            prefix = (rest >> 156) & 15
            if prefix < 8:
                used = 1
            elif prefix == 15:
                delta += (rest >> 92) & _MASK
                used = 68
            else:
                used, size = (16, 14) if prefix < 12 else (20, 17) if prefix < 14 else (24, 20)
                change = (rest >> (160 - used)) & ((1 << size) - 1)
                delta += change - (1 << size) if change > 1 << (size - 1) else change
        ts = (ts + delta) & _MASK
        control = (rest >> (158 - used)) & 3
        if control < 2:
            used += 1
        else:
            used += 2
            if control == 3:
                described = (rest >> (149 - used)) & 2047
                leading, width = described >> 6, (described & 63) or 64
                if leading + width > 64:
                    return 3
                trailing = 64 - leading - width
                used += 11
            value ^= ((rest >> (160 - used - width)) & ((1 << width) - 1)) << trailing
            used += width
        bit += used
        if bit > 8 * end:
            return 1
        times.append(ts)
        values.append(value)
    return 0


def _uvarint(content: bytes, position: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte and the position after it; -1 where it does not fit into 64 bits."""
    number = 0
    for group in range(10):
        byte = content[position + group]
        number |= (byte & 127) << (7 * group)
        if byte < 128:
            return number, position + group + 1 if number <= _MASK else -1
    return number, -1
