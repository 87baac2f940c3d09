"""An encoder of XOR chunks, written from the format's description: what the decoder is tested against."""

from collections.abc import Sequence

MASK = (1 << 64) - 1


class Bits:
    """A row of bits that numbers are appended to."""

    def __init__(self) -> None:
        self.text: list[str] = []

    def add(self, number: int, width: int) -> None:
        assert 0 <= number < 1 << width
        self.text.append(f"{number:0{width}b}")

    def uvarint(self, number: int) -> None:
        while number >= 128:
            self.add(number & 127 | 128, 8)
            number >>= 7
        self.add(number, 8)

    def bytes(self) -> bytes:
        text = "".join(self.text)
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")


def encode(ts_ms: Sequence[int], value_bits: Sequence[int], count: int | None = None) -> bytes:
    """Return the chunk of samples at `ts_ms` whose values have the bits `value_bits`; `count` claims another number."""
    bits = Bits()
    bits.add(len(ts_ms) if count is None else count, 16)
    delta = 0
    place: tuple[int, int] | None = None
    for number, (ts, value) in enumerate(zip(ts_ms, value_bits, strict=True)):
        if number == 0:
            bits.uvarint((ts << 1 ^ ts >> 63) & MASK)
            bits.add(value, 64)
            continue
        previous, delta = delta, ts - ts_ms[number - 1]
        if number == 1:
            bits.uvarint(delta & MASK)
        else:
            _add_change(bits, (delta - previous) & MASK)
        place = _add_value(bits, value ^ value_bits[number - 1], place)
    return bits.bytes()


def _add_change(bits: Bits, unsigned: int) -> None:
    change = unsigned - (1 << 64) if unsigned >> 63 else unsigned
    if change == 0:
        bits.add(0, 1)
        return
    for prefix, width, size in ((0b10, 2, 14), (0b110, 3, 17), (0b1110, 4, 20)):
        if -(1 << (size - 1)) < change <= 1 << (size - 1):
            bits.add(prefix, width)
            bits.add(change & ((1 << size) - 1), size)
            return
    bits.add(0b1111, 4)
    bits.add(unsigned, 64)


def _add_value(bits: Bits, changed: int, place: tuple[int, int] | None) -> tuple[int, int] | None:
    """Append XORed bits; `place` are the leading and trailing zeros described last."""
    if changed == 0:
        bits.add(0, 1)
        return place
    leading = min(64 - changed.bit_length(), 31)
    trailing = (changed & -changed).bit_length() - 1
    if place is not None and leading >= place[0] and trailing >= place[1]:
        bits.add(0b10, 2)
        bits.add(changed >> place[1], 64 - place[0] - place[1])
        return place
    width = 64 - leading - trailing
    bits.add(0b11, 2)
    bits.add(leading, 5)
    bits.add(width & 63, 6)
    bits.add(changed >> trailing, width)
    return leading, trailing
