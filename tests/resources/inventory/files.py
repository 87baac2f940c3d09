"""Inventory files written for a test, and what is asked of them."""

from datetime import date
from pathlib import Path

import pytest

from resources.errors import InvalidInput
from resources.inventory.file import InventoryFile
from resources.inventory.source import INVENTORY_SCHEMA
from resources.partition import DAY_MS, day_start_ms

START = day_start_ms(date(2026, 3, 1))
END = START + DAY_MS
HEADER = "tenant_id,vm_id,vm_name,node_id,flavor,vcpus,memory_gib,disk_gib,state,valid_from\n"
GIB = 2**30


def csv(folder: Path, text: str | bytes, name: str = "inventory.csv") -> InventoryFile:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return InventoryFile(path)


def rows(source: InventoryFile, tenant: str = "acme", start_ms: int = START, end_ms: int = END) -> list[dict]:
    table = source.inventory(tenant, start_ms, end_ms)
    assert table.schema.equals(INVENTORY_SCHEMA)
    return table.to_pylist()


def sizes(source: InventoryFile, start_ms: int = START, end_ms: int = END) -> list[tuple]:
    return [
        (row["vm_id"], row["valid_from_ms"], row["vcpus"]) for row in rows(source, start_ms=start_ms, end_ms=end_ms)
    ]


def refusal(source: InventoryFile, tenant: str = "acme") -> str:
    with pytest.raises(InvalidInput) as caught:
        source.inventory(tenant, START, END)
    return str(caught.value)
