"""How many other entities began to be abnormal in the same way at the same time: one look may explain them all.

A job that runs on four VMs makes four anomalies. That they began within minutes of each other tells it, unless so many
begin all day that it means nothing; so beside the number is the one that chance alone would make.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.anomaly_model.metric_rows import Span

AT_ONCE_MS = 15 * 60_000
"""Beginnings up to so far apart are at the same time."""

BEYOND_CHANCE = 3.0
"""The others are worth a word where they are at least so many times as many as chance makes."""

Instants = NDArray[np.int64]


def add_others(rows: Sequence[dict[str, Any]], span: Span) -> None:
    """Add to each answer of `rows` about one or all metrics how many others began at once, and how many by chance.

    Others are other entities, with the same metric and direction. By chance is what it would be if those of the day had
    begun at any time of it.
    """
    groups: dict[tuple[str, str | None], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["status"] == "ok" and row["kind"] != "peer":
            groups[row["metric"], row.get("direction")].append(row)
    for group in groups.values():
        began = np.array([row["start"] if row["began"] is None else row["began"] for row in group], np.int64)
        _, entity = np.unique([row["entity_id"] for row in group], return_inverse=True)
        others, by_chance = others_at_once(began, entity, span.day_ms, span.grid.end_ms)
        for row, count, expected in zip(group, others.tolist(), by_chance.tolist(), strict=True):
            row["others_at_once"], row["others_by_chance"] = count, expected
            if count >= BEYOND_CHANCE * expected and count:
                row["why"] += f"; with {count} {'other' if count == 1 else 'others'} within a quarter of an hour"


def others_at_once(began: Instants, entity: Instants, day_ms: int, end_ms: int) -> tuple[Instants, NDArray[np.float64]]:
    """Return of each event how many other entities had one that began at most `AT_ONCE_MS` away, and by chance would.

    `began` and `entity` are those of the events. Chance puts the events of the day, from `day_ms` to `end_ms`, anywhere
    in it; what began before counts among the others, but not by chance.
    """
    starts, ends, owners = _around(began, entity)
    others = np.searchsorted(np.sort(starts), began, "right") - np.searchsorted(np.sort(ends), began, "left") - 1
    length = np.clip(ends, day_ms, end_ms) - np.clip(starts, day_ms, end_ms)
    by_entity = np.bincount(owners, length, entity.max(initial=-1) + 1)
    by_chance = (by_entity.sum() - by_entity[entity]) / max(end_ms - day_ms, 1)
    return others.astype(np.int64), by_chance


def _around(began: Instants, entity: Instants) -> tuple[Instants, Instants, Instants]:
    """Return start, end and entity of the times at which an event would be at once with one of the entity's.

    Those of one entity do not overlap: two events of another are one other.
    """
    order = np.lexsort([began, entity])
    at, owner = began[order], entity[order]
    begins = np.ones(len(at), np.bool_)
    begins[1:] = (owner[1:] != owner[:-1]) | (at[1:] - at[:-1] > 2 * AT_ONCE_MS)
    ends = np.append(begins[1:], True)[: len(at)]
    return at[begins] - AT_ONCE_MS, at[ends] + AT_ONCE_MS, owner[begins]
