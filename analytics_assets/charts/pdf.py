"""Draws a chart's SVG into a PDF as vectors, with reportlab.

Text is in Helvetica, which every PDF reader has; it covers Western European letters, and any other
character is drawn as a question mark (the SVG keeps it). The same SVG draws the same way each time.
"""

import io
from typing import Any

from analytics_assets.charts.read_svg import Drawing, Shape, png_of, read_svg, subpaths
from resources.errors import InvalidInput

SHARP_PIXELS = 1600
"""Least width of a picture in the PDF: viewers blur small pictures that they enlarge, so cells become many pixels."""


def chart_flowable(svg: str, width_points: float, max_height_points: float | None = None) -> Any:
    """Return a reportlab Flowable that draws `svg` as vectors, `width_points` wide.

    It keeps its proportions; where that would make it taller than `max_height_points` it is drawn
    smaller, at the left. Its `title` and `alt` are the chart's title and text alternative.

    Raises:
        InvalidInput: `svg` was not written by `svg.py`, or the width is not positive.
    """
    from reportlab.platypus import Flowable

    if not width_points > 0:
        raise InvalidInput(f"a chart {width_points} points wide cannot be drawn. Give a positive width.")
    drawing = read_svg(svg)
    scale = width_points / drawing.width
    if max_height_points is not None:
        scale = min(scale, max_height_points / drawing.height)

    class ChartFlowable(Flowable):  # type: ignore[misc]  # reportlab ships no types
        """A chart on a page."""

        title, alt = drawing.title, drawing.description

        def __init__(self) -> None:
            super().__init__()
            self.width, self.height = drawing.width * scale, drawing.height * scale

        def wrap(self, _width: float, _height: float) -> tuple[float, float]:
            return self.width, self.height

        def draw(self) -> None:
            draw_chart(self.canv, drawing, scale)

    return ChartFlowable()


def draw_chart(canvas: Any, drawing: Drawing, scale: float) -> None:
    """Draw on a reportlab canvas, the lower left corner at its origin; `scale` is points per pixel."""
    canvas.saveState()
    canvas.scale(scale / drawing.units, scale / drawing.units)
    top = drawing.height * drawing.units
    for shape in drawing.shapes:
        _DRAW[shape.tag](canvas, shape, top)
    canvas.restoreState()


def _ink(canvas: Any, shape: Shape) -> tuple[int, int]:
    """Set the colours and the pen of a shape; return whether to stroke and to fill it."""
    from reportlab.lib.colors import HexColor

    fill, stroke = shape.attributes.get("fill", "none"), shape.attributes.get("stroke", "none")
    if fill != "none":
        canvas.setFillColor(HexColor(fill))
        canvas.setFillAlpha(shape.number("fill-opacity", 1))
    if stroke != "none":
        canvas.setStrokeColor(HexColor(stroke))
        canvas.setLineWidth(shape.number("stroke-width", 1))
        canvas.setDash([float(part) for part in shape.attributes.get("stroke-dasharray", "").split()])
        canvas.setLineJoin(1 if shape.attributes.get("stroke-linejoin") == "round" else 0)
    return int(stroke != "none"), int(fill != "none")


def _draw_rect(canvas: Any, shape: Shape, top: float) -> None:
    stroke, fill = _ink(canvas, shape)
    width, height = shape.number("width"), shape.number("height")
    canvas.rect(shape.number("x"), top - shape.number("y") - height, width, height, stroke, fill)


def _draw_circle(canvas: Any, shape: Shape, top: float) -> None:
    stroke, fill = _ink(canvas, shape)
    canvas.circle(shape.number("cx"), top - shape.number("cy"), shape.number("r"), stroke, fill)


def _draw_path(canvas: Any, shape: Shape, top: float) -> None:
    stroke, fill = _ink(canvas, shape)
    path = canvas.beginPath()
    for points, closed in subpaths(shape.attributes["d"]):
        path.moveTo(points[0][0], top - points[0][1])
        for x, y in points[1:]:
            path.lineTo(x, top - y)
        if closed:
            path.close()
    canvas.drawPath(path, stroke, fill)


def _draw_text(canvas: Any, shape: Shape, top: float) -> None:
    from reportlab.lib.colors import HexColor

    canvas.setFillColor(HexColor(shape.attributes.get("fill", "#000000")))
    canvas.setFillAlpha(1)
    bold = shape.attributes.get("font-weight") == "bold"
    canvas.setFont("Helvetica-Bold" if bold else "Helvetica", shape.number("font-size", 100))
    text = shape.text.encode("cp1252", "replace").decode("cp1252")
    write = {"middle": canvas.drawCentredString, "end": canvas.drawRightString}.get(
        shape.attributes.get("text-anchor", "start"), canvas.drawString
    )
    write(shape.number("x"), top - shape.number("y"), text)


def _draw_image(canvas: Any, shape: Shape, top: float) -> None:
    from PIL import Image, UnidentifiedImageError
    from reportlab.lib.utils import ImageReader

    try:
        picture = Image.open(io.BytesIO(png_of(shape)), formats=["PNG"]).convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"a chart's embedded picture cannot be read: {error}. Draw it again.") from error
    if picture.getchannel("A").getextrema() == (255, 255):
        picture = picture.convert("RGB")  # nothing shines through, and a mask would double the size
    times = -(-SHARP_PIXELS // picture.width)
    sharp = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    width, height = shape.number("width"), shape.number("height")
    canvas.setFillAlpha(1)
    canvas.drawImage(
        ImageReader(sharp), shape.number("x"), top - shape.number("y") - height, width, height, mask="auto"
    )


_DRAW = {
    "rect": _draw_rect,
    "circle": _draw_circle,
    "path": _draw_path,
    "text": _draw_text,
    "image": _draw_image,
}
