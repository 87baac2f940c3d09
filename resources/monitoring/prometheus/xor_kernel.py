"""The XOR chunk decoder as machine code. Only `xor.py` imports this, because it needs numba.

`xor.decode_in_python` does the same, step by step: what is changed here is changed there.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
Decode = Callable[[Words, Ints, Ints, Ints, Words], tuple[int, int]]

_HALF = np.uint64(1 << 63)
_PREFIX_110 = np.uint64(0b11 << 62)
_PREFIX_1110 = np.uint64(0b111 << 61)
_PREFIX_1111 = np.uint64(0b1111 << 60)
_ONE = np.uint64(1)
_63 = np.uint64(63)


def _native(function: F) -> F:
    """Compile `function` for use in `_decode`; numba's own types do not say that it stays callable as it was."""
    return cast(F, njit(function))


@_native
def _peek(words: Words, bit: int) -> np.uint64:
    """Return the 64 bits from position `bit` of big-endian words."""
    word = bit >> 6
    shift = np.uint64(bit & 63)
    # Two shifts, because one by 64 is undefined.
    bits: np.uint64 = (words[word] << shift) | ((words[word + 1] >> _ONE) >> (_63 - shift))
    return bits


@_native
def _uvarint(words: Words, bit: int) -> tuple[np.uint64, int]:
    """Return a number of 7 bits a byte and the position after it; -1 where it does not fit into 64 bits."""
    number = np.uint64(0)
    for group in range(10):
        byte = _peek(words, bit) >> np.uint64(56)
        bit += 8
        number |= (byte & np.uint64(127)) << np.uint64(7 * group)
        if byte < np.uint64(128):
            if group == 9 and byte > _ONE:
                return number, -1
            return number, bit
    return number, -1


def _decode(words: Words, offsets: Ints, counts: Ints, ts_ms: Ints, value_bits: Words) -> tuple[int, int]:
    sample = 0
    for chunk in range(counts.shape[0]):
        bit = offsets[chunk] * 8 + 16
        end = offsets[chunk + 1] * 8
        first = sample
        last = sample + counts[chunk]
        ts = np.int64(0)
        delta = np.int64(0)
        value = np.uint64(0)
        width = np.int64(64)
        trailing = np.uint64(0)
        while sample < last:
            if sample == first:
                number, bit = _uvarint(words, bit)
                if bit < 0:
                    return chunk, 2
                ts = np.int64(number >> _ONE) ^ -np.int64(number & _ONE)
                value = _peek(words, bit)
                bit += 64
            else:
                if sample == first + 1:
                    number, bit = _uvarint(words, bit)
                    if bit < 0:
                        return chunk, 2
                    delta = np.int64(number)
                else:
                    window = _peek(words, bit)
                    if window < _HALF:
                        bit += 1
                    elif window >= _PREFIX_1111:
                        delta += np.int64(_peek(words, bit + 4))
                        bit += 68
                    else:
                        prefix = 2
                        size = 14
                        if window >= _PREFIX_1110:
                            prefix = 4
                            size = 20
                        elif window >= _PREFIX_110:
                            prefix = 3
                            size = 17
                        change = np.int64((window << np.uint64(prefix)) >> np.uint64(64 - size))
                        if change > 1 << (size - 1):
                            change -= 1 << size
                        delta += change
                        bit += prefix + size
                ts += delta
                window = _peek(words, bit)
                if window < _HALF:
                    bit += 1
                else:
                    bit += 2
                    if window >= _PREFIX_110:
                        leading = np.int64((window << np.uint64(2)) >> np.uint64(59))
                        width = np.int64((window << np.uint64(7)) >> np.uint64(58))
                        if width == 0:
                            width = np.int64(64)
                        if leading + width > 64:
                            return chunk, 3
                        trailing = np.uint64(64 - leading - width)
                        bit += 11
                    value ^= (_peek(words, bit) >> np.uint64(64 - width)) << trailing
                    bit += width
            # One check a sample is enough: a sample has at most 145 bits, and the words are padded by more.
            if bit > end:
                return chunk, 1
            ts_ms[sample] = ts
            value_bits[sample] = value
            sample += 1
    return 0, 0


@cache
def _compiled() -> Decode:
    signature = "UniTuple(int64, 2)(uint64[::1], int64[::1], int64[::1], int64[::1], uint64[::1])"
    try:
        return cast(Decode, njit(signature, nogil=True, cache=True)(_decode))
    except RuntimeError:
        # Neither beside this file nor under the home may anything be written: half a second for each process.
        return cast(Decode, njit(signature, nogil=True)(_decode))


def decode_compiled(
    data: NDArray[np.uint8],
    offsets: Ints,
    counts: Ints,
    ts_ms: Ints,
    value_bits: Words,
) -> tuple[int, int]:
    """Do what `xor.decode_in_python` does, about a hundred times faster."""
    words = data.view(">u8").astype(np.uint64)
    chunk, fault = _compiled()(words, offsets, counts, ts_ms, value_bits)
    return int(chunk), int(fault)
