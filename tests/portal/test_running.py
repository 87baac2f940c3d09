"""`run`: what may be asked for, dry runs, real runs, and failures that are told."""

import json
from datetime import date
from pathlib import Path

import pytest

from analytics_assets.partitions import open_instance, registered_tenants
from resources.lake.lake import Lake
from tests.portal.command import run


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tenant", "nobody"], "there is no tenant 'nobody'. Tenants: acme, globex, platform"),
        (["--tenant", "a/b"], "is not a tenant id"),
        (["--from", "2026-02-10", "--to", "2026-02-09"], "--to 2026-02-09 is before --from 2026-02-10"),
        (["--from", "2026-02-10", "--to", "2999-01-01"], "2999-01-01 is in the future"),
        (["--from", "2025-01-01", "--to", "2026-02-09"], "ANALYTICS_FIRST_DAY=2025-01-01"),
        (["--from", "yesterday"], "'yesterday' is not a day"),
        (["--from", "2026-02-30"], "'2026-02-30' is not a day"),
    ],
)
def test_what_cannot_be_run_is_refused_and_changes_nothing(small_home, arguments, says):
    """Stops a run over days or tenants that are not there, and half of one."""
    done = run("run", "daily-analytics", *arguments, "--home", small_home.home)
    assert done.code == 1
    assert says in done.err
    assert not small_home.lake_root.exists()


def test_an_unknown_pipeline_is_told_which_there_are(small_home):
    done = run("run", "nothing", "--home", small_home.home)
    assert (done.code, "There are: daily-analytics" in done.err) == (1, True)


def test_a_dry_run_says_what_would_run_and_runs_nothing(small_home):
    done = run("run", "daily-analytics", "--dry-run", "--json", "--home", small_home.home)
    assert done.code == 0
    planned = json.loads(done.out)
    assert [(entry["tenant"], entry["first_day"], entry["last_day"]) for entry in planned] == [
        (tenant, *days)
        for tenant in ("acme", "globex", "platform")
        for days in (("2026-02-01", "2026-02-10"), ("2026-02-11", "2026-02-12"))
    ]
    assert not small_home.lake_root.exists()


def test_the_platform_is_computed_when_its_tenants_are_done(small_home, monkeypatch):
    """Stops nodes without what is allocated on them, and different bytes with every number of workers."""
    monkeypatch.setenv("ANALYTICS_RUN_WORKERS", "3")
    days = ["--from", "2026-02-10", "--to", "2026-02-10"]
    done = run("run", "vm-capacity-analysis", *days, "--json", "--home", small_home.home)
    assert done.code == 0, done.err
    with open_instance(small_home) as instance:
        runs = {record["tenant"]: record["run_id"] for record in json.loads(done.out)}
        times = {tenant: instance.get_run_record_by_id(run_id) for tenant, run_id in runs.items()}
    assert sorted(times) == ["acme", "globex", "platform"]
    assert times["platform"].start_time >= max(times["acme"].end_time, times["globex"].end_time)


def test_a_run_stores_its_tables_and_is_in_the_instance_that_the_ui_shows(small_home):
    """Stops runs that the UI knows nothing of."""
    arguments = ["--tenant", "acme", "--from", "2026-02-10", "--to", "2026-02-11", "--json", "--home", small_home.home]
    done = run("run", "vm-capacity-analysis", *arguments)
    assert done.code == 0, done.err
    (record,) = json.loads(done.out)
    assert Lake(small_home.lake_root).days("capacity_report", "acme") == [date(2026, 2, 10), date(2026, 2, 11)]
    with open_instance(small_home) as instance:
        assert registered_tenants(instance) == ["acme"]
        stored = instance.get_run_by_id(record["run_id"])
        assert (stored.job_name, stored.status.value) == ("vm_capacity_analysis_job", "SUCCESS")
        import dagster as dg

        done_partitions = instance.get_materialized_partitions(dg.AssetKey("capacity_report"))
        assert done_partitions == {"2026-02-10|acme", "2026-02-11|acme"}


def test_a_failed_run_is_told_with_its_reason_and_exit_code(small_home):
    """Stops the original's habit of marking a failed run successful."""
    blocked = small_home.lake_root / "tenant=acme" / "vm_capacity"
    blocked.parent.mkdir(parents=True)
    blocked.symlink_to(small_home.home)  # a link could lead out of the tenant's folder
    arguments = ["--tenant", "acme", "--from", "2026-02-10", "--to", "2026-02-10", "--home", small_home.home]
    done = run("run", "vm-capacity-analysis", *arguments)
    assert done.code == 1
    assert "1 of 1 run(s) failed" in done.err
    assert "vm_capacity" in done.err


def test_the_demo_refuses_a_home_with_other_data(tmp_path):
    """Stops simulated data from being mixed into real ones."""
    home = tmp_path / "home"
    (home / "traces").mkdir(parents=True)
    done = run("demo", "--home", home)
    assert done.code == 1
    assert "holds data already" in done.err


def test_the_demo_finds_what_it_planted(tmp_path):
    """Stops a demo that shows nothing; the second run on the same home changes nothing."""
    home = tmp_path / "home"
    arguments = ["--tenants", 1, "--vms", 6, "--days", 6, "--until", "2026-02-08", "--home", home]
    done = run("demo", *arguments)
    assert done.code == 0, done.err
    assert "acme, capacity planning report:" in done.out
    assert "report:" in done.out
    for line in done.out.splitlines():
        if line.strip().startswith("report: "):
            report = line.split("report: ")[1]
            assert Path(report).read_bytes().startswith(b"%PDF-")
    before = {path: path.read_bytes() for path in (home / "lake").rglob("*") if path.is_file()}
    assert run("demo", *arguments).code == 0
    assert before == {path: path.read_bytes() for path in (home / "lake").rglob("*") if path.is_file()}


@pytest.mark.parametrize("home", ["/proc/nothing", "/dev/null/home"])
def test_a_home_that_cannot_be_written_is_said(home):
    done = run("demo", "--home", home)
    assert done.code in (1, 2)
    assert done.err
    assert "Traceback" not in done.err
