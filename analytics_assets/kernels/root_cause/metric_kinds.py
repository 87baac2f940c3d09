"""What a metric tells of its entity, read from the words of its name.

A fault shows in what an entity spends and how it answers. Traffic and calls made to others mostly tell of the callers
and the callees, and a host's figures tell of all that run on it.
"""

import re
from collections.abc import Sequence

KIND_WORDS = (
    ("other", {"node", "host", "client", "outgoing", "upstream"}),
    ("failures", {"error", "errors", "failure", "failures", "failed", "availability", "success", "fault", "faults"}),
    ("latency", {"latency", "lat", "duration", "delay", "wait", "rtt"}),
    ("memory", {"memory", "mem", "heap", "rss", "swap"}),
    ("read", {"read", "reads"}),
    ("write", {"write", "writes", "written"}),
    ("cpu", {"cpu", "processor", "load"}),
)
"""Kinds and the words that name them, the first that fits; `other` says little of the entity itself."""

RESOURCES = ("cpu", "memory", "read", "write")
"""Kinds of what an entity spends."""

SYMPTOMS = ("failures", "latency")
"""Kinds of how it answers: who waits for a failing one answers badly, too."""

BETTER_HIGH = frozenset({"availability", "success"})
"""Words of failures that are told by their opposite."""

NAMED_KINDS = tuple(kind for kind, _ in KIND_WORDS if kind != "other")


def metric_kind(name: str) -> str:
    """Return the kind of the metric called `name`: one of `NAMED_KINDS`, or `other`."""
    words = _words(name)
    return next((kind for kind, named in KIND_WORDS if words & named), "other")


def bad_direction(name: str) -> int:
    """Return 1 where only a rise of the metric is bad (failures), -1 where only a fall is (availability), else 0.

    Latency has none: an entity whose callee fails at once answers sooner.
    """
    if metric_kind(name) != "failures":
        return 0
    return -1 if _words(name) & BETTER_HIGH else 1


def metrics_by_kind(metrics: Sequence[str]) -> list[list[int]]:
    """Return the places of the metrics of each kind that is there, without `other`; each metric alone where none is."""
    kinds = [metric_kind(name) for name in metrics]
    named = [[place for place, kind in enumerate(kinds) if kind == wanted] for wanted in NAMED_KINDS]
    found = [places for places in named if places]
    return found or [[place] for place in range(len(metrics))]


def _words(name: str) -> set[str]:
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).replace("_", " ").lower()
    return {part for word in spaced.split() for part in re.split(r"[^a-z0-9%]+", word)}
