"""Answers: how large was each VM, where did it run, and in what state, on this day?

One row is a VM from an instant on; a resize or a move during the day makes another row. Listed are
the VMs of the inventory, with load or without, and those that it does not know but that have load:
a row in `vm_resources`, which is a sample of a gauge or an increase of a counter. Their sizes are
unknown. A VM outside of the inventory of which there is nothing but a single sample of a counter,
or packets dropped, has no load and is not listed.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics_assets.components import Component, Input, NoParameters, Result, Workplace
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table

NAMED, NAME_LENGTH = 5, 60
"""VMs (or nodes) that a note names, and characters of each."""

STATES = ("running", "stopped", "unknown")

VM_INVENTORY = Table(
    "vm_inventory",
    "a VM's size, place and state from an instant of the day on",
    (
        Column("vm_id", ENTITY, "VM"),
        Column("valid_from", TIMESTAMP, "When this became so; midnight or earlier for what held all day"),
        Column("vm_name", pa.string(), "Name its owner gave it", nullable=True),
        Column("node_id", ENTITY, "Node it runs on", nullable=True),
        Column("flavor", ENTITY, "Flavour it was made from", nullable=True),
        Column("vcpus", pa.float64(), "Virtual CPUs", "cores", nullable=True, minimum=0),
        Column("memory_bytes", pa.int64(), "Memory size", "bytes", nullable=True, minimum=0),
        Column("disk_bytes", pa.int64(), "Size of its disks", "bytes", nullable=True, minimum=0),
        Column("state", ENTITY, "Whether it runs", values=STATES),
    ),
    primary_key=("vm_id", "valid_from"),
)


def compute(workplace: Workplace, parameters: NoParameters) -> Result:
    """Join the inventory of the day with the VMs that have load."""
    partition = workplace.partition
    listed = workplace.inventory.inventory(partition.tenant, partition.start_ms, partition.end_ms)
    active = workplace.read("samples", ["vm_id"]).column("vm_id").unique().cast(pa.string())
    data = inventory_table(listed, active, partition.start_ms, partition.end_ms)
    with_load, sized = set(active.to_pylist()), set(_begun(listed, partition.end_ms).column("vm_id").to_pylist())
    unlisted, silent = sorted(with_load - sized), sorted(sized - with_load)
    notes = []
    if unlisted:
        notes.append(f"{len(unlisted)} VM(s) have load but are not in the inventory: {named(unlisted)}.")
    if silent:
        notes.append(f"{len(silent)} VM(s) of the inventory have no load in any bucket: {named(silent)}.")
    facts = workplace.facts(as_of_ms=workplace.as_of_ms("samples"), notes=tuple(notes))
    numbers = {"vms": len(with_load | sized), "without_inventory": len(unlisted), "silent": len(silent)}
    return Result(data, facts, numbers=numbers)


def inventory_table(listed: pa.Table, active: pa.Array, start_ms: int, end_ms: int | None = None) -> pa.Table:
    """Return the inventory's rows, and a row of unknown size for each of `active` that it lacks.

    A row that begins at `end_ms` or later is left out, as is one that says of its VM what the row before it says.
    """
    listed = _without_repeats(_begun(listed, end_ms))
    known = set(listed.column("vm_id").to_pylist())
    strangers = sorted(set(active.to_pylist()) - known)
    state = listed.column("state").to_pylist()
    rows = {
        "vm_id": listed.column("vm_id").to_pylist() + strangers,
        "valid_from": np.r_[
            np.asarray(listed.column("valid_from_ms"), dtype=np.int64), np.full(len(strangers), start_ms, np.int64)
        ],
        "state": [value if value in STATES else "unknown" for value in state] + ["running"] * len(strangers),
    }
    arrays = {
        "vm_id": pa.array(rows["vm_id"], pa.string()),
        "valid_from": pa.array(rows["valid_from"], pa.int64()).cast(TIMESTAMP),
        "state": pa.array(rows["state"], pa.string()),
    }
    for column in VM_INVENTORY.columns:
        if column.name not in arrays:
            kind = pa.string() if column.type == ENTITY else column.type
            held = listed.column(column.name).cast(kind)
            arrays[column.name] = pa.chunked_array([*held.chunks, pa.nulls(len(strangers), kind)], kind)
    return pa.table({column.name: arrays[column.name] for column in VM_INVENTORY.columns})


def _begun(listed: pa.Table, end_ms: int | None) -> pa.Table:
    return listed if end_ms is None else listed.filter(pc.less(listed.column("valid_from_ms"), end_ms))


def _without_repeats(listed: pa.Table) -> pa.Table:
    """Return the rows by VM and time, without those that say again what already holds."""
    listed = listed.sort_by([("vm_id", "ascending"), ("valid_from_ms", "ascending")])
    said = listed.drop_columns(["valid_from_ms"]).to_pylist()
    return listed.filter(pa.array([not row or said[row] != said[row - 1] for row in range(len(said))], pa.bool_()))


def named(ids: Sequence[str]) -> str:
    """Return the first ids as they may be printed, whatever is in them."""
    shown = [repr(one if len(one) <= NAME_LENGTH else f"{one[:NAME_LENGTH]}...") for one in ids[:NAMED]]
    more = len(ids) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


COMPONENT = Component(
    name="vm_inventory",
    stage="processors",
    title="VM inventory",
    description="Records the size, place and state of every VM, with each resize and move of the day; VMs with load "
    "but no inventory are listed with unknown size.",
    parameters=NoParameters,
    inputs=(Input("samples", ("vm_resources",), "the VMs that have load"),),
    table=VM_INVENTORY,
    compute=compute,
    reads=("inventory",),
)
