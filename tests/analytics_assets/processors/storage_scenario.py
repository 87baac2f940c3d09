"""A source of planted series that remembers what it was asked, and storage utilization made from it."""

from collections.abc import Callable, Sequence
from datetime import date

import pyarrow as pa

from analytics_assets.components import Component, Instance, NoParameters, Workplace
from analytics_assets.processors.storage_utilization import (
    COMPONENT,
    STORAGE_UTILIZATION,
    StorageUtilizationParameters,
    compute,
)
from analytics_assets.processors.vm_inventory import VM_INVENTORY, inventory_table
from resources.inventory.source import INVENTORY_SCHEMA
from resources.lake.lake import Lake
from resources.lake.warehouse import QueryLimits
from resources.partition import DAY_MS, PLATFORM, Partition
from tests.analytics_assets.processors.planted_source import PlantedSource, Samples

DAY = date(2026, 3, 2)
START = Partition("acme", DAY).start_ms
MINUTE, HOUR = 60_000, 3_600_000
STEP = 5 * MINUTE

VM_USED = "novacron_vm_disk_usage_bytes"
VM_READ, VM_WRITE = "novacron_vm_disk_read_bytes_total", "novacron_vm_disk_write_bytes_total"
VM_READ_RATE = "novacron_vm_disk_read_bytes_per_second"
VM_WRITE_RATE = "novacron_vm_disk_write_bytes_per_second"

Values = Callable[[int], float]


class Planted(PlantedSource):
    """A source of volumes of the tenant acme and of tiers of the platform, sampled every minute."""

    def __init__(self, interval_seconds: int | None = 60) -> None:
        super().__init__(interval=interval_seconds)

    def vm(self, name: str, samples: Samples, vm: str = "vm-1", node: str = "n1") -> None:
        self.add("acme", name, {"vm_id": vm, "node_id": node, "tenant_id": "acme"}, samples)

    def tier(self, name: str, samples: Samples, tier: str = "ssd", node: str = "n1", **labels: str) -> None:
        self.add(PLATFORM, name, {"tier": tier, "node_id": node, **labels}, samples)

    @property
    def asked(self) -> list[tuple[str, tuple[str, ...], int, int]]:
        """Every request for samples: tenant, selectors, start and end."""
        return [call for call in self.calls if call[1] != ("interval",)]


def over(values: Values, start_ms: int = START - DAY_MS, end_ms: int = START + DAY_MS, every_ms: int = MINUTE):
    """Return samples of `values`, a function of the milliseconds since the day's midnight."""
    return [(ts, float(values(ts - START))) for ts in range(start_ms, end_ms, every_ms)]


def _processor(table):
    return Component(table.name, "processors", "", "", NoParameters, (), table, lambda workplace, parameters: None)


INVENTORY = Instance("vm_inventory", _processor(VM_INVENTORY), NoParameters())


def write_inventory(lake: Lake, rows: Sequence[tuple[str, int, int | None]], day: date = DAY) -> None:
    """Store an inventory of (VM, milliseconds after midnight it holds from, disk bytes)."""
    partition = Partition("acme", day)
    blank = {"vm_name": None, "node_id": None, "flavor": None, "vcpus": 1.0, "memory_bytes": 1, "state": "running"}
    listed = pa.Table.from_pylist(
        [
            {"vm_id": vm, "valid_from_ms": partition.start_ms + since, "disk_bytes": size, **blank}
            for vm, since, size in rows
        ],
        schema=INVENTORY_SCHEMA,
    )
    lake.write(VM_INVENTORY, partition, inventory_table(listed, pa.array([], pa.string()), partition.start_ms))


def made(tmp_path, source: Planted, inventory=(), tenant="acme", day=DAY, resolution=300, **parameters):
    """Return the result of a day and its rows as they are stored, by (entity id, bucket number)."""
    lake = Lake(tmp_path)
    if tenant != PLATFORM:
        write_inventory(lake, inventory, day)
    given = StorageUtilizationParameters(**parameters)
    instance = Instance("storage_utilization", COMPONENT, given, {"inventory": (INVENTORY,)})
    workplace = Workplace(
        partition=Partition(tenant, day),
        instance=instance,
        lake=lake,
        metrics=source,
        inventory=None,
        limits=QueryLimits(1000, 10, 100, 1),
        resolution_seconds=resolution,
        minimum_coverage=0.7,
    )
    result = compute(workplace, given)
    start = Partition(tenant, day).start_ms
    stored = STORAGE_UTILIZATION.conform(result.data).to_pylist()
    rows = {
        (row["entity_id"], (int(row["ts"].timestamp() * 1000) - start) // (resolution * 1000)): row for row in stored
    }
    assert len(rows) == len(stored)
    return result, rows


def total(rows, column: str) -> float:
    return sum(row[column] for row in rows.values() if row[column] is not None)
