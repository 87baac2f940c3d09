"""Dagster's real server and daemon on a real Prometheus: tenants are found, and a backfill fills all processors."""

from datetime import date, timedelta

import pytest

from analytics_assets.pipelines.graph import instances, pipelines
from resources.lake.lake import Lake
from resources.partition import Partition
from tests.integration.dagster_server import DagsterServer, running_server
from tests.integration.test_dev_server import CHROMIUM, dump_dom
from tests.integration.test_monitoring_totals import home_for
from tests.servers.loaded import LoadedPrometheus

pytestmark = pytest.mark.integration
DAYS = 10
TENANTS = """
query ($name: String!) { assetNodeOrError(assetKey: {path: [$name]}) { ... on AssetNode {
  partitionKeysByDimension { name partitionKeys } } } }
"""
MATERIALIZED = """
query ($name: String!) { assetOrError(assetKey: {path: [$name]}) { ... on Asset {
  assetMaterializations(limit: 100) { partition metadataEntries { label
    ... on TextMetadataEntry { text } ... on IntMetadataEntry { intValue }
    ... on FloatMetadataEntry { floatValue } } } } } }
"""


@pytest.fixture(scope="module")
def server(prometheus_with_traces: LoadedPrometheus, tmp_path_factory: pytest.TempPathFactory):
    first_day = prometheus_with_traces.traces.planetlab_day
    settings = home_for(tmp_path_factory.mktemp("live") / "home", "prometheus", prometheus_with_traces.url, first_day)
    with running_server(settings.home) as running:
        yield running, settings


def tenants_in_ui(running: DagsterServer) -> list[str]:
    dimensions = running.ask(TENANTS, name="vm_resources")["assetNodeOrError"]["partitionKeysByDimension"]
    return next(one["partitionKeys"] for one in dimensions if one["name"] == "tenant")


def test_a_backfill_of_ten_days_fills_every_processor(server, prometheus_with_traces):
    """Stops tenants that nobody registered, partitions that the daemon cannot read, and metadata that says nothing."""
    running, settings = server
    assert running.wait_for("discovery", 120, lambda: tenants_in_ui(running)) == ["delft", "leiden", "planetlab"]
    first: date = prometheus_with_traces.traces.bitbrains_first
    days = [first + timedelta(days=number) for number in range(DAYS)]
    processors = [one for one in instances(pipelines(settings)) if one.component.stage == "processors"]
    names = [one.table.name for one in processors]
    assert running.backfill(names, [Partition("leiden", day).key for day in days]).startswith("COMPLETED_SUCCESS")
    lake = Lake(settings.lake_root)
    for name in names:
        assert lake.days(name, "leiden") == days, name
    asset = running.ask(MATERIALIZED, name="vm_resources")["assetOrError"]
    events = {event["partition"]: event["metadataEntries"] for event in asset["assetMaterializations"]}
    assert set(events) == {Partition("leiden", day).key for day in days}
    for entries in events.values():
        said = {entry["label"]: entry for entry in entries}
        assert said["read_methods"]["text"] == "remote-read chunks"
        assert said["series"]["intValue"] >= 36
        assert said["samples_seen"]["intValue"] > 9_000
        assert 0.85 < said["coverage"]["floatValue"] <= 1


def test_a_browser_shows_the_discovered_tenants(server, tmp_path):
    """Stops discovery from being true for the API and invisible on the page."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    running, _ = server
    running.wait_for("discovery", 120, lambda: tenants_in_ui(running))
    page = dump_dom(f"{running.url}/assets/vm_resources?view=partitions", tmp_path, "leiden", "planetlab")
    assert "leiden" in page
    assert "planetlab" in page
