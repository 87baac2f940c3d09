"""All pipelines of a home together: the one graph of instances, and the tables they store."""

from collections.abc import Sequence
from pathlib import Path

from analytics_assets.catalogue import components
from analytics_assets.components import Instance
from analytics_assets.pipelines.loader import Pipeline, load_pipelines
from resources.errors import InvalidInput
from resources.lake.table import Table
from resources.settings import Settings

BUILT_IN_FOLDER = Path(__file__).parent


def pipelines(settings: Settings) -> list[Pipeline]:
    """Return the built-in pipelines and those in the home's `pipelines` folder."""
    return load_pipelines([BUILT_IN_FOLDER, settings.pipelines_folder], components())


def instances(loaded: Sequence[Pipeline]) -> list[Instance]:
    """Return every instance of `loaded` once, each after what it reads."""
    found: dict[str, Instance] = {}
    for pipeline in loaded:
        for instance in pipeline.instances:
            found.setdefault(instance.id, instance)
    return list(found.values())


def declared_tables(settings: Settings) -> list[Table]:
    """Return the declaration of every table that the home's pipelines store."""
    return [instance.table for instance in instances(pipelines(settings))]


def find_pipeline(settings: Settings, name: str) -> Pipeline:
    """Return the pipeline `name`; `InvalidInput` lists the others if there is none."""
    loaded = {pipeline.name: pipeline for pipeline in pipelines(settings)}
    if name not in loaded:
        raise InvalidInput(f"there is no pipeline {name!r}. There are: {', '.join(loaded)}.")
    return loaded[name]
