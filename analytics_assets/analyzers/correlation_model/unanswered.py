"""What is said of a VM or node of which no pair is shown: one row for each kind of pair, with the reason."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from analytics_assets.analyzers.correlation_model.parameters import CorrelationsParameters
from analytics_assets.analyzers.correlation_model.population import Comparison, Label, Population

STATUSES = ("none_found", "not_compared", "insufficient_data")


def named(which: str, label: Label) -> dict[str, str]:
    """Return the columns that name `label` as the `first` or `second` of a pair."""
    return {
        f"{which}_kind": label.kind,
        f"{which}_tenant": label.tenant,
        f"{which}_id": label.entity,
        f"{which}_metric": label.metric,
    }


def unanswered(
    kind: str,
    series: Population,
    tested: Sequence[Comparison],
    answered: AbstractSet[tuple[str, str, str]],
    parameters: CorrelationsParameters,
) -> list[dict[str, Any]]:
    """Return a row for each entity that pairs of `kind` are made of and that is not `answered`, in their order.

    `tested` are all pairs of the kind that were compared. Of `vm_node` the VMs are told of, not the nodes.
    """
    pairs_of_row = np.zeros(len(series.labels), np.int64)
    for family in tested:
        for side in (family.left, family.right):
            pairs_of_row += np.bincount(side, minlength=len(series.labels))
    rows_of: dict[tuple[str, str, str], list[int]] = {}
    told, usable = kind.split("_")[0], series.usable
    on_metric: dict[str, int] = {}
    for row, label in enumerate(series.labels):
        if label.kind == told:
            rows_of.setdefault(label.owner, []).append(row)
            on_metric[label.metric] = on_metric.get(label.metric, 0) + int(usable[row])
    found = []
    for owner, rows in rows_of.items():
        if owner in answered:
            continue
        enough = [row for row in rows if usable[row]]
        most = max((on_metric[series.labels[row].metric] for row in enough), default=0)
        status, reason = _reason(kind, len(enough), int(pairs_of_row[rows].sum()), most, parameters)
        whose = Label(*owner, "")
        found.append(
            {
                "kind": kind,
                **named("first", whose),
                **named("second", whose),
                "status": status,
                "reason": reason,
                "coverage": max(float(series.coverage[row]) for row in rows),
            }
        )
    return found


def _reason(kind: str, metrics: int, pairs: int, most: int, parameters: CorrelationsParameters) -> tuple[str, str]:
    """Return status and reason of an entity: how many of its metrics are usable, in how many pairs it was compared.

    `most` is how many entities have enough samples of one of its usable metrics.
    """
    within, told = kind.endswith("_metrics"), {"vm": "VM", "node": "node"}[kind.split("_")[0]]
    if metrics < (2 if within else 1):
        needed = "two are needed" if within else "one is needed"
        return (
            "insufficient_data",
            f"{metrics} of its metrics have enough samples and leave their cycle often; {needed}",
        )
    if pairs:
        significant = f"is both significant and at least {parameters.minimum_coefficient:g}"
        what = f"pairs of {metrics} metrics" if within else f"{pairs} pairs"
        return "none_found", f"none of the {what} {significant}"
    if kind == "vm_node":
        return "not_compared", "it is not known on which node it is, or that node has not enough samples"
    if most > parameters.maximum_entities:
        return (
            "not_compared",
            f"{most} {told}s can be compared, and the {parameters.maximum_entities} that move most are",
        )
    return "not_compared", f"no other {told} has enough samples of any of its metrics"
