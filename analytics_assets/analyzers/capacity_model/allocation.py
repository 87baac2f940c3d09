"""Which sizes are allocated on each node, from the tenants' inventories as they are stored."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from analytics_assets.kernels.held_values import latest_values
from analytics_assets.kernels.matrix import entity_ids, positions

INVENTORY_COLUMNS = ("vm_id", "valid_from", "node_id", "vcpus", "memory_bytes", "state")
SIZES = {"cpu": "vcpus", "memory": "memory_bytes"}


@dataclass
class Allocated:
    """What VMs take by their sizes, stopped ones too: resource -> node -> amount.

    `running` are those that are not stopped: resource -> node -> the size of each.
    """

    by_node: dict[str, dict[str, float]] = field(default_factory=lambda: {name: {} for name in SIZES})
    running: dict[str, dict[str, list[float]]] = field(default_factory=lambda: {name: {} for name in SIZES})

    def running_on(self, nodes: Iterable[str], resource: str) -> list[float]:
        """Return the sizes of the VMs that run on `nodes`."""
        return [size for node in nodes for size in self.running[resource].get(node, ())]


def allocated_by_node(inventories: Iterable[pa.Table]) -> Allocated:
    """Return the sum of the VMs' last sizes of the day by the node of their last row.

    Those of unknown size or node do not count.
    """
    found = Allocated()
    for inventory in inventories:
        vms = entity_ids(inventory.column("vm_id"))
        vm = positions(inventory.column("vm_id"), vms)
        since = np.asarray(inventory.column("valid_from").cast(pa.int64()).combine_chunks(), dtype=np.int64)
        numbers = np.arange(inventory.num_rows, dtype=np.float64)
        last = latest_values(vm, since, numbers, len(vms)).astype(np.int64)
        nodes, states = (inventory.column(name).cast(pa.string()).to_pylist() for name in ("node_id", "state"))
        sizes = {name: inventory.column(column).cast(pa.float64()).to_numpy()[last] for name, column in SIZES.items()}
        for number, row in enumerate(last):
            if nodes[row] is None or any(np.isnan(values[number]) for values in sizes.values()):
                continue
            for name, values in sizes.items():
                on_node, size = found.by_node[name], float(values[number])
                on_node[nodes[row]] = on_node.get(nodes[row], 0.0) + size
                if states[row] != "stopped":
                    found.running[name].setdefault(nodes[row], []).append(size)
    return found
