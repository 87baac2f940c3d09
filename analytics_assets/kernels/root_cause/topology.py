"""Who could have caused an alarm, by who depends on whom."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence


def dependencies(edges: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return what each source depends on: its targets, sorted, itself left out."""
    found: dict[str, set[str]] = {}
    for source, target in edges:
        if source != target:
            found.setdefault(source, set()).add(target)
    return {source: tuple(sorted(targets)) for source, targets in sorted(found.items())}


def distances(depends_on: Mapping[str, Sequence[str]], start: str) -> dict[str, int]:
    """Return all that `start` depends on, directly or not, with the number of edges on the shortest way."""
    found = {start: 0}
    waiting = deque([start])
    while waiting:
        entity = waiting.popleft()
        for next_one in depends_on.get(entity, ()):
            if next_one not in found:
                found[next_one] = found[entity] + 1
                waiting.append(next_one)
    return found


def members(depends_on: Mapping[str, Sequence[str]]) -> set[str]:
    """Return all entities that depend on another or are depended on."""
    return {*depends_on, *(target for targets in depends_on.values() for target in targets)}
