"""What-if scenarios: what each change does to what remains and how long it lasts, alone, stacked and committed."""

from datetime import date, timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from analytics_assets.analyzers.capacity import COMPONENT, TABLE, compute
from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.capacity_model.scenarios import Scenario, effects, stacks
from analytics_assets.catalogue import components
from analytics_assets.pipelines.loader import load_pipelines
from analytics_assets.pipelines.yaml_lines import PipelineFileError
from resources.lake.lake import Lake
from tests.analytics_assets.analyzers.fleet import (
    GIB,
    INVENTORY,
    LAST_DAY,
    NODES,
    SAMPLES,
    hours_of,
    rows_by,
    workplace,
    write_inventory,
    write_platform,
    write_samples,
)

DAYS = 10
WHAT_IF = ("one", "more", "tier", "typo", "lost")


def scenario(*changes, name="plan", tenant="acme", **more):
    return {"name": name, "tenant": tenant, "changes": changes, **more}


def rows_of(lake, *scenarios, tenant="acme"):
    parameters = CapacityParameters(scenarios=scenarios)
    inputs = {"samples": SAMPLES, "inventory": INVENTORY, "nodes": NODES}
    inputs = inputs if tenant == "platform" else {role: inputs[role] for role in ("samples", "inventory")}
    result = compute(workplace(lake, COMPONENT, parameters, inputs, tenant=tenant), parameters)
    return rows_by(TABLE.conform(result.data), "entity_kind", "entity_id", "resource", "scenario")


@pytest.fixture
def acme(tmp_path):
    """A tenant with 20 vCPUs, of which 18 are usable and 10 in use, growing or shrinking by nothing."""
    lake = Lake(tmp_path)
    metrics = {"cpu_percent": hours_of(DAYS, 50.0), "memory_bytes": hours_of(DAYS, 10.0) * GIB}
    write_samples(lake, {f"vm-{n}": metrics for n in range(5)}, days=DAYS)
    write_inventory(lake, [(f"vm-{n}", 40, 4, 40, 100, "running") for n in range(5)])
    return lake


@pytest.fixture
def nodes(tmp_path):
    lake = Lake(tmp_path)
    write_platform(lake, {"node-1": 10.0, "node-2": 2.0}, DAYS)
    return lake


def cpu(rows, name, kind="tenant", entity="acme"):
    return rows[kind, entity, "cpu", name]


def test_each_change_by_hand(acme):
    rows = rows_of(
        acme,
        scenario({"action": "add", "count": 3, "vcpus": 2, "memory_gib": 4}, name="add"),
        scenario({"action": "add", "count": 3, "vcpus": 2, "use_percent": 50}, name="half"),
        scenario({"action": "remove", "vcpus": 4}, name="remove"),
        scenario({"action": "grow", "percent": 50}, name="grow"),
        scenario({"action": "add_capacity", "vcpus": 10}, name="more"),
        scenario({"action": "add", "vcpus": 1000}, name="flood"),
    )
    assert cpu(rows, "")["capacity_remaining"] == pytest.approx(8)
    assert cpu(rows, "add")["capacity_remaining"] == pytest.approx(2)
    assert cpu(rows, "add")["allocated"] == 26
    assert rows["tenant", "acme", "memory", "add"]["capacity_remaining"] == pytest.approx((180 - 50 - 12) * GIB)
    assert cpu(rows, "half")["capacity_remaining"] == pytest.approx(5)
    assert cpu(rows, "remove")["capacity_remaining"] == pytest.approx(12)
    assert cpu(rows, "remove")["allocated"] == 16
    assert cpu(rows, "grow")["capacity_remaining"] == pytest.approx(3)
    assert (cpu(rows, "more")["physical"], cpu(rows, "more")["capacity_remaining"]) == (30, pytest.approx(17))
    flood = cpu(rows, "flood")
    assert (flood["capacity_remaining"], flood["time_remaining_days_expected"], flood["level"]) == (0, 0, "critical")
    assert {key[0] for key in rows if key[3]} == {"tenant"}  # a scenario is of no single VM
    assert cpu(rows, "")["committed"] is None


def test_a_change_begins_on_its_day(acme):
    start = LAST_DAY + timedelta(40)
    rows = rows_of(
        acme,
        scenario({"action": "add", "vcpus": 9, "start": start}, name="later"),
        scenario(
            {"action": "add", "vcpus": 9, "start": start},
            {"action": "add_capacity", "vcpus": 10, "start": start + timedelta(5)},
            name="mended",
        ),
        scenario({"action": "add", "vcpus": 9, "start": LAST_DAY + timedelta(4000)}, name="beyond"),
    )
    later = cpu(rows, "later")
    assert (later["time_remaining_days_expected"], later["time_remaining_days_conservative"]) == (40, 40)
    assert (later["level"], later["capacity_remaining"]) == ("immediate", 0)
    assert later["projected_30d"] == pytest.approx(10)
    assert cpu(rows, "mended")["time_remaining_days_expected"] == 40  # short for five days is short
    assert cpu(rows, "mended")["physical"] == 30
    assert cpu(rows, "beyond")["time_remaining_days_expected"] is None
    assert cpu(rows, "beyond")["capacity_remaining"] == 0  # what remains is of when all has begun
    assert cpu(rows, "")["time_remaining_days_expected"] is None


def test_scenarios_stack_and_committed_ones_are_in_every_row(acme):
    add = {"action": "add", "vcpus": 2}
    rows = rows_of(
        acme,
        scenario(add, name="sold", committed=True),
        scenario(add, name="asked"),
        scenario(add, name="both", stacked_on=("asked",)),
        scenario({"action": "add", "vcpus": 1}, name="other", tenant="globex", committed=True),
    )
    left = {name: cpu(rows, name)["capacity_remaining"] for name in ("", "sold", "asked", "both")}
    assert left == pytest.approx({"": 6, "sold": 6, "asked": 4, "both": 2})
    assert cpu(rows, "")["committed"] == pytest.approx(2)
    assert cpu(rows, "")["allocated"] == 20  # what is sold is not there yet
    assert cpu(rows, "")["demand_p95"] == 10
    assert not [key for key in rows if key[3] == "other"]


def test_nothing_of_another_tenants_scenario_is_seen(acme):
    alone = rows_of(acme)
    assert rows_of(acme, scenario({"action": "add", "vcpus": 99}, tenant="globex", committed=True)) == alone


def test_a_move_takes_from_one_node_and_gives_to_another(nodes):
    rows = rows_of(
        nodes,
        scenario(
            {"action": "move", "vcpus": 4, "memory_gib": 8, "entity": "node-1", "to": "node-2"}, tenant="platform"
        ),
        scenario({"action": "add", "vcpus": 1, "entity": "node-2"}, name="one", tenant="platform"),
        tenant="platform",
    )
    usable = 0.9 * 16
    assert cpu(rows, "plan", "node", "node-1")["capacity_remaining"] == pytest.approx(usable - 6)
    assert cpu(rows, "plan", "node", "node-2")["capacity_remaining"] == pytest.approx(usable - 6)
    assert cpu(rows, "plan", "cluster", "all")["capacity_remaining"] == pytest.approx(2 * usable - 12)
    assert cpu(rows, "one", "cluster", "all")["capacity_remaining"] == pytest.approx(2 * usable - 13)
    assert ("node", "node-1", "cpu", "one") not in rows  # what it does not touch is not told again


def test_what_grows_one_node_grows_the_cluster_by_that_node_alone(nodes):
    grow, half = {"action": "grow", "percent": 100}, {"action": "grow", "percent": 50}
    rows = rows_of(
        nodes,
        scenario({**grow, "entity": "node-2"}, name="one", tenant="platform"),
        scenario({**grow, "entity": "node-2"}, {**grow, "entity": "node-2"}, half, name="more", tenant="platform"),
        scenario({**grow, "entity": "fast/tier-1"}, name="tier", tenant="platform"),
        scenario({**grow, "entity": "node-99"}, name="typo", tenant="platform"),
        scenario({"action": "add", "vcpus": 4, "entity": "node-99"}, name="lost", tenant="platform"),
        tenant="platform",
    )
    usable, left = 0.9 * 32, {name: cpu(rows, name, "cluster", "all")["capacity_remaining"] for name in WHAT_IF}
    assert left == pytest.approx(
        {
            "one": usable - 14,
            "more": usable - 1.5 * (10 + 8),
            "tier": usable - 12,
            "typo": usable - 12,
            "lost": usable - 12,
        }
    )
    assert cpu(rows, "one", "node", "node-2")["capacity_remaining"] == pytest.approx(0.9 * 16 - 4)
    assert ("node", "node-1", "cpu", "one") not in rows


def test_what_a_scenario_names_and_is_not_there_is_said(nodes):
    parameters = CapacityParameters(
        scenarios=(
            scenario({"action": "grow", "percent": 5, "entity": "node-99"}, name="typo", tenant="platform"),
            scenario({"action": "grow", "percent": 5, "entity": "node-1"}, name="fine", tenant="platform"),
            scenario({"action": "grow", "percent": 5}, name="lost", tenant="acmee"),
        )
    )
    inputs = {"samples": SAMPLES, "inventory": INVENTORY, "nodes": NODES}
    notes = compute(workplace(nodes, COMPONENT, parameters, inputs, tenant="platform"), parameters).facts.notes
    assert notes[-2:] == (
        "scenario typo names what is no node or tier here, and counts nothing of it: node-99",
        "scenario lost is of acmee, of which nothing is stored",
    )


def test_removing_more_than_there_is_leaves_nothing_and_is_said(acme):
    """Stops one what-if from taking the whole partition with it."""
    rows = rows_of(
        acme,
        scenario({"action": "remove", "count": 50, "vcpus": 4}, name="rm"),
        scenario({"action": "remove", "vcpus": 4}, name="fine"),
    )
    row = cpu(rows, "rm")
    assert (row["allocated"], row["capacity_remaining"], row["status"]) == (0, pytest.approx(18), "ok")
    assert row["reason"] == (
        "removes 200 of 10 cores demanded: none is left; removes 200 of 20 cores allocated: none is left"
    )
    assert cpu(rows, "fine")["reason"] is None


def test_deep_stacks_are_read_once():
    """Stops a chain of diamonds from taking exponential time."""
    grow = {"action": "grow", "percent": 1}
    made = [scenario(grow, name="s0")]
    for depth in range(1, 60):
        made += [scenario(grow, name=f"{way}{depth}", stacked_on=(f"s{depth - 1}",)) for way in "ab"]
        made.append(scenario(grow, name=f"s{depth}", stacked_on=(f"a{depth}", f"b{depth}")))
    assert len(stacks(CapacityParameters(scenarios=tuple(made)).scenarios, "acme")["s59"]) == len(made)


def test_demand_is_never_below_zero():
    removed = Scenario.model_validate(scenario({"action": "remove", "vcpus": 100}))
    found = effects([removed], "tenant", ["acme"], "cpu", LAST_DAY, 30, planned=False)
    assert found.on(np.full((1, 31), 10.0)).max() == 0
    assert found.on_once_begun(np.array([10.0]))[0] == 0


def test_growths_multiply():
    changes = [{"action": "grow", "percent": 10, "start": LAST_DAY + timedelta(1)}, {"action": "grow", "percent": -50}]
    grown = Scenario.model_validate(scenario(*changes))
    found = effects([grown], "tenant", ["acme"], "cpu", LAST_DAY, 30, planned=False)
    np.testing.assert_allclose(found.on(np.full((1, 31), 10.0))[0, :3], [5, 5.5, 5.5])


def test_a_stack_counts_each_scenario_once():
    made = [
        Scenario.model_validate(
            scenario({"action": "grow", "percent": 1}, name=name, stacked_on=on, committed=name == "a")
        )
        for name, on in (("a", ()), ("b", ("a",)), ("c", ("b", "a")))
    ]
    assert [one.name for one in stacks(made, "acme")["c"]] == ["a", "b", "c"]
    assert [one.name for one in stacks(made, "acme")[""]] == ["a"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"action": "add"}, "add needs vcpus, memory_gib or disk_gib"),
        ({"action": "grow", "vcpus": 1}, "grow needs percent"),
        ({"action": "grow"}, "grow needs percent"),
        ({"action": "move", "vcpus": 1, "entity": "n1"}, "move needs entity and to"),
        ({"action": "add", "vcpus": 1, "to": "n1"}, "no other change has a to"),
        ({"action": "add", "vcpus": 1, "percent": 5}, "no percent"),
        ({"action": "add", "vcpu": 1}, "Extra inputs"),
        ({"action": "add", "vcpus": 1, "start": "soon"}, "valid date"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(change, says):
    with pytest.raises(ValidationError, match=says):
        CapacityParameters(scenarios=(scenario(change),))


GOOD = """\
- name: launch
  tenant: acme
  changes:
    - {action: add, count: 10, vcpus: 4, memory_gib: 16, start: 2026-04-01}
- name: storm
  tenant: acme
  stacked_on: [launch]
  changes:
    - {action: grow, percent: 20}
"""
PIPELINE = """\
pipeline: plan
description: A plan.
processors:
  - component: vm_resources
  - component: vm_resources_hourly
  - component: vm_inventory
analyzers:
  - component: capacity
    parameters: {scenarios: scenarios/plan.yaml}
"""


def load(folder, text):
    (folder / "plan.yaml").write_text(PIPELINE)
    (folder / "scenarios").mkdir(exist_ok=True)
    (folder / "scenarios" / "plan.yaml").write_text(text)
    (pipeline,) = load_pipelines([folder], components())
    return pipeline.instances[-1].parameters.scenarios


def test_scenarios_are_read_from_a_file_beside_the_pipeline(tmp_path):
    launch, storm = load(tmp_path, GOOD)
    assert (launch.changes[0].count, launch.changes[0].start, storm.stacked_on) == (10, date(2026, 4, 1), ("launch",))


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("vcpus: 4", "vcpus: -4", 4, "greater than or equal to 0"),
        ("action: grow", "action: shrink", 9, "'add', 'remove', 'move', 'grow' or 'add_capacity'"),
        ("percent: 20", "vcpus: 20", 9, "grow needs percent"),
        ("tenant: acme\n  stacked", "tenant: ../acme\n  stacked", 6, "not a tenant id"),
        ("stacked_on: [launch]", "stacked_on: [lunch]", 5, "storm is stacked on lunch, which its tenant does not have"),
        ("name: storm", "name: launch", 5, "scenario launch is there twice"),
        ("stacked_on: [launch]", "stacked_on: [storm]", 5, "circle: storm -> storm"),
        ("name: storm", "name: ''", 5, "pattern"),
        ("start: 2026-04-01", "start: 2026-13-01", 4, "month must be in 1..12"),
        ("count: 10", "vcpus: 9", 4, "'vcpus' is given twice"),
        ("vcpus: 4,", "vcpus: 4, entity: node-1,", 1, "a tenant's scenario is about all its VMs"),
    ],
)
def test_a_mistake_in_a_scenario_is_named_with_file_and_line(tmp_path, old, new, line, says):
    assert old in GOOD
    with pytest.raises(PipelineFileError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert (caught.value.path.parent.name, caught.value.line) == ("scenarios", line)
    assert says in caught.value.problem
    assert "Scenario(" not in caught.value.problem  # no list of everything else
