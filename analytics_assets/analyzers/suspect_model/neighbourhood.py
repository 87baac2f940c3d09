"""Who lives with whom: VMs, the node they run on, and the node's storage tiers, with their samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_assets.analyzers.correlation_model.sources import Source
from analytics_assets.kernels.matrix import Grid
from analytics_assets.kernels.root_cause.incident import Incident
from resources.partition import PLATFORM


@dataclass(frozen=True, order=True)
class Member:
    """A VM of a tenant, or a node or tier of the platform."""

    kind: str
    tenant: str
    entity: str

    @property
    def name(self) -> str:
        """How evidence names it; no two members have one name."""
        return f"{self.kind} {self.entity}" if self.tenant == PLATFORM else f"{self.kind} {self.tenant}/{self.entity}"


@dataclass(frozen=True)
class Fleet:
    """All members, their samples [member, metric, step] on `grid`, and the node that each lives on, if known."""

    members: tuple[Member, ...]
    metrics: tuple[str, ...]
    values: NDArray[np.float32]
    grid: Grid
    node_of: Mapping[Member, str]

    def around(self, member: Member) -> list[Member]:
        """Return the member and all that live on its node, in order; alone if its node is not known."""
        node = self.node_of.get(member)
        return sorted({member, *(other for other in self.members if node and self.node_of.get(other) == node)})

    def incident(self, members: Sequence[Member], first_step: int, last_step: int) -> Incident:
        """Return the incident from `first_step` to `last_step` as these members saw it: nothing after it is known."""
        place = {member: row for row, member in enumerate(self.members)}
        inside = np.zeros(last_step + 1, np.bool_)
        inside[first_step:] = True
        return Incident(
            tuple(member.name for member in members),
            self.metrics,
            self.values[[place[member] for member in members], :, : last_step + 1].astype(np.float64),
            np.arange(last_step + 1),
            self.grid.step_ms,
            self.grid.start_ms,
            inside,
        )


def fleet(sources: Sequence[Source], grid: Grid, node_of: Mapping[Member, str]) -> Fleet:
    """Return the members of all sources; a metric that a kind does not have is missing."""
    members = [Member(source.kind, source.tenant, entity) for source in sources for entity in source.entities]
    metrics = sorted({metric for source in sources for metric in source.matrices})
    values = np.full((len(members), len(metrics), grid.count), np.nan, np.float32)
    first = 0
    for source in sources:
        for metric, matrix in source.matrices.items():
            values[first : first + len(source.entities), metrics.index(metric)] = matrix
        first += len(source.entities)
    return Fleet(tuple(members), tuple(metrics), values, grid, node_of)


def edges(members: Sequence[Member], node: str | None) -> list[tuple[str, str]]:
    """Return who depends on whom: VMs and tiers on their node, and the node on what runs there.

    A node is loaded by its VMs and waits for its tiers, so that from a VM its neighbours are two steps away.
    """
    if node is None:
        return []
    centre = Member("node", PLATFORM, node).name
    others = [member.name for member in members if member.kind != "node"]
    return [edge for name in others for edge in ((name, centre), (centre, name))]
