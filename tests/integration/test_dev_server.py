"""Dagster's real web server and daemon on a home: the graph is there, and a backfill fills it."""

import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from analytics_assets.assets import compute_partition
from analytics_assets.pipelines.graph import find_pipeline
from resources.analytics_home import AnalyticsHome
from resources.lake.lake import Lake
from resources.partition import Partition
from tests.conftest import make_home
from tests.integration.dagster_server import DagsterServer, running_server

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ASSETS = """
{ assetNodes { assetKey { path } groupName description kinds owners { ... on TeamAssetOwner { team } }
  hasMaterializePermission metadataEntries { label __typename } } }
"""
MATERIALIZED = """
query ($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
  assetMaterializations(limit: 10) { partition metadataEntries { label __typename
    ... on MarkdownMetadataEntry { mdStr } } } } } }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = make_home(tmp_path_factory.mktemp("dev") / "home")
    with running_server(settings.home) as running:
        yield running, settings


@pytest.mark.integration
def test_the_ui_has_the_whole_graph(server: tuple[DagsterServer, object]):
    """Stops a graph without groups, owners or descriptions, or one that the web server cannot load."""
    nodes = server[0].ask(ASSETS)["assetNodes"]
    assert len(nodes) == 31
    assert {node["groupName"] for node in nodes} == {"processors", "analyzers", "visualizers", "reporters"}
    assert all(node["description"] and node["owners"] for node in nodes)
    assert all("parquet" in node["kinds"] for node in nodes)
    assert all(
        {"TableSchemaMetadataEntry"} <= {entry["__typename"] for entry in node["metadataEntries"]} for node in nodes
    )


@pytest.mark.integration
def test_a_backfill_from_the_ui_fills_partitions_of_two_tenants(server):
    """Stops a backfill that mixes up tenants and days, or runs that the daemon cannot start."""
    running, settings = server
    keys = [f"2026-02-{day}|{tenant}" for tenant in ("acme", "globex") for day in (10, 11)]
    names = ["vm_resources", "vm_inventory", "vm_resources_hourly", "system_load", "capacity", "heatmap_charts"]
    assert running.backfill(names, keys).startswith("COMPLETED_SUCCESS")
    lake = Lake(settings.lake_root)
    for name in names:
        for tenant in ("acme", "globex"):
            assert [day.day for day in lake.days(name, tenant)] == [10, 11]
    asset = running.ask(MATERIALIZED, key={"path": ["heatmap_charts"]})["assetOrError"]
    assert {event["partition"] for event in asset["assetMaterializations"]} == set(keys)
    charts = [
        entry
        for event in asset["assetMaterializations"]
        for entry in event["metadataEntries"]
        if entry["label"] == "chart"
    ]
    assert len(charts) == 4
    assert all(entry["mdStr"].startswith("![chart](data:image/svg+xml;base64,") for entry in charts)


@pytest.mark.integration
def test_a_browser_shows_the_graph(server, tmp_path):
    """Stops definitions that the API answers for but the page cannot draw."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    groups = ("processors", "analyzers", "visualizers", "reporters")
    page = dump_dom(f"{server[0].url}/asset-groups/", tmp_path, *groups)
    for group in groups:
        assert group in page


@pytest.mark.integration
def test_a_browser_opens_the_html_report(computed_report, tmp_path):
    """Stops a report whose own content policy or markup keeps a browser from showing it."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    page = dump_dom(computed_report.as_uri(), tmp_path)
    assert "<h1>" in page
    assert "What is not known" in page
    assert "<svg" in page
    assert "<script" not in page


@pytest.fixture(scope="module")
def computed_report(server) -> Path:
    """The HTML capacity report of acme on 2026-02-12, computed without Dagster."""
    settings = server[1]
    home, lake = AnalyticsHome(home=str(settings.home)), Lake(settings.lake_root)
    for instance in find_pipeline(settings, "vm-capacity-analysis").instances:
        compute_partition(instance, Partition("acme", date(2026, 2, 12)), settings, lake, home)
    return lake.path("capacity_report", Partition("acme", date(2026, 2, 12)), "html")


def dump_dom(url: str, folder: Path, *shows: str) -> str:
    """Return the page as a headless Chromium has it after ten seconds of its own time.

    A busy machine may not have drawn it by then: it is opened again until it `shows` these words, up to five times.
    """
    page = ""
    for attempt in range(5):
        page = subprocess.run(
            [
                str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
                "--disable-background-networking", "--disable-component-update",
                f"--user-data-dir={folder / f'profile-{attempt}'}", "--virtual-time-budget=10000", "--dump-dom", url,
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout  # fmt: skip
        if all(word in page for word in shows):
            break
    return page
