"""A source that has nothing and doubts it: every processor gives an empty table with the warning in its facts."""

from datetime import date

import numpy as np
import pytest

from analytics_assets.catalogue import components
from analytics_assets.components import Instance, Workplace
from resources.inventory.source import NoInventory
from resources.lake.lake import Lake
from resources.lake.warehouse import QueryLimits
from resources.monitoring.selector import parse_selector
from resources.monitoring.source import SeriesBatch
from resources.monitoring.watched import WatchedSource
from resources.partition import Partition

COLLECTORS = sorted(name for name, component in components().items() if "metrics" in component.reads)


class Doubtful:
    """Answers every selector with an empty batch and a warning."""

    kind = "test"

    def has_passed(self, tenant, ts_ms):
        return True

    def sample_interval_seconds(self, tenant):
        return None

    def samples(self, tenant, selectors, start_ms, end_ms):
        nothing = np.zeros(0)
        for text in selectors:
            name = parse_selector(text).name or ""
            yield SeriesBatch(
                name, (), np.zeros(1, np.int64), nothing.astype(np.int64), nothing, "query", ("a store is down",)
            )


@pytest.mark.parametrize("tenant", ["acme", "platform"])
@pytest.mark.parametrize("name", COLLECTORS)
def test_the_doubt_arrives_with_the_nothing(tmp_path, name, tenant):
    """Stops an empty batch from breaking a processor, and a day that could not be read from looking quiet."""
    component = components()[name]
    day = Partition(tenant, date(2026, 1, 1))
    watched = WatchedSource(Doubtful())
    known = components()
    lake = Lake(tmp_path)
    inputs = {}
    for wanted in component.inputs:
        instance = Instance(wanted.accepts[0], known[wanted.accepts[0]], known[wanted.accepts[0]].parameters())
        inputs[wanted.role] = (instance,)
        lake.write(instance.table, day, instance.table.empty())
    workplace = Workplace(
        partition=day,
        instance=Instance(name, component, component.parameters(), inputs),
        lake=lake,
        metrics=watched,
        inventory=NoInventory(),
        limits=QueryLimits(1000, 10, 100, 1),
        resolution_seconds=300,
        minimum_coverage=0.7,
    )
    result = component.compute(workplace, component.parameters())
    assert component.table.conform(result.data).num_rows == 0
    if name == "system_load" and tenant == "acme":
        return  # a tenant's load is made of other tables, which carry the doubt
    assert watched.completed(result.facts).warnings == ("a store is down",)
