"""Answers: how large was each VM, where did it run, and in what state, on this day?

One row is a VM from an instant on; a resize or a move during the day makes another row. A VM that
sent samples but that the inventory does not know has a row with unknown sizes, so that nothing
with load is lost; a VM of the inventory that sent nothing keeps its row.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics_assets.components import Component, Input, NoParameters, Result, Workplace
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table

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
    """Join the inventory of the day with the VMs that sent samples."""
    partition = workplace.partition
    listed = workplace.inventory.inventory(partition.tenant, partition.start_ms, partition.end_ms)
    active = workplace.read("samples", ["vm_id"]).column("vm_id").unique().cast(pa.string())
    data = inventory_table(listed, active, partition.start_ms)
    unlisted = pc.sum(pc.invert(pc.is_in(active, value_set=listed.column("vm_id").combine_chunks()))).as_py() or 0
    silent = pc.sum(
        pc.invert(pc.is_in(listed.column("vm_id").unique(), value_set=pa.array(active.to_pylist(), pa.string())))
    ).as_py()
    notes = [f"{unlisted} VM(s) sent samples but are not in the inventory."] if unlisted else []
    facts = workplace.facts(as_of_ms=workplace.as_of_ms("samples"), notes=tuple(notes))
    numbers = {"vms": len(data.column("vm_id").unique()), "without_inventory": unlisted, "silent": silent or 0}
    return Result(data, facts, numbers=numbers)


def inventory_table(listed: pa.Table, active: pa.Array, start_ms: int) -> pa.Table:
    """Return the inventory's rows, and a row of unknown size for each of `active` that it lacks."""
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


COMPONENT = Component(
    name="vm_inventory",
    stage="processors",
    title="VM inventory",
    description="Records the size, place and state of every VM, with each resize and move of the day; VMs with load "
    "but no inventory are listed with unknown size.",
    parameters=NoParameters,
    inputs=(Input("samples", ("vm_resources",), "the VMs that sent samples"),),
    table=VM_INVENTORY,
    compute=compute,
    reads=("inventory",),
)
