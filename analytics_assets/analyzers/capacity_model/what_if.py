"""The rows of one resource of some entities, as it is and under each scenario."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analytics_assets.analyzers.capacity_model.fitting import add_fitting
from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.capacity_model.rows import Demand, ResourceRows, Supply, resource_rows
from analytics_assets.analyzers.capacity_model.scenarios import effects, stacks, touched
from resources.partition import Partition


@dataclass(frozen=True)
class Subject:
    """A resource of some entities of one kind: what they demand and what there is; the average VM's demand and size.

    The latter two are NaN where no VM is known. `shares` are those of the parts of what is all together.
    """

    kind: str
    entities: Sequence[str]
    resource: str
    unit: str
    demand: Demand
    supply: Supply
    vm_demand: float
    vm_size: float
    shares: Mapping[str, float]


@dataclass(frozen=True)
class ScenarioRows:
    """The rows of some entities under a scenario; its name is empty for as it is."""

    scenario: str
    entities: tuple[str, ...]
    rows: ResourceRows


def rows_by_scenario(
    subject: Subject, partition: Partition, parameters: CapacityParameters, minimum_coverage: float
) -> Iterator[ScenarioRows]:
    """Yield the rows as it is, with what is committed, and those of the entities that each scenario changes."""
    for name, stack in stacks(parameters.scenarios, partition.tenant).items():
        every = list(range(len(subject.entities)))
        chosen = touched(stack, subject.kind, subject.entities) if name else every
        if not chosen and name:
            continue
        entities = tuple(subject.entities[number] for number in chosen)
        changes = None
        if stack:
            changes = effects(
                stack,
                subject.kind,
                entities,
                subject.resource,
                partition.day,
                parameters.horizon_days,
                planned=not name,
                shares=subject.shares,
            )
        rows = resource_rows(
            subject.resource,
            subject.unit,
            subject.demand.of(chosen),
            subject.supply.of(chosen),
            parameters,
            minimum_coverage,
            node=subject.kind in ("node", "cluster"),
            changes=changes,
        )
        add_fitting(rows.columns, subject.resource, subject.vm_demand, subject.vm_size, parameters)
        yield ScenarioRows(name, entities, rows)
