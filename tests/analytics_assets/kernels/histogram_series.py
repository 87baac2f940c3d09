"""Series of a histogram as a test writes them, and what is read of them, row by row."""

import numpy as np

from analytics_assets.kernels.histogram import histogram
from resources.monitoring.source import SeriesBatch

START = 1_767_225_600_000  # 2026-01-01
MINUTE = 60_000
STEP = 5 * MINUTE
END = START + 4 * STEP
QUANTILES = (0.5, 0.95, 0.99)
STALE = np.uint64(0x7FF0000000000002).view(np.float64)

Samples = list[tuple[int, float]]
Series = tuple[str, dict[str, str], Samples]
"""Which part (`bucket`, `sum`, `count`), labels and samples in order of arrival."""


def batch_of(part: str, series: list[Series]) -> SeriesBatch:
    samples = [sample for _, _, samples in series for sample in samples]
    return SeriesBatch(
        f"h_{part}",
        tuple(labels for _, labels, _ in series),
        np.r_[0, np.cumsum([len(samples) for _, _, samples in series])].astype(np.int64),
        np.array([ts for ts, _ in samples], np.int64),
        np.array([value for _, value in samples], np.float64),
    )


def read(series: list[Series], quantiles=QUANTILES, interval=None, end=END):
    batches = [
        batch_of(part, own) for part in ("bucket", "sum", "count") if (own := [s for s in series if s[0] == part])
    ]
    return histogram(batches, "h", ("a", "b"), START, end, STEP, quantiles, interval)


def rows(found) -> dict[tuple[tuple[str, ...], int], dict[str, object]]:
    return {
        (found.entities[entity], int(bucket)): {
            "count": float(count), "mean": float(mean), "quantiles": [float(value) for value in values],
            "doubtful": bool(doubtful), "samples": int(samples),
        }
        for entity, bucket, count, mean, values, doubtful, samples in zip(
            found.entity, found.bucket, found.count, found.mean, found.quantiles, found.doubtful, found.samples,
            strict=True,
        )
    }  # fmt: skip


def exposed(
    counts: list[dict[str, float]], labels: dict[str, str] | None = None, begin: int = START, every: int = MINUTE
) -> list[Series]:
    """Series of cumulative values scraped one after another; keys are `le` texts, `sum` and `count`."""
    labels = labels or {"a": "x", "b": "y"}
    made: list[Series] = []
    for key in counts[0]:
        own = [(begin + number * every, scrape[key]) for number, scrape in enumerate(counts) if key in scrape]
        made.append((key, labels, own) if key in ("sum", "count") else ("bucket", {**labels, "le": key}, own))
    return made
