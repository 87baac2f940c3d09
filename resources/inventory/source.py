"""Where VM sizes and placements come from."""

from typing import Protocol

import pyarrow as pa

INVENTORY_SCHEMA = pa.schema(
    [
        pa.field("vm_id", pa.string(), nullable=False),
        pa.field("valid_from_ms", pa.int64(), nullable=False),
        pa.field("vm_name", pa.string()),
        pa.field("node_id", pa.string()),
        pa.field("flavor", pa.string()),
        pa.field("vcpus", pa.float64()),
        pa.field("memory_bytes", pa.int64()),
        pa.field("disk_bytes", pa.int64()),
        pa.field("state", pa.string()),
    ]
)
"""One row is a VM from an instant on: a resize or a move makes another row. `state` is running or
stopped; an unknown size, name or place is null."""


class InventorySource(Protocol):
    """A source of sizes and placements."""

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        """Return what was true of each VM of `tenant` in `[start_ms, end_ms)`, by `INVENTORY_SCHEMA`.

        A row that began before `start_ms` and still holds keeps its own `valid_from_ms`.
        """
        ...


class NoInventory:
    """An inventory that knows no VM: every VM with samples is listed with unknown size."""

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        return INVENTORY_SCHEMA.empty_table()
