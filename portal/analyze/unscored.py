"""Why a series has no answer where anomalies are looked for: none of its rows could have been one."""

import numpy as np

from portal.analyze.columns import BoolArray, FloatArray
from portal.analyze.times import IntArray

NO_VALUE = "no row has a value"

FEW_ROWS = 20
"""A series that is the same over fewer rows than this is not known to be constant."""

ENOUGH = "it takes a little more than two hundred"
"""How many rows several metrics are learned from before there is a score: a hundred for what is usual, and again for
the alarm line, which is found anew when there are half as many more."""

HOUR_MS, MINUTE_MS = 3_600_000, 60_000


def why_none_alarms(ts_ms: IntArray, values: FloatArray, reference: BoolArray | None, score: FloatArray) -> str | None:
    """Return why no row of a series of one metric could alarm, None where one could; rows are in order of time."""
    from analytics_assets.kernels.anomaly.residuals_kernel import SCALE_AFTER
    from analytics_assets.kernels.anomaly.scores_kernel import LEARNING_MS

    known = ~np.isnan(values)
    if not known.any():
        return NO_VALUE
    if not (score[known] > 0).any() and (reason := why_too_large(values)):
        return reason
    age_ms = ts_ms - ts_ms[known][0]
    old = known & (age_ms >= LEARNING_MS)
    if not old.any():
        least = int(LEARNING_MS) // HOUR_MS
        reached = _duration(age_ms[known][-1])
        return f"its last value is {reached} after its first; nothing alarms in the first {least} h"
    judged = old & (np.cumsum(known) > SCALE_AFTER)
    if not judged.any():
        return f"{int(known.sum())} rows with a value: too few to learn from; none of the first {SCALE_AFTER} alarms"
    if reference is not None and reference[judged].all():
        return "all its rows that could alarm are marked as normal by reference, and those never do"
    return None


def why_none_is_scored(values: FloatArray, reference: BoolArray | None, score: FloatArray) -> str | None:
    """Return why a series of several metrics [row, metric] has no score, None where it has some.

    That holds for its rows from the first one on that is marked as normal, if any is.
    """
    known: BoolArray = np.asarray(~np.isnan(values).all(axis=1))
    if not known.any():
        return NO_VALUE
    begin, learned, which = 0, known, "with a value"
    if reference is not None and reference.any():
        begin, learned, which = int(np.argmax(reference)), known & reference, "marked as normal by reference"
    scored, own = score[begin:][known[begin:]], values[begin:][known[begin:]]
    if (scored > 0).any() or is_constant(own):
        return None
    return why_too_large(values) or f"{int(learned.sum()):,} rows {which}: too few to learn from; {ENOUGH}"


def why_too_large(values: FloatArray) -> str | None:
    """Return that some values are too large to calculate with, None where none is."""
    from analytics_assets.kernels.anomaly.residuals_kernel import LARGEST_VALUE

    # NaN is not above anything.
    if not (np.abs(values) > LARGEST_VALUE).any():
        return None
    return f"values beyond {LARGEST_VALUE:g} are too large to calculate with: write them in a larger unit"


def is_constant(values: FloatArray) -> bool:
    """Return whether no metric [row, metric] ever changed over some rows: nothing is abnormal then, and 0 an answer."""
    same = (values == values[:1]) | (np.isnan(values) & np.isnan(values[:1]))
    return len(values) >= FEW_ROWS and bool(same.all())


def _duration(span_ms: int) -> str:
    """Return a span of time, rounded down: what is a second short of a day is not a day."""
    return f"{int(span_ms) // HOUR_MS} h {int(span_ms) % HOUR_MS // MINUTE_MS} min"
