"""What is thin is flagged or refused, silence after samples is missing samples, and less never replaces more."""

from datetime import date, timedelta

import dagster as dg
import pytest

from analytics_assets.assets import compute_partition
from analytics_assets.catalogue import components
from analytics_assets.completeness import expected_in_vain, not_less_than_stored
from analytics_assets.components import Instance
from analytics_assets.pipelines.graph import instances, pipelines
from resources.analytics_home import AnalyticsHome
from resources.errors import PermanentFailure
from resources.lake.lake import Facts, Lake
from resources.partition import Partition
from tests.analytics_assets.test_assets import assets_of, instance_with, materialize
from tests.conftest import make_home

DAY = date(2026, 2, 10)
TODAY = Partition("acme", DAY)


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def collector() -> Instance:
    component = components()["vm_resources"]
    return Instance("vm-resources", component, component.parameters())


def store(lake: Lake, collector: Instance, day: date, facts: Facts) -> None:
    lake.write(collector.table, Partition("acme", day), collector.table.empty(), facts)


@pytest.mark.parametrize(("silent_days", "expected"), [(0, 100), (3, 100), (6, 100), (7, None), (30, None)])
def test_a_day_without_samples_after_days_with_some_lacks_them(lake, collector, silent_days, expected):
    """Stops a day on which nothing was measured at all from passing as a complete one."""
    last = DAY - timedelta(days=1 + silent_days)
    store(lake, collector, last, Facts(samples_seen=90, samples_expected=100, recipe="x"))
    for back in range(1, 1 + silent_days):
        store(lake, collector, DAY - timedelta(days=back), Facts(samples_seen=0, samples_expected=100, recipe="x"))
    found = expected_in_vain(collector, TODAY, lake, Facts(recipe="x"))
    assert found.samples_expected == expected
    assert found.coverage == (None if expected is None else 0.0)


def test_nothing_is_expected_of_a_tenant_that_never_sent_any(lake, collector):
    """Stops the platform, which has no VMs, from being called incomplete every day."""
    store(lake, collector, DAY - timedelta(days=1), Facts(recipe="x"))
    assert expected_in_vain(collector, TODAY, lake, Facts(recipe="x")) == Facts(recipe="x")
    measured = Facts(samples_seen=5, samples_expected=10, recipe="x")
    assert expected_in_vain(collector, TODAY, lake, measured) == measured


def test_a_day_does_not_melt_away_by_a_little_less_each_time(lake, collector):
    """Stops seventy refreshes that each lose one percent from halving a stored day."""
    store(lake, collector, DAY, Facts(samples_seen=10_000, recipe="x"))
    for seen in (9_950, 9_901):
        facts = not_less_than_stored(collector, TODAY, lake, Facts(samples_seen=seen, recipe="x"))
        assert facts.samples_most == 10_000
        store(lake, collector, DAY, facts)
    with pytest.raises(PermanentFailure, match="has 9899 samples where there were 10000"):
        not_less_than_stored(collector, TODAY, lake, Facts(samples_seen=9_899, recipe="x"))


def test_more_samples_are_the_new_most(lake, collector):
    """Stops today, which grows, from being held against an old count."""
    store(lake, collector, DAY, Facts(samples_seen=10, samples_most=12, recipe="x"))
    assert not_less_than_stored(collector, TODAY, lake, Facts(samples_seen=20, recipe="x")).samples_most is None
    assert not_less_than_stored(collector, TODAY, lake, Facts(samples_seen=3, recipe="y")).samples_most is None


def test_block_stops_one_tenant_in_whatever_run_it_is(tmp_path):
    """Stops `low_coverage = block` from letting separate runs pass, and from stopping tenants that are complete."""
    settings = make_home(tmp_path / "home", low_coverage='"block"')
    analytics = AnalyticsHome(home=str(settings.home))
    lake = analytics.lake()
    by_name = {one.table.name: one for one in instances(pipelines(settings))}
    for tenant in ("acme", "globex"):
        for name in ("vm_resources", "vm_inventory"):
            compute_partition(by_name[name], Partition(tenant, DAY), settings, lake, analytics)
    table = by_name["vm_resources"].table
    rows = lake.read_day(table, TODAY)
    lake.write(table, TODAY, rows, Facts(samples_seen=1, samples_expected=10))
    before = lake.stored("vm_inventory", TODAY).sha256
    with pytest.raises(PermanentFailure, match=r"vm_resources of that day has less than minimum_coverage = 70%"):
        compute_partition(by_name["vm_inventory"], TODAY, settings, lake, analytics)
    assert lake.stored("vm_inventory", TODAY).sha256 == before
    instance = instance_with(settings, "acme", "globex")
    tags = {"dagster/asset_partition_range_start": TODAY.key, "dagster/asset_partition_range_end": f"{DAY}|globex"}
    assert not materialize(settings, instance, assets_of(settings, "vm_inventory"), tags=tags).success
    assert instance.get_materialized_partitions(dg.AssetKey("vm_inventory")) == {f"{DAY}|globex"}
