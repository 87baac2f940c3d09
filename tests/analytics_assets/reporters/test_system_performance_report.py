"""The system performance report against figures that were worked out by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from resources.lake.partition_file import MissingPartition
from tests.analytics_assets.reporters.scenario import (
    DAY,
    FLEETS,
    GIB,
    LOAD,
    SIZES,
    TRENDS,
    Fleet,
    disk_filling,
    healthy,
    load,
    made,
    make,
    size,
    store,
    told,
    trend,
)


def report(lake, tenant="acme", **parameters):
    return told(lake, "performance", tenant, **parameters)


def stored(name):
    return json.loads(made(name, "performance")[1].files["json"])


def rows(content, figure_id):
    """Return a figure's rows as dicts."""
    data = next(figure["data"] for figure in content["figures"] if figure["id"] == figure_id)
    return [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]


def sentences(content, figure_id):
    return [finding["sentence"] for finding in content["findings"] if finding["figure_id"] == figure_id]


def test_days_left_are_limit_less_level_over_slope():
    # The level is the median of a week, so 3.5 days old. Disk: 80 + 3.5 x 2 GiB are in use, and
    # (100 - 87) / 2.5 and / 2 a day. CPU: (100 - 53.5) points / 1.25 and / 1 a day.
    found = sentences(stored("disk_filling"), "performance.limits")
    assert found == [
        "Disk of db-1 (100 GiB) reaches its limit in 5 days (expected 6): 87 of 100 GiB in use, rising 2 GiB a day "
        "(95 % interval 1.5 to 2.5 GiB) over 28 days.",
        "CPU of web-1 reaches its limit in 37 days (expected 46): 53.5 % in use, rising 1 point a day "
        "(95 % interval 0.8 to 1.25) over 28 days.",
    ]


def test_what_hurts_first_stands_first_and_severity_follows_the_days():
    found = [item for item in stored("disk_filling")["findings"] if item["days_until"] is not None]
    assert [(item["entity_id"], item["days_until"], item["severity"]) for item in found] == [
        ("n3", 0.0, "critical"),
        ("db-1", pytest.approx(5.2), "critical"),
        ("web-1", pytest.approx(37.2), "immediate"),
    ]


def test_a_node_is_busy_only_beyond_the_minutes_allowed():
    """n3 was at 95 % for 7 buckets of 5 minutes, n4 at 99 % for 6: 30 minutes are not more than 30."""
    assert sentences(stored("disk_filling"), "performance.saturated") == [
        "CPU of your VMs on node n3 was at 90 % or more of their 16 vCPUs for 35 minutes of the day, between 00:00 and "
        "00:30; highest 95 %."
    ]


def test_a_rise_beyond_the_horizon_is_no_finding_but_a_change(tmp_path):
    """50 points less those of 3.5 days, at 0.125 a day, take 397 days."""
    fleet = Fleet(trends=[trend("vm-1", level=50.0, slope=(0.08, 0.1, 0.125))])
    content = report(store(tmp_path, fleet))
    assert not sentences(content, "performance.limits")
    assert sentences(content, "performance.changes") == [
        "CPU of vm-1 is rising 0.1 points a day (95 % interval 0.08 to 0.125) over 28 days: +2.8 points, now 50 %."
    ]
    assert sentences(report(store(tmp_path, fleet), horizon_days=400), "performance.limits")[0].startswith(
        "CPU of vm-1 reaches its limit in 397 days (expected: not within 400 days)"
    )


def test_what_falls_or_is_not_significant_never_reaches_a_limit(tmp_path):
    fleet = Fleet(
        trends=[
            trend("falls", level=80.0, slope=(-3.0, -2.0, -1.0)),
            trend("steady", level=80.0, slope=(-1.0, 2.0, 4.0)),
        ]
    )
    content = report(store(tmp_path, fleet))
    assert not rows(content, "performance.limits")
    assert sentences(content, "performance.changes") == [
        "CPU of falls is falling 2 points a day (95 % interval 1 to 3) over 28 days: -56 points, now 80 %."
    ]


def test_what_is_full_now_comes_first_even_if_it_does_not_rise(tmp_path):
    fleet = Fleet(
        trends=[
            trend("soon", "memory_bytes", 80 * GIB, slope=(1 * GIB, 2 * GIB, 4 * GIB)),
            trend("full", "memory_bytes", 90 * GIB),
            trend("almost", "memory_bytes", 89 * GIB),
        ],
        capacity=[size(name, "memory") for name in ("soon", "full", "almost")],
    )
    found = sentences(report(store(tmp_path, fleet)), "performance.limits")
    assert [line.split(":")[0] for line in found] == [
        "Memory of full (100 GiB) is close to its limit now",
        "Memory of soon (100 GiB) reaches its limit in 3 days (expected 6)",
    ]


def test_a_vm_at_its_cpu_limit_in_busy_hours_is_found_though_its_mean_is_low(tmp_path):
    fleet = Fleet(trends=[trend("vm-1", level=40.0)], capacity=[size("vm-1", demand_p95=3.94)])
    assert sentences(report(store(tmp_path, fleet)), "performance.busy_vms") == [
        "CPU of vm-1 is close to its limit in its busiest hours: 3.94 of 4 cores used at the 95th percentile of the "
        "last 7 days (98.5 %)."
    ]


def test_small_drifts_do_not_crowd_out_what_matters():
    """A network metric that rises by 1 kB/s where another VM sends 50 MB/s is not named, only counted."""
    found = sentences(stored("disk_filling"), "performance.changes")
    assert found == [
        "Memory of db-1 (100 GiB) is rising 154 MiB a day (95 % interval 102 to 205 MiB) over 28 days: +4.2 GiB, now "
        "10 GiB.",
        "2 changes are named above already and 1 change is significant but under 2 % of the limit or of the largest "
        "level.",
    ]


def test_load_is_the_mean_percentile_and_peak_of_the_day_busiest_first(tmp_path):
    cpu = np.round(np.random.default_rng(1).uniform(0, 60, 288), 3).astype(np.float32)
    cpu[100] = 77.0
    content = report(store(tmp_path, Fleet(load=[*load("quiet", 5.0), *load("busy", cpu)])))
    first, second = rows(content, "performance.load")
    assert (first["node_id"], second["node_id"]) == ("busy", "quiet")
    assert first["cpu_percent_mean"] == pytest.approx(cpu.astype(float).mean(), abs=0.006)
    assert first["cpu_percent_p95"] == pytest.approx(np.quantile(cpu.astype(float), 0.95), abs=0.006)
    assert (first["cpu_percent_peak"], first["cpu_peak_at"]) == (78.0, f"{DAY.isoformat()}T08:20:00+00:00")
    assert "peak 78 % at 08:20; memory 8 of 32 GiB." in sentences(content, "performance.load")[0]


def test_a_tenant_reads_of_its_own_vms_and_the_operator_of_nodes():
    assert "CPU of your VMs on node n1: 20 % of 16 vCPUs" in sentences(stored("healthy"), "performance.load")[0]
    platform = sentences(stored("nodes"), "performance.load")
    assert [line.split(" on average")[0] for line in platform] == [
        "CPU of node-2: 50 % of 16 CPUs",
        "CPU of node n1: 20 % of 16 CPUs",
    ]


def test_where_nothing_is_wrong_one_sentence_says_what_was_looked_at():
    content = stored("healthy")
    assert content["findings"][0]["sentence"] == (
        "Nothing presses: of 6 trends with a known limit none reaches it within 365 days. Of 2 nodes, none had your "
        "VMs' CPU at 90 % or more for over 30 minutes of the day."
    )
    assert content["counts"] == {"critical": 0, "immediate": 0, "warning": 0, "notice": len(content["findings"])}
    assert sentences(content, "performance.answers")[1] == (
        "Nothing: of 6 trends, none rises, falls or jumps significantly."
    )


def test_no_answer_is_not_reported_as_nothing_wrong():
    content = stored("insufficient")
    assert content["findings"][0]["sentence"].startswith(
        "No answer about what will be: not one of the 2 trends looked at has enough data."
    )
    assert content["unknown"] == [
        "2 of 2 trends looked at have no answer.",
        "1 trend of your VMs on node n1: 2 days with at least 12 hours of samples; needs 5 (insufficient_data).",
        "1 trend of vm-1: 2 days with at least 12 hours of samples; needs 5 (insufficient_data).",
        "Load of your VMs on node n1: samples in 100 of the 288 intervals of the day.",
        "3 of the 4 days that table capacity reads were not stored: 2026-03-01 to 2026-03-02, 2026-03-04.",
        "Only 2 of 28 days are stored.",
    ]


def test_an_empty_tenant_gets_a_report_that_says_so():
    content = stored("empty")
    assert [finding["sentence"] for finding in content["findings"]] == [
        "No answer: no node and no VM has a sample on this day or a trend.",
        "No node has a sample on this day, so no load is known.",
        "Everything: there was nothing to look at.",
    ]


def test_missing_intervals_count_against_coverage(tmp_path):
    """Half of the day's buckets have no row; rows alone would say 100 %."""
    content = report(store(tmp_path, Fleet(load=load("n1", buckets=144))))
    assert {"label": "Coverage", "value": "50 %"}.items() <= content["headline"][2].items()
    assert rows(content, "coverage.days") == [
        {
            "day": DAY.isoformat(),
            "entities": 1,
            "samples_seen": 1440,
            "samples_expected": 2880,
            "coverage_percent": 50.0,
        }
    ]


def test_nodes_of_different_size_are_all_complete(tmp_path):
    """The largest node's expected samples, taken for every node, gave 75 % for a day without a gap."""
    small = load("n2", samples_seen=5, samples_expected=5)
    content = report(store(tmp_path, Fleet(load=load("n1") + small)))
    assert content["headline"][2]["value"] == "100 %"


def test_a_metric_that_two_analyzers_answer_is_one_finding(tmp_path):
    fleet = replace(healthy(), node_trends=[trend("vm-1", window_days=7, level=95.0)])
    content = report(store(tmp_path, fleet))
    assert not sentences(content, "performance.limits")  # the longer window says 30 %
    assert len(rows(content, "performance.unknown")) == 0


def test_without_sizes_a_rise_of_memory_is_said_to_have_no_day(tmp_path):
    fleet = Fleet(trends=[trend("vm-1", "memory_bytes", 5 * GIB, slope=(GIB, 2 * GIB, 3 * GIB))])
    content = report(store(tmp_path, fleet))
    assert not sentences(content, "performance.limits")
    assert any("1 rising memory or disk trend has no known size" in line for line in content["unknown"])


def test_a_jump_without_a_trend_is_said(tmp_path):
    changes = [trend("vm-1", change_point_day=DAY, change_point_count=1)]
    content = report(store(tmp_path, Fleet(trends=changes)))
    assert sentences(content, "performance.changes") == [
        f"CPU of vm-1 jumped once, on {DAY.isoformat()}, and shows no trend; now 30 %."
    ]


def test_several_jumps_are_not_called_one(tmp_path):
    changes = [trend("vm-1", change_point_day=DAY, change_point_count=3)]
    content = report(store(tmp_path, Fleet(trends=changes)))
    assert sentences(content, "performance.changes") == [
        f"CPU of vm-1 jumped 3 times, most of all on {DAY.isoformat()}, and shows no trend; now 30 %."
    ]


@pytest.mark.parametrize("instance", [LOAD, TRENDS, SIZES], ids=lambda instance: instance.id)
def test_an_input_that_was_not_made_is_an_error_not_an_empty_report(tmp_path, instance):
    lake = store(tmp_path, healthy())
    (tmp_path / f"tenant=acme/{instance.table.name}/day={DAY.isoformat()}.parquet").unlink()
    with pytest.raises(MissingPartition, match=instance.table.name):
        make(lake, "performance")


def test_300_vms_are_all_in_the_data_and_few_on_page_one():
    content = stored("many_vms")
    within = [number for number in range(300) if 25 * (number + 1) <= 365]
    found = [finding for finding in content["findings"] if finding["days_until"] is not None]
    assert [finding["entity_id"] for finding in found] == [f"vm-{number:03}" for number in within]
    assert len(rows(content, "performance.changes")) == 300


def test_the_fleets_differ_as_their_names_say():
    """A scenario that lost its rows would let every test of 'nothing wrong' pass."""
    assert set(FLEETS) == {"healthy", "disk_filling", "insufficient", "empty", "many_vms", "hostile", "nodes"}
    assert len(disk_filling().trends) == len(healthy().trends) + 5
