"""Which component types there are: the built-in ones, and those that installed packages offer."""

import importlib
from functools import cache
from importlib.metadata import entry_points

from analytics_assets.components import Component
from resources.errors import PermanentFailure

ENTRY_POINT_GROUP = "novacron_analytics.components"
"""An installed package adds a component by an entry point of this group that names its `Component`."""

BUILT_IN = (
    "analytics_assets.processors.vm_inventory",
    "analytics_assets.processors.vm_resources",
    "analytics_assets.processors.vm_resources_hourly",
    "analytics_assets.processors.system_load",
    "analytics_assets.processors.network_traffic",
    "analytics_assets.processors.storage_utilization",
    "analytics_assets.processors.metric_samples",
    "analytics_assets.analyzers.metric_trends",
    "analytics_assets.analyzers.anomalies",
    "analytics_assets.analyzers.anomaly_rates",
    "analytics_assets.analyzers.capacity",
    "analytics_assets.analyzers.forecasts",
    "analytics_assets.analyzers.forecast_quality",
    "analytics_assets.analyzers.recommendations",
    "analytics_assets.analyzers.correlations",
    "analytics_assets.analyzers.suspects",
    "analytics_assets.visualizers.time_series_charts",
    "analytics_assets.visualizers.heatmap_charts",
    "analytics_assets.reporters.system_performance_report",
    "analytics_assets.reporters.capacity_planning_report",
)


@cache
def components() -> dict[str, Component]:
    """Return every component type by name, built-in ones first.

    Raises:
        PermanentFailure: an installed entry point is not a component, or takes a name that is taken.
    """
    found: dict[str, Component] = {}
    for module in BUILT_IN:
        component: Component = importlib.import_module(module).COMPONENT
        found[component.name] = component
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        offered = entry.load()
        if not isinstance(offered, Component):
            raise PermanentFailure(
                f"entry point {entry.name} = {entry.value} is {type(offered).__name__}, not a Component. "
                "Correct or remove the package that offers it."
            )
        if offered.name in found:
            raise PermanentFailure(
                f"entry point {entry.name} = {entry.value}: a component named {offered.name} exists already."
            )
        found[offered.name] = offered
    return found
