"""The inventory of a day joined with the VMs that sent samples."""

from datetime import date

import pyarrow as pa
import pytest

from analytics_assets.components import Instance, NoParameters, Workplace
from analytics_assets.processors.vm_inventory import COMPONENT, VM_INVENTORY, inventory_table
from analytics_assets.processors.vm_resources import COMPONENT as VM_RESOURCES
from resources.inventory.source import INVENTORY_SCHEMA
from resources.lake.lake import Facts, Lake
from resources.lake.table import TIMESTAMP
from resources.lake.warehouse import QueryLimits
from resources.partition import DAY_MS, Partition

DAY = Partition("acme", date(2026, 3, 1))
SAMPLES = Instance("vm_resources", VM_RESOURCES, VM_RESOURCES.parameters())
NOON = DAY_MS // 2


def listed(*rows: dict) -> pa.Table:
    """Rows of the inventory; `at` is milliseconds of the day."""
    given = [
        {"valid_from_ms": DAY.start_ms + row.pop("at", 0), "state": "running", "vcpus": 2.0, **row}
        for row in map(dict, rows)
    ]
    return pa.Table.from_pylist(given, schema=INVENTORY_SCHEMA)


class Sizes:
    """An inventory of given rows, as a source hands them on."""

    def __init__(self, *rows: dict) -> None:
        self.rows = rows

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        assert (tenant, start_ms, end_ms) == (DAY.tenant, DAY.start_ms, DAY.end_ms)
        return listed(*self.rows)


@pytest.fixture
def compute(tmp_path):
    """Return what makes the partition out of VMs with load and the rows of an inventory."""

    def run(loaded, *rows):
        lake = Lake(tmp_path)
        columns = {column.name: pa.nulls(len(loaded), column.type) for column in SAMPLES.table.columns}
        columns |= {
            "vm_id": pa.array(loaded, pa.string()),
            "ts": pa.array([DAY.start_ms] * len(loaded), pa.int64()).cast(TIMESTAMP),
        }
        for column in SAMPLES.table.columns:
            if not column.nullable and column.name not in ("vm_id", "ts"):
                columns[column.name] = pa.array([1] * len(loaded)).cast(column.type)
        lake.write(SAMPLES.table, DAY, pa.table(columns), Facts(as_of_ms=DAY.end_ms))
        instance = Instance("vm_inventory", COMPONENT, NoParameters(), {"samples": (SAMPLES,)})
        with Workplace(
            partition=DAY, instance=instance, lake=lake, metrics=None, inventory=Sizes(*rows),
            limits=QueryLimits(1000, 10, 100, 1), resolution_seconds=300, minimum_coverage=0.7,
        ) as workplace:  # fmt: skip
            result = COMPONENT.compute(workplace, NoParameters())
        return result, VM_INVENTORY.conform(result.data).to_pylist()

    return run


def test_vms_of_one_side_only_are_listed_and_named(compute):
    """Stops a VM without inventory, or one without load, from being dropped without a word."""
    result, rows = compute(["both", "loaded"], {"vm_id": "both"}, {"vm_id": "silent", "state": "stopped"})
    assert [(row["vm_id"], row["vcpus"], row["state"]) for row in rows] == [
        ("both", 2.0, "running"),
        ("loaded", None, "running"),
        ("silent", 2.0, "stopped"),
    ]
    assert rows[1]["valid_from"].timestamp() * 1000 == DAY.start_ms
    assert dict(result.numbers) == {"vms": 3, "without_inventory": 1, "silent": 1}
    assert result.facts.notes == (
        "1 VM(s) have load but are not in the inventory: 'loaded'.",
        "1 VM(s) of the inventory have no load in any bucket: 'silent'.",
    )


def test_where_both_sides_agree_nothing_is_said(compute):
    result, _ = compute(["a"], {"vm_id": "a"})
    assert (result.facts.notes, dict(result.numbers)) == ((), {"vms": 1, "without_inventory": 0, "silent": 0})
    result, rows = compute([])
    assert (result.facts.notes, rows) == ((), [])


def test_notes_name_five_and_stay_one_line(compute):
    """Stops a note with a thousand ids, and an id from breaking the report that prints it."""
    result, _ = compute([f"vm-{number}" for number in range(7)] + ["a\n<b>'", "b" * 1000])
    (note,) = result.facts.notes
    assert note == (
        "9 VM(s) have load but are not in the inventory: \"a\\n<b>'\", '" + "b" * 60 + "...', "
        "'vm-0', 'vm-1', 'vm-2' and 4 more."
    )


def test_what_begins_after_the_day_is_not_of_the_day(compute):
    """Stops tomorrow's resize from being listed today, and a VM of tomorrow from counting as silent."""
    rows = [{"vm_id": "a"}, {"vm_id": "a", "at": DAY_MS, "vcpus": 8.0}, {"vm_id": "b", "at": DAY_MS}]
    result, stored = compute(["a", "b"], *rows)
    assert [(row["vm_id"], row["vcpus"]) for row in stored] == [("a", 2.0), ("b", None)]
    assert dict(result.numbers) == {"vms": 2, "without_inventory": 1, "silent": 0}
    _, stored = compute(["a"], {"vm_id": "a"}, {"vm_id": "a", "at": DAY_MS - 1, "vcpus": 8.0})
    assert [row["vcpus"] for row in stored] == [2.0, 8.0]


def test_rows_that_say_the_same_again_are_merged(compute):
    """Stops a source that repeats itself from making a resize out of every row."""
    rows = [
        {"vm_id": "b", "at": NOON},
        {"vm_id": "a", "at": NOON},
        {"vm_id": "a", "at": NOON + 1, "vcpus": 4.0},
        {"vm_id": "a", "at": -DAY_MS},
        {"vm_id": "a", "at": NOON + 2, "vcpus": 4.0, "node_id": "n2"},
        {"vm_id": "a", "at": NOON + 3, "vcpus": 2.0},
    ]
    _, stored = compute(["a", "b"], *rows)
    begins = [round(row["valid_from"].timestamp() * 1000) - DAY.start_ms for row in stored]
    assert [(row["vm_id"], begin, row["vcpus"]) for row, begin in zip(stored, begins, strict=True)] == [
        ("a", -DAY_MS, 2.0), ("a", NOON + 1, 4.0), ("a", NOON + 2, 4.0), ("a", NOON + 3, 2.0), ("b", NOON, 2.0),
    ]  # fmt: skip


@pytest.mark.parametrize(("given", "state"), [(None, "unknown"), ("paused", "unknown"), ("stopped", "stopped")])
def test_a_state_that_is_not_told_is_unknown(given, state):
    table = inventory_table(listed({"vm_id": "a", "state": given}), pa.array([], pa.string()), DAY.start_ms)
    assert table.column("state").to_pylist() == [state]
