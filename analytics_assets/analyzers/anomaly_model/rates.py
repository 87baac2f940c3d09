"""How much of what was judged was anomalous: by metric and entity, and summed by entity, node and tenant.

A point is one metric in one bucket. Points of metrics that could not be judged do not count.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.matrix import Grid

BoolArray = NDArray[np.bool_]


@dataclass
class Tally:
    """Points judged and anomalous, and the intervals they came in."""

    points: int = 0
    anomalous: int = 0
    intervals: int = 0
    highest_score: float | None = None

    def add(self, other: "Tally") -> None:
        self.points += other.points
        self.anomalous += other.anomalous
        self.intervals += other.intervals
        if other.highest_score is not None:
            self.highest_score = max(self.highest_score or 0.0, other.highest_score)

    @property
    def rate(self) -> float | None:
        return self.anomalous / self.points if self.points else None


@dataclass
class Tallies:
    """Tallies by entity and metric, by entity, by node and of all."""

    by_metric: dict[tuple[str, str], Tally] = field(default_factory=dict)
    by_entity: dict[str, Tally] = field(default_factory=dict)
    by_node: dict[str, Tally] = field(default_factory=dict)
    total: Tally = field(default_factory=Tally)


def inside(rows: Iterable[Mapping[str, Any]], grid: Grid) -> BoolArray:
    """Return the steps of `grid` that lie in an interval of `rows` (`start` and `end` in milliseconds)."""
    steps = np.zeros(grid.count, np.bool_)
    for row in rows:
        first = max(0, -(-(row["start"] - grid.start_ms) // grid.step_ms))
        steps[first : max(first, -(-(row["end"] - grid.start_ms) // grid.step_ms))] = True
    return steps


def tally(
    entities: Sequence[str],
    present: Mapping[str, BoolArray],
    anomalies: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]],
    unanswered: frozenset[tuple[str, str]],
    grid: Grid,
    node_ids: Sequence[str],
    nodes: NDArray[np.int64],
) -> Tallies:
    """Return the tallies of `entities`.

    `present` has for each metric where it has samples [entity, step]; `anomalies` the intervals by entity
    and metric; `unanswered` the entities and metrics that could not be judged. `nodes` [entity, step] are positions in
    `node_ids`, -1 where unknown; without `node_ids` there are no sums by node.
    """
    found = Tallies(by_node={node: Tally() for node in node_ids})
    for row, entity in enumerate(entities):
        whole = found.by_entity.setdefault(entity, Tally())
        for metric, there in present.items():
            if (entity, metric) in unanswered:
                continue
            intervals = anomalies.get((entity, metric), ())
            hit = there[row] & inside(intervals, grid) if intervals else np.zeros(grid.count, np.bool_)
            own = Tally(
                points=int(np.count_nonzero(there[row])),
                anomalous=int(np.count_nonzero(hit)),
                intervals=len(intervals),
                highest_score=max((interval["score"] for interval in intervals), default=None),
            )
            found.by_metric[entity, metric] = own
            whole.add(own)
            if node_ids:
                _add_by_node(found.by_node, node_ids, nodes[row], there[row], hit, own)
        found.total.add(whole)
    return found


def _add_by_node(
    by_node: dict[str, Tally],
    node_ids: Sequence[str],
    nodes: NDArray[np.int64],
    there: BoolArray,
    hit: BoolArray,
    own: Tally,
) -> None:
    points = np.bincount(nodes[there] + 1, minlength=len(node_ids) + 1)[1:]
    anomalous = np.bincount(nodes[hit] + 1, minlength=len(node_ids) + 1)[1:]
    for place in np.flatnonzero(points).tolist():
        score = own.highest_score if anomalous[place] else None
        by_node[node_ids[place]].add(Tally(int(points[place]), int(anomalous[place]), 0, score))
    if anomalous.any():  # a VM's intervals are counted once, where most of their points were
        by_node[node_ids[int(np.argmax(anomalous))]].intervals += own.intervals
