"""The PDF's letters: Helvetica for what it can write, DejaVu for the rest, a box for what neither has.

The DejaVu fonts lie in the matplotlib package, which the charts need anyway; they are embedded
only where a page uses them.
"""

import html
import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from analytics_assets.reports import words
from resources.errors import PermanentFailure

REGULAR, BOLD, ITALIC = "Helvetica", "Helvetica-Bold", "Helvetica-Oblique"
WIDE, WIDE_BOLD, MONO = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono"
MISSING = "\u25a1"


@cache
def register() -> dict[str, Any]:
    """Make the DejaVu fonts known to reportlab, once, and return them by name."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    folder = _folder()
    fonts = {name: TTFont(name, str(folder / f"{name}.ttf")) for name in (WIDE, WIDE_BOLD, MONO)}
    for font in fonts.values():
        pdfmetrics.registerFont(font)
    pdfmetrics.registerFontFamily(WIDE, normal=WIDE, bold=WIDE_BOLD, italic=WIDE, boldItalic=WIDE_BOLD)
    return fonts


def _folder() -> Path:
    # find_spec looks the package up without importing it: half a second saved.
    package = find_spec("matplotlib")
    if package is None or not package.submodule_search_locations:
        raise PermanentFailure("matplotlib is not installed, and a PDF needs its DejaVu fonts. Install it.")
    return Path(package.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"


def simple(text: str) -> bool:
    """Return whether Helvetica can write all of `text` as it stands."""
    return all(_in_helvetica(character) for character in text)


def markup(text: str) -> str:
    """Return `text` as reportlab's paragraph markup: nothing in it is a tag, every letter has a glyph."""
    text = words.bind(text)
    if simple(text):
        return html.escape(text, quote=False)
    wide = register()[WIDE].face.charToGlyph
    parts, runs = [], _runs(text)
    for plain, run in runs:
        if plain:
            parts.append(html.escape(run, quote=False))
        else:
            shown = "".join(character if ord(character) in wide else MISSING for character in run)
            parts.append(f'<font name="{WIDE}">{html.escape(shown, quote=False)}</font>')
    return "".join(parts)


def mono(text: str) -> str:
    """Return `text` with what the fixed-width font lacks, and control characters, replaced by a box."""
    known = register()[MONO].face.charToGlyph
    return "".join(character if character == "\n" or _drawn(character, known) else MISSING for character in text)


def _drawn(character: str, known: Any) -> bool:
    return ord(character) in known and unicodedata.category(character) not in ("Cc", "Cf")


def _in_helvetica(character: str) -> bool:
    if " " <= character <= "~":
        return True
    try:
        return len(character.encode("cp1252")) == 1 and unicodedata.category(character) not in ("Cc", "Cf")
    except UnicodeEncodeError:
        return False


def _runs(text: str) -> list[tuple[bool, str]]:
    runs: list[tuple[bool, str]] = []
    for character in text:
        if unicodedata.category(character) == "Cf":
            continue  # isolates and joiners have no shape of their own
        plain = _in_helvetica(character)
        if runs and runs[-1][0] == plain:
            runs[-1] = (plain, runs[-1][1] + character)
        else:
            runs.append((plain, character))
    return runs
