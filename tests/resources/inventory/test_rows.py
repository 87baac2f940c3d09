"""Which rows a window needs, against an oracle that asks instant by instant."""

from hypothesis import given
from hypothesis import strategies as st

from resources.inventory.rows import VmRow, held_in, to_table
from resources.inventory.source import INVENTORY_SCHEMA

ROWS = st.lists(
    st.builds(VmRow, st.sampled_from("ab"), st.integers(0, 12), vcpus=st.sampled_from([None, 1.0, 2.0])),
    max_size=10,
    unique_by=lambda row: (row.vm_id, row.valid_from_ms),
)


def holding(rows, vm, instant):
    began = [row for row in rows if row.vm_id == vm and row.valid_from_ms <= instant]
    return max(began, key=lambda row: row.valid_from_ms) if began else None


@given(ROWS, st.integers(0, 12), st.integers(0, 12))
def test_every_instant_of_the_window_has_what_held_then(rows, start, end):
    """Stops a row that began before the window from being lost, and one outside it from being kept."""
    held = held_in(rows, start, end)
    for vm in "ab":
        for instant in range(start, end):
            expected, found = holding(rows, vm, instant), holding(held, vm, instant)
            assert (expected and expected.vcpus) == (found and found.vcpus)
    assert held == sorted(held, key=lambda row: (row.vm_id, row.valid_from_ms))
    needed = {(vm, holding(rows, vm, instant)) for vm in "ab" for instant in range(start, end)}
    assert len(held) <= len({pair for pair in needed if pair[1]})
    assert all(row in rows and row.valid_from_ms < end for row in held)


def test_an_empty_table_has_the_schema():
    assert to_table([]).schema.equals(INVENTORY_SCHEMA)
