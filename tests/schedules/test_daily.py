"""The daily schedules, evaluated as the daemon does."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from analytics_assets.definitions import build_defs
from analytics_assets.partitions import TENANT_PARTITIONS, open_instance
from analytics_assets.pipelines.graph import pipelines
from resources.settings import Settings
from schedules.daily import daily_schedule


def tick(settings: Settings, name: str, *tenants: str) -> Any:
    """Evaluate the schedule of pipeline `name` at 01:00 on 2026-02-10 with `tenants` registered."""
    with open_instance(settings) as instance:
        instance.add_dynamic_partitions(TENANT_PARTITIONS, list(tenants))
        (pipeline,) = [entry for entry in pipelines(settings) if entry.name == name]
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2026, 2, 10, 1, 0, tzinfo=UTC),
            repository_def=build_defs(settings).get_repository_def(),
        )
        return daily_schedule(pipeline).evaluate_tick(context)


def test_a_tick_asks_for_yesterday_of_every_tenant_with_the_platform_last(small_home):
    """Stops a schedule that computes the unfinished day, forgets a tenant, or runs the platform before its tenants."""
    requests = tick(small_home, "daily-analytics", "platform", "globex", "acme").run_requests
    assert [request.partition_key for request in requests] == [
        "2026-02-09|acme",
        "2026-02-09|globex",
        "2026-02-09|platform",
    ]
    assert [request.tags.get("dagster/priority") for request in requests] == [None, None, "-1"]


def test_a_tick_evaluated_twice_asks_for_the_same_runs(small_home):
    """Stops a day from being computed twice when the daemon restarts within a tick."""
    keys = [[request.run_key for request in tick(small_home, "daily-analytics", "acme").run_requests] for _ in range(2)]
    assert keys[0] == keys[1] == ["daily-analytics:acme:2026-02-09"]


def test_a_pipeline_for_some_tenants_runs_for_those_only(small_home):
    small_home.pipelines_folder.mkdir()
    (small_home.pipelines_folder / "mine.yaml").write_text(
        "pipeline: mine\ndescription: x\ntenants: [acme]\nschedule: {daily_at: '03:15'}\n"
        "processors:\n  - component: vm_resources\n"
    )
    requests = tick(small_home, "mine", "acme", "globex").run_requests
    assert [request.partition_key for request in requests] == ["2026-02-09|acme"]
    (mine,) = [entry for entry in pipelines(small_home) if entry.name == "mine"]
    assert daily_schedule(mine).cron_schedule == "15 3 * * *"


def test_without_tenants_it_says_so(small_home):
    assert "no tenant" in tick(small_home, "daily-analytics").skip_message
