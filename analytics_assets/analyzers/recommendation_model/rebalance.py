"""Which VMs to move from hot nodes to cool ones: one at a time, each the smallest move that helps.

A node is hot while its demand (95th percentile of the last week, CPU or memory, whichever is the larger
share) is above a share of its usable size. From the hottest node goes the VM with the least demand for the
resource that is short which brings the node below the cool share, or the one with the most where none
does; it goes to the node that is least full with it, if that stays below the cool share. Demands add up,
as if all peaks met. Best-fit heuristics of this kind: Beloglazov and Buyya (2012), "Optimal online
deterministic algorithms and adaptive heuristics for energy and performance efficient dynamic consolidation",
Concurrency and Computation 24 (minimum migrations).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

RESOURCES = ("cpu", "memory")


@dataclass(frozen=True)
class Load:
    """CPU in cores and memory in bytes."""

    cpu: float
    memory: float

    def plus(self, other: "Load", times: int = 1) -> "Load":
        return Load(self.cpu + times * other.cpu, self.memory + times * other.memory)


@dataclass(frozen=True)
class Node:
    """A node's demand and what it may use of its size."""

    node_id: str
    demand: Load
    usable: Load

    def fill(self, resource: str) -> float:
        """Return the demand in percent of what is usable."""
        usable: float = getattr(self.usable, resource)
        return 100 * float(getattr(self.demand, resource)) / usable if usable > 0 else float("inf")

    @property
    def scarce(self) -> str:
        return max(RESOURCES, key=self.fill)

    @property
    def fullest(self) -> float:
        return self.fill(self.scarce)


@dataclass(frozen=True)
class Placed:
    """A VM, where it runs, and what it demands there."""

    vm_id: str
    node_id: str
    demand: Load


@dataclass(frozen=True)
class Move:
    """A VM from one node to another; both nodes as they are before it and after it."""

    vm: Placed
    source: Node
    target: Node
    source_after: Node
    target_after: Node


def moves(
    nodes: Sequence[Node], vms: Sequence[Placed], hot_percent: float, cool_percent: float, maximum: int
) -> tuple[list[Move], list[Node], list[Node]]:
    """Return the moves in order, the nodes that stay hot as no VM of theirs fits anywhere, and as `maximum` is up.

    A VM is moved once. Equal choices are decided by id.
    """
    now = {node.node_id: node for node in nodes}
    left = sorted(vms, key=lambda vm: vm.vm_id)
    stuck: dict[str, Node] = {}
    found: list[Move] = []
    while len(found) < maximum:
        hot = [node for node in now.values() if node.fullest > hot_percent and node.node_id not in stuck]
        if not hot:
            break
        source = min(hot, key=lambda node: (-node.fullest, node.node_id))
        move = _best_move(source, now, [vm for vm in left if vm.node_id == source.node_id], cool_percent)
        if move is None:
            stuck[source.node_id] = source
            continue
        found.append(move)
        now[move.source.node_id], now[move.target.node_id] = move.source_after, move.target_after
        left.remove(move.vm)
    waiting = [now[name] for name in sorted(now) if now[name].fullest > hot_percent and name not in stuck]
    return found, [stuck[name] for name in sorted(stuck)], waiting


def _best_move(source: Node, now: Mapping[str, Node], vms: Sequence[Placed], cool_percent: float) -> Move | None:
    scarce = source.scarce

    def order(vm: Placed) -> tuple[bool, float, str]:
        demand: float = getattr(vm.demand, scarce)
        enough = replace(source, demand=source.demand.plus(vm.demand, -1)).fullest <= cool_percent
        return (not enough, demand if enough else -demand, vm.vm_id)

    for vm in sorted((vm for vm in vms if getattr(vm.demand, scarce) > 0), key=order):
        after = [
            replace(node, demand=node.demand.plus(vm.demand)) for node in now.values() if node.node_id != source.node_id
        ]
        fitting = [node for node in after if node.fullest <= cool_percent]
        if fitting:
            target = min(fitting, key=lambda node: (node.fullest, node.node_id))
            rest = replace(source, demand=source.demand.plus(vm.demand, -1))
            return Move(vm, source, now[target.node_id], rest, target)
    return None
