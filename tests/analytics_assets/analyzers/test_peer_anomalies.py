"""VMs unlike their peers, and who counts as a peer: roles and groups."""

import numpy as np
import pyarrow as pa
import pytest

from analytics_assets.analyzers.anomaly_model.peer_rows import peer_groups, role_of
from analytics_assets.processors.vm_inventory import VM_INVENTORY
from resources.partition import Partition
from tests.analytics_assets.analyzers.anomaly_lake import START_MS, TODAY, answers, day_and_night, found, store
from tests.analytics_assets.analyzers.fleet import LAST_DAY


def inventory_of(lake, names, flavor="s1"):
    rows = {
        "vm_id": list(names),
        "valid_from": [START_MS] * len(names),
        "vm_name": list(names.values()),
        "node_id": [None] * len(names),
        "flavor": [flavor] * len(names),
        "vcpus": [2.0] * len(names),
        "memory_bytes": [2**31] * len(names),
        "disk_bytes": [None] * len(names),
        "state": ["running"] * len(names),
    }
    arrays = {}
    for column in VM_INVENTORY.columns:
        kind = pa.string() if pa.types.is_dictionary(column.type) else column.type
        values = rows[column.name]
        arrays[column.name] = (
            pa.array(values, pa.int64()).cast(kind) if column.name == "valid_from" else pa.array(values, kind)
        )
    lake.write(VM_INVENTORY, Partition("acme", LAST_DAY), pa.table(arrays))


def test_a_vm_unlike_its_peers_is_told_once(lake):
    """Stops a web server that gets no traffic from passing for healthy, and one that does other work from nagging."""
    shared = day_and_night(noise=0.5)
    vms = {
        f"vm-{number}": {"cpu_percent": shared + np.random.default_rng(number).normal(0, 0.5, len(shared))}
        for number in range(6)
    }
    vms["vm-3"]["cpu_percent"][TODAY:] = 1.0
    vms["vm-4"]["cpu_percent"] = vms["vm-4"]["cpu_percent"] + 30
    vms["vm-3"]["cpu_percent"][TODAY + 1 :: 2] = np.nan
    vms["vm-9"] = {"cpu_percent": day_and_night(9)}
    store(lake, vms)
    inventory_of(lake, {f"vm-{number}": f"web-{number:02d}" for number in range(6)})
    result, rows = found(lake, inventory=True)
    (row,) = [row for row in answers(rows) if row["kind"] == "peer"]
    assert (row["entity_id"], row["direction"], row["peers"], row["points"]) == ("vm-3", "down", 5, 144)
    assert "1 of 7 VMs have too few peers to be compared with" in result.facts.notes
    assert row["value"] == 1.0
    assert row["expected"] == pytest.approx(40, abs=3)
    assert "5 peers (web, s1)" in row["why"]


@pytest.mark.parametrize(
    ("name", "role"),
    [("web-03", "web"), ("web12", "web"), ("db", None), (None, None), ("42", None), ("a.b_7", "a.b"), ("", None)],
)
def test_a_role_is_a_name_without_its_number(name, role):
    assert role_of(name) == role


def test_the_last_row_of_the_inventory_tells_the_group():
    columns = {
        "vm_id": ["a", "a", "b"],
        "valid_from": [2, 1, 1],
        "vm_name": ["db-1", "web-1", "web-2"],
        "flavor": ["s1", "s1", None],
    }
    assert peer_groups(pa.table(columns), "name") == {"a": "db, s1", "b": "web"}
    assert peer_groups(pa.table(columns), "flavor") == {"a": "s1"}
    assert peer_groups(pa.table(columns), "none") == {}
