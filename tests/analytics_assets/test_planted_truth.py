"""The analyzers on the simulated fleet: what was planted is found, and little else."""

from datetime import date, timedelta

import pytest

from analytics_assets.assets import compute_partition
from analytics_assets.pipelines.graph import find_pipeline
from resources.analytics_home import AnalyticsHome
from resources.lake.lake import Lake
from resources.monitoring.metrics import VM_COLUMNS
from resources.monitoring.simulated.truth import truth_tables
from resources.partition import Partition, days_between
from tests.conftest import make_home

FIRST, LAST = date(2026, 2, 1), date(2026, 2, 28)
DAYS_OF = {"metric_trends": [LAST], "capacity": [LAST], "anomalies": days_between(LAST - timedelta(6), LAST)}
"""Of what is asked for: the last day, or those on which incidents are planted, with three weeks before the first."""


MEASURED = (*VM_COLUMNS, "cpu_cores", "load_average_1m")
"""Metrics that a row may be of alone; any other name stands for several together."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """The truth, and the rows of `metric_trends`, `capacity` and `anomalies`, of 3 tenants x 20 VMs after 28 days."""
    settings = make_home(
        tmp_path_factory.mktemp("fleet") / "home", simulated_tenants=3, simulated_vms=20, simulated_days=28
    )
    home, lake = AnalyticsHome(home=str(settings.home)), Lake(settings.lake_root)
    found = {"metric_trends": [], "capacity": [], "anomalies": []}
    for instance in find_pipeline(settings, "daily-analytics").instances:
        if instance.id not in ("vm_resources", "vm_inventory", "vm_resources_hourly", "system_load", *found):
            continue
        for tenant in ("acme", "globex", "initech"):
            for day in DAYS_OF.get(instance.id, days_between(FIRST, LAST)):
                result, _ = compute_partition(instance, Partition(tenant, day), settings, lake, home)
                if instance.id in found:
                    found[instance.id] += [{**row, "tenant": tenant} for row in result.data.to_pylist()]
    truth = {name: table.to_pylist() for name, table in truth_tables(home.sources().configured).items()}
    return truth, found["metric_trends"], found["capacity"], found["anomalies"]


def test_planted_trends_are_found_with_precision_and_recall(fleet):
    """Stops a trend threshold that cries wolf, or one that misses a leak; slopes within 10 % of the truth."""
    truth, trends, _, _ = fleet
    planted = {
        (row["tenant"], row["entity_id"], row["metric"]): row["slope_per_day"]
        for row in truth["trends"]
        if row["restart_every_days"] is None  # one that starts again every week has no lasting trend
    }
    found = {
        (row["tenant"], row["entity_id"], row["metric"]): row["slope_per_day"]
        for row in trends
        if row["direction"] in ("rising", "falling")
    }
    assert len(planted) >= 12
    hits = planted.keys() & found.keys()
    assert len(hits) / len(planted) >= 0.9
    assert len(hits) / len(found) >= 0.9
    for key in hits:
        assert found[key] == pytest.approx(planted[key], rel=0.1)


def test_a_resize_is_the_only_change_of_level(fleet):
    """Stops change points that are noise, cycles, trends or incidents, and one that misses a doubled memory."""
    truth, trends, _, _ = fleet
    planted = {(row["tenant"], row["vm_id"], "memory_bytes"): row["at"].date() for row in truth["resizes"]}
    found = {(row["tenant"], row["entity_id"], row["metric"]): row for row in trends if row["change_point_count"]}
    assert len(planted) == 3
    for key, day in planted.items():
        assert (found[key]["change_point_count"], found[key]["change_point_day"]) == (1, day)
    assert len(found.keys() - planted.keys()) <= 0.01 * len(trends)


def test_the_slopes_of_hours_agree_with_those_of_days(fleet):
    """Stops the daily cycle, or the weekend, from getting into the slope of the hours."""
    _, trends, _, _ = fleet
    answered = [row for row in trends if row["status"] == "ok" and row["direction"] != "stable"]
    assert len(answered) >= 12
    for row in answered:
        assert row["hourly_slope_per_day"] == pytest.approx(row["slope_per_day"], rel=0.1)
        assert row["hourly_p_value"] < 0.05


def test_filling_disks_are_full_on_the_planted_day(fleet):
    """Stops a time remaining that is off by more than a day or a tenth; usable is 90 % of the disk by default."""
    truth, _, capacity, _ = fleet
    rows = {(row["tenant"], row["entity_id"]): row for row in capacity if row["resource"] == "disk"}
    disks = [row for row in truth["trends"] if row["kind"] == "filling_disk"]
    assert len(disks) >= 3
    for disk in disks:
        row = rows[disk["tenant"], disk["entity_id"]]
        buffer_days = (row["physical"] - row["usable"]) / disk["slope_per_day"]
        expected = (disk["exhaustion_day"] - LAST).days - buffer_days
        assert row["time_remaining_days_expected"] == pytest.approx(expected, rel=0.1, abs=1.5)
        assert row["time_remaining_days_conservative"] <= row["time_remaining_days_expected"]


def test_every_planted_size_is_classified(fleet):
    """Stops an idle, oversized, undersized or stopped VM from being called optimal, and the other way round."""
    truth, _, capacity, _ = fleet
    given = {(row["tenant"], row["entity_id"]): row["size_class"] for row in capacity if row["entity_kind"] == "vm"}
    planted = {(row["tenant"], row["vm_id"]): row["size_class"] for row in truth["vms"]}
    # The truth's class is that of the level. A leak or growth that is planted comes up to the size within the month.
    for row in truth["trends"]:
        lasting = row["kind"] in ("leak", "growth") and row["restart_every_days"] is None
        if lasting and row["metric"] in ("cpu_percent", "memory_bytes"):
            planted[row["tenant"], row["entity_id"]] = "undersized"
    assert given == planted
    assert {"idle", "oversized", "undersized", "powered_off", "optimal"} <= set(planted.values())


def test_planted_incidents_are_found_with_precision_and_recall(fleet):
    """Stops a detector that misses an incident, or that calls cycles, growth, gaps and restarts abnormal.

    A row of `anomalies` is right if it overlaps what the truth expects of its entity and metric (of the
    entity, where the row is of all its metrics together); an incident is found if any right row overlaps it.
    Rows of low severity are listed and call nobody: they are not counted either way.
    """
    truth, _, _, anomalies = fleet
    first = LAST - timedelta(6)
    expected = [
        row for row in truth["anomalies"] if row["entity_kind"] in ("vm", "node") and row["end"].date() >= first
    ]
    rows = [row for row in anomalies if row["status"] == "ok" and row["severity"] != "low"]

    def explains(row, anomaly):
        return (
            all(row[name] == anomaly[name] for name in ("tenant", "entity_kind", "entity_id"))
            and (not row["metrics"] or anomaly["metric"] not in MEASURED or anomaly["metric"] in row["metrics"])
            and anomaly["start"] < row["end"]
            and row["start"] < anomaly["end"]
        )

    right = [anomaly for anomaly in rows if any(explains(row, anomaly) for row in expected)]
    required = [row for row in expected if row["required"]]
    found = [row for row in required if any(explains(row, anomaly) for anomaly in right)]
    assert len(required) == 15
    assert len(found) / len(required) >= 0.9, [row for row in required if row not in found]
    assert len(right) / len(rows) >= 0.9, [row for row in rows if row not in right]
