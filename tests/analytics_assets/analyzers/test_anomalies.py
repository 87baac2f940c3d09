"""Anomalies of planted days, read from a lake as in production."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from analytics_assets.analyzers import anomaly_rates
from analytics_assets.analyzers.anomalies import COMPONENT, TABLE, compute
from analytics_assets.analyzers.anomaly_model import history
from analytics_assets.analyzers.anomaly_model.parameters import AnomaliesParameters
from analytics_assets.analyzers.anomaly_model.peer_rows import peer_groups, role_of
from analytics_assets.components import Component, Instance, NoParameters
from analytics_assets.processors.vm_inventory import VM_INVENTORY
from analytics_assets.processors.vm_resources import VM_RESOURCES
from resources.lake.lake import Facts, Lake
from resources.partition import Partition
from tests.analytics_assets.analyzers.fleet import LAST_DAY, workplace

PER_DAY = 288
DAYS = 15
START_MS = Partition("acme", LAST_DAY - timedelta(DAYS - 1)).start_ms
TODAY = (DAYS - 1) * PER_DAY
"""The step at which the judged day begins."""

GIVEN = AnomaliesParameters(window_days=DAYS - 1, together=False)


def instance(table):
    made = Component(table.name, "processors", "", "", NoParameters, (), table, lambda workplace, parameters: None)
    return Instance(table.name, made, NoParameters())


def day_and_night(seed=0, noise=1.0):
    """CPU of an ordinary VM over the window and the day, in percent."""
    steps = np.arange(DAYS * PER_DAY)
    cycle = 20 * np.sin(steps / PER_DAY * 2 * np.pi)
    return 40 + cycle + noise * np.random.default_rng([7, seed]).standard_normal(len(steps))


def store(lake, vms, node="node-1", tenant="acme", days=range(DAYS), as_of_ms=None):
    """Store five-minute rows of `vms`: vm_id -> {stem: values by step}, NaN for no sample."""
    for number in days:
        part = slice(number * PER_DAY, (number + 1) * PER_DAY)
        ids, arrays = sorted(vms), {}
        for column in VM_RESOURCES.columns:
            stem = column.name.rpartition("_")[0]
            kind = pa.string() if pa.types.is_dictionary(column.type) else column.type
            if column.name == "vm_id":
                values = np.repeat(ids, PER_DAY)
            elif column.name == "node_id":
                values = [node if isinstance(node, str) else node[vm] for vm in ids for _ in range(PER_DAY)]
            elif column.name == "ts":
                values = np.tile(START_MS + 300_000 * np.arange(PER_DAY) + number * 86_400_000, len(ids))
            elif column.name in ("samples_seen", "samples_expected"):
                values = np.full(len(ids) * PER_DAY, 5)
            else:
                nothing = np.full(PER_DAY, np.nan)
                values = np.concatenate([vms[vm][stem][part] if stem in vms[vm] else nothing for vm in ids])
            made = pa.array(values, pa.int64()) if pa.types.is_timestamp(kind) else pa.array(values)
            arrays[column.name] = pa.array(values, kind, from_pandas=True) if kind == pa.float32() else made.cast(kind)
        data = pa.table(arrays)
        there = np.zeros(data.num_rows, bool)
        for stem in {stem for metrics in vms.values() for stem in metrics}:
            there |= np.asarray(data.column(f"{stem}_mean").is_valid())
        facts = Facts(as_of_ms=as_of_ms if number == DAYS - 1 else None)
        lake.write(VM_RESOURCES, Partition(tenant, LAST_DAY - timedelta(DAYS - 1 - number)), data.filter(there), facts)


def found(lake, parameters=GIVEN, tenant="acme", inventory=False):
    inputs = {"samples": instance(VM_RESOURCES), **({"inventory": instance(VM_INVENTORY)} if inventory else {})}
    with workplace(lake, COMPONENT, parameters, inputs, tenant) as place:
        result = compute(place, parameters)
    return result, TABLE.conform(result.data).to_pylist()


def answers(rows):
    return [row for row in rows if row["status"] == "ok"]


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def test_an_hour_at_full_cpu_is_one_interval_with_its_evidence(lake):
    """Stops an event from being missed, told twice, or told without what was expected."""
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 99
    store(lake, {"vm-1": {"cpu_percent": values}, "vm-2": {"cpu_percent": day_and_night(2)}})
    _, rows = found(lake)
    (row,) = answers(rows)
    assert (row["kind"], row["entity_id"], row["metric"], row["direction"]) == ("metric", "vm-1", "cpu_percent", "up")
    assert (row["start"].hour, row["start"].minute) == (16, 40)
    assert (row["end"] - row["start"]).total_seconds() == 3600
    assert row["score"] >= 1
    assert row["low"] < row["expected"] < row["high"] < row["value"] == 99
    assert row["severity"] in ("medium", "high")
    assert row["history_days"] == pytest.approx(14)
    assert (row["samples_seen"], row["coverage"], row["days_alike"]) == (1440, 1.0, 0)
    assert row["why"].startswith("99 % at ")


def test_a_nightly_job_and_the_return_from_an_event_are_no_news(lake):
    """Stops a backup that begins at another minute each night from calling somebody every night."""
    values = day_and_night()
    for day, begin in enumerate([30, 34, 27, 31, 36, 29, 33, 25, 30, 37, 28, 32, 35, 26, 38]):
        values[day * PER_DAY + begin : day * PER_DAY + begin + 6] = 90
    store(lake, {"vm-1": {"cpu_percent": values}})
    _, rows = found(lake)
    assert answers(rows) == []


def test_a_change_too_small_to_matter_is_none(lake):
    """Stops a twitch of a hair from alarming on a metric that never moved."""
    values = np.full(DAYS * PER_DAY, 3.0)
    values[TODAY + 100 : TODAY + 110] = 6.0
    store(lake, {"vm-1": {"cpu_percent": values}})
    assert answers(found(lake)[1]) == []
    small = AnomaliesParameters(window_days=DAYS - 1, together=False, minimum_change_percent=1)
    assert len(answers(found(lake, small)[1])) == 1


@pytest.mark.parametrize(("hour", "value"), [(5, 21.0), (17, 59.0)])
def test_an_outage_by_day_and_load_by_night_are_told(lake, hour, value):
    """Stops the daily cycle, between 20 and 60 %, from excusing at its height what is usual at its depth."""
    values = day_and_night()
    first = TODAY + hour * 12
    values[first : first + 24] = value + np.random.default_rng(5).normal(0, 0.5, 24)
    store(lake, {"vm-1": {"cpu_percent": values}})
    rows = answers(found(lake)[1])
    assert [(row["direction"], row["start"].hour) for row in rows] == [("up" if value > 50 else "down", hour)]


def test_a_new_level_on_a_cycle_is_told_on_the_day_it_comes(lake):
    values = day_and_night()
    values[TODAY + 120 :] += 60
    store(lake, {"vm-1": {"cpu_percent": values}})
    assert len(answers(found(lake)[1])) == 1


def test_infinite_values_hide_nothing_else(lake):
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 99
    values[37::PER_DAY] = np.inf
    store(lake, {"vm-1": {"cpu_percent": values}})
    assert len(answers(found(lake)[1])) == 1


def test_hours_without_a_row_cost_coverage(lake):
    """Stops a VM that was measured for six of 24 hours from looking complete."""
    values = day_and_night()
    values[TODAY + 72 :] = np.nan
    values[TODAY + 40 : TODAY + 50] = 99
    store(lake, {"vm-1": {"cpu_percent": values}, "vm-2": {"cpu_percent": day_and_night(2)}})
    (row,) = answers(found(lake)[1])
    assert (row["samples_seen"], row["samples_expected"], row["coverage"]) == (360, 1440, 0.25)


@pytest.mark.parametrize("age_days", [5, 8.5, 10, 12])
def test_a_young_vm_is_no_joint_anomaly(lake, age_days):
    """Stops the time before a VM existed from teaching that nothing ever moves."""
    metrics = ("cpu_percent", "memory_bytes", "disk_bytes", "network_receive_bytes_per_second")
    values = {stem: day_and_night(seed) * (1 if not seed else 1e8) for seed, stem in enumerate(metrics)}
    for series in values.values():
        series[: int(TODAY - age_days * PER_DAY)] = np.nan
    store(lake, {"vm-1": values})
    assert [
        row for row in answers(found(lake, GIVEN.model_copy(update={"together": True}))[1]) if row["kind"] == "together"
    ] == []


def test_the_direction_that_is_asked_for_counts(lake):
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 2
    store(lake, {"vm-1": {"cpu_percent": values}})
    assert [row["direction"] for row in answers(found(lake)[1])] == ["down"]
    assert answers(found(lake, GIVEN.model_copy(update={"direction": "up"}))[1]) == []


def test_what_cannot_be_judged_says_why(lake):
    """Stops a silent metric, or a VM of yesterday, from passing for a normal one."""
    young, silent, endless = day_and_night(), day_and_night(), day_and_night()
    young[: TODAY - 100] = np.nan
    silent[TODAY:] = np.nan
    endless[TODAY:] = np.inf
    vms = {"vm-1": {"cpu_percent": young}, "vm-2": {"cpu_percent": silent}, "vm-3": {"cpu_percent": endless}}
    store(lake, vms)
    _, rows = found(lake, GIVEN.model_copy(update={"metrics": ("cpu_percent",)}))
    said = {row["entity_id"]: (row["status"], row["reason"], row["score"]) for row in rows}
    assert said == {
        "vm-1": ("insufficient_data", "0.3 days' worth of samples before the day; needs 3", None),
        "vm-2": ("no_data", "no sample of this metric on the day", None),
        "vm-3": ("degenerate", "only infinite values on the day: the metric has no scale", None),
    }


def test_an_interval_over_midnight_is_told_on_both_days(lake):
    """Stops an event that began before midnight from being lost, or from growing with each day it is told."""
    values = day_and_night()
    values[TODAY - 20 : TODAY + 30] = 99
    store(lake, {"vm-1": {"cpu_percent": values}})
    (row,) = answers(found(lake)[1])
    assert row["start"].isoformat() == f"{LAST_DAY}T00:00:00+00:00"
    assert row["began"] == row["start"] - timedelta(minutes=100)
    assert row["points"] == 30
    assert not row["ongoing"]


def test_a_day_that_is_not_over_is_judged_as_far_as_it_goes(lake):
    """Stops the hours to come from counting as missing, and an event that goes on from looking closed."""
    values = day_and_night()
    values[TODAY + 90 : TODAY + 100] = 99
    values[TODAY + 100 :] = np.nan
    as_of_ms = START_MS + (TODAY + 100) * 300_000
    store(lake, {"vm-1": {"cpu_percent": values}}, as_of_ms=as_of_ms)
    result, rows = found(lake)
    (row,) = answers(rows)
    assert row["ongoing"]
    assert row["end"].timestamp() * 1000 == as_of_ms == result.facts.as_of_ms


def test_all_metrics_together_name_what_explains_them(lake):
    values = {stem: day_and_night(seed) for seed, stem in enumerate(("cpu_percent", "memory_bytes", "disk_bytes"))}
    for stem in ("memory_bytes", "disk_bytes"):
        values[stem] *= 1e9
    values["cpu_percent"][TODAY + 200 : TODAY + 230] += 30
    values["memory_bytes"][TODAY + 200 : TODAY + 230] += 30e9
    store(lake, {"vm-1": values})
    _, rows = found(lake, GIVEN.model_copy(update={"together": True}))
    joint = [row for row in answers(rows) if row["kind"] == "together"]
    assert joint
    assert joint[0]["metric"] == "*"
    assert {part.split()[0] for part in joint[0]["metrics"].split(", ")[:2]} == {"cpu_percent", "memory_bytes"}


def test_blocks_of_entities_give_the_same_as_all_at_once(lake, monkeypatch):
    """Stops the size of a block from changing an answer, or an entity at its edge from being lost."""
    vms = {f"vm-{number}": {"cpu_percent": day_and_night(number)} for number in range(5)}
    for number in range(5):
        vms[f"vm-{number}"]["cpu_percent"][TODAY + 200 : TODAY + 210] = 99
    store(lake, vms)
    whole = found(lake)[1]
    monkeypatch.setattr(history, "VALUES_AT_ONCE", 2 * DAYS * PER_DAY * 7)
    assert found(lake)[1] == whole
    assert [row["entity_id"] for row in answers(whole)] == sorted(vms)


def test_the_order_of_days_computed_does_not_matter(lake):
    """Stops an answer from depending on whether earlier days were ever judged, and on other tenants' data."""
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 99
    store(lake, {"vm-1": {"cpu_percent": values}})
    alone = found(lake)[0].data
    lake.write(TABLE, Partition("acme", LAST_DAY - timedelta(1)), TABLE.empty())
    store(lake, {"vm-1": {"cpu_percent": day_and_night(9)}}, tenant="globex")
    assert found(lake)[0].data.equals(alone)


def test_threads_do_not_change_the_answer(lake):
    values = day_and_night()
    values[TODAY + 200 : TODAY + 212] = 99
    store(lake, {f"vm-{number}": {"cpu_percent": values + number} for number in range(3)})
    one = found(lake, GIVEN.model_copy(update={"threads": 1}))[0].data
    assert one.equals(found(lake, GIVEN.model_copy(update={"threads": 3}))[0].data)


def test_missing_days_are_recorded(lake):
    store(lake, {"vm-1": {"cpu_percent": day_and_night()}}, days=[*range(9), *range(10, DAYS)])
    result, _ = found(lake)
    assert result.facts.days_missing == ((LAST_DAY - timedelta(5)).isoformat(),)


def test_no_vm_at_all_is_said(lake):
    lake.write(VM_RESOURCES, Partition("acme", LAST_DAY), VM_RESOURCES.empty())
    result, rows = found(lake)
    assert rows == []
    assert "no row on the day" in result.facts.notes[0]


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
    store(lake, vms)
    inventory_of(lake, {f"vm-{number}": f"web-{number:02d}" for number in range(6)})
    _, rows = found(lake, inventory=True)
    (row,) = [row for row in answers(rows) if row["kind"] == "peer"]
    assert (row["entity_id"], row["direction"], row["peers"]) == ("vm-3", "down", 5)
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


def test_parameters_that_cannot_open_an_interval_are_refused():
    with pytest.raises(ValidationError, match="outside_points 4 is more than of_points 3"):
        AnomaliesParameters(outside_points=4, of_points=3)


def rates(lake, judged_by=GIVEN, tenant="acme"):
    component = anomaly_rates.COMPONENT
    inputs = {"samples": instance(VM_RESOURCES), "anomalies": Instance("anomalies", COMPONENT, judged_by)}
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
