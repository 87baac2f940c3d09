"""Homes that read a monitoring server, what one partition of theirs computes to, and whether a failure left traces."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from analytics_assets.assets import compute_partition
from analytics_assets.components import Instance
from analytics_assets.pipelines.graph import instances, pipelines
from resources.analytics_home import AnalyticsHome
from resources.errors import AnalyticsError
from resources.lake.lake import Lake, Stored
from resources.partition import Partition
from resources.settings import Settings, load_settings

DAY = date(2026, 1, 1)
CPU = "novacron_vm_cpu_usage_percent"
PROCESSORS = (
    "vm_resources", "vm_inventory", "network_traffic", "storage_utilization", "system_load", "metric_samples",
)  # fmt: skip
"""The tables that are made from what a server says, each after what it reads."""
WAYS = ("remote-read-chunks", "remote-read-samples", "query", "export")
"""The ways to read samples: three of a Prometheus, one of a VictoriaMetrics."""
ALL_WAYS = pytest.mark.parametrize("way", WAYS)
BULK = {
    "remote-read-chunks": "/api/v1/read", "remote-read-samples": "/api/v1/read",
    "query": "/api/v1/query", "export": "/api/v1/export",
}  # fmt: skip
"""Way to read -> the path that samples come from."""
LIST = "/api/v1/label/vm_id/values"
"""The path that is asked first."""
COLLECTING = """\
pipeline: collecting
description: What the tests of failures collect.
tenants: all
processors:
  - {id: vm-resources, component: vm_resources}
  - {id: metric-samples, component: metric_samples}
"""


def home(folder: Path, kind: str, url: str, first_day: date = DAY, **settings: object) -> Settings:
    """Return the settings of a new home that reads the server at `url`, and gives up after one attempt."""
    given = {"source_attempts": 1, "run_workers": 1, **settings}
    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / "collecting.yaml").write_text(COLLECTING)
    lines = [f"{name} = {json.dumps(value)}" for name, value in given.items()]
    (folder / "analytics.toml").write_text(
        f'source = "{kind}"\n{kind}_url = "{url}"\nfirst_day = {first_day}\n' + "\n".join(lines) + "\n"
    )
    return load_settings(folder, {})


def kind_of(way: str) -> str:
    return "victoriametrics" if way == "export" else "prometheus"


def reading(folder: Path, way: str, url: str, **settings: object) -> Settings:
    """Return a home that reads in one way only."""
    method = {} if way == "export" else {"source_read_method": way}
    return home(folder, kind_of(way), url, **method, **settings)


def again(settings: Settings, **changes: object) -> Settings:
    """Return the settings of the same home after its file got `changes`."""
    file = settings.home / "analytics.toml"
    kept = [line for line in file.read_text().splitlines() if line.partition(" = ")[0] not in changes]
    file.write_text("\n".join([*kept, *(f"{name} = {json.dumps(value)}" for name, value in changes.items())]) + "\n")
    return load_settings(settings.home, {})


def instance_of(settings: Settings, table: str) -> Instance:
    return next(one for one in instances(pipelines(settings)) if one.table.name == table)


def compute(settings: Settings, table: str = "vm_resources", tenant: str = "acme", day: date = DAY) -> Stored:
    """Compute and store one partition, as an asset does."""
    analytics = AnalyticsHome(home=str(settings.home))
    partition = Partition(tenant, day)
    return compute_partition(instance_of(settings, table), partition, settings, analytics.lake(), analytics)[1]


def rows(settings: Settings, table: str = "vm_resources", tenant: str = "acme", day: date = DAY) -> pd.DataFrame:
    return Lake(settings.lake_root).read_day(instance_of(settings, table).table, Partition(tenant, day)).to_pandas()


def hashes(settings: Settings) -> dict[str, str]:
    """Return the hash of every file of the lake by its path, hidden and temporary ones too."""
    return {
        str(path.relative_to(settings.lake_root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(settings.lake_root.rglob("*"))
        if path.is_file()
    }


@contextmanager
def nothing_changes(settings: Settings) -> Iterator[None]:
    """Fail where the block changes, adds or removes a file of the lake."""
    before = hashes(settings)
    yield
    assert hashes(settings) == before


def failure(settings: Settings, kind: type[AnalyticsError], work: Callable[[], object] | None = None) -> str:
    """Return the message of the failure of `kind` that `work` (else computing vm_resources) ends in.

    It must leave the lake as it was, and be of a length that a person reads.
    """
    with nothing_changes(settings), pytest.raises(kind) as caught:
        (work or (lambda: compute(settings)))()
    assert len(str(caught.value)) < 1500
    return str(caught.value)
