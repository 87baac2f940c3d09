import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportlab.pdfbase.pdfmetrics import stringWidth

from analytics_assets.charts.font import shorten, shorten_all, text_width, wrap


@pytest.mark.parametrize("bold", [False, True])
def test_widths_are_those_of_helvetica(bold: bool) -> None:
    """Wrong widths make labels overlap in the PDF."""
    text = "".join(map(chr, range(32, 127)))
    name = "Helvetica-Bold" if bold else "Helvetica"
    for character in text:
        assert text_width(character, 10, bold) == pytest.approx(stringWidth(character, name, 10)), character


@given(st.text(max_size=80), st.floats(20, 300))
def test_shortened_text_fits_and_keeps_both_ends(text: str, width: float) -> None:
    short = shorten(text, width, 10)
    assert text_width(short, 10) <= width
    if short != text:
        head, _, tail = short.partition("...")
        assert text.startswith(head)
        assert text.endswith(tail)


def test_names_that_look_alike_when_cut_are_numbered() -> None:
    """Two rows with one label could not be told apart."""
    names = ["prefix-" * 9 + "A" + "-suffix" * 9, "prefix-" * 9 + "B" + "-suffix" * 9, "other"]
    short = shorten_all(names, 120, 10)
    assert len(set(short)) == 3
    assert short[0].endswith("#1")
    assert short[1].endswith("#2")
    assert all(text_width(name, 10) <= 120 for name in short)


@given(st.text(max_size=400), st.integers(1, 4))
def test_wrapped_lines_fit(text: str, lines: int) -> None:
    wrapped = wrap(text, 200, 11, lines=lines)
    assert len(wrapped) <= lines
    assert all(text_width(line, 11) <= 200 for line in wrapped)


def test_wrapping_loses_nothing_silently() -> None:
    assert wrap("one two three", 1000, 10) == ["one two three"]
    assert wrap("word " * 200, 200, 10, lines=2)[-1].endswith("...")
