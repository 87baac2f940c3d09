from xml.etree.ElementTree import Element
from xml.etree.ElementTree import fromstring as parse

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.charts.read_svg import read_svg, subpaths
from analytics_assets.charts.svg import Svg, escape


def parsed(svg: str) -> Element:
    return parse(svg)  # noqa: S314  the text was written here


@given(st.text())
def test_any_text_stays_inert_and_the_document_well_formed(text: str) -> None:
    """An id such as `</text><script>` or a control character must not end the text or the document."""
    svg = Svg(100, text, text)
    svg.text(1, 2, text)
    written = svg.to_text(50)
    root = parsed(written)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {"svg", "title", "desc", "rect", "g", "text"}
    assert "<!" not in written
    written.encode("utf-8")


def test_escaping_replaces_what_hides_or_turns_text_around() -> None:
    assert escape("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&#39;"
    assert escape("x\x00\u202e\ud800\u200by") == "x\ufffd\ufffd\ufffd\ufffdy"
    assert escape("vm-é-漢字-😀") == "vm-é-漢字-😀"


@given(st.lists(st.tuples(st.floats(-500, 900), st.floats(-500, 900)), min_size=2, max_size=200))
def test_steps_of_a_path_do_not_drift(points: list[tuple[float, float]]) -> None:
    """Rounding each step on its own would move the end of a long line."""
    svg = Svg(100, "t", "d")
    x, y = np.array(points).T
    svg.polyline(x, y, "#000000")
    path = next(shape for shape in read_svg(svg.to_text(10)).shapes if shape.tag == "path")
    (read, closed), *_ = subpaths(path.attributes["d"])
    assert not closed
    assert np.abs(np.array(read) / 10 - np.array(points)).max() <= 0.0500001


def test_the_drawing_says_what_it_is() -> None:
    root = parsed(Svg(100, "Title", "In words").to_text(40))
    ids = {element.get("id"): element.text for element in root}
    assert root.get("role") == "img"
    assert [ids[name] for name in (root.get("aria-labelledby") or "").split()] == ["Title", "In words"]


def test_drawings_on_one_page_have_their_own_ids() -> None:
    one, other = (parsed(Svg(100, title, "d").to_text(40)) for title in ("a", "b"))
    assert one.get("aria-labelledby") != other.get("aria-labelledby")
