import io

import numpy as np
import pytest
from PIL import Image

from analytics_assets.charts.frame import Heading
from analytics_assets.charts.heatmap import Grid, classify, colour_steps, heatmap
from analytics_assets.charts.palette import ramp
from analytics_assets.charts.read_svg import png_of, read_svg
from analytics_assets.charts.scale import value_axis
from resources.errors import InvalidInput

START, HOUR = 1_772_323_200_000, 3_600_000
HEADING = Heading("A title", "A subtitle")
NAN = float("nan")


def grid(values: object, names: list[str] | None = None) -> Grid:
    array = np.array(values, dtype=float)
    return Grid(names or [f"vm-{row}" for row in range(len(array))], array, START, HOUR)


def test_each_cell_has_the_colour_of_its_value_and_missing_ones_none() -> None:
    svg = heatmap(HEADING, grid([[0, 50, 100], [NAN, 19.99, 20]]), "percent")
    picture = next(shape for shape in read_svg(svg).shapes if shape.tag == "image")
    cells = np.asarray(Image.open(io.BytesIO(png_of(picture))).convert("RGBA"))
    colours = ramp(15)
    assert cells.shape == (2, 3, 4)
    assert cells[1, 0, 3] == 0
    assert tuple(cells[0, 0, :3]) == colours[0]
    assert tuple(cells[0, 1, :3]) == colours[7]
    assert tuple(cells[0, 2, :3]) == colours[14]
    assert tuple(cells[1, 1, :3]) == colours[2]
    assert tuple(cells[1, 2, :3]) == colours[3]


@pytest.mark.parametrize("highest", [0.0, 1.0, 3.3, 7.0, 93.0, 2.0**31])
def test_boundaries_of_the_colour_bar_are_boundaries_of_the_colours(highest: float) -> None:
    """A tick inside a colour would promise a precision that the picture does not have."""
    axis = value_axis([highest], "")
    colours = colour_steps(axis)
    assert colours % (len(axis.ticks) - 1) == 0
    at = classify(np.array([tick.at for tick in axis.ticks[1:-1]]), axis, colours)
    below = classify(np.array([tick.at * (1 - 1e-6) for tick in axis.ticks[1:-1]]), axis, colours)
    assert (at == below + 1).all()


def test_two_weeks_of_sixty_rows_of_noise_stay_below_20_kb() -> None:
    noise = np.random.default_rng(1).random((60, 336)) * 100
    assert len(heatmap(HEADING, grid(noise, [f"vm-{n:04d}" for n in range(60)]), "percent", "VM").encode()) < 20_000


def test_missing_cells_are_explained_only_where_there_are_any() -> None:
    assert "No samples" in heatmap(HEADING, grid([[NAN, 1.0]]), "percent")
    assert "No samples" not in heatmap(HEADING, grid([[2.0, 1.0]]), "percent")


def test_all_missing_is_a_hatched_field_without_a_picture() -> None:
    svg = heatmap(HEADING, grid([[NAN] * 24]), "percent")
    assert "<image" not in svg
    assert "No samples" in svg


def test_hostile_names_stay_text() -> None:
    svg = heatmap(HEADING, grid([[1.0]], ["</text><script>alert(1)</script>"]), "percent")
    assert "<script" not in svg
    assert any("script" in shape.text for shape in read_svg(svg).shapes)


@pytest.mark.parametrize(("rows", "columns", "names"), [(0, 5, 0), (2, 0, 2), (2, 2, 1), (201, 1, 201)])
def test_grids_that_cannot_be_drawn_are_refused(rows: int, columns: int, names: int) -> None:
    with pytest.raises(InvalidInput, match="cannot be drawn"):
        heatmap(HEADING, Grid(["vm"] * names, np.zeros((rows, columns)), START, HOUR), "percent")
