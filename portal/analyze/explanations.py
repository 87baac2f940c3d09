"""Which metrics made a score, as text for the column `explains`."""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

LEAST_SHARE = 0.1
"""Metrics that contribute less than this share of what the first one does are left out."""


def explaining_texts(contributions: NDArray[np.floating], metrics: Sequence[str]) -> pa.Array:
    """Return for each row a JSON object of its metrics and what they contribute, the largest first; None without any.

    `contributions` are [row, metric], NaN where a metric is missing.
    """
    names = [f"{json.dumps(name, ensure_ascii=False)}: " for name in metrics]
    sizes = np.where(np.isnan(contributions), 0.0, contributions)
    order = np.argsort(-sizes, axis=1, kind="stable")
    ranked = np.take_along_axis(sizes, order, axis=1)
    counts = np.count_nonzero((ranked > 0) & (ranked >= LEAST_SHARE * ranked[:, :1]), axis=1)
    texts: list[str | None] = []
    for count, places, row in zip(counts.tolist(), order.tolist(), ranked.tolist(), strict=True):
        parts = [f"{names[place]}{size:.3g}" for place, size in zip(places[:count], row[:count], strict=True)]
        texts.append("{" + ", ".join(parts) + "}" if parts else None)
    return pa.array(texts, pa.large_string())
