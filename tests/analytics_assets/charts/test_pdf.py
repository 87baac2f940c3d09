import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader
from reportlab.platypus import SimpleDocTemplate

from analytics_assets.charts.frame import Heading
from analytics_assets.charts.heatmap import Grid, heatmap
from analytics_assets.charts.pdf import chart_flowable
from analytics_assets.charts.read_svg import read_svg
from analytics_assets.charts.svg import Svg
from analytics_assets.charts.time_series import Series, Span, panel_chart
from analytics_assets.charts.trend_line import Trend
from resources.errors import InvalidInput

START, HOUR = 1_772_323_200_000, 3_600_000
HEADING = Heading("CPU use of the busiest VM", "Hourly means", "In words")


def chart() -> str:
    mean = np.linspace(10, 60, 48)
    each = Series("vm <é漢>", START + HOUR * np.arange(48), mean, mean * 1.3, Trend(1, 0, 2), 100.0)
    return panel_chart(HEADING, [each], "percent", Span(START, START + 48 * HOUR, HOUR))


def cells() -> str:
    values = np.array([[0.0, 100.0], [np.nan, 50.0]])
    return heatmap(Heading("Heat"), Grid(["a", "b"], values, START, HOUR), "percent")


def pdf(*svgs: str) -> bytes:
    sink = io.BytesIO()
    SimpleDocTemplate(sink, invariant=1).build([chart_flowable(svg, 450) for svg in svgs])
    return sink.getvalue()


def test_the_text_of_a_chart_can_be_found_in_the_pdf() -> None:
    """Vectors with real text: a picture of text cannot be searched or read aloud."""
    text = PdfReader(io.BytesIO(pdf(chart()))).pages[0].extract_text()
    assert "CPU use of the busiest VM" in text
    assert "vm <é?>" in text


def test_the_same_chart_gives_the_same_bytes() -> None:
    assert pdf(chart(), cells()) == pdf(chart(), cells())


def test_a_flowable_keeps_proportions_and_fits() -> None:
    flowable = chart_flowable(chart(), 380)
    drawing = read_svg(chart())
    assert flowable.wrap(1000, 1000) == pytest.approx((380, 380 * drawing.height / drawing.width))
    assert chart_flowable(chart(), 380, max_height_points=50).height == pytest.approx(50)
    assert (flowable.title, flowable.alt) == ("CPU use of the busiest VM", "In words")


@pytest.mark.parametrize(
    "svg",
    [
        '<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg"/>',
        "<?xml version='1.0'?><svg/>",
        "<svg",
        "<html/>",
        '<svg xmlns="http://www.w3.org/2000/svg"/>',
        '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1" viewBox="0 0 10 10"><script/></svg>',
        '<svg xmlns="http://www.w3.org/2000/svg" width="0" height="1" viewBox="0 0 10 10"></svg>',
    ],
)
def test_what_was_not_written_here_is_refused(svg: str) -> None:
    with pytest.raises(InvalidInput):
        chart_flowable(svg, 100)


PNG = "data:image/png;base64,"


@pytest.mark.parametrize("href", ["file:///etc/passwd", "http://example.org/a.png", f"{PNG}%%", f"{PNG}AAAA", ""])
def test_a_picture_from_elsewhere_is_refused(href: str) -> None:
    frame = Svg(100, "t", "d").to_text(40)
    svg = frame.replace("</svg>", f'<image x="0" y="0" width="10" height="10" href="{href}"/></svg>')
    with pytest.raises(InvalidInput):
        pdf(svg)


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="pdftoppm (poppler-utils) renders the page here")
def test_the_page_shows_cells_where_they_belong(tmp_path: Path) -> None:
    """An image drawn upside down or shifted passes every test of the text."""
    svg = cells()
    flowable = chart_flowable(svg, 760)
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(tmp_path / "chart.pdf"), pagesize=(flowable.width, flowable.height), invariant=1)
    flowable.drawOn(canvas, 0, 0)
    canvas.save()
    subprocess.run(["pdftoppm", "-r", "72", "-png", "-singlefile", "chart.pdf", "chart"], cwd=tmp_path, check=True)
    page = np.asarray(Image.open(tmp_path / "chart.png").convert("RGB")).astype(int)
    picture = next(shape for shape in read_svg(svg).shapes if shape.tag == "image")
    left, top, width, height = (picture.number(name) / 10 for name in ("x", "y", "width", "height"))

    def cell(row: int, column: int) -> list[int]:
        found: list[int] = page[int(top + (row + 0.5) * height / 2), int(left + (column + 0.4) * width / 2)].tolist()
        return found

    assert cell(0, 0)[2] < 225
    assert min(cell(0, 0)) > 200  # lowest: pale yellow
    assert max(cell(0, 1)) < 100  # highest: dark blue
    assert 60 < cell(1, 1)[1] < 200  # half: teal
