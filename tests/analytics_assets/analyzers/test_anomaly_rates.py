"""Rates of anomalies: what share of the judged points of a VM, a node and a tenant was anomalous."""

import numpy as np
import pyarrow as pa
import pytest

from analytics_assets.analyzers import anomaly_rates
from analytics_assets.analyzers.anomalies import COMPONENT, TABLE
from analytics_assets.components import Instance, NoParameters
from analytics_assets.processors.vm_resources import VM_RESOURCES
from resources.lake.lake import Facts
from resources.partition import Partition
from tests.analytics_assets.analyzers.anomaly_lake import GIVEN, TODAY, day_and_night, found, store
from tests.analytics_assets.analyzers.fleet import LAST_DAY, processor, workplace


def rates(lake, judged_by=GIVEN, tenant="acme"):
    component = anomaly_rates.COMPONENT
    inputs = {"samples": processor(VM_RESOURCES), "anomalies": Instance("anomalies", COMPONENT, judged_by)}
    with workplace(lake, component, NoParameters(), inputs, tenant) as place:
        data = anomaly_rates.compute(place, NoParameters()).data
    rows = anomaly_rates.TABLE.conform(data).to_pylist()
    return {(row["entity_kind"], row["entity_id"], row["metric"]): row for row in rows}


def test_rates_count_points_by_metric_vm_node_and_tenant(lake):
    """Stops a rate from counting what was never judged, or a node from losing a VM's points."""
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 99
    young = day_and_night()
    young[:TODAY] = np.nan
    vms = {"vm-1": {"cpu_percent": values}, "vm-2": {"cpu_percent": day_and_night(2)}, "vm-3": {"cpu_percent": young}}
    store(lake, vms, node={"vm-1": "node-1", "vm-2": "node-1", "vm-3": "node-2"})
    lake.write(TABLE, Partition("acme", LAST_DAY), found(lake)[0].data)
    by_entity = rates(lake)
    assert by_entity["vm", "vm-1", "cpu_percent"]["anomaly_rate"] == pytest.approx(12 / 288)
    assert by_entity["vm", "vm-1", "*"]["points"] == 288
    assert by_entity["vm", "vm-2", "*"]["anomaly_rate"] == 0
    assert by_entity["node", "node-1", "*"]["anomaly_rate"] == pytest.approx(12 / 576)
    assert (by_entity["node", "node-2", "*"]["status"], by_entity["node", "node-2", "*"]["anomaly_rate"]) == (
        "no_data",
        None,
    )
    assert by_entity["tenant", "acme", "*"]["anomalous_points"] == 12
    assert by_entity["tenant", "acme", "*"]["intervals"] == 1
    assert by_entity["vm", "vm-3", "cpu_percent"]["status"] == "insufficient_data"


def test_a_vm_that_is_silent_all_day_has_no_rate(lake):
    """Stops a VM that vanished from vanishing from the rates."""
    silent = day_and_night()
    silent[TODAY:] = np.nan
    store(lake, {"vm-1": {"cpu_percent": silent}, "vm-2": {"cpu_percent": day_and_night(2)}})
    lake.write(TABLE, Partition("acme", LAST_DAY), found(lake)[0].data)
    row = rates(lake)["vm", "vm-1", "*"]
    assert (row["status"], row["points"], row["anomaly_rate"]) == ("no_data", 0, None)


def test_metrics_that_were_not_judged_do_not_thin_the_rate(lake):
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 99
    store(lake, {"vm-1": {"cpu_percent": values, "memory_bytes": day_and_night(3) * 1e9}})
    only = GIVEN.model_copy(update={"metrics": ("cpu_percent",)})
    lake.write(TABLE, Partition("acme", LAST_DAY), found(lake, only)[0].data)
    assert rates(lake, only)["vm", "vm-1", "*"]["anomaly_rate"] == pytest.approx(12 / 288)


def test_a_vm_that_moved_counts_where_it_was(lake):
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 99
    store(lake, {"vm-1": {"cpu_percent": values}})
    data = lake.read_day(VM_RESOURCES, Partition("acme", LAST_DAY))
    nodes = pa.array(["node-1"] * 206 + ["node-2"] * 82)
    place = data.column_names.index("node_id")
    lake.write(VM_RESOURCES, Partition("acme", LAST_DAY), data.set_column(place, "node_id", nodes), Facts())
    lake.write(TABLE, Partition("acme", LAST_DAY), found(lake)[0].data)
    by_entity = rates(lake)
    assert by_entity["node", "node-1", "*"]["anomalous_points"] == 6
    assert by_entity["node", "node-2", "*"]["anomalous_points"] == 6
    assert by_entity["node", "node-2", "*"]["points"] == 82
