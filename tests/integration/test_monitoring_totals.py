"""Real traces through a real Prometheus and a real VictoriaMetrics: every processor's totals are those of the files.

What is expected comes from `tests/servers/expected.py`, which shares no line with the software.
"""

from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from analytics_assets.assets import compute_partition
from analytics_assets.pipelines.graph import instances, pipelines
from resources.analytics_home import AnalyticsHome
from resources.lake.lake import Lake
from resources.partition import Partition
from resources.settings import Settings, load_settings
from tests.servers.loaded import LoadedPrometheus, LoadedVictoriaMetrics, Traces

pytestmark = pytest.mark.integration
DAYS = 10
CPU = "novacron_vm_cpu_usage_percent"
PIPELINE = f"""\
pipeline: raw-cpu
title: Raw CPU samples
description: Every CPU sample of every VM.
tenants: all
processors:
  - id: raw-cpu
    component: metric_samples
    parameters: {{metrics: [{CPU}]}}
"""


def home_for(folder: Path, kind: str, url: str, first_day: date) -> Settings:
    """Return the settings of a new home that reads a server, with a pipeline of raw CPU samples."""
    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / "raw-cpu.yaml").write_text(PIPELINE)
    (folder / "analytics.toml").write_text(f'source = "{kind}"\n{kind}_url = "{url}"\nfirst_day = {first_day}\n')
    return load_settings(folder, {})


def fill(settings: Settings, tenant: str, days: list[date]) -> None:
    """Compute all processors of a tenant's days."""
    home = AnalyticsHome(home=str(settings.home))
    for instance in instances(pipelines(settings)):
        if instance.component.stage == "processors":
            for day in days:
                compute_partition(instance, Partition(tenant, day), settings, home.lake(), home)


@pytest.fixture(scope="module")
def lakes(
    prometheus_with_traces: LoadedPrometheus,
    victoriametrics_with_traces: LoadedVictoriaMetrics,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Settings]:
    """The same ten days of Bitbrains and one of PlanetLab, read from both servers."""
    traces = prometheus_with_traces.traces
    found = {}
    for kind, url in (("prometheus", prometheus_with_traces.url), ("victoriametrics", victoriametrics_with_traces.url)):
        settings = home_for(tmp_path_factory.mktemp(kind) / "home", kind, url, traces.planetlab_day)
        for tenant in ("leiden", "delft"):
            fill(settings, tenant, bitbrains_days(traces))
        fill(settings, "planetlab", [traces.planetlab_day])
        found[kind] = settings
    return found


def bitbrains_days(traces: Traces) -> list[date]:
    return [traces.bitbrains_first + timedelta(days=number) for number in range(DAYS)]


def stored(settings: Settings, table: str, tenant: str, days: list[date]) -> pd.DataFrame:
    declared = next(one.table for one in instances(pipelines(settings)) if one.table.name == table)
    data, found = Lake(settings.lake_root).read(declared, tenant, days)
    assert found == days
    return data.to_pandas()


@pytest.fixture(params=["prometheus", "victoriametrics"])
def settings(request: pytest.FixtureRequest, lakes: dict[str, Settings]) -> Settings:
    return lakes[request.param]


@pytest.fixture(scope="module")
def expected(real_traces: Traces) -> pd.DataFrame:
    """What the ten days must show, by tenant, VM and day."""
    whole = real_traces.expected_bitbrains()
    return whole[whole["day"].isin(bitbrains_days(real_traces))].set_index(["tenant", "vm_id", "day"]).sort_index()


def by_vm_and_day(
    settings: Settings, table: str, days: list[date], entity: str = "vm_id"
) -> pd.core.groupby.DataFrameGroupBy:
    parts = [stored(settings, table, tenant, days).assign(tenant=tenant) for tenant in ("delft", "leiden")]
    return pd.concat(parts).rename(columns={entity: "vm_id"}).groupby(["tenant", "vm_id", "day"], observed=True)


def test_every_raw_sample_arrives(settings, real_traces, expected):
    """Stops samples at the edges of days and requests from being lost or doubled."""
    raw = by_vm_and_day(settings, "raw_cpu", bitbrains_days(real_traces), "entity_id")["value"]
    found = raw.agg(["count", "sum", "max"])
    twins = expected["cpu_samples"]
    assert found["count"].sum() >= twins.sum()  # a migrated VM's frozen series is raw data too
    plain = found.loc[[key for key in found.index if key[1] not in migrated(real_traces)]]
    wanted = expected.loc[plain.index]
    assert (plain["count"] == wanted["cpu_samples"]).all()
    assert (plain["sum"] - wanted["cpu_sum"]).abs().max() < 1e-6
    assert (plain["max"] - wanted["cpu_max"]).abs().max() < 1e-9


def migrated(traces: Traces) -> set[str]:
    return {event.vm_id for event in traces.events if type(event).__name__ == "Migration"}


def test_peaks_and_means_on_the_grid_are_those_of_the_files(settings, real_traces, expected):
    """Stops peaks from being averaged away, and a migrated VM's frozen twin from being measured."""
    found = by_vm_and_day(settings, "vm_resources", bitbrains_days(real_traces)).agg(
        cpu_max=("cpu_percent_max", "max"),
        memory_max=("memory_bytes_max", "max"),
        cpu_mean=("cpu_percent_mean", "mean"),
    )
    assert list(found.index) == list(expected.index)
    assert (found["cpu_max"] - expected["cpu_max"]).abs().max() < 1e-4
    assert ((found["memory_max"] - expected["memory_max"]).abs() / expected["memory_max"].clip(lower=1)).max() < 1e-6
    # A mean of bucket means is not the mean of samples where a bucket holds two.
    assert (found["cpu_mean"] - expected["cpu_mean"]).abs().max() < 0.5


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("network_traffic", {"receive_bytes": "network_receive_bytes", "transmit_bytes": "network_transmit_bytes"}),
        ("storage_utilization", {"read_bytes": "disk_read_bytes", "written_bytes": "disk_write_bytes"}),
    ],
)
def test_bytes_of_a_day_are_the_increases_of_its_counters(settings, real_traces, expected, table, columns):
    """Stops resets, gaps, migrations and midnight from losing or inventing bytes."""
    found = by_vm_and_day(settings, table, bitbrains_days(real_traces), "entity_id")[list(columns)].sum()
    for column, name in columns.items():
        difference = (found[column] - expected.loc[found.index, name]).abs()
        assert difference.max() == 0, difference[difference > 0].head()
        assert found[column].sum() > 1e9


def test_a_tenants_load_is_that_of_its_vms(settings, real_traces, expected):
    """Stops the sum over nodes from losing VMs, or counting a migrated one on both nodes."""
    days = bitbrains_days(real_traces)
    for tenant in ("leiden", "delft"):
        load = stored(settings, "system_load", tenant, days)
        by_day = load.groupby(["day", "ts"])["memory_bytes_mean"].sum().groupby("day").mean()
        wanted = expected.loc[tenant]["memory_mean"].groupby("day").sum()
        assert ((by_day - wanted).abs() / wanted).max() < 0.02


def test_counts_of_vms_are_those_of_the_files(settings, real_traces):
    """Stops series that name no VM from being lost among those that do, and a gauge from becoming a rate."""
    days = bitbrains_days(real_traces)
    source = pd.read_parquet(real_traces.data / "bitbrains_5min.parquet", columns=["ts", "vm_id", "cpu_cores"])
    for tenant in ("leiden", "delft"):
        found = stored(settings, "metric_samples", tenant, days)
        assert set(found["metric"]) == {"novacron_vm_count"}
        status = found["labels"].astype(str).str.extract('"status": "([a-z]+)"')[0]
        by_time = found.groupby([found["ts"], status])["value"].sum().unstack()
        assert len(by_time) == 288 * len(days)
        mine = {vm.vm_id for vm in real_traces.bitbrains_vms if vm.tenant == tenant}
        rows = source[source["vm_id"].astype(str).isin(mine)].assign(vm_id=lambda one: one["vm_id"].astype(str))
        noon = pd.Timestamp(days[4], tz="UTC") + pd.Timedelta(hours=12)
        last = rows[(rows["ts"] <= noon) & (rows["ts"] >= noon - pd.Timedelta(minutes=10))]
        last = last.sort_values("ts").groupby("vm_id")["cpu_cores"].last()
        assert by_time.loc[noon].to_dict() == {"running": (last > 0).sum(), "stopped": (last == 0).sum()}


def test_sizes_are_those_of_the_day(settings, real_traces, expected):
    """Stops today's sizes from being used for a day in the past."""
    found = by_vm_and_day(settings, "vm_inventory", bitbrains_days(real_traces))[["vcpus", "memory_bytes"]].last()
    assert list(found.index) == list(expected.index)
    assert (found["vcpus"] == expected["vcpus"]).all()
    # A size is asked for every five minutes; one that changed since, by a balloon, is in the next day.
    differs = found["memory_bytes"] != expected["capacity_bytes"]
    assert differs.sum() <= 1
    assert ((found["memory_bytes"] - expected["capacity_bytes"]).abs() / expected["capacity_bytes"]).max() < 0.001


def test_planetlab_keeps_every_sample_of_a_hundred_vms(settings, real_traces):
    """Stops a tenant of more VMs than the first request asks for from losing some."""
    day = real_traces.planetlab_day
    wanted = real_traces.expected_planetlab().set_index("vm_id").sort_index()
    raw = stored(settings, "raw_cpu", "planetlab", [day]).groupby("entity_id", observed=True)["value"]
    found = raw.agg(["count", "sum", "max"]).sort_index()
    assert list(found.index) == list(wanted.index)
    assert (found["count"] == wanted["cpu_samples"]).all()
    assert (found["sum"] - wanted["cpu_sum"]).abs().max() < 1e-6
    grid = stored(settings, "vm_resources", "planetlab", [day]).groupby("vm_id", observed=True)["cpu_percent_max"].max()
    assert (grid - wanted["cpu_max"]).abs().max() < 1e-4


def test_both_servers_give_the_same_tables(lakes, real_traces):
    """Stops an answer from hanging on which server holds the samples."""
    one, other = lakes["prometheus"], lakes["victoriametrics"]
    for instance in instances(pipelines(one)):
        if instance.component.stage != "processors":
            continue
        for tenant, days in (
            ("leiden", bitbrains_days(real_traces)),
            ("delft", bitbrains_days(real_traces)),
            ("planetlab", [real_traces.planetlab_day]),
        ):
            first, _ = Lake(one.lake_root).read(instance.table, tenant, days)
            second, _ = Lake(other.lake_root).read(instance.table, tenant, days)
            assert first.equals(second), f"{instance.id} of {tenant}"


def test_every_partition_says_how_it_was_read(lakes, real_traces):
    """Stops a partition that cannot be told from one read another way, or not read whole."""
    for kind, method in (("prometheus", "remote-read chunks"), ("victoriametrics", "export")):
        lake = Lake(lakes[kind].lake_root)
        for day in bitbrains_days(real_traces):
            rows, facts = lake.footer("vm_resources", Partition("leiden", day))
            assert rows
            assert facts.read_methods == (method,)
            assert facts.series
            assert facts.series >= 6 * 6
            assert facts.samples_seen
            assert facts.coverage is not None
            assert 0.85 < facts.coverage <= 1
            assert facts.warnings == ()
