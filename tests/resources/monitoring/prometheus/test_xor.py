"""XOR chunks: what an encoder written from the format's description makes is read back, and no bytes do harm."""

import struct
import sys

import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resources.monitoring.prometheus import xor, xor_kernel
from tests.resources.monitoring.prometheus.chunks import Bits, encode

T = 1_700_000_000_000
STALE = 0x7FF0000000000002
BOTH = pytest.mark.parametrize("decoder", [xor.decode_in_python, xor_kernel.decode_compiled])

SPECIAL = [
    0, 1 << 63, STALE, 0x7FF8000000000001, 0xFFF8DEADBEEF0000, 0x7FF0000000000000, 0xFFF0000000000000, 1,
    0x000FFFFFFFFFFFFF, (1 << 64) - 1, 0x3FF0000000000000, 0x4059000000000000,
]  # fmt: skip

# A pause of a month, and every border of the widths that a change of the distance is written in.
STEPS = st.one_of(
    st.integers(14_990, 15_010),
    st.just(15_000),
    st.sampled_from([0, 1, 60_000, 31 * 86_400_000]),
    st.builds(
        lambda size, more: 15_000 + (1 << size) + more,
        st.sampled_from([13, 14, 16, 17, 19, 20, 40]),
        st.integers(-2, 2),
    ),
    st.integers(-(1 << 20), 1 << 20),
)
VALUES = st.one_of(
    st.sampled_from(SPECIAL),
    st.integers(0, (1 << 64) - 1),
    st.floats(allow_nan=False).map(lambda value: struct.unpack(">Q", struct.pack(">d", value))[0]),
    st.integers(0, 1000).map(lambda value: struct.unpack(">Q", struct.pack(">d", value / 10))[0]),
)


@st.composite
def samples(draw: st.DrawFn, most: int = 40) -> tuple[list[int], list[int]]:
    times = [draw(st.one_of(st.integers(T, T + 15_000), st.integers(-(1 << 50), 1 << 50)))]
    for step in draw(st.lists(STEPS, max_size=most - 1)):
        times.append(times[-1] + step)
    same = draw(st.booleans())
    values = draw(st.lists(VALUES, min_size=1 if same else len(times), max_size=1 if same else len(times)))
    return times, values * len(times) if same else values


def decoded(chunks: list[bytes], decoder: xor.Decoder) -> list[tuple[list[int], list[int]]]:
    found = xor.decode(chunks, decoder)
    parts = [slice(begin, end) for begin, end in zip(found.offsets[:-1], found.offsets[1:], strict=True)]
    return [(found.ts_ms[part].tolist(), found.values[part].view(np.uint64).tolist()) for part in parts]


@BOTH
@given(chunks=st.lists(samples(), max_size=5))
def test_every_sample_comes_back_bit_for_bit(decoder: xor.Decoder, chunks: list[tuple[list[int], list[int]]]) -> None:
    """Stops a wrong width, sign, or place of a value's bits, and state carried over from the chunk before."""
    assert decoded([encode(*chunk) for chunk in chunks], decoder) == chunks


@BOTH
def test_borders_of_the_widths_belong_to_the_smaller_one(decoder: xor.Decoder) -> None:
    """Stops reading 8192 as -8192: 14 bits hold -8191 to 8192 here, unlike two's complement."""
    times = [T, T + 1_000_000]
    for size in (14, 17, 20):
        for change in (1 << (size - 1), -(1 << (size - 1)) + 1, (1 << (size - 1)) + 1, -(1 << (size - 1))):
            times.append(times[-1] + times[-1] - times[-2] + change)
    values = [0] * len(times)
    assert decoded([encode(times, values)], decoder) == [(times, values)]


@BOTH
def test_a_chunk_written_by_hand(decoder: xor.Decoder) -> None:
    """Stops encoder and decoder from sharing one mistake: these bits are laid out one by one."""
    bits = Bits()
    for number, width in [
        (4, 16),
        *((0b11010000, 8), (0b00001111, 8)),  # 1000 is 2000 in zigzag, which is 0b1111_1010000
        (0x3FF0000000000000, 64),  # 1.0
        *((0b10001000, 8), (0b00100111, 8)),  # 5000 later
        *((0b11, 2), (1, 5), (11, 6), (0b11111111111, 11)),  # XOR 0x7ff0000000000000 is 2.0
        *((0b10, 2), (0b11111111110110, 14), (0, 1)),  # 10 ms sooner than expected, the same value
        *((0, 1), (0b10, 2), (0b11111111111, 11)),  # as expected, 1.0 again
    ]:
        bits.add(number, width)
    (found,) = decoded([bits.bytes()], decoder)
    assert found[0] == [1000, 6000, 10_990, 15_980]
    assert np.array(found[1], np.uint64).view(np.float64).tolist() == [1.0, 2.0, 2.0, 1.0]


@BOTH
def test_all_sixty_four_bits_may_change(decoder: xor.Decoder) -> None:
    """Stops 64 significant bits, which six bits cannot say and which are written as 0, from being read as none."""
    values = [0, (1 << 64) - 1, 0x5555555555555555, 0xAAAAAAAAAAAAAAAA, 1, 1 << 63]
    times = [T + 15_000 * number for number in range(len(values))]
    assert decoded([encode(times, values)], decoder) == [(times, values)]


@BOTH
def test_a_full_chunk_and_an_empty_one(decoder: xor.Decoder) -> None:
    """Stops a count of 65,535 or 0 from being taken for absurd."""
    times = [T + 1000 * number for number in range(65_535)]
    full = (times, [STALE] * len(times))
    assert decoded([encode([], []), encode(*full), encode([], [])], decoder) == [([], []), full, ([], [])]
    assert decoded([], decoder) == []


@BOTH
@pytest.mark.parametrize("size", range(2, 60))
def test_a_chunk_that_ends_early_is_named(decoder: xor.Decoder, size: int) -> None:
    """Stops reading on into the next chunk, which would give samples that nobody stored."""
    times, values = (
        [T + 15_000 * n + n % 3 for n in range(12)],
        [(n * 0x9E3779B97F4A7C15) & xor._MASK for n in range(12)],
    )
    whole = encode(times, values)
    assert len(whole) > 60
    with pytest.raises(xor.BadChunk, match=r"chunk 1 is corrupt: it (ends before|claims 12 samples)") as caught:
        xor.decode([whole, whole[:size], whole], decoder)
    assert caught.value.number == 1


@pytest.mark.parametrize("chunk", [b"", b"\x00"])
def test_a_chunk_without_a_count_is_named(chunk: bytes) -> None:
    """Stops reading the count out of the next chunk."""
    with pytest.raises(xor.BadChunk, match=f"chunk 0 is corrupt: it has {len(chunk)} bytes"):
        xor.decode([chunk, encode([T], [0])])


def test_memory_is_only_taken_for_samples_that_can_be_there() -> None:
    """Stops a body of tiny chunks that claim 65,535 samples each from filling the memory."""
    with pytest.raises(xor.BadChunk, match="chunk 0 is corrupt: it claims 65535 samples in 13 bytes"):
        xor.decode([b"\xff\xff" + bytes(11)] * 100_000)


@BOTH
@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        ([(0b11, 2), (31, 5), (40, 6), (0, 64)], "a value in it has more than 64 bits"),
        ([(0, 1)], None),
    ],
)
def test_a_value_of_more_than_64_bits_is_named(
    decoder: xor.Decoder, tail: list[tuple[int, int]], reason: str | None
) -> None:
    """Stops a shift by a negative number, which gives whatever the machine gives."""
    bits = Bits()
    for number, width in [(2, 16), (0, 8), (0, 64), (5, 8), *tail]:
        bits.add(number, width)
    if reason is None:
        assert decoded([bits.bytes()], decoder) == [([0, 5], [0, 0])]
    else:
        with pytest.raises(xor.BadChunk, match=reason):
            xor.decode([bits.bytes()], decoder)


@BOTH
@pytest.mark.parametrize("place", ["first", "second"])
@pytest.mark.parametrize("number", [b"\xff" * 9 + b"\x02", b"\x80" * 12])
def test_a_number_of_more_than_64_bits_is_named(decoder: xor.Decoder, place: str, number: bytes) -> None:
    """Stops a varint without end from being read for ever or wrapped around."""
    chunk = b"\x00\x02" + (number if place == "first" else b"\x00" + bytes(8) + number) + bytes(80)
    with pytest.raises(xor.BadChunk, match="a number in it does not fit into 64 bits"):
        xor.decode([chunk], decoder)


@given(st.lists(st.binary(max_size=200).map(lambda data: b"\x00" + data), max_size=4))
@example([b"\x00\x03" + b"\xff" * 30])
@example([b"\x00\x00", b"\x00\x02" + b"\xff" * 9 + b"\x01" + b"\xff" * 40])
def test_whatever_the_bytes_both_decoders_say_the_same(chunks: list[bytes]) -> None:
    """Stops the decoders from drifting apart, overflows of times included, and hostile bytes from harming either."""

    def outcome(decoder: xor.Decoder) -> object:
        try:
            return decoded(chunks, decoder)
        except xor.BadChunk as bad:
            return bad.number, bad.reason

    assert outcome(xor_kernel.decode_compiled) == outcome(xor.decode_in_python)


def test_without_numba_python_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops an installation without numba from being unable to read at all."""
    monkeypatch.setitem(sys.modules, "resources.monitoring.prometheus.xor_kernel", None)
    xor.best_decoder.cache_clear()
    try:
        assert xor.best_decoder() is xor.decode_in_python
    finally:
        xor.best_decoder.cache_clear()
    monkeypatch.undo()
    assert xor.best_decoder() is xor_kernel.decode_compiled


def test_where_nothing_may_be_written_it_is_compiled_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops a container with a read-only file system from failing: numba refuses to cache there."""

    def no_cache(signature: str, nogil: bool, cache: bool = False) -> object:
        if cache:
            raise RuntimeError("cannot cache function '_decode': no locator available")
        return numba.njit(signature, nogil=nogil)

    monkeypatch.setattr(xor_kernel, "njit", no_cache)
    xor_kernel._compiled.cache_clear()
    try:
        assert decoded([encode([T], [STALE])], xor_kernel.decode_compiled) == [([T], [STALE])]
    finally:
        xor_kernel._compiled.cache_clear()
