"""Says in words what a chart of series shows, for readers who do not see it."""

from collections.abc import Sequence

import numpy as np

from analytics_assets.charts.scale import format_instant, format_value
from analytics_assets.charts.time_series import Series


def highest_in_words(series: Series, unit: str) -> str:
    """Return the highest mean and its time, such as `83.2 % at 2026-03-01 14:00 UTC`; there must be one."""
    at = int(np.nanargmax(series.mean))
    return f"{format_value(float(series.mean[at]), unit)} at {format_instant(int(series.ts_ms[at]))}"


def each_in_words(series: Sequence[Series], unit: str) -> str:
    """Return each series' name, mean, highest value and note; a series without values says so."""
    parts = []
    for each in series:
        values = each.mean[np.isfinite(each.mean)]
        if len(values):
            said = f"mean {format_value(float(values.mean()), unit)}, highest {highest_in_words(each, unit)}"
        else:
            said = "no samples"
        parts.append(f"{each.name}: {said}, {each.note}" if each.note else f"{each.name}: {said}")
    return "; ".join(parts) + "."
