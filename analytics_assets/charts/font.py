"""How wide text is: the metrics of Helvetica, so that labels are placed without a font at hand.

Charts ask for Helvetica, then Arial or Liberation Sans, which have the same widths. The tables are
the advance widths of Adobe's core-14 font metrics (Helvetica.afm, Helvetica-Bold.afm) for the
printable ASCII characters, in thousandths of the font size.
"""

import unicodedata
from collections.abc import Sequence

FAMILY = "Helvetica, Arial, 'Liberation Sans', sans-serif"

REGULAR = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667,
    556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556,
    556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722,
    500, 500, 500, 334, 260, 334, 584,
)  # fmt: skip

BOLD = (
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722,
    611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556, 333, 556,
    611, 556, 611, 556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778,
    556, 556, 500, 389, 280, 389, 584,
)  # fmt: skip

OTHER, WIDE = 611, 1000
"""Assumed widths outside ASCII: of a letter, and of an East Asian wide character."""

ELLIPSIS = "..."


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of `text` at a font size, in the unit of the size."""
    table = BOLD if bold else REGULAR
    return sum(_advance(character, table) for character in text) * size / 1000


def shorten(text: str, width: float, size: float, bold: bool = False) -> str:
    """Return `text`, with its middle left out if it is wider than `width`: ids differ at both ends."""
    if text_width(text, size, bold) <= width:
        return text
    table = BOLD if bold else REGULAR
    room = width * 1000 / size - text_width(ELLIPSIS, 1000, bold)
    head, tail = 0, 0
    used = 0.0
    while head + tail < len(text):
        from_head = head <= tail
        character = text[head] if from_head else text[-1 - tail]
        used += _advance(character, table)
        if used > room:
            break
        head, tail = (head + 1, tail) if from_head else (head, tail + 1)
    return text[:head] + ELLIPSIS + text[len(text) - tail :]


def shorten_all(names: Sequence[str], width: float, size: float, bold: bool = False) -> list[str]:
    """Return the names cut to `width`; two names that would read the same get a number each."""
    short = [shorten(name, width, size, bold) for name in names]
    if len(set(short)) == len(short):
        return short
    seen: dict[str, int] = {}
    numbered = []
    for name, cut in zip(names, short, strict=True):
        if short.count(cut) > 1:
            seen[cut] = seen.get(cut, 0) + 1
            mark = f" #{seen[cut]}"
            numbered.append(shorten(name, width - text_width(mark, size, bold), size, bold) + mark)
        else:
            numbered.append(cut)
    return numbered


def wrap(text: str, width: float, size: float, bold: bool = False, lines: int = 2) -> list[str]:
    """Return `text` broken at spaces into at most `lines` lines; what does not fit is cut with an ellipsis."""
    done: list[str] = []
    current = ""
    words = text.split()
    for index, word in enumerate(words):
        longer = f"{current} {word}" if current else word
        if text_width(longer, size, bold) <= width:
            current = longer
            continue
        if len(done) == lines - 1:
            rest = " ".join([current, *words[index:]] if current else words[index:])
            return [*done, _cut(rest, width, size, bold)]
        if current:
            done.append(current)
        current = word if text_width(word, size, bold) <= width else shorten(word, width, size, bold)
    return [*done, current] if current else done


def _cut(text: str, width: float, size: float, bold: bool) -> str:
    while text and text_width(text + ELLIPSIS, size, bold) > width:
        text = text[:-1]
    return text.rstrip() + ELLIPSIS


def _advance(character: str, table: Sequence[int]) -> int:
    code = ord(character)
    if 32 <= code < 127:
        return table[code - 32]
    return WIDE if unicodedata.east_asian_width(character) in "WF" else OTHER
