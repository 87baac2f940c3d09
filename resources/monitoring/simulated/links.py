"""The links between nodes whose latency and loss are measured, and the fault that one of them has.

Not every pair: each node with the next in its rack, and the first node of each rack with that of
the next rack, both as rings and in both directions. So there are about two links for each node.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from resources.monitoring.simulated.clock import Clock, stream
from resources.monitoring.simulated.nodes import Node
from resources.monitoring.simulated.planting import incident_span
from resources.monitoring.simulated.vm import Span

RACK_SECONDS = 0.00025
"""The median latency of an idle link within a rack."""
CORE_SECONDS = 0.0006
"""The same between racks."""
FAULT_MINUTES = 180
FAULT_LATENCY = 10.0
"""The latency of a faulty link, as a multiple of the usual."""
FAULT_LOSS = 0.03
"""The share of packets that a faulty link loses."""


@dataclass(frozen=True, eq=False)
class Link:
    """What is sent from `source` to `target`, measured by the source's exporter."""

    source: Node
    target: Node
    seconds: float
    """The median latency while both ends are idle."""
    fault: Span | None = None
    """When a bad port at the source loses and delays what it sends; the other direction is well."""

    @property
    def id(self) -> str:
        return f"{self.source.id}/{self.target.id}"


def plan_links(seed: int, clock: Clock, nodes: Sequence[Node]) -> list[Link]:
    """Return the links of all `nodes`, in their order by source; one link has a fault."""
    racks: dict[int, list[Node]] = {}
    for node in nodes:
        racks.setdefault(node.ref.rack, []).append(node)
    pairs = [pair for rack in racks.values() for pair in _ring(rack)]
    pairs += _ring([rack[0] for rack in racks.values()])
    links = [
        Link(source, target, RACK_SECONDS if source.ref.rack == target.ref.rack else CORE_SECONDS)
        for one, other in pairs
        for source, target in ((one, other), (other, one))
    ]
    chance = stream(seed, "links", "fault")
    faulty = int(chance.integers(len(links)))
    links[faulty] = replace(links[faulty], fault=incident_span(clock, chance, FAULT_MINUTES))
    return sorted(links, key=lambda link: (link.source.ref, link.target.ref))


def _ring(nodes: Sequence[Node]) -> list[tuple[Node, Node]]:
    """Return each node with the one after it, the last with the first; a pair only once."""
    if len(nodes) < 3:
        return [(nodes[0], nodes[1])] if len(nodes) == 2 else []
    return [(node, nodes[(position + 1) % len(nodes)]) for position, node in enumerate(nodes)]
