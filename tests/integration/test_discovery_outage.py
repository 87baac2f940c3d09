"""Tenant discovery by Dagster's own daemon, while the monitoring server hangs."""

import json
from datetime import date

import pytest

from analytics_assets.partitions import open_instance, register_tenants
from tests.integration.dagster_server import running_server
from tests.integration.homes import home
from tests.resources.monitoring.server.scripted import Hang, scripted

TICKS = """
{ repositoriesOrError { ... on RepositoryConnection { nodes { sensors { name sensorState { ticks(limit: 5) {
  status timestamp endTimestamp error { message errorChain { error { message } } } } } } } } } }
"""
TENANTS = """
{ repositoriesOrError { ... on RepositoryConnection { nodes { assetNodes { partitionKeysByDimension {
  name partitionKeys } } } } } }
"""


@pytest.mark.integration
def test_a_server_that_hangs_is_named_by_a_tick_that_fails_soon(tmp_path):
    """Stops an outage of the server from looking like one of Dagster's ("Unable to reach the user code server"), and
    ticks from being abandoned while they wait, each with a code server of its own."""
    with scripted([Hang()]) as monitoring:
        settings = home(tmp_path / "home", "prometheus", monitoring.url, date(2026, 1, 1), source_attempts=5)
        with open_instance(settings):
            pass
        register_tenants(settings, ["acme"])
        with running_server(settings.home) as dagster:

            def ended():
                (repository,) = dagster.ask(TICKS)["repositoriesOrError"]["nodes"]
                (sensor,) = [one for one in repository["sensors"] if one["name"] == "tenant_discovery"]
                return [tick for tick in sensor["sensorState"]["ticks"] if tick["status"] not in ("STARTED", "SKIPPED")]

            tick = dagster.wait_for("the tick's end", 90, ended)[0]
            tenants = json.dumps(dagster.ask(TENANTS))
    assert tick["status"] == "FAILURE"
    assert tick["endTimestamp"] - tick["timestamp"] < 40
    chain = [tick["error"]["message"], *(link["error"]["message"] for link in tick["error"]["errorChain"])]
    said = " ".join(chain)
    assert f"{monitoring.url} gave no answer to " in said
    assert "nothing came for 10 s" in said
    assert "those that are registered stay" in said
    assert "user code server" not in said
    assert '"acme"' in tenants
