"""Servers with limits that only parts of a question keep: what is asked in parts is whole, and `source check` tells."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resources.monitoring.metrics import VM_METRICS
from tests.integration.conftest import require
from tests.integration.homes import ALL_WAYS, CPU, DAY, compute, home, reading, rows
from tests.integration.test_monitoring_hostile import SAMPLES, vm
from tests.portal.command import run
from tests.servers.openmetrics import create_blocks
from tests.servers.process import ServerProcess
from tests.servers.prometheus import prometheus
from tests.servers.series import Series
from tests.servers.victoriametrics import load, victoriametrics

pytestmark = pytest.mark.integration

COUNT, MEMORY = "novacron_vm_count", VM_METRICS[1].name
VMS = 20
PIPELINE = f"""\
pipeline: both
description: A metric of VMs and one of none.
tenants: all
processors:
  - id: both
    component: metric_samples
    parameters: {{metrics: [novacron_vm_cpu_usage_percent, {COUNT}]}}
"""


def fleet() -> list[Series]:
    """Return CPU and memory of 20 VMs, and a count that names a node but no VM."""
    vms = [vm(f"vm-{number}", float(number), metric=metric) for number in range(VMS) for metric in (CPU, MEMORY)]
    labels = {"tenant_id": "acme", "node_id": "n1", "status": "running"}
    return [*vms, Series(COUNT, labels, vms[0].ts_ms, vms[0].values)]


@contextmanager
def limited(way: str, folder: Path) -> Iterator[ServerProcess]:
    """Start a server that answers with at most 300 samples."""
    if way == "export":
        require("victoria-metrics")
        with victoriametrics(folder, flags=["-search.maxSamplesPerQuery=300"]) as server:
            load(server, fleet())
            yield server
    else:
        require("prometheus", "promtool")
        create_blocks(fleet(), folder / "blocks")
        flags = ("--query.max-samples=300", "--storage.remote.read-sample-limit=300")
        with prometheus(folder / "server", blocks=folder / "blocks", flags=flags) as server:
            yield server


@ALL_WAYS
def test_series_without_a_vm_survive_a_cut(way, tmp_path):
    """Stops a metric that names no VM from vanishing, with the note that there was none, where a request is cut."""
    with limited(way, tmp_path / "own") as server:
        settings = reading(tmp_path / "home", way, server.url)
        (settings.home / "pipelines" / "both.yaml").write_text(PIPELINE)
        stored = compute(settings, "both")
        found = rows(settings, "both")["metric"].value_counts().to_dict()
    assert found == {CPU: VMS * SAMPLES, COUNT: SAMPLES}
    assert stored.facts.notes == ()


def test_source_check_works_where_collecting_does(tmp_path):
    """Stops an operator from being told of a failure where everything can be read in parts."""
    require("victoria-metrics")
    with victoriametrics(tmp_path / "own", flags=["-search.maxUniqueTimeseries=25"]) as server:
        load(server, fleet())
        settings = home(tmp_path / "home", "victoriametrics", server.url, inventory="none")
        assert compute(settings).facts.samples_seen == 2 * VMS * SAMPLES
        done = run("source", "check", "--home", settings.home, "--json")
        assert done.code == 0, done.err
        (tenant,) = json.loads(done.out)["tenants"]
    assert (tenant["first_day"], tenant["last_day"]) == (str(DAY), str(DAY))
    assert (tenant["series"], tenant["coverage"]) == (VMS, 1.0)


def test_one_tenant_that_cannot_be_read_does_not_hide_the_rest(tmp_path):
    """Stops `source check` from printing nothing because one of two tenants is too large for the server."""
    require("victoria-metrics")
    series = [*(vm(f"vm-{number}", 1.0) for number in range(30)), vm("one", 1.0, tenant="globex")]
    with victoriametrics(tmp_path / "own") as server:
        load(server, series)
        settings = home(tmp_path / "home", "victoriametrics", server.url, source_max_entities=20)
        done = run("source", "check", "--home", settings.home)
    assert done.code == 3
    assert "problem        acme cannot be read: " in done.err
    assert "means 30 values of vm_id, more than source_max_entities = 20" in done.err
    assert any(line.startswith("globex ") and "2026-01-01" in line for line in done.out.splitlines())
