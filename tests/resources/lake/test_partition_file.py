"""A partition's file is read by columns and by keys, and only as far as they need."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.lake.lake import ROW_GROUP_ROWS, Lake
from resources.lake.partition_file import CorruptPartition, KeyRange, MissingPartition, read_columns
from resources.lake.table import ENTITY, Column, Table
from resources.partition import Partition

DAY = date(2026, 3, 1)
CELL = Partition("acme", DAY)
WIDE = Table(
    "wide",
    "a value of a VM",
    (Column("vm_id", ENTITY, "VM"), Column("n", pa.int32(), "number"), Column("value", pa.float32(), "value")),
    primary_key=("vm_id", "n"),
)
NAMES = [f"vm-{number:03d}" for number in range(30)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """A day of 30 VMs that fills more than two row groups."""
    rows = 2 * ROW_GROUP_ROWS // len(NAMES) + 100
    data = {
        "vm_id": pa.array(np.repeat(NAMES, rows)),
        "n": pa.array(np.tile(np.arange(rows, dtype=np.int32), len(NAMES))),
        "value": pa.array(np.arange(rows * len(NAMES), dtype=np.float32)),
    }
    stored = Lake(tmp_path_factory.mktemp("lake"))
    stored.write(WIDE, CELL, pa.table(data))
    return stored


@pytest.mark.parametrize(
    ("low", "high"),
    [("vm-000", "vm-000"), ("vm-004", "vm-017"), ("vm-0045", "vm-006"), ("", "~"), ("x", "y"), ("vm-029", "vm-029")],
)
def test_keys_give_the_rows_of_a_filter(lake, low, high):
    """Stops a VM at the edge of a row group or of the range from being lost or read twice."""
    whole, _ = lake.read(WIDE, "acme", [DAY])
    some, found = lake.read(WIDE, "acme", [DAY], keys=(low, high))
    names = whole.column("vm_id").cast(pa.string()).to_pylist()
    expected = whole.filter(pa.array([low <= name <= high for name in names]))
    assert found == [DAY]
    assert some.column("value").to_pylist() == expected.column("value").to_pylist()
    assert some.column("vm_id").cast(pa.string()).to_pylist() == expected.column("vm_id").cast(pa.string()).to_pylist()


def test_other_row_groups_are_not_read(lake):
    """Stops a part of a large tenant from costing as much as the whole."""
    path = lake.path("wide", CELL)
    file = pq.ParquetFile(path)
    assert file.metadata.num_row_groups == 3
    assert KeyRange("vm_id", "vm-000", "vm-001").row_groups(file) == [0]
    assert KeyRange("vm_id", "vm-029", "vm-029").row_groups(file) == [1, 2]
    assert KeyRange("vm_id", "a", "b").row_groups(file) == []


def test_keys_work_where_the_key_column_is_not_asked_for(lake):
    some, _ = lake.read(WIDE, "acme", [DAY], ["value"], keys=("vm-001", "vm-001"))
    assert some.column_names == ["value", "day"]
    assert 0 < some.num_rows < ROW_GROUP_ROWS


def test_all_keys_of_a_window_are_listed_once(lake):
    assert lake.keys(WIDE, "acme", [DAY, date(2026, 3, 2)]) == NAMES
    assert lake.keys(WIDE, "acme", [date(2026, 3, 2)]) == []


def test_a_file_without_statistics_and_order_is_looked_at_whole(tmp_path):
    """Stops a file written by other software from looking empty, or from giving the rows between two keys."""
    path = tmp_path / "plain.parquet"
    data = pa.table({"vm_id": pa.array(["b", "a", "b"]).dictionary_encode(), "n": pa.array([1, 2, 3], pa.int32())})
    pq.write_table(data, path, write_statistics=False)
    schema = pa.schema([pa.field("vm_id", ENTITY), pa.field("n", pa.int32())])
    assert read_columns(path, schema, KeyRange("vm_id", "b", "b")).column("n").to_pylist() == [1, 3]


def test_damage_and_absence_are_told_apart(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(CorruptPartition, match=r"bad\.parquet is damaged"):
        read_columns(tmp_path / "bad.parquet", pa.schema([]), KeyRange("vm_id", "a", "b"))
    with pytest.raises(MissingPartition, match="never stored, or deleted"):
        read_columns(tmp_path / "none.parquet", pa.schema([]))
