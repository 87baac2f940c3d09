"""Which of the compared pairs are shown, and their columns."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.correlation_model.parameters import CorrelationsParameters
from analytics_assets.analyzers.correlation_model.population import Comparison, Population, judged


@dataclass(frozen=True)
class Shown:
    """A pair of series that move together, `first` before `second` or at the same time."""

    kind: str
    first: int
    second: int
    coefficient: float
    lag: int
    shared: int
    effective: float
    q_value: float
    pairs_tested: int


def shown_pairs(
    kind: str, series: Population, families: list[Comparison], parameters: CorrelationsParameters
) -> list[Shown]:
    """Return the significant pairs of `families` (each tested for itself), the strongest of each entity.

    A pair is shown if it is among the strongest of either of its entities. Of pairs as strong, the one of the
    earlier rows comes first.
    """
    parts, effective, q_values, tested = [], [np.empty(0)], [np.empty(0)], [np.empty(0, np.int64)]
    for family in families:
        worth = judged(series, family, parameters.maximum_lag_steps)
        strong = np.abs(family.coefficient) >= parameters.minimum_coefficient
        kept = np.flatnonzero(strong & (worth.q_value <= parameters.false_discovery_rate))
        parts.append(family.take(kept))
        effective.append(worth.effective_steps[kept])
        q_values.append(worth.q_value[kept])
        tested.append(np.full(len(kept), len(family.left)))
    pairs = Comparison.joined(parts)
    steps, q_value, together = np.concatenate(effective), np.concatenate(q_values), np.concatenate(tested)
    taken: Counter[tuple[str, str, str]] = Counter()
    chosen = []
    for place in np.lexsort((pairs.right, pairs.left, -np.abs(pairs.coefficient))):
        rows = int(pairs.left[place]), int(pairs.right[place])
        entities = {series.labels[row].owner for row in rows}
        if all(taken[entity] >= parameters.pairs_per_entity for entity in entities):
            continue
        taken.update(entities)
        lag = int(pairs.lag[place])
        first, second = rows if lag >= 0 else rows[::-1]
        chosen.append(
            Shown(
                kind,
                first,
                second,
                float(pairs.coefficient[place]),
                abs(lag),
                int(pairs.shared[place]),
                float(steps[place]),
                float(q_value[place]),
                int(together[place]),
            )
        )
    return chosen


def busiest(series: Population, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the `most` of the rows that moved most over their level, in their order."""
    order = np.argsort(-series.movement[rows], kind="stable")
    return np.sort(rows[order[:most]])
