"""Suspects of planted incidents, read from a lake as in production."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from analytics_assets.analyzers.anomaly_model.table import TABLE as ANOMALIES
from analytics_assets.analyzers.anomaly_model.table import TOGETHER
from analytics_assets.analyzers.suspect_model.parameters import SuspectsParameters
from analytics_assets.analyzers.suspects import COMPONENT, TABLE, compute
from analytics_assets.components import Component, Instance, NoParameters
from analytics_assets.processors.storage_utilization import STORAGE_UTILIZATION
from analytics_assets.processors.system_load import SYSTEM_LOAD
from analytics_assets.processors.vm_resources import VM_RESOURCES
from resources.lake.lake import Facts, Lake
from resources.lake.table import TIMESTAMP
from resources.partition import Partition
from tests.analytics_assets.analyzers.fleet import LAST_DAY, workplace

STEPS = 2 * 288
FIRST, LAST = 400, 409
"""Steps of the incident, on the second day."""

START_MS = Partition("acme", LAST_DAY - timedelta(1)).start_ms


def instance(table):
    made = Component(table.name, "processors", "", "", NoParameters, (), table, lambda workplace, parameters: None)
    return Instance(table.name, made, NoParameters())


def at(step):
    return START_MS + step * 300_000


def noise(seed, level=40.0, spread=2.0):
    return level + spread * np.random.default_rng(seed).standard_normal(STEPS)


def bump(values, size, first=FIRST, last=LAST):
    values = values.copy()
    values[first : last + 1] += size * np.sin(np.pi * (np.arange(last - first + 1) + 1) / (last - first + 2))
    return values


def store(lake, table, key, series, tenant, more=None, facts=None):
    """Write both days of `table`: `series` is key -> {stem: values by step}; `more` is key -> other columns."""
    for number in range(2):
        part = slice(number * 288, number * 288 + 288)
        count = len(series) * 288
        given = {
            key: [name for name in series for _ in range(288)],
            "ts": np.tile(at(0) + 300_000 * np.arange(288) + number * 86_400_000, len(series)),
            "samples_seen": [5] * count,
            "samples_expected": [5] * count,
        }
        for column in {column for values in (more or {}).values() for column in values}:
            given[column] = [more[name][column] for name in series for _ in range(288)]
        for stem in {stem for values in series.values() for stem in values}:
            missing = np.full(288, np.nan)
            given[f"{stem}_mean"] = np.concatenate(
                [values[stem][part] if stem in values else missing for values in series.values()]
            )
        arrays = {}
        for column in table.columns:
            kind = pa.string() if pa.types.is_dictionary(column.type) else column.type
            if column.name not in given:
                arrays[column.name] = pa.nulls(count, kind)
            elif pa.types.is_timestamp(kind):
                arrays[column.name] = pa.array(given[column.name]).cast(kind)
            else:
                arrays[column.name] = pa.array(given[column.name], kind, from_pandas=True)
        lake.write(table, Partition(tenant, LAST_DAY - timedelta(1 - number)), pa.table(arrays), facts)


def vms(lake, series, tenant="acme", node="node-1", facts=None):
    placed = {vm: {"node_id": node if isinstance(node, str) else node.get(vm)} for vm in series}
    store(lake, VM_RESOURCES, "vm_id", series, tenant, placed, facts)


def alarm(lake, *rows, tenant="acme", table=ANOMALIES, **more):
    """Each row is (kind, entity, metric, first step, last step, score); `more` are columns of all rows."""
    columns = list(zip(*rows, strict=True)) if rows else [[]] * 6
    given = {
        "kind": ["together" if metric == TOGETHER else "metric" for metric in columns[2]],
        "entity_kind": columns[0],
        "entity_id": columns[1],
        "metric": columns[2],
        "start": [at(step) for step in columns[3]],
        "end": [at(step + 1) for step in columns[4]],
        "score": columns[5],
        "status": ["ok"] * len(rows),
        "unit": [""] * len(rows),
        "ongoing": [False] * len(rows),
        **{name: [0] * len(rows) for name in ("points", "samples_seen", "samples_expected")},
        **{name: [value] * len(rows) for name, value in more.items()},
    }
    arrays = {}
    for column in ANOMALIES.columns:
        kind = pa.string() if pa.types.is_dictionary(column.type) else column.type
        values = given.get(column.name, [None] * len(rows))
        if pa.types.is_timestamp(kind):
            arrays[column.name] = pa.array(values, pa.int64()).cast(TIMESTAMP)
        else:
            arrays[column.name] = pa.array(values, kind)
    lake.write(table, Partition(tenant, LAST_DAY), pa.table(arrays))


def found(lake, tenant="acme", parameters=None, roles=("anomalies",), more_anomalies=()):
    tables = {
        "samples": VM_RESOURCES,
        "anomalies": ANOMALIES,
        "nodes": SYSTEM_LOAD,
        "storage": STORAGE_UTILIZATION,
    }
    inputs = {role: instance(tables[role]) for role in ("samples", *roles)}
    parameters = parameters or SuspectsParameters()
    with workplace(lake, COMPONENT, parameters, inputs, tenant) as place:
        if more_anomalies:
            place.instance.inputs["anomalies"] += tuple(instance(table) for table in more_anomalies)
        result = compute(place, parameters)
    return result, TABLE.conform(result.data).to_pylist()


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def neighbours(lake, after=0.0, **more):
    """The backup's CPU disturbs web's; calm lives beside them, far on another node and moves likewise.

    `after` is added to all CPUs once the incident is over.
    """
    later = np.where(np.arange(STEPS) > LAST, after, 0)
    series = {
        "backup": {
            "cpu_percent": bump(noise(1), 60) + later,
            "disk_read_bytes_per_second": bump(noise(5, 1e6, 1e5), 5e7),
        },
        "calm": {"cpu_percent": noise(3) + later},
        "far": {"cpu_percent": bump(noise(4), 60) + later},
        "web": {"cpu_percent": bump(noise(2), 25) + later, "memory_bytes": noise(6, 4e9, 1e7)},
    }
    vms(lake, series, node={"backup": "node-1", "calm": "node-1", "web": "node-1", "far": "node-2"}, **more)


def test_the_neighbour_that_moved_with_the_alarm_is_named_with_its_evidence(lake):
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    result, rows = found(lake)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert {row["suspect_id"] for row in rows} == {"backup", "calm", "web"}
    first = rows[0]
    assert (first["status"], first["suspect_id"], first["candidates"]) == ("ok", "backup", 3)
    assert (first["suspect_kind"], first["suspect_tenant"], first["suspect_metric"]) == ("vm", "acme", "cpu_percent")
    assert first["agreement"] > 0.9
    assert first["before"] == pytest.approx(40, abs=1.5)
    assert first["during"] > 70
    assert first["distance"] == 2
    assert at(FIRST) <= int(first["onset"].timestamp() * 1000) <= at(FIRST + 1)
    assert first["coverage"] == 1
    assert "agreement with the alarm" in first["evidence"]
    assert result.numbers == {"incidents": 1, "without_answer": 0, "own_cause": 0}
    assert len(result.facts.days_read) == 2


def test_an_interval_of_several_instances_of_anomalies_is_one_incident(lake):
    """Two instances that share a metric stored one interval each, and the table refused the second."""
    neighbours(lake)
    other = ANOMALIES.named("strict_anomalies")
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0), ("vm", "calm", "cpu_percent", FIRST, LAST, 2.0))
    once = found(lake)[0]
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST - 3, 1.0), table=other)
    twice = found(lake, more_anomalies=(other,))[0]
    assert twice.numbers["incidents"] == 2
    assert TABLE.conform(twice.data).equals(TABLE.conform(once.data))
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST - 3, 9.0), table=other)
    rows = found(lake, more_anomalies=(other,))[1]
    assert {int(row["end"].timestamp() * 1000) for row in rows if row["entity_id"] == "web"} == {at(LAST - 2)}


def moved(lake, vm, step, node, tenant="acme"):
    """From `step` of the second day on, `vm` is on `node`."""
    partition = Partition(tenant, LAST_DAY)
    data = lake.read_day(VM_RESOURCES, partition)
    rows = zip(
        data.column("vm_id").to_pylist(), data.column("ts").cast(pa.int64()).to_pylist(),
        data.column("node_id").to_pylist(), strict=True,
    )  # fmt: skip
    nodes = [node if name == vm and ts >= at(step) else old for name, ts, old in rows]
    place = data.column_names.index("node_id")
    lake.write(VM_RESOURCES, partition, data.set_column(place, "node_id", pa.array(nodes)))


def test_a_vm_that_moves_after_the_incident_is_looked_for_where_it_was(lake):
    """Its new neighbours saw nothing of it, and its old ones were not even candidates."""
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    before = found(lake)[0].data
    moved(lake, "web", LAST + 40, "node-2")
    assert found(lake)[0].data.equals(before)


def test_who_is_moved_away_during_the_incident_is_a_suspect_still(lake):
    """Moving the noisy neighbour is what ends an incident; who comes once it is over has nothing to do with it."""
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    moved(lake, "backup", LAST - 2, "node-2")
    moved(lake, "far", LAST + 1, "node-1")
    rows = found(lake)[1]
    assert rows[0]["suspect_id"] == "backup"
    assert "far" not in {row["suspect_id"] for row in rows}


def test_a_vm_whose_node_is_unknown_for_a_while_stays_where_it_was(lake):
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    before = found(lake)[0].data
    moved(lake, "web", FIRST - 5, None)
    assert found(lake)[0].data.equals(before)


def part_of_nodes(lake, load, tenant="acme"):
    store(lake, SYSTEM_LOAD, "node_id", load, tenant, {node: {"scope": "tenant"} for node in load})


def test_a_tenants_incident_of_a_node_is_one_of_its_vms_there(lake):
    """It said that the node has no samples, although its part of the node's load is what had alarmed."""
    neighbours(lake)
    part_of_nodes(lake, {"node-1": {"cpu_percent": bump(noise(8), 30)}, "node-2": {"cpu_percent": noise(9)}})
    alarm(lake, ("node", "node-1", "cpu_percent", FIRST, LAST, 3.0))
    result, rows = found(lake, roles=("anomalies", "nodes"))
    assert [(row["status"], row["rank"], row["candidates"]) for row in rows] == [("ok", n, 3) for n in (1, 2, 3)]
    assert {row["suspect_id"] for row in rows} == {"backup", "web", "calm"}
    assert rows[-1]["suspect_id"] == "calm"
    assert rows[0]["agreement"] > 0.9
    assert rows[0]["distance"] == 1
    assert {(row["entity_tenant"], row["suspect_kind"]) for row in rows} == {("acme", "vm")}
    assert result.facts.samples_seen == 4 * STEPS * 5  # the sum's samples are the VMs'


def test_a_tenants_part_of_a_node_is_no_suspect_of_its_vms(lake):
    """It agrees with every one of them, since it is their sum."""
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    before = found(lake)[1]
    part_of_nodes(lake, {"node-1": {"cpu_percent": bump(noise(8), 30)}})
    assert found(lake, roles=("anomalies", "nodes"))[1] == before


@pytest.mark.parametrize("tenant", ["acme", "platform"])
def test_an_incident_of_a_node_without_nodes_says_what_is_missing(lake, tenant):
    neighbours(lake)
    vms(lake, {}, "platform")
    alarm(lake, ("node", "node-1", "cpu_percent", FIRST, LAST, 3.0), tenant=tenant)
    [row] = found(lake, tenant)[1]
    assert (row["status"], row["candidates"]) == ("no_data", 0)
    assert "name system_load under 'nodes'" in row["reason"]


def test_a_node_that_no_vm_is_known_to_have_been_on_has_no_suspect(lake):
    """What VMs of unknown places do is summed as one node."""
    neighbours(lake)
    part_of_nodes(lake, {"unknown": {"cpu_percent": bump(noise(8), 30)}})
    alarm(lake, ("node", "unknown", "cpu_percent", FIRST, LAST, 3.0))
    [row] = found(lake, roles=("anomalies", "nodes"))[1]
    assert (row["status"], row["candidates"]) == ("no_data", 0)
    assert row["reason"].startswith("nobody with samples")


def test_who_has_no_samples_around_the_incident_is_no_suspect(lake):
    """Its evidence read: from nan to nan."""
    neighbours(lake)
    gone = np.where(np.arange(STEPS) < FIRST - 50, 1e9, np.nan)
    vms(lake, {
        "web": {"cpu_percent": bump(noise(2), 25)},
        "none": {"cpu_percent": np.full(STEPS, np.nan)},
        "gone": {"memory_bytes": gone},
    })  # fmt: skip
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    rows = found(lake)[1]
    assert "none" not in {row["suspect_id"] for row in rows}
    assert not [row for row in rows if "nan" in row["evidence"]]


def test_an_incident_of_which_nobody_has_samples_says_so(lake):
    """There is no metric left to be ranked by."""
    vms(lake, {"web": {"cpu_percent": np.full(STEPS, np.nan)}})
    alarm(lake, ("vm", "web", TOGETHER, FIRST, LAST, 3.0))
    [row] = found(lake)[1]
    assert (row["status"], row["candidates"]) == ("no_data", 1)


def test_a_vm_alone_on_its_node_is_its_own_suspect(lake):
    neighbours(lake)
    alarm(lake, ("vm", "far", "cpu_percent", FIRST, LAST, 3.0))
    result, rows = found(lake)
    assert [row["suspect_id"] for row in rows] == ["far"]
    assert "raised the alarm" in rows[0]["evidence"]
    assert result.numbers["own_cause"] == 1


def test_what_happens_after_the_incident_does_not_matter(lake, tmp_path):
    """A suspect must not change when the day goes on."""
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    later = Lake(tmp_path / "later")
    neighbours(later, after=90)
    alarm(later, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    assert found(later)[0].data.equals(found(lake)[0].data)


def test_an_incident_of_one_sample_is_looked_at_longer(lake):
    """One step has no course."""
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST + 3, FIRST + 3, 3.0))
    assert found(lake)[1][0]["suspect_id"] == "backup"


def test_an_incident_of_several_metrics_goes_by_change(lake):
    """A multivariate anomaly has no metric of its own that others could agree with."""
    neighbours(lake)
    alarm(lake, ("vm", "web", TOGETHER, FIRST, LAST, 3.0))
    rows = found(lake)[1]
    assert rows[0]["suspect_id"] == "backup"
    assert rows[0]["agreement"] is None
    assert rows[0]["entity_change"] > rows[1]["entity_change"]


def test_an_incident_that_began_the_day_before_is_looked_at_from_there(lake):
    """From midnight on there is neither its way up nor a time before it."""
    series = {"backup": bump(noise(1), 60, 270, 300), "calm": noise(3), "web": bump(noise(2), 25, 270, 300)}
    vms(lake, {vm: {"cpu_percent": values} for vm, values in series.items()})
    alarm(lake, ("vm", "web", "cpu_percent", 288, 300, 3.0), began=at(270))
    [first, *_] = found(lake)[1]
    assert first["suspect_id"] == "backup"
    assert first["before"] == pytest.approx(40, abs=1.5)
    assert int(first["start"].timestamp() * 1000) == at(288)


@pytest.mark.parametrize("more", [{"status": "insufficient_data"}, {"kind": "peer"}])
def test_what_is_no_incident_has_no_suspects(lake, more):
    """Metrics that could not be judged and VMs that differ from their peers all day have rows in anomalies too."""
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0), **more)
    assert found(lake)[1] == []


def test_incidents_without_an_answer_say_why(lake):
    """Too early to know what is usual; unknown VM; a metric that was not there."""
    neighbours(lake)
    alarm(
        lake,
        ("vm", "ghost", "cpu_percent", FIRST, LAST, 1.0),
        ("vm", "calm", "memory_bytes", FIRST, LAST, 1.0),
        ("vm", "web", "cpu_percent", 288 + 2, 288 + 5, 1.0),
    )
    rows = {row["entity_id"]: row for row in found(lake, parameters=SuspectsParameters(history_days=1))[1]}
    assert (rows["ghost"]["status"], rows["ghost"]["candidates"]) == ("no_data", 0)
    assert (rows["calm"]["status"], rows["calm"]["suspect_id"]) == ("no_data", None)
    assert rows["web"]["status"] == "insufficient_data"
    assert rows["web"]["reason"].startswith("2 steps of history")


def test_the_highest_incidents_are_looked_into(lake):
    neighbours(lake)
    alarm(
        lake,
        ("vm", "web", "cpu_percent", FIRST, LAST, 3.0),
        ("vm", "calm", "cpu_percent", 320, 330, 1.0),
        ("vm", "far", "cpu_percent", FIRST, LAST, 2.0),
    )
    parameters = SuspectsParameters(maximum_incidents=2, suspects_per_incident=1)
    rows = found(lake, parameters=parameters)[1]
    assert [(row["entity_id"], row["suspect_id"]) for row in rows] == [("far", "far"), ("web", "backup")]


def test_without_anomalies_there_are_no_rows_and_a_note(lake):
    neighbours(lake)
    result, rows = found(lake, roles=())
    assert rows == []
    assert "no anomalies are read" in result.facts.notes[0]
    alarm(lake)
    result, rows = found(lake)
    assert rows == []
    assert "no anomaly that day" in result.facts.notes[0]


def test_an_unfinished_day_ends_where_its_samples_end(lake):
    neighbours(lake, facts=Facts(as_of_ms=at(LAST - 1)))
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    assert found(lake)[1][0]["suspect_id"] == "backup"


def test_the_platform_sees_across_tenants_and_the_tiers(lake):
    """web of zeta suffers from backup of acme; only the operator may know. Both tenants have a VM of that name."""
    vms(lake, {"backup": {"cpu_percent": bump(noise(1), 60)}, "web": {"cpu_percent": noise(2)}}, "acme")
    vms(lake, {"web": {"cpu_percent": noise(3)}}, "zeta")
    vms(lake, {"other": {"cpu_percent": bump(noise(4), 90)}}, "zulu", node="node-2")
    vms(lake, {}, "platform")
    load = {"node-1": {"cpu_percent": bump(noise(5), 30)}, "node-2": {"cpu_percent": noise(6)}}
    store(lake, SYSTEM_LOAD, "node_id", load, "platform", {node: {"scope": "node"} for node in load})
    tiers = {"ssd/node-1": {"read_latency_seconds": bump(noise(7, 0.01, 0.001), 0.2)}}
    more = {"ssd/node-1": {"node_id": "node-1", "tier": "ssd", "entity_kind": "tier", "doubtful": False}}
    store(lake, STORAGE_UTILIZATION, "entity_id", tiers, "platform", more)
    alarm(lake, ("node", "node-1", "cpu_percent", FIRST, LAST, 3.0), tenant="platform")
    result, rows = found(lake, "platform", roles=("anomalies", "nodes", "storage"))
    assert [(row["suspect_tenant"], row["suspect_id"]) for row in rows[:2]] == [
        ("acme", "backup"),
        ("platform", "ssd/node-1"),
    ]
    assert rows[1]["suspect_metric"] == "read_latency_seconds"
    assert rows[0]["candidates"] == 5
    assert "acme, zeta, zulu" in result.facts.notes[0]
    assert "leave out 3 tenant(s) without anomalies" in result.facts.notes[1]


def operator(lake):
    """The node of acme's noisy and zeta's disturbed VM, with no incident of its own."""
    vms(lake, {}, "platform")
    store(
        lake, SYSTEM_LOAD, "node_id", {"node-1": {"cpu_percent": noise(5)}}, "platform", {"node-1": {"scope": "node"}}
    )
    vms(lake, {"web": {"cpu_percent": bump(noise(1), 60)}}, "acme")
    vms(lake, {"web": {"cpu_percent": bump(noise(2), 25)}}, "zeta")


def test_the_platform_finds_another_tenants_neighbour_of_a_vm(lake):
    """Neither tenant sees the other, and both call their VM web; tenants' sums of nodes are not the platform's."""
    operator(lake)
    alarm(lake, tenant="platform")
    alarm(lake, tenant="acme")
    node = ("node", "node-1", "cpu_percent", FIRST, LAST, 5.0)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0), node, tenant="zeta")
    result, rows = found(lake, "platform", roles=("anomalies", "nodes"))
    assert {(row["entity_kind"], row["entity_tenant"], row["entity_id"]) for row in rows} == {("vm", "zeta", "web")}
    assert (rows[0]["suspect_tenant"], rows[0]["suspect_id"], rows[0]["distance"]) == ("acme", "web", 2)
    assert result.numbers == {"incidents": 1, "without_answer": 0, "own_cause": 0}
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0), tenant="acme")
    rows = found(lake, "platform", roles=("anomalies", "nodes"))[1]
    assert {row["entity_tenant"] for row in rows} == {"acme", "zeta"}
    assert not [row for row in found(lake, "zeta")[1] if row["suspect_tenant"] == "acme"]


def test_tenants_without_the_day_and_their_missing_days_are_told(lake):
    """What caused a node's incident depended on which tenants were computed before, and nothing said so."""
    operator(lake)
    alarm(lake, ("node", "node-1", "cpu_percent", FIRST, LAST, 3.0), tenant="platform")
    lake.path(VM_RESOURCES.name, Partition("acme", LAST_DAY)).unlink()
    lake.path(VM_RESOURCES.name, Partition("zeta", LAST_DAY - timedelta(1))).unlink()
    facts = found(lake, "platform", roles=("anomalies", "nodes"))[0].facts
    assert facts.notes[0].endswith("1 tenant(s): zeta")
    assert facts.notes[1].startswith("1 tenant(s) have no vm_resources of the day and are left out: acme")
    assert facts.notes[2].endswith("zeta (1 of 2 days)")
    assert facts.days_missing == ((LAST_DAY - timedelta(1)).isoformat(), LAST_DAY.isoformat())


def test_another_tenants_data_never_changes_a_byte(lake):
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    before = found(lake)[0].data
    vms(lake, {"web": {"cpu_percent": bump(noise(9), 99)}}, "zeta")
    assert found(lake)[0].data.equals(before)
