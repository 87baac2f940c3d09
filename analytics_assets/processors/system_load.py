"""Answers: how loaded was each node in each bucket of the day?

For the platform this is the node's own load, from the node's metrics. For a tenant it is the load
that the tenant's VMs put on each node, summed over the VMs that ran there; the node's own load and
size are the operator's alone. CPU percent is of the node's CPUs (platform) or of the vCPUs the
tenant's VMs have on that node. A tenant's `_max` sums the VMs' maxima and so is an upper bound:
their peaks need not have met.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from analytics_assets.components import Component, Input, Parameters, Result, Workplace
from analytics_assets.processors.node_load import Exporter, node_table
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.partition import PLATFORM


class SystemLoadParameters(Parameters):
    """Where the platform's node load comes from."""

    exporter: Exporter = Field(
        "auto",
        description="Whose node metrics are read; auto: NovaCron's, or node_exporter's where NovaCron's are missing "
        "or constant.",
    )
    node_label: str = Field(
        "instance",
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$",
        description="Label that names the node where a series has no node_id.",
    )


SUMMED = (
    ("memory_bytes", "bytes", "Memory in use"),
    ("disk_read_bytes_per_second", "bytes/s", "Read from disk by the tenant's VMs"),
    ("disk_write_bytes_per_second", "bytes/s", "Written to disk by the tenant's VMs"),
    ("network_receive_bytes_per_second", "bytes/s", "Received from the network by the tenant's VMs"),
    ("network_transmit_bytes_per_second", "bytes/s", "Sent to the network by the tenant's VMs"),
)


def _load(name: str, unit: str, description: str) -> tuple[Column, Column]:
    return (
        Column(f"{name}_mean", pa.float32(), f"{description}: mean over the bucket", unit, nullable=True, minimum=0),
        Column(f"{name}_max", pa.float32(), f"{description}: highest in the bucket", unit, nullable=True, minimum=0),
    )


SYSTEM_LOAD = Table(
    "system_load",
    "the load of one node in one bucket of the grid (platform: all of it; tenant: what its VMs cause)",
    (
        Column("node_id", ENTITY, "Node"),
        Column("ts", TIMESTAMP, "Start of the bucket, UTC"),
        Column("scope", ENTITY, "node: the node's own load; tenant: one tenant's part", values=("node", "tenant")),
        Column("vm_count", pa.int32(), "VMs of the tenant that sent samples there", nullable=True, minimum=0),
        *_load("cpu_percent", "percent", "CPU use"),
        *_load("cpu_cores", "cores", "CPU use in whole cores"),
        Column("cpu_cores_total", pa.float32(), "CPUs of the node, or vCPUs of the tenant's VMs there", "cores", True),
        *_load(*SUMMED[0]),
        Column("memory_total_bytes", pa.float64(), "Memory of the node, or of the tenant's VMs there", "bytes", True),
        *_load("load_average_1m", "", "Run queue length over one minute (platform)"),
        *(column for metric in SUMMED[1:] for column in _load(*metric)),
        Column("samples_seen", pa.int32(), "Samples in the bucket", minimum=1),
        Column("samples_expected", pa.int32(), "Samples a complete bucket would have", minimum=1),
    ),
    primary_key=("node_id", "ts"),
    measured=True,
)


def compute(workplace: Workplace, parameters: SystemLoadParameters) -> Result:
    """Collect the nodes' own load (platform), or sum the tenant's VMs by node."""
    if workplace.partition.tenant == PLATFORM:
        data, facts = node_table(
            workplace.metrics,
            workplace.partition,
            workplace.resolution_seconds,
            SYSTEM_LOAD,
            parameters.exporter,
            parameters.node_label,
        )
    else:
        buckets = workplace.read("samples")
        data, facts = tenant_load(buckets, workplace.read("inventory")), workplace.facts_of("samples")
        unplaced = buckets.column("node_id").null_count
        if unplaced:
            note = f"{unplaced} buckets of VMs whose node is unknown are summed as node 'unknown'."
            facts = replace(facts, notes=(*facts.notes, note))
    return Result(data, facts, numbers={"nodes": len(data.column("node_id").unique())})


def tenant_load(buckets: pa.Table, inventory: pa.Table) -> pa.Table:
    """Return the sum of the VMs' buckets (`vm_resources`) by node and bucket, with the sizes of `vm_inventory`.

    Percent and cores count only VMs whose size is known; where none is, they are null.
    """
    if not buckets.num_rows:
        return SYSTEM_LOAD.empty()
    ts = np.asarray(buckets.column("ts").cast(pa.int64()))
    node_ids = buckets.column("node_id").combine_chunks()
    names = [*node_ids.dictionary.to_pylist(), "unknown"]
    node = np.asarray(node_ids.indices.fill_null(len(names) - 1)).astype(np.int64)
    vcpus, memory = sizes_at(buckets.column("vm_id").combine_chunks(), ts, inventory)
    order = np.lexsort((ts, node))
    node, ts, vcpus, memory = node[order], ts[order], vcpus[order], memory[order]
    first = np.flatnonzero(np.r_[True, (node[1:] != node[:-1]) | (ts[1:] != ts[:-1])])

    def column(name: str) -> NDArray[np.float64]:
        values: NDArray[np.float64] = buckets.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
        return values[order]

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        known = ~np.isnan(values)
        total = np.add.reduceat(np.where(known, values, 0.0), first)
        return np.where(np.add.reduceat(known.astype(np.int64), first) > 0, total, np.nan)

    cores_mean, cores_max = (summed(column(f"cpu_percent_{which}") / 100 * vcpus) for which in ("mean", "max"))
    cores_total = summed(np.where(np.isnan(column("cpu_percent_mean")), np.nan, vcpus))
    whole = np.where(cores_total > 0, cores_total, np.nan)
    arrays = {
        "node_id": pa.array([names[code] for code in node[first]], pa.string()),
        "ts": pa.array(ts[first]).cast(TIMESTAMP),
        "scope": pa.array(["tenant"] * len(first), pa.string()),
        "vm_count": pa.array(np.diff(np.r_[first, len(ts)]).astype(np.int32)),
        "cpu_percent_mean": _float32(100 * cores_mean / whole),
        "cpu_percent_max": _float32(100 * cores_max / whole),
        "cpu_cores_mean": _float32(cores_mean),
        "cpu_cores_max": _float32(cores_max),
        "cpu_cores_total": _float32(cores_total),
        "memory_total_bytes": pa.array(summed(memory), from_pandas=True),
        "samples_seen": pa.array(np.add.reduceat(column("samples_seen"), first).astype(np.int32)),
        "samples_expected": pa.array(np.add.reduceat(column("samples_expected"), first).astype(np.int32)),
    }
    for name, _, _ in SUMMED:
        for which in ("mean", "max"):
            arrays[f"{name}_{which}"] = _float32(summed(column(f"{name}_{which}")))
    for name in ("load_average_1m_mean", "load_average_1m_max"):
        arrays[name] = pa.nulls(len(first), pa.float32())
    return pa.table({column.name: arrays[column.name] for column in SYSTEM_LOAD.columns})


def sizes_at(
    vm_ids: pa.DictionaryArray, ts: NDArray[np.int64], inventory: pa.Table
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return vCPUs and memory bytes of each row's VM at its instant `ts`; NaN where unknown.

    `inventory` has the columns of `vm_inventory`. A row replaces all of what was before it, so a size
    that it does not tell is unknown from then on. Before its first row a VM has that row's size.
    """
    names = vm_ids.dictionary.to_pylist()
    codes = {name: code for code, name in enumerate(names)}
    owner = np.array([codes.get(name, -1) for name in inventory.column("vm_id").to_pylist()], np.int64)
    since = np.asarray(inventory.column("valid_from").cast(pa.int64()))
    keep = np.flatnonzero(owner >= 0)
    keep = keep[np.lexsort((since[keep], owner[keep]))]
    owner, since = owner[keep], since[keep]
    vm = np.asarray(vm_ids.indices).astype(np.int64)
    at = np.searchsorted(owner, np.arange(len(names)))[vm]
    rows = np.bincount(owner, minlength=len(names))[vm]
    known, several = np.flatnonzero(rows), np.flatnonzero(rows > 1)
    # One row for nearly every VM; the rest are looked up by one number that orders by VM and then by time.
    instants = np.unique(since)
    keys = owner * (len(instants) + 1) + np.searchsorted(instants, since, "right")
    asked = vm[several] * (len(instants) + 1) + np.searchsorted(instants, ts[several], "right")
    at[several] = np.maximum(at[several], np.searchsorted(keys, asked, "right") - 1)

    def sizes(column: str) -> NDArray[np.float64]:
        found = np.full(len(vm), np.nan)
        found[known] = inventory.column(column).cast(pa.float64()).to_numpy(zero_copy_only=False)[keep][at[known]]
        return found

    return sizes("vcpus"), sizes("memory_bytes")


def _float32(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values.astype(np.float32), from_pandas=True)


COMPONENT = Component(
    name="system_load",
    stage="processors",
    title="System load processor",
    description="Load of each node in 5-minute buckets: the node's own CPU, memory and load average for the "
    "platform, and for a tenant the load that its VMs put on each node.",
    parameters=SystemLoadParameters,
    inputs=(
        Input("samples", ("vm_resources",), "what the tenant's VMs used"),
        Input("inventory", ("vm_inventory",), "how large the tenant's VMs are"),
    ),
    table=SYSTEM_LOAD,
    compute=compute,
    reads=("metrics",),
)
