"""`source check` against real servers: what an operator reads before anything is computed."""

import json

import pytest

from tests.portal.command import run
from tests.servers.loaded import LoadedPrometheus, LoadedVictoriaMetrics

pytestmark = pytest.mark.integration


def check(folder, kind, url, *arguments, first_day="2011-01-01"):
    folder.mkdir(exist_ok=True)
    (folder / "analytics.toml").write_text(f'source = "{kind}"\n{kind}_url = "{url}"\nfirst_day = {first_day}\n')
    return run("source", "check", "--home", folder, *arguments)


def test_what_the_server_has_is_told(prometheus_with_traces: LoadedPrometheus, tmp_path):
    """Stops an operator from learning at midnight that a metric, a tenant or half of the samples are missing."""
    done = check(tmp_path, "prometheus", prometheus_with_traces.url, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["version"].startswith("2.")
    assert found["read_method"] == "remote-read chunks"
    assert abs(found["clock_skew_seconds"]) < 5
    assert "novacron_vm_cpu_usage_percent" in found["metrics_found"]
    assert "novacron_storage_latency_seconds" in found["metrics_missing"]
    tenants = {tenant["tenant"]: tenant for tenant in found["tenants"]}
    assert set(tenants) == {"delft", "leiden", "planetlab"}
    planetlab = tenants["planetlab"]
    assert (planetlab["first_day"], planetlab["last_day"]) == ("2011-03-03", "2011-03-03")
    assert (planetlab["series"], planetlab["interval_seconds"], planetlab["sized"]) == (100, 300, 0)
    leiden = tenants["leiden"]
    assert (leiden["first_day"], leiden["last_day"]) == ("2013-08-01", "2013-08-30")
    assert leiden["sized"] == 6
    assert leiden["coverage"] > 0.95
    assert not list(tmp_path.glob("lake*"))


def test_both_servers_tell_the_same(
    prometheus_with_traces, victoriametrics_with_traces: LoadedVictoriaMetrics, tmp_path
):
    """Stops VictoriaMetrics' coarser index from giving a tenant days that it does not have."""
    one = json.loads(check(tmp_path / "p", "prometheus", prometheus_with_traces.url, "--json").out)
    other = json.loads(check(tmp_path / "v", "victoriametrics", victoriametrics_with_traces.url, "--json").out)
    assert other["read_method"] == "export"
    assert one["tenants"] == other["tenants"]
    assert one["metrics_found"] == other["metrics_found"]


def test_a_grid_that_begins_too_late_is_a_problem(prometheus_with_traces, tmp_path):
    """Stops an empty analysis from being all that tells of a wrong first_day."""
    done = check(tmp_path, "prometheus", prometheus_with_traces.url, "--tenant", "leiden", first_day="2026-01-01")
    assert done.code == 3
    assert "leiden has no samples from the grid's first day on" in done.err


def test_people_get_a_table_and_may_name_a_tenant(prometheus_with_traces, tmp_path):
    done = check(tmp_path, "prometheus", prometheus_with_traces.url, "--tenant", "delft")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("prometheus 2.")
    assert any(line.startswith("delft ") and "2013-08-01" in line for line in lines)
    assert "2 more tenant(s) not looked at" in done.out


def test_other_sources_are_no_servers(tmp_path):
    """Stops a home that reads files from being told that its server is down."""
    done = run("source", "check", "--home", tmp_path)
    assert done.code == 1
    assert "source = files is no server. Set ANALYTICS_SOURCE=prometheus" in done.err


@pytest.mark.parametrize("wrong", ["../x", "Bad", ""])
def test_a_wrong_tenant_is_refused_before_anything_is_asked(tmp_path, wrong):
    done = check(tmp_path, "prometheus", "http://127.0.0.1:9", "--tenant", wrong)
    assert done.code == 1
    assert "is not a tenant id" in done.err
