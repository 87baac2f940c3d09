"""Pipeline files: named sets of component instances, with tenants and a schedule, as YAML.

    pipeline: system-performance
    title: System performance analysis
    description: What it answers.
    tenants: all                # or a list of tenant ids
    schedule: {daily_at: "01:30"}   # UTC; leave it out for none
    processors:
      - id: system-load
        component: system_load
    analyzers:
      - id: cpu-trend
        component: metric_trends
        inputs: {samples: system-load}
        parameters: {metrics: [cpu_percent]}

An input that is not given is the one instance of the pipeline whose component is accepted. An
instance that several files name is one asset, and must be the same in each.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from analytics_assets.components import STAGES, Component, Input, Instance, Parameters, Stage, table_name
from analytics_assets.parameter_files import RowError, RowsOrFile
from analytics_assets.pipelines.listed_rows import Written, written_rows
from analytics_assets.pipelines.yaml_lines import Place, read_yaml
from resources.errors import InvalidInput
from resources.partition import check_tenant

PIPELINE_KEYS = ("pipeline", "title", "description", "tenants", "schedule", *STAGES)
INSTANCE_KEYS = ("id", "component", "title", "description", "inputs", "parameters")


@dataclass(frozen=True)
class Pipeline:
    """A pipeline as its file gives it. `tenants` is None for all; `daily_at` is (hour, minute) UTC."""

    name: str
    title: str
    description: str
    path: Path
    tenants: tuple[str, ...] | None
    daily_at: tuple[int, int] | None
    instances: tuple[Instance, ...]

    @property
    def job_name(self) -> str:
        """The name of its Dagster job; unlike that of any asset, of which a pipeline may have one of its own name."""
        return f"{self.name.replace('-', '_')}_job"

    @property
    def cron(self) -> str | None:
        return f"{self.daily_at[1]} {self.daily_at[0]} * * *" if self.daily_at else None


@dataclass(frozen=True)
class _Draft:
    """An instance as written, before its inputs are found."""

    id: str
    component: Component
    parameters: Parameters
    title: str
    description: str
    inputs: Mapping[str, tuple[Place, ...]]
    place: Place


def load_pipelines(folders: Iterable[Path], components: Mapping[str, Component]) -> list[Pipeline]:
    """Return the pipelines of every `*.yaml` in `folders`, in order of file name.

    A file whose document is a list holds rows that a pipeline may name (`parameter_files.py`), and is no pipeline.

    Raises:
        PipelineFileError: naming file and line of what is wrong: an unknown component, parameter,
            input or key, a value out of range, a cycle, a name used twice.
    """
    pipelines: dict[str, Pipeline] = {}
    seen: dict[str, tuple[Instance, Place]] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else ():
            document = read_yaml(path)
            if document.is_list():
                continue
            pipeline = _pipeline(document, components, seen)
            if pipeline.name in pipelines:
                other = pipelines[pipeline.name].path
                raise document.error(f"pipeline {pipeline.name} is defined already, in {other}")
            pipelines[pipeline.name] = pipeline
    return list(pipelines.values())


def _pipeline(
    document: Place, components: Mapping[str, Component], seen: dict[str, tuple[Instance, Place]]
) -> Pipeline:
    keys = document.mapping(*PIPELINE_KEYS)
    for required in ("pipeline", "description"):
        if required not in keys:
            raise document.error(f"{required!r} is missing")
    name = keys["pipeline"].text()
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", name):
        raise keys["pipeline"].error(f"{name!r} is not a pipeline name. Use a-z, 0-9 and '-'.")
    drafts: dict[str, _Draft] = {}
    for stage in STAGES:
        for place in keys[stage].items() if stage in keys else ():
            draft = _draft(place, stage, components)
            if draft.id in drafts:
                raise place.error(f"instance {draft.id} is named twice in this pipeline")
            drafts[draft.id] = draft
    if not drafts:
        raise document.error("names no instance of any component")
    instances = _connected(drafts)
    for instance in instances:
        _agree(instance, drafts[instance.id].place, seen)
    return Pipeline(
        name=name,
        title=keys["title"].text() if "title" in keys else name.replace("-", " ").capitalize(),
        description=" ".join(keys["description"].text().split()),
        path=document.path,
        tenants=_tenants(keys.get("tenants")),
        daily_at=_daily_at(keys.get("schedule")),
        instances=instances,
    )


def _draft(place: Place, stage: Stage, components: Mapping[str, Component]) -> _Draft:
    keys = place.mapping(*INSTANCE_KEYS)
    if "component" not in keys:
        raise place.error("'component' is missing")
    wanted = keys["component"].text()
    component = components.get(wanted)
    if component is None:
        raise keys["component"].error(f"there is no component {wanted!r}. There are: {', '.join(sorted(components))}.")
    if component.stage != stage:
        raise keys["component"].error(f"component {wanted} belongs under {component.stage}, not under {stage}")
    identity = keys["id"].text() if "id" in keys else wanted
    try:
        identity = table_name(identity)
    except InvalidInput as error:
        raise keys["id"].error(str(error)) from error
    return _Draft(
        id=identity,
        component=component,
        parameters=_parameters(keys.get("parameters"), component),
        title=keys["title"].text() if "title" in keys else component.title,
        description=keys["description"].text() if "description" in keys else component.description,
        inputs=_written_inputs(keys.get("inputs"), component),
        place=keys.get("id", place),
    )


def _parameters(place: Place | None, component: Component) -> Parameters:
    if place is None:
        return component.parameters()
    written = {name: _written(value, name, component) for name, value in place.mapping().items()}
    try:
        return component.parameters.model_validate({name: value.value() for name, value in written.items()})
    except ValidationError as error:
        problem = error.errors()[0]
        cause = problem.get("ctx", {}).get("error")
        # What is wrong with one row because of the others is found when the whole list, or every parameter, is checked.
        loc = (cause.parameter, cause.row) if isinstance(cause, RowError) else problem["loc"]
        if not loc:
            raise place.error(f"parameters of component {component.name}: {problem['msg']}") from None
        name, *rest = loc
        at: Written = written.get(str(name), place)
        if problem["type"] == "extra_forbidden" and not rest:
            known = ", ".join(component.parameters.model_fields) or "none"
            raise at.error_at((), f"component {component.name} has no parameter {name!r}. It has: {known}.") from None
        single = name in written and isinstance(problem["input"], str | int | float | date)
        given = f" = {problem['input']!r}" if single and cause is None else ""
        which = ".".join(str(part) for part in loc)
        raise at.error_at(rest, f"parameter {which}{given} of component {component.name}: {problem['msg']}") from None


def _written(value: Place, name: str, component: Component) -> Written:
    field = component.parameters.model_fields.get(name)
    listed = field is not None and any(isinstance(mark, RowsOrFile) for mark in field.metadata)
    return written_rows(value) if listed else value


def _written_inputs(place: Place | None, component: Component) -> dict[str, tuple[Place, ...]]:
    if place is None:
        return {}
    roles = [entry.role for entry in component.inputs]
    if not roles:
        raise place.error(f"component {component.name} reads no other instance")
    return {
        role: tuple(value.items()) if value.is_list() else (value,) for role, value in place.mapping(*roles).items()
    }


def _connected(drafts: Mapping[str, _Draft]) -> tuple[Instance, ...]:
    """Return the instances with their inputs, each after what it reads."""
    done: dict[str, Instance] = {}

    def connect(draft: _Draft, path: tuple[str, ...]) -> Instance:
        if draft.id in path:
            circle = " -> ".join((*path[path.index(draft.id) :], draft.id))
            raise draft.place.error(f"instances read each other in a circle: {circle}")
        if draft.id not in done:
            inputs = {
                entry.role: tuple(connect(drafts[name], (*path, draft.id)) for name in _chosen(draft, entry, drafts))
                for entry in draft.component.inputs
            }
            chosen = {role: instances for role, instances in inputs.items() if instances}
            done[draft.id] = Instance(
                draft.id, draft.component, draft.parameters, chosen, draft.title, draft.description
            )
        return done[draft.id]

    for draft in drafts.values():
        connect(draft, ())
    return tuple(done.values())


def _chosen(draft: _Draft, entry: Input, drafts: Mapping[str, _Draft]) -> list[str]:
    """Return the ids that `draft` reads under `entry`: as written, else the pipeline's fitting instances."""
    accepted = ", ".join(entry.accepts)
    if entry.role in draft.inputs:
        names = []
        for place in draft.inputs[entry.role]:
            name = place.text().replace("-", "_")
            if name not in drafts:
                raise place.error(f"this pipeline has no instance {place.text()!r}. It has: {', '.join(drafts)}.")
            if drafts[name].component.name not in entry.accepts:
                raise place.error(
                    f"input {entry.role} of {draft.component.name} reads {accepted}; "
                    f"{name} is {drafts[name].component.name}"
                )
            names.append(name)
        if len(names) > 1 and not entry.many:
            raise draft.inputs[entry.role][1].error(f"input {entry.role} of {draft.component.name} reads one instance")
        return names
    for component_name in entry.accepts:
        fitting = [name for name, other in drafts.items() if other.component.name == component_name]
        if entry.many:
            continue
        if len(fitting) > 1:
            raise draft.place.error(
                f"input {entry.role} of {draft.id} could be {' or '.join(fitting)}: name one under 'inputs'"
            )
        if fitting:
            return fitting
    every = [name for name, other in drafts.items() if other.component.name in entry.accepts] if entry.many else []
    if not every and not entry.optional:
        raise draft.place.error(f"{draft.id} needs {entry.description} ({accepted}): add one to this pipeline")
    return every


def _agree(instance: Instance, place: Place, seen: dict[str, tuple[Instance, Place]]) -> None:
    if instance.id not in seen:
        seen[instance.id] = (instance, place)
        return
    other, where = seen[instance.id]
    if (instance.component.name, instance.parameters) != (other.component.name, other.parameters) or {
        role: [source.id for source in sources] for role, sources in instance.inputs.items()
    } != {role: [source.id for source in sources] for role, sources in other.inputs.items()}:
        raise place.error(
            f"instance {instance.id} is another one in {where.path}:{where.line}. Give one of them another id, "
            "or make component, parameters and inputs the same."
        )


def _tenants(place: Place | None) -> tuple[str, ...] | None:
    if place is None or (not place.is_list() and place.text() == "all"):
        return None
    tenants = []
    for item in place.items():
        try:
            tenants.append(check_tenant(item.text()))
        except InvalidInput as error:
            raise item.error(str(error)) from error
    return tuple(tenants)


def _daily_at(place: Place | None) -> tuple[int, int] | None:
    if place is None:
        return None
    keys = place.mapping("daily_at")
    at = keys.get("daily_at", place)
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", at.text())
    if not match:
        raise at.error(f"{at.text()!r} is not a time of day. Write it as HH:MM in UTC, in quotes.")
    return int(match.group(1)), int(match.group(2))
