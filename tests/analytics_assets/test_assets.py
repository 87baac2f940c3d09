"""Assets on the grid: the same bytes however they are run, checks, metadata, and failures that stay small."""

import hashlib
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets.assets import build_assets
from analytics_assets.definitions import build_defs
from analytics_assets.partitions import TENANT_PARTITIONS
from analytics_assets.pipelines.graph import instances, pipelines
from portal.running import range_tags
from resources.analytics_home import AnalyticsHome
from resources.lake.lake import Lake
from resources.partition import Partition
from resources.settings import Settings
from tests.conftest import make_home

DAYS = [date(2026, 2, day) for day in (10, 11, 12)]


def instance_with(settings: Settings, *tenants: str) -> dg.DagsterInstance:
    settings.dagster_home.mkdir(exist_ok=True)
    instance = dg.DagsterInstance.ephemeral(tempdir=str(settings.dagster_home))
    instance.add_dynamic_partitions(TENANT_PARTITIONS, list(tenants))
    return instance


def assets_of(settings: Settings, *names: str) -> list[dg.AssetsDefinition]:
    chosen = instances(pipelines(settings))
    return build_assets([entry for entry in chosen if not names or entry.id in names], settings)


def materialize(settings: Settings, instance: dg.DagsterInstance, assets, **run) -> dg.ExecuteInProcessResult:
    home = {"analytics": AnalyticsHome(home=str(settings.home))}
    return dg.materialize(assets, instance=instance, resources=home, raise_on_error=False, **run)


def hashes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_single_runs_and_a_range_run_store_the_same_bytes(tmp_path):
    """Stops a result from depending on what else was in the run; covers Parquet, PDF, HTML and JSON."""
    stored = []
    for name in ("singles", "range"):
        settings = make_home(tmp_path / name)
        instance = instance_with(settings, "acme")
        assets = assets_of(settings)
        if name == "singles":
            runs = [{"partition_key": Partition("acme", day).key} for day in DAYS]
        else:
            runs = [{"tags": range_tags("acme", DAYS[0], DAYS[-1])}]
        for run in runs:
            assert materialize(settings, instance, assets, **run).success
        stored.append(hashes(settings.lake_root))
    # A report of a later day reads earlier days: run in order, both ways see the same lake.
    assert stored[0] == stored[1]
    assert sum(name.endswith(".pdf") for name in stored[0]) == len(DAYS) * 4


def test_the_whole_graph_runs_for_the_platform(small_home):
    """Stops the platform partition, which has nodes but no VMs, from failing on empty inputs."""
    result = materialize(
        small_home, instance_with(small_home, "platform"), assets_of(small_home), partition_key="2026-02-10|platform"
    )
    assert result.success


def test_metadata_says_rows_coverage_hash_and_days(small_home):
    """Stops the UI from showing a partition without its size, completeness and origin."""
    instance = instance_with(small_home, "acme")
    names = ("vm_resources", "vm_resources_hourly", "vm_inventory", "system_load", "capacity")
    for day in DAYS[:2]:
        run = materialize(small_home, instance, assets_of(small_home, *names), partition_key=Partition("acme", day).key)
    assert run.success
    (event,) = run.asset_materializations_for_node("vm_resources")
    metadata = {name: value.value for name, value in event.metadata.items()}
    assert metadata["dagster/partition_row_count"] == metadata["rows"] > 0
    assert 0.5 < metadata["coverage"] <= 1
    assert len(metadata["sha256"]) == 64
    (event,) = run.asset_materializations_for_node("capacity")
    assert event.metadata["days_read"].value == 2
    checks = {check.check_name: check.passed for check in run.get_asset_check_evaluations()}
    assert checks == {"stored_as_declared": True, "coverage": True}


def test_one_partitions_failure_leaves_the_others_done_and_says_which(small_home):
    """Stops one tenant's missing input from losing the work of the rest of a range run."""
    instance = instance_with(small_home, "acme")
    assert materialize(
        small_home, instance, assets_of(small_home, "vm_resources"), tags=range_tags("acme", DAYS[0], DAYS[-1])
    ).success
    missing = small_home.lake_root / f"tenant=acme/vm_resources/day={DAYS[1]}.parquet"
    missing.unlink()
    run = materialize(
        small_home, instance, assets_of(small_home, "vm_resources_hourly"), tags=range_tags("acme", DAYS[0], DAYS[-1])
    )
    assert not run.success
    failure = run.failure_data_for_node("vm_resources_hourly").user_failure_data
    assert "1 partition(s) failed" in failure.description
    assert "Materialize vm_resources for that day first" in failure.description
    done = {path.name for path in (small_home.lake_root / "tenant=acme/vm_resources_hourly").iterdir()}
    assert done == {f"day={DAYS[0]}.parquet", f"day={DAYS[2]}.parquet"}
    recorded = instance.get_materialized_partitions(dg.AssetKey("vm_resources_hourly"))
    assert recorded == {Partition("acme", DAYS[0]).key, Partition("acme", DAYS[2]).key}


def test_a_damaged_input_blocks_what_comes_after_and_keeps_old_results(small_home):
    """Stops a corrupt file from being taken for an empty day, and from replacing yesterday's good result."""
    instance = instance_with(small_home, "acme")
    key = Partition("acme", DAYS[0]).key
    assert materialize(small_home, instance, assets_of(small_home), partition_key=key).success
    before = hashes(small_home.lake_root)
    source = small_home.lake_root / f"tenant=acme/vm_resources_hourly/day={DAYS[0]}.parquet"
    source.write_bytes(source.read_bytes()[:-100])
    run = materialize(small_home, instance, assets_of(small_home, "metric_trends", "capacity"), partition_key=key)
    assert not run.success
    assert "is damaged" in run.failure_data_for_node("capacity").user_failure_data.description
    after = hashes(small_home.lake_root)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {f"tenant=acme/vm_resources_hourly/day={DAYS[0]}.parquet"}


def test_another_tenants_data_never_changes_mine(tmp_path):
    """Stops a leak between tenants: acme's bytes are the same in a fleet of one and of three tenants."""
    stored = []
    for tenants in (1, 3):
        settings = make_home(tmp_path / str(tenants), simulated_tenants=tenants)
        names = [*settings_tenants(tenants), "platform"]
        instance = instance_with(settings, *names)
        for tenant in reversed(names):
            assert materialize(
                settings, instance, assets_of(settings), partition_key=Partition(tenant, DAYS[0]).key
            ).success
        stored.append({name: value for name, value in hashes(settings.lake_root).items() if "tenant=acme" in name})
    assert stored[0] == stored[1]
    assert len(stored[0]) > 10


def settings_tenants(count: int) -> list[str]:
    return ["acme", "globex", "initech"][:count]


def test_definitions_validate_and_name_every_asset_once(small_home):
    """Stops a code location that loads on the author's machine only; a snapshot of keys, groups and jobs."""
    defs = build_defs(small_home)
    dg.Definitions.validate_loadable(defs)
    graph = defs.resolve_asset_graph()
    groups = {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()}
    assert groups == {
        "vm_resources": "processors",
        "vm_inventory": "processors",
        "vm_resources_hourly": "processors",
        "system_load": "processors",
        "network_traffic": "processors",
        "storage_utilization": "processors",
        "metric_samples": "processors",
        "metric_trends": "analyzers",
        "node_trends": "analyzers",
        "cpu_trend": "analyzers",
        "anomalies": "analyzers",
        "anomaly_rates": "analyzers",
        "node_anomalies": "analyzers",
        "node_anomaly_rates": "analyzers",
        "suspects": "analyzers",
        "correlations": "analyzers",
        "capacity": "analyzers",
        "recommendations": "analyzers",
        "forecasts": "analyzers",
        "node_forecasts": "analyzers",
        "forecast_quality": "analyzers",
        "vm_capacity": "analyzers",
        "time_series_charts": "visualizers",
        "node_charts": "visualizers",
        "cpu_chart": "visualizers",
        "heatmap_charts": "visualizers",
        "vm_heatmap": "visualizers",
        "system_performance_report": "reporters",
        "performance_report": "reporters",
        "capacity_planning_report": "reporters",
        "capacity_report": "reporters",
    }
    assert len({graph.get(key).partitions_def for key in graph.get_all_asset_keys()}) == 1
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description
        assert node.owners == ["team:novacron-operations"]
        assert "dagster/column_schema" in node.metadata
    assert {job.name for job in defs.jobs} == {
        "daily_analytics_job",
        "system_performance_job",
        "vm_capacity_analysis_job",
    }


@pytest.mark.parametrize("tenant", ["acme", "platform"])
def test_the_whole_graph_stands_a_day_without_any_sample(tmp_path, tenant):
    """Stops a quiet day, as before a tenant's first VM, from failing its run: no answer is an answer."""
    settings = make_home(tmp_path / "home", first_day="2026-01-01")
    day = Partition(tenant, date(2026, 1, 10))
    run = materialize(settings, instance_with(settings, tenant), assets_of(settings), partition_key=day.key)
    assert run.success
    lake = Lake(settings.lake_root)
    assert all(lake.has(entry.table.name, tenant, day.day) for entry in instances(pipelines(settings)))


def test_a_pipeline_may_have_the_name_of_its_only_asset(small_home):
    """Stops a pipeline file that is right in itself from keeping the whole code location from loading."""
    small_home.pipelines_folder.mkdir()
    (small_home.pipelines_folder / "raw.yaml").write_text(
        "pipeline: raw-cpu\ntitle: Raw\ndescription: Raw samples.\ntenants: all\nprocessors:\n"
        "  - id: raw-cpu\n    component: metric_samples\n"
    )
    dg.Definitions.validate_loadable(build_defs(small_home))


@pytest.mark.parametrize("pipeline", ["system-performance", "vm-capacity-analysis", "daily-analytics"])
def test_each_built_in_pipeline_runs_alone(small_home, pipeline):
    """Stops a pipeline that works only because another one ran before it."""
    (found,) = [entry for entry in pipelines(small_home) if entry.name == pipeline]
    ids = [entry.id for entry in found.instances]
    run = materialize(
        small_home,
        instance_with(small_home, "acme"),
        assets_of(small_home, *ids),
        partition_key=Partition("acme", DAYS[0]).key,
    )
    assert run.success
    assert {entry.table.name for entry in found.instances} == {
        path.name for path in (small_home.lake_root / "tenant=acme").iterdir()
    }
