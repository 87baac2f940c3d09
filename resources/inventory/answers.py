"""Whole answers of a metrics server to what the inventory asks: nothing that may lack a part is used."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resources.errors import TransientFailure
from resources.monitoring.selector import quoted, re2_literal
from resources.monitoring.server.api import PrometheusApi
from resources.monitoring.server.failures import TooMuch, shown

Series = tuple[dict[str, str], NDArray[np.int64], NDArray[np.float64]]
"""Labels, times (ms, ascending) and values of a series."""

MOST_CHARACTERS = 10_000
"""Values named in one query, in bytes as they are written; VictoriaMetrics takes queries of 16 KiB."""


def whole_answer(api: PrometheusApi, query: str, start_ms: int, end_ms: int, step_seconds: int) -> list[Series]:
    """Return the values of `query` at every step of `[start_ms, end_ms)`.

    Where the server wants less at once it is asked in halves: a series then comes in parts, see `joined`.

    Raises:
        TransientFailure: the server warns that data may be missing.
        TooMuch: even one step is too much.
    """
    try:
        answer = api.range_query(query, start_ms, end_ms, step_seconds)
    except TooMuch:
        step_ms = step_seconds * 1000
        steps = -(-(end_ms - start_ms) // step_ms)
        if steps < 2:
            raise
        middle_ms = start_ms + steps // 2 * step_ms
        return [
            *whole_answer(api, query, start_ms, middle_ms, step_seconds),
            *whole_answer(api, query, middle_ms, end_ms, step_seconds),
        ]
    if answer.warnings:
        raise TransientFailure(
            f"the metrics server answered {shown(query)} for the inventory, but warns: {shown(answer.warnings[0])}. "
            "VMs may be missing from it, so none of it is used; run it again when the server is whole."
        )
    return list(answer.series)


def joined(series: Sequence[Series]) -> list[Series]:
    """Return `series` with the points of equal labels in one, a point that came twice once."""
    parts: dict[tuple[tuple[str, str], ...], list[Series]] = {}
    for one in series:
        parts.setdefault(tuple(sorted(one[0].items())), []).append(one)
    found = []
    for same in parts.values():
        ts_ms, first = np.unique(np.concatenate([ts for _, ts, _ in same]), return_index=True)
        found.append((same[0][0], ts_ms, np.concatenate([values for _, _, values in same])[first]))
    return found


def alternatives(values: Sequence[str]) -> str:
    """Return what stands between the quotes of a `=~""` that matches just `values`, none of them if there are none."""
    # No label holds a NUL; an empty expression would match every series without the label.
    return quoted("|".join(re2_literal(value) for value in values) or r"\x00")[1:-1]
