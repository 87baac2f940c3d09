"""What-if scenarios: VMs added, removed or moved, demand that grows, capacity that comes, from a day on.

    - name: spring-launch
      tenant: acme              # or platform: its nodes and storage tiers
      committed: false          # true: decided, and so kept in every row
      stacked_on: [more-disks]  # counted with these
      changes:
        - {action: add, count: 10, vcpus: 4, memory_gib: 16, start: 2026-04-01}
        - {action: grow, percent: 20, start: 2026-05-01}

A change without an `entity` is about all together (the tenant; for the platform the cluster of all
nodes); one of a node counts for the cluster as what it changes of that node: a growth with the node's
share of the recent demand. Only the platform's scenarios name entities. Committed scenarios are taken
off what remains as if they had begun; the days left know when each begins.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from analytics_assets.parameter_files import RowError
from resources.errors import InvalidInput
from resources.partition import PLATFORM, check_tenant

GIB = 2**30
TOGETHER = ("tenant", "cluster")
"""Kinds of entities that are all of a partition together."""

Vector = NDArray[np.float64]


def _tenant(text: str) -> str:
    try:
        return check_tenant(text)
    except InvalidInput as error:
        raise ValueError(str(error)) from error


class Change(BaseModel):
    """One change of a scenario: `count` VMs (or units of capacity) of a size, or a growth by `percent`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["add", "remove", "move", "grow", "add_capacity"]
    count: int = Field(1, ge=1, le=1_000_000)
    vcpus: float = Field(0.0, ge=0, le=1e6)
    memory_gib: float = Field(0.0, ge=0, le=1e9)
    disk_gib: float = Field(0.0, ge=0, le=1e12)
    use_percent: float = Field(100.0, ge=0, le=1000, description="What such a VM demands of its size, in percent.")
    percent: float | None = Field(None, gt=-100, le=10_000, description="Growth of the demand, in percent.")
    start: date | None = Field(None, description="The first day with the change; none: at once.")
    entity: str = Field(
        "", max_length=500, description="A node or storage tier, of the platform's scenarios; empty: all together."
    )
    to: str = Field("", max_length=500, description="Where moved VMs go.")

    @model_validator(mode="after")
    def _complete(self) -> "Change":
        sized = self.vcpus or self.memory_gib or self.disk_gib
        if self.action == "grow" and (self.percent is None or sized):
            raise ValueError("grow needs percent, and no size")
        if self.action != "grow" and (self.percent is not None or not sized):
            raise ValueError(f"{self.action} needs vcpus, memory_gib or disk_gib, and no percent")
        if (self.action == "move") != bool(self.to) or (self.action == "move" and not self.entity):
            raise ValueError("move needs entity and to; no other change has a to")
        return self

    def amount(self, resource: str) -> float:
        """Return how much of `resource` all of it is, in cores or bytes."""
        each = {"cpu": self.vcpus, "memory": self.memory_gib * GIB, "disk": self.disk_gib * GIB}[resource]
        return self.count * each

    def sign(self, kind: str, entity: str, parts: Collection[str] = ()) -> int:
        """Return 1 where VMs come to the entity, -1 where they go from it, 0 where it is not touched.

        What is all together consists of `parts`.
        """
        if self.action == "move":
            return 0 if kind in TOGETHER else (self.to == entity) - (self.entity == entity)
        touched = not self.entity or self.entity in parts if kind in TOGETHER else self.entity == entity
        return (-1 if self.action == "remove" else 1) if touched else 0


class Scenario(BaseModel):
    """A named set of changes for one tenant, or for the platform."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    tenant: Annotated[str, AfterValidator(_tenant)]
    committed: bool = False
    stacked_on: tuple[str, ...] = Field((), description="Scenarios whose changes it has, too.")
    changes: tuple[Change, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_entities_of_the_platform(self) -> "Scenario":
        if self.tenant != PLATFORM and self.entities:
            raise ValueError(
                f"scenario {self.name} names {', '.join(sorted(self.entities))}, but a tenant's scenario is about all "
                f"its VMs together: leave out entity and move, or make it one of tenant {PLATFORM}"
            )
        return self

    @property
    def entities(self) -> set[str]:
        """The nodes and storage tiers that its changes name."""
        return {name for change in self.changes for name in (change.entity, change.to) if name}


def check_scenarios(scenarios: tuple[Scenario, ...]) -> tuple[Scenario, ...]:
    """Return `scenarios`; `RowError` where a name is there twice, or a stack leads nowhere or in a circle."""
    by_name: dict[str, Scenario] = {}
    for row, scenario in enumerate(scenarios):
        if scenario.name in by_name:
            raise RowError("scenarios", row, f"scenario {scenario.name} is there twice")
        by_name[scenario.name] = scenario
    for row, scenario in enumerate(scenarios):
        for under in scenario.stacked_on:
            if under not in by_name or by_name[under].tenant != scenario.tenant:
                problem = f"scenario {scenario.name} is stacked on {under}, which its tenant does not have"
                raise RowError("scenarios", row, problem)
    done: dict[str, Scenario] = {}
    for row, scenario in enumerate(scenarios):
        try:
            _stack(scenario, by_name, done)
        except ValueError as error:
            raise RowError("scenarios", row, str(error)) from error
    return scenarios


def _stack(
    scenario: Scenario, by_name: Mapping[str, Scenario], done: dict[str, Scenario], path: tuple[str, ...] = ()
) -> None:
    """Add to `done` those that `scenario` is stacked on, each after its own, and then itself; each once."""
    if scenario.name in path:
        raise ValueError(f"scenarios are stacked in a circle: {' -> '.join((*path, scenario.name))}")
    if scenario.name in done:
        return
    for name in scenario.stacked_on:
        _stack(by_name[name], by_name, done, (*path, scenario.name))
    done[scenario.name] = scenario


def stacks(scenarios: Sequence[Scenario], tenant: str) -> dict[str, list[Scenario]]:
    """Return what is in force under each name: "" (as it is) has the committed ones, a scenario those and its stack."""
    own = {scenario.name: scenario for scenario in scenarios if scenario.tenant == tenant}
    committed = [scenario for scenario in own.values() if scenario.committed]
    found = {"": committed}
    for name, scenario in own.items():
        stack: dict[str, Scenario] = {}
        _stack(scenario, own, stack)
        found[name] = list({**{one.name: one for one in committed}, **stack}.values())
    return found


@dataclass(frozen=True)
class Effects:
    """What some scenarios change of entities [entity, day ahead], in the resource's unit.

    The demand is multiplied by `growth` and then gets `demand`; `supply` comes on top of what there is. Their last
    column is after the last day, when all has begun; `allocated` [entity] comes on top of what is allocated then.
    Of what is `planned` the supply does not count as there yet.
    """

    demand: Vector
    growth: Vector
    supply: Vector
    allocated: Vector
    planned: bool

    def on(self, values: Vector) -> Vector:
        """Return the demands `values` [entity, day ahead] with the changes."""
        return np.maximum(values * self.growth[:, :-1] + self.demand[:, :-1], 0.0)

    def on_once_begun(self, values: Vector) -> Vector:
        """Return the demands `values` [entity] as if all changes had begun."""
        return np.maximum(values * self.growth[:, -1] + self.demand[:, -1], 0.0)

    def rows(self, part: slice) -> "Effects":
        """Return the effects on some of the entities."""
        return Effects(self.demand[part], self.growth[part], self.supply[part], self.allocated[part], self.planned)

    @property
    def added(self) -> Vector:
        """Supply per entity that counts as there."""
        return np.zeros(len(self.supply)) if self.planned else self.supply[:, -1]


def effects(
    scenarios: Sequence[Scenario], kind: str, entities: Sequence[str], resource: str, day: date, horizon_days: int,
    *, planned: bool, shares: Mapping[str, float] = MappingProxyType({}),
) -> Effects:  # fmt: skip
    """Return what `scenarios` change of the `resource` of `entities`; day 0 is `day`, which is over.

    A change that begins after the horizon is in no day's demand, but what remains knows of it. `shares` are those
    of the parts of what is all together in its demand.
    """
    shape = (len(entities), horizon_days + 2)
    demand, growth, supply, allocated = np.zeros(shape), np.ones(shape), np.zeros(shape), np.zeros(shape[0])
    of_parts: dict[str, Vector] = {}
    for change in (change for scenario in scenarios for change in scenario.changes):
        first = 0 if change.start is None else min(max((change.start - day).days, 0), horizon_days + 1)
        signs = np.array([change.sign(kind, entity, shares) for entity in entities], dtype=np.float64)
        if change.percent is not None and kind in TOGETHER and change.entity in shares:
            of_parts.setdefault(change.entity, np.ones(shape[1]))[first:] *= 1 + change.percent / 100
        elif change.percent is not None:
            growth[signs != 0, first:] *= 1 + change.percent / 100
        elif change.action == "add_capacity":
            supply[:, first:] += (signs * change.amount(resource))[:, None]
        else:
            demand[:, first:] += (signs * change.amount(resource) * change.use_percent / 100)[:, None]
            allocated += signs * change.amount(resource)
    growth *= 1 + sum((shares[part] * (grown - 1) for part, grown in of_parts.items()), np.zeros(shape[1]))
    return Effects(demand, growth, supply, allocated, planned)


def touched(scenarios: Sequence[Scenario], kind: str, entities: Sequence[str]) -> list[int]:
    """Return the positions of the entities that `scenarios` change; those of all together are always among them."""
    changes = [change for scenario in scenarios for change in scenario.changes]
    return [
        number
        for number, entity in enumerate(entities)
        if kind in TOGETHER or any(change.sign(kind, entity) for change in changes)
    ]
