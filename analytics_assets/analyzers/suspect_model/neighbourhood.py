"""Who lives with whom: VMs, the node they run on, and the node's storage tiers, with their samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.correlation_model.sources import Placement, Source
from analytics_assets.kernels.matrix import Grid
from analytics_assets.kernels.root_cause.incident import Incident
from resources.partition import PLATFORM


@dataclass(frozen=True, order=True)
class Member:
    """A VM of a tenant, a node or tier of the platform, or a tenant's part of a node."""

    kind: str
    tenant: str
    entity: str

    @property
    def name(self) -> str:
        """How evidence names it; no two members have one name."""
        return f"{self.kind} {self.entity}" if self.tenant == PLATFORM else f"{self.kind} {self.tenant}/{self.entity}"

    @property
    def is_sum(self) -> bool:
        """Whether it is a node as a tenant sees it: the sum of the tenant's VMs there, which causes nothing itself."""
        return self.kind == "node" and self.tenant != PLATFORM


@dataclass(frozen=True)
class Fleet:
    """All members, their samples [member, metric, step] on `grid`, and on which node each was in each step.

    `where` [member, step] is the place in `nodes`, the last known one where nothing was measured, -1 before any is.
    """

    members: tuple[Member, ...]
    metrics: tuple[str, ...]
    values: NDArray[np.float32]
    grid: Grid
    nodes: tuple[str, ...]
    where: NDArray[np.int32]

    @cached_property
    def place(self) -> Mapping[Member, int]:
        """The row of each member."""
        return {member: row for row, member in enumerate(self.members)}

    def around(self, member: Member, first_step: int, last_step: int) -> list[Member]:
        """Return the member and all that shared a node with it in a step from `first_step` to `last_step`, in order.

        It is alone if its node is not known. What a tenant's VMs put on a node is no neighbour of one of them.
        """
        steps = slice(first_step, last_step + 1)
        own = self.where[self.place[member], steps]
        shared = ((self.where[:, steps] == own) & (own >= 0)).any(axis=1)
        others = (self.members[row] for row in np.flatnonzero(shared))
        return sorted({member, *(other for other in others if not other.is_sum)})

    def dependencies(
        self, member: Member, members: Sequence[Member], first_step: int, last_step: int
    ) -> list[tuple[str, str]]:
        """Return who of `members`, those around `member`, depends on whom from `first_step` to `last_step`.

        VMs and tiers depend on the node they are on, and it on them: a node is loaded by its VMs and waits for its
        tiers, so that from a VM its neighbours are two steps away. A sum of VMs depends on them alone.
        """
        if member.is_sum:
            return [(member.name, other.name) for other in members if other != member]
        steps = slice(first_step, last_step + 1)
        edges = []
        for code in np.unique(self.where[self.place[member], steps]):
            if code < 0:
                continue
            node = Member("node", PLATFORM, self.nodes[code]).name
            for other in members:
                if other.kind != "node" and (self.where[self.place[other], steps] == code).any():
                    edges += [(other.name, node), (node, other.name)]
        return edges

    def incident(self, members: Sequence[Member], first_step: int, last_step: int) -> Incident:
        """Return the incident from `first_step` to `last_step` as these members saw it: nothing after it is known.

        Metrics that none of them has are left out: they are no metrics of which nothing changed.
        """
        rows = [self.place[member] for member in members]
        values = self.values[rows, :, : last_step + 1].astype(np.float64)
        there = np.flatnonzero(np.isfinite(values).any(axis=(0, 2)))
        inside = np.zeros(last_step + 1, np.bool_)
        inside[first_step:] = True
        return Incident(
            tuple(member.name for member in members),
            tuple(self.metrics[metric] for metric in there),
            values[:, there],
            np.arange(last_step + 1),
            self.grid.step_ms,
            self.grid.start_ms,
            inside,
        )


def fleet(sources: Sequence[tuple[Source, Placement]], grid: Grid) -> Fleet:
    """Return the members of all sources, where they were; a metric that a kind does not have is missing."""
    members = [Member(source.kind, source.tenant, entity) for source, _ in sources for entity in source.entities]
    metrics = sorted({metric for source, _ in sources for metric in source.matrices})
    nodes = sorted({node for _, placed in sources for node in placed.nodes})
    values = np.full((len(members), len(metrics), grid.count), np.nan, np.float32)
    where = np.full((len(members), grid.count), -1, np.int32)
    first = 0
    for source, placed in sources:
        rows = slice(first, first + len(source.entities))
        for metric, matrix in source.matrices.items():
            values[rows, metrics.index(metric)] = matrix
        in_all = np.array([*(nodes.index(node) for node in placed.nodes), -1], np.int32)
        where[rows] = _held(in_all[placed.code])
        first = rows.stop
    return Fleet(tuple(members), tuple(metrics), values, grid, tuple(nodes), where)


def fixed(entities: Sequence[str], node_of: Mapping[str, str], grid: Grid) -> Placement:
    """Return the placement of entities that never move; those that `node_of` does not name are nowhere."""
    nodes = tuple(sorted(set(node_of.values())))
    code = np.array([nodes.index(node_of[name]) if name in node_of else -1 for name in entities], np.int32)
    return Placement(nodes, np.repeat(code[:, None], grid.count, axis=1))


def _held(code: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the codes with the last known one where one is unknown."""
    known = np.maximum.accumulate(np.where(code >= 0, np.arange(code.shape[1]), 0), axis=1)
    return np.take_along_axis(code, known, axis=1)
