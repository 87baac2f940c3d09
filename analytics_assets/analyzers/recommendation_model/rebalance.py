"""Which VMs to move from hot nodes to cool ones: one at a time, each the smallest move that helps.

A node is hot while its demand (95th percentile of the last week, CPU or memory, whichever is the larger
share) is above a share of its usable size. From the hottest node goes the VM with the least demand for the
resource that is short which brings the node below the cool share, or the one with the most where none
does; it goes to the node that is least full with it, if that stays below the cool share. Demands add up,
as if all peaks met. Best-fit heuristics of this kind: Beloglazov and Buyya (2012), "Optimal online
deterministic algorithms and adaptive heuristics for energy and performance efficient dynamic consolidation",
Concurrency and Computation 24 (minimum migrations).
"""

from collections.abc import Iterable, Sequence
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

    A VM is moved once. A node none of whose VMs fits is tried again when another one has been relieved.
    Equal choices are decided by id.
    """
    now = {node.node_id: node for node in nodes}
    left = sorted(vms, key=lambda vm: vm.vm_id)
    stuck: set[str] = set()
    found: list[Move] = []

    def best(name: str, targets: Iterable[Node]) -> Move | None:
        return _best_move(now[name], list(targets), [vm for vm in left if vm.node_id == name], cool_percent)

    while hot := [node for node in now.values() if node.fullest > hot_percent and node.node_id not in stuck]:
        if len(found) >= maximum:
            stuck.update(node.node_id for node in hot if best(node.node_id, now.values()) is None)
            break
        source = min(hot, key=lambda node: (-node.fullest, node.node_id))
        move = best(source.node_id, now.values())
        if move is None:
            stuck.add(source.node_id)
            continue
        found.append(move)
        now[move.source.node_id], now[move.target.node_id] = move.source_after, move.target_after
        left.remove(move.vm)
        # Only the node that the VM has left has more room than when the others were tried.
        stuck = {name for name in stuck if best(name, [move.source_after]) is None}
    hot_ones = [now[name] for name in sorted(now) if now[name].fullest > hot_percent]
    return (
        found,
        [node for node in hot_ones if node.node_id in stuck],
        [node for node in hot_ones if node.node_id not in stuck],
    )


def _best_move(source: Node, targets: Sequence[Node], vms: Sequence[Placed], cool_percent: float) -> Move | None:
    scarce = source.scarce

    def order(vm: Placed) -> tuple[bool, float, str]:
        demand: float = getattr(vm.demand, scarce)
        enough = replace(source, demand=source.demand.plus(vm.demand, -1)).fullest <= cool_percent
        return (not enough, demand if enough else -demand, vm.vm_id)

    for vm in sorted((vm for vm in vms if getattr(vm.demand, scarce) > 0), key=order):
        after = [
            (replace(node, demand=node.demand.plus(vm.demand)), node)
            for node in targets
            if node.node_id != source.node_id
        ]
        fitting = [pair for pair in after if pair[0].fullest <= cool_percent]
        if fitting:
            target_after, target = min(fitting, key=lambda pair: (pair[0].fullest, pair[0].node_id))
            rest = replace(source, demand=source.demand.plus(vm.demand, -1))
            return Move(vm, source, target, rest, target_after)
    return None
