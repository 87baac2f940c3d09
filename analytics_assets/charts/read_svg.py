"""Reads back the SVG that `svg.py` writes, and only that: one flat list of things to draw.

Anything outside that subset is refused, so a drawing from elsewhere is never half drawn.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from resources.errors import InvalidInput

NAMESPACE = "{http://www.w3.org/2000/svg}"

PNG_PREFIX = "data:image/png;base64,"

SHAPES = ("rect", "path", "circle", "text", "image")


@dataclass(frozen=True)
class Shape:
    """One thing to draw: its tag, its attributes with those of the groups around it, and its text."""

    tag: str
    attributes: dict[str, str]
    text: str = ""

    def number(self, name: str, default: float = 0.0) -> float:
        return float(self.attributes.get(name, default))


@dataclass(frozen=True)
class Drawing:
    """A chart read back: its size in pixels, how many units a pixel has, texts for a reader, and its shapes."""

    width: float
    height: float
    units: float
    title: str
    description: str
    shapes: tuple[Shape, ...]


def read_svg(svg: str) -> Drawing:
    """Return the drawing in `svg`.

    Raises:
        InvalidInput: it is not SVG of our own writing: a document type, an entity, a comment, an
            unknown element, or a number that is none.
    """
    if "<!" in svg or "<?" in svg:
        raise InvalidInput(
            "a chart's SVG holds a declaration (<! or <?). Only SVG written here is read; draw it again."
        )
    try:
        # Declarations, which are what makes XML parsing dangerous, were refused above.
        root = ElementTree.fromstring(svg)  # noqa: S314
        if root.tag != f"{NAMESPACE}svg":
            raise InvalidInput(f"a chart's SVG begins with <{root.tag}>, not <svg>. Only SVG written here is read.")
        box = [float(part) for part in root.attrib["viewBox"].split()]
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        shapes = tuple(_shapes(root, {}))
        return Drawing(width, height, box[2] / width, _said(root, "title"), _said(root, "desc"), shapes)
    except (ElementTree.ParseError, KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise InvalidInput(f"a chart's SVG cannot be read: {error!r}. Draw it again.") from error


def subpaths(data: str) -> list[tuple[list[tuple[float, float]], bool]]:
    """Return the lines of a path's data (commands M, L, l, Z): their absolute points, and whether they are closed."""
    found: list[tuple[list[tuple[float, float]], bool]] = []
    for command, text in re.findall(r"([A-Za-z])([^A-Za-z]*)", data):
        numbers = [float(part) for part in re.findall(r"-?\d+", text)]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        if command == "M":
            found.append((pairs, False))
        elif command == "Z":
            found[-1] = (found[-1][0], True)
        elif command == "L":
            found[-1][0].extend(pairs)
        elif command == "l":
            points = found[-1][0]
            x, y = points[-1]
            for across, down in pairs:
                x, y = x + across, y + down
                points.append((x, y))
        else:
            raise InvalidInput(f"a chart's path has the command {command!r}. Only M, L, l and Z are written here.")
    return found


def png_of(shape: Shape) -> bytes:
    """Return the bytes of an image's embedded PNG, else raise `InvalidInput`."""
    source = shape.attributes.get("href", "")
    try:
        if source.startswith(PNG_PREFIX):
            return base64.b64decode(source.removeprefix(PNG_PREFIX), validate=True)
    except binascii.Error:
        pass  # said below
    raise InvalidInput("a chart's image is not an embedded PNG. Only SVG written here is read; draw it again.")


def _shapes(parent: ElementTree.Element, around: dict[str, str]) -> Iterator[Shape]:
    for element in parent:
        tag = element.tag.removeprefix(NAMESPACE)
        if tag == "g":
            yield from _shapes(element, {**around, **element.attrib})
        elif tag in SHAPES:
            yield Shape(tag, {**around, **element.attrib}, element.text or "")
        elif tag not in ("title", "desc"):
            raise InvalidInput(f"a chart's SVG holds <{tag}>. Only SVG written here is read; draw it again.")


def _said(root: ElementTree.Element, tag: str) -> str:
    element = root.find(f"{NAMESPACE}{tag}")
    return (element.text or "") if element is not None else ""
