"""Pictures of few colours as PNG, written with zlib alone.

Format: Portable Network Graphics, W3C recommendation, https://www.w3.org/TR/png/.
"""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analytics_assets.charts.palette import Rgb
from resources.errors import InvalidInput

SIGNATURE = b"\x89PNG\r\n\x1a\n"

UP = 2
"""The row filter that stores the difference to the row above: repeated rows become zeros."""


def indexed_png(pixels: NDArray[np.uint8], palette: Sequence[Rgb], transparent: int | None = None) -> bytes:
    """Return `pixels` (height x width, entries of `palette`) as PNG; entry `transparent` shows what is behind.

    Up to 16 colours take half a byte per pixel. The same pixels give the same bytes.

    Raises:
        InvalidInput: there is no pixel, more than 256 colours, or a pixel outside the palette.
    """
    if pixels.ndim != 2 or not pixels.size or not 0 < len(palette) <= 256 or int(pixels.max()) >= len(palette):
        raise InvalidInput(
            f"a picture of shape {pixels.shape} with {len(palette)} colours cannot be written. "
            "Give height x width entries of a palette of 1 to 256 colours."
        )
    height, width = pixels.shape
    depth = 4 if len(palette) <= 16 else 8
    rows = pixels.astype(np.uint8)
    if depth == 4:
        even = np.pad(rows, ((0, 0), (0, width % 2)))
        rows = (even[:, 0::2] << 4) | even[:, 1::2]
    above = np.vstack([np.zeros((1, rows.shape[1]), np.uint8), rows[:-1]])
    repeated = np.all(rows == above, axis=1)
    filtered = np.where(repeated[:, None], rows - above, rows)
    lines = np.hstack([np.where(repeated, UP, 0).astype(np.uint8)[:, None], filtered])
    chunks = [
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 3, 0, 0, 0)),
        _chunk(b"PLTE", bytes(channel for colour in palette for channel in colour)),
    ]
    if transparent is not None:
        chunks.append(_chunk(b"tRNS", bytes(0 if entry == transparent else 255 for entry in range(transparent + 1))))
    chunks.append(_chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)))
    chunks.append(_chunk(b"IEND", b""))
    return SIGNATURE + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
