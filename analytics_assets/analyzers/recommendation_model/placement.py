"""Where the VMs of all tenants run and what they demand there, and the rows of the moves between nodes."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics_assets.analyzers.capacity_model.sizes import COLUMNS as SIZE_COLUMNS
from analytics_assets.analyzers.capacity_model.sizes import vm_sizes
from analytics_assets.analyzers.recommendation_model.parameters import RecommendationsParameters
from analytics_assets.analyzers.recommendation_model.rebalance import Load, Move, Node, Placed, moves
from analytics_assets.analyzers.recommendation_model.vm_rows import Row
from analytics_assets.kernels.held_values import latest_values
from analytics_assets.kernels.matrix import Grid, entity_ids, locate, place, positions, row_quantile

INVENTORY_COLUMNS = (*SIZE_COLUMNS, "node_id")
SAMPLE_COLUMNS = ("vm_id", "ts", "cpu_percent_p95", "memory_bytes_p95")
SHARE = 0.95


def placed_vms(tenant: str, inventory: pa.Table, samples: pa.Table, grid: Grid, day: date) -> list[Placed]:
    """Return a tenant's running VMs whose node, vCPUs and use are known, as `tenant/VM`.

    `inventory` is of the grid's days, with their `day`: where a VM is, is what its last row of `day` says; its use is
    of the vCPUs that it had in each hour. `samples` are hourly rows.
    """
    today = inventory.filter(pc.equal(inventory.column("day"), pa.scalar(day, pa.date32())))
    vms = entity_ids(today.column("vm_id"))
    vm = positions(today.column("vm_id"), vms)
    since = np.asarray(today.column("valid_from").cast(pa.int64()).combine_chunks(), dtype=np.int64)
    last = latest_values(vm, since, np.arange(today.num_rows, dtype=np.float64), len(vms)).astype(np.int64)
    node, state = (today.column(name).cast(pa.string()).to_pylist() for name in ("node_id", "state"))
    vcpus = vm_sizes(inventory, day, grid, vms).vcpus
    cells = locate(samples.column("vm_id"), samples.column("ts"), grid, vms)
    cpu = row_quantile(place(cells, samples.column("cpu_percent_p95")) * vcpus / np.float32(100), SHARE)
    memory = row_quantile(place(cells, samples.column("memory_bytes_p95")), SHARE)
    return [
        Placed(f"{tenant}/{name}", node[last[number]], Load(float(cpu[number]), float(memory[number])))
        for number, name in enumerate(vms)
        if node[last[number]] is not None
        and state[last[number]] != "stopped"
        and not np.isnan(cpu[number] + memory[number])
    ]


def nodes_of(capacity: Sequence[Row]) -> list[Node]:
    """Return the nodes of which `capacity` knows both CPU and memory."""
    by_node: dict[str, dict[str, Row]] = {}
    for row in capacity:
        if row["entity_kind"] == "node" and row["status"] == "ok":
            by_node.setdefault(row["entity_id"], {})[row["resource"]] = row
    return [
        Node(
            name,
            Load(rows["cpu"]["demand_p95"], rows["memory"]["demand_p95"]),
            Load(rows["cpu"]["usable"], rows["memory"]["usable"]),
        )
        for name, rows in sorted(by_node.items())
        if len(rows) == len(("cpu", "memory"))
    ]


def move_rows(
    nodes: Sequence[Node],
    vms: Sequence[Placed],
    capacity: Mapping[str, Row],
    parameters: RecommendationsParameters,
    day: date,
) -> list[Row]:
    """Return a row for each VM to move, and one for each node that stays hot; `capacity` is the nodes' CPU rows."""
    found, stuck, waiting = moves(
        nodes, vms, parameters.hot_node_percent, parameters.cool_node_percent, parameters.maximum_moves
    )
    cool, most = parameters.cool_node_percent, parameters.maximum_moves
    return [
        *(_moved(number, move, capacity[move.source.node_id], parameters) for number, move in enumerate(found, 1)),
        *(
            _stays(node, capacity[node.node_id], day, f"no VM of it fits on another node below {cool:g} %")
            for node in stuck
        ),
        *(
            _stays(node, capacity[node.node_id], day, f"{most} moves a day are recommended at most (maximum_moves)")
            for node in waiting
        ),
    ]


def _moved(number: int, move: Move, capacity: Row, parameters: RecommendationsParameters) -> Row:
    scarce, demand = move.source.scarce, move.vm.demand
    return {
        "entity_kind": "vm", "entity_id": move.vm.vm_id, "resource": "placement", "action": "move",
        "status": "ok", "severity": "high" if move.source.fullest > 100 else "medium",
        "node_from": move.source.node_id, "node_to": move.target.node_id, "savings_reason": "nothing is changed",
        "days_used": min(capacity["days_used"], parameters.rebalance_days), "coverage": capacity["coverage"],
        "confidence": "medium",
        "evidence": (
            f"move {number}: {move.source.node_id} uses {move.source.fullest:.0f} % of its usable {scarce}, more than "
            f"{parameters.hot_node_percent:g} %; {move.vm.vm_id} uses {demand.cpu:.2g} cores and "
            f"{demand.memory / 2**30:.2g} GiB (p95 of {parameters.rebalance_days} days); with it on "
            f"{move.target.node_id} the two are {move.source_after.fullest:.0f} % and "
            f"{move.target_after.fullest:.0f} % full"
        ),
    }  # fmt: skip


def _stays(node: Node, capacity: Row, day: date, why: str) -> Row:
    return {
        "entity_kind": "node", "entity_id": node.node_id, "resource": "placement", "action": "none",
        "status": "ok", "severity": "none", "node_from": node.node_id, "savings_reason": "nothing is changed",
        "reason": why,
        "days_used": capacity["days_used"], "coverage": capacity["coverage"], "confidence": "medium",
        "evidence": f"{node.node_id} uses {node.fullest:.0f} % of its usable {node.scarce} on {day}",
    }  # fmt: skip
