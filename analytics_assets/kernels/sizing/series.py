"""Sizes of the series of a table of samples: what each one needs, what its capacity is, and what to expect."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import entity_ids, positions
from analytics_assets.kernels.sizing.growth import growth_per_day
from analytics_assets.kernels.sizing.outlook import ORIGIN_DAYS, expected_share_above, risk_of_saturation
from analytics_assets.kernels.sizing.peaks import sample_peaks
from analytics_assets.kernels.sizing.rule import RULE, SizeRule, classes, fitting_sizes
from resources.partition import DAY_MS

SCHEMA = pa.schema(
    [
        ("series", pa.string()),
        ("size", pa.float64()),
        ("class", pa.string()),
        ("expected_share_above", pa.float64()),
        ("share_above", pa.float64()),
        ("risk", pa.float64()),
        ("capacity", pa.float64()),
        ("high", pa.float64()),
        ("highest", pa.float64()),
        ("samples", pa.int64()),
        ("days", pa.float64()),
        ("evidence", pa.string()),
    ]
)
"""One row per series. `size`, `capacity`, `high` and `highest` are in the unit of the samples, shares are
0 to 1 (`share_above`: of the history), `risk` is that of reaching 90 % of the capacity for an hour
within 14 days, and `evidence` says in words what was compared with what."""

Vector = NDArray[np.float64]


def series_sizes(
    series: pa.ChunkedArray, ts_ms: NDArray[np.int64], values: Vector, capacity: Vector, days: float,
    rule: SizeRule = RULE,
) -> pa.Table:  # fmt: skip
    """Return the sizes for the next `days` days, by series in order of name, one row of each argument a sample.

    Rows may come in any order; those without a series are left out. NaN values are no samples; of several
    samples of a series at one instant the highest counts. A series' capacity is the last one that its
    rows tell, NaN or not above 0 telling none. A series that cannot be judged has the class
    `insufficient_data`, no size, and a reason as evidence; that goes for infinite values, too.
    """
    names = entity_ids(series)
    place = positions(series, names)
    order = np.lexsort((values, ts_ms, place))
    ends = np.searchsorted(place[order], np.arange(len(names) + 1))
    rows = []
    for name, start, end in zip(names, ends[:-1], ends[1:], strict=True):
        part = order[start:end]
        rows.append(_row(name, ts_ms[part], values[part], capacity[part], days, rule))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _row(
    name: str, ts_ms: NDArray[np.int64], values: Vector, capacity: Vector, days: float, rule: SizeRule
) -> dict[str, object]:
    told = capacity[(capacity > 0) & np.isfinite(capacity)]
    size_now = float(told[-1]) if len(told) else np.nan
    there = ~np.isnan(values)
    ts_ms, values = ts_ms[there], values[there]
    if len(ts_ms):
        last_of_instant = np.r_[ts_ms[1:] != ts_ms[:-1], True]
        ts_ms, values = ts_ms[last_of_instant], values[last_of_instant]
    # The last sample stands for a step, too.
    spanned = float(ts_ms[-1] - ts_ms[0] + np.median(np.diff(ts_ms))) / DAY_MS if len(ts_ms) > 1 else 0.0
    row: dict[str, object] = {
        "series": name, "class": "insufficient_data", "samples": len(values), "days": spanned,
        "capacity": None if np.isnan(size_now) else size_now,
    }  # fmt: skip
    if reason := _insufficient(values, spanned, rule):
        return row | {"evidence": reason}
    known = np.array([size_now])
    peaks = sample_peaks(values, ts_ms > ts_ms[-1] - rule.recent_days * DAY_MS, rule)
    size = float(fitting_sizes(peaks, known, rule)[0])
    high, highest, above = float(peaks.high[0]), float(peaks.highest[0]), float(np.mean(values > size))
    share = "capacity unknown: not classified" if np.isnan(size_now) else f"{high / size_now:.1%} of {size_now:.4g}"
    evidence = (
        f"{100 * rule.high_share:g} % of {len(values)} samples of {spanned:.1f} days are at most {high:.4g} ({share}), "
        f"the highest is {highest:.4g}; {100 * above:.2f} % lie above the size"
    )
    evidence += _not_foreseen(ts_ms, values, high, size, spanned, days)
    found = str(classes(peaks, known, rule)[0])
    if found == "idle":
        evidence += "; idle is no matter of sizes: give it back, or keep this, the least size"
    elif found == "undersized":
        evidence += "; what lies above the capacity is not seen, so the size is the least that can be told"
    risk = risk_of_saturation(ts_ms, values, size_now)
    return row | {
        "size": size,
        "class": found,
        "expected_share_above": expected_share_above(ts_ms, values, size_now, days, rule),
        "share_above": above,
        "risk": None if np.isnan(risk) else risk,
        "high": high,
        "highest": highest,
        "evidence": evidence,
    }


def _not_foreseen(
    ts_ms: NDArray[np.int64], values: Vector, high: float, size: float, spanned: float, days: float
) -> str:
    """Return what the size and the expected share of the next `days` days leave out; empty if that is nothing."""
    told = ""
    growth = growth_per_day(ts_ms, values)
    if growth > 0 and high + growth * days > size:
        passed = max(size - high, 0.0) / growth
        told = (
            f"; it grows by {growth:.3g} a day, which is not carried on: if it goes on, it is above the size in about "
        )
        told += f"{passed:.3g} days"
    seen = spanned - ORIGIN_DAYS if spanned >= 2 * ORIGIN_DAYS else 0.0
    # An end of a record that is less than an hour short of whole days is no matter.
    if days > seen + 1 / 24:
        of_own = f"only the first {seen:.3g} of them" if seen else "none of them"
        told += f"; {days:g} days are asked for, and the record is long enough to try the size on {of_own}"
    return told


def _insufficient(values: Vector, spanned: float, rule: SizeRule) -> str:
    if np.isinf(values).any():
        return "infinite values: the use has no size"
    if len(values) < rule.minimum_samples:
        return f"{len(values)} samples; needs {rule.minimum_samples}"
    if spanned < rule.minimum_days:
        return f"samples of {spanned:.1f} days; needs {rule.minimum_days:g}"
    return ""
