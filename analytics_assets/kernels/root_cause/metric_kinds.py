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

NAMED_KINDS = tuple(kind for kind, _ in KIND_WORDS if kind != "other")


def metric_kind(name: str) -> str:
    """Return the kind of the metric called `name`: one of `NAMED_KINDS`, or `other`."""
    words = set(re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).replace("_", " ").lower().split())
    words = {part for word in words for part in re.split(r"[^a-z0-9%]+", word)}
    return next((kind for kind, named in KIND_WORDS if words & named), "other")


def metrics_by_kind(metrics: Sequence[str]) -> list[list[int]]:
    """Return the places of the metrics of each kind that is there, without `other`; each metric alone where none is."""
    kinds = [metric_kind(name) for name in metrics]
    named = [[place for place, kind in enumerate(kinds) if kind == wanted] for wanted in NAMED_KINDS]
    found = [places for places in named if places]
    return found or [[place] for place in range(len(metrics))]
