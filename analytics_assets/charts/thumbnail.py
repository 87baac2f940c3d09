"""A chart in at most 20 kB, for the places that keep a picture of every partition.

Dagster stores what its UI shows in its own database, twice, so the picture there must be small.
"""

import html
import re
from functools import partial

import numpy as np

from analytics_assets.charts.read_svg import subpaths
from analytics_assets.charts.svg import Svg

MOST_BYTES = 20_000

_STEPS = re.compile(r'<path d="(M-?\d+ -?\d+l[^"]*?)(Z?)"')


def thumbnail(svg: str) -> str:
    """Return `svg`, made of fewer points until it takes at most 20,000 bytes.

    Of each line only the ends and the extremes within slices of it are kept, so that peaks stay
    visible. A chart that cannot be made small enough becomes its title alone.

    Raises:
        InvalidInput: a path in it was not written by `svg.py`.
    """
    if len(svg.encode()) <= MOST_BYTES:
        return svg
    for points in (240, 180, 120, 90, 70, 50, 30):
        small = _STEPS.sub(partial(_thinned, most=points), svg)
        if len(small.encode()) <= MOST_BYTES:
            return small
    title = re.search(r"<title[^>]*>([^<]{0,300})", svg)
    card = Svg(480, "Chart", "The chart is too large to be shown here.")
    card.text(14, 26, html.unescape(title.group(1)) if title else "Chart", 11, bold=True)
    card.text(14, 46, "Too large to be shown here: it is stored in full in the chart's table.", 11)
    return card.to_text(60)


def _thinned(match: re.Match[str], most: int) -> str:
    points, _ = subpaths(match.group(1))[0]
    if len(points) <= most:
        return match.group(0)
    path = np.array(points)
    slices = np.array_split(np.arange(len(path)), most // 2)
    kept = {0, len(path) - 1}
    for part in slices:
        kept.update((int(part[path[part, 1].argmin()]), int(part[path[part, 1].argmax()])))
    chosen = path[sorted(kept)].astype(int)
    steps = " ".join(map(str, np.diff(chosen, axis=0).ravel().tolist())).replace(" -", "-")
    return f'<path d="M{chosen[0, 0]} {chosen[0, 1]}l{steps}{match.group(2)}"'
