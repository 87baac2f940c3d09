import io

import numpy as np
import pytest
from PIL import Image

from analytics_assets.charts.png import indexed_png
from resources.errors import InvalidInput

PALETTE = [(255, 255, 255), (10, 20, 30), (200, 100, 0)]


def test_an_independent_reader_sees_the_same_pixels() -> None:
    pixels = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)
    image = Image.open(io.BytesIO(indexed_png(pixels, PALETTE, transparent=0)))
    image.verify()
    image = Image.open(io.BytesIO(indexed_png(pixels, PALETTE, transparent=0))).convert("RGBA")
    seen = np.asarray(image)
    assert seen[..., :3].tolist() == [[list(PALETTE[entry]) for entry in row] for row in pixels.tolist()]
    assert seen[..., 3].tolist() == [[0, 255, 255], [255, 255, 0]]


@pytest.mark.parametrize("pixels", [np.zeros((0, 3), np.uint8), np.full((1, 1), 3, np.uint8), np.zeros(3, np.uint8)])
def test_pixels_that_make_no_picture_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="cannot be written"):
        indexed_png(pixels, PALETTE)
