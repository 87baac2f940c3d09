"""Lake: what is written comes back the same, whole, and says when it is damaged."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import InvalidInput, PermanentFailure, TransientFailure
from resources.lake.lake import Facts, Lake, encode, read_footer
from resources.lake.partition_file import CorruptPartition, MissingPartition
from resources.lake.table import Column, TableViolation
from resources.partition import Partition
from tests.resources.lake.scenario import FIRST_DAY, VM_LOAD, filled_lake, load_rows

ROOT = Path(__file__).resolve().parents[3]
CELL = Partition("acme", FIRST_DAY)
ROWS = load_rows(FIRST_DAY)


def test_what_is_written_comes_back(tmp_path):
    lake = Lake(tmp_path)
    facts = Facts(as_of_ms=5, samples_seen=1, samples_expected=2, days_read=("2026-03-01",), notes=("thin",))
    stored = lake.write(VM_LOAD, CELL, ROWS, facts)
    assert stored == lake.stored("vm_load", CELL)
    assert stored.path == tmp_path / "tenant=acme" / "vm_load" / "day=2026-03-01.parquet"
    assert lake.footer("vm_load", CELL) == (6, facts)
    assert lake.read_day(VM_LOAD, CELL).equals(VM_LOAD.conform(ROWS))
    assert facts.coverage == 0.5


def test_the_file_explains_itself(tmp_path):
    path = Lake(tmp_path).write(VM_LOAD, CELL, ROWS).path
    assert pq.read_schema(path).field("cpu_percent").metadata[b"unit"] == b"percent"
    assert pq.read_schema(path).metadata[b"table"] == b"vm_load"


@given(st.permutations(range(6)), st.integers(0, 5))
def test_the_same_rows_in_any_order_and_chunks_give_the_same_bytes(order, cut):
    """Stops a re-run from changing stored bytes because its rows came in another order."""
    data = ROWS.take(order)
    data = pa.concat_tables([data.slice(0, cut), data.slice(cut)])
    assert encode(VM_LOAD, data, Facts()).equals(encode(VM_LOAD, ROWS, Facts()))


def test_a_violation_writes_nothing(tmp_path):
    lake = filled_lake(tmp_path, days=1)
    before = lake.stored("vm_load", CELL)
    with pytest.raises(TableViolation):
        lake.write(VM_LOAD, CELL, pa.concat_tables([ROWS, ROWS]), files={"pdf": b"x"})
    assert lake.stored("vm_load", CELL) == before
    assert lake.storage.names("tenant=acme/vm_load") == ["day=2026-03-01.parquet"]


def test_a_full_disk_keeps_the_old_partition(tmp_path, monkeypatch):
    lake = filled_lake(tmp_path, days=1)
    before = lake.stored("vm_load", CELL)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TransientFailure, match="No space left"):
        lake.write(VM_LOAD, CELL, ROWS)
    monkeypatch.undo()
    assert lake.stored("vm_load", CELL) == before


def test_files_beside_a_partition_are_those_of_its_last_write(tmp_path):
    """Stops yesterday's PDF from lying beside a report that has none."""
    lake = Lake(tmp_path)
    lake.write(VM_LOAD, Partition("acme", FIRST_DAY + timedelta(1)), ROWS, files={"pdf": b"other day"})
    lake.write(VM_LOAD, CELL, ROWS, files={"pdf": b"one", "html": b"two"})
    lake.write(VM_LOAD, CELL, ROWS, files={"html": b"three"})
    names = ["day=2026-03-01.html", "day=2026-03-01.parquet", "day=2026-03-02.parquet", "day=2026-03-02.pdf"]
    assert lake.storage.names("tenant=acme/vm_load") == names
    assert lake.days("vm_load", "acme") == [FIRST_DAY, FIRST_DAY + timedelta(1)]


def test_a_window_says_which_days_it_found(tmp_path):
    lake = filled_lake(tmp_path, days=2)
    data, found = lake.read(
        VM_LOAD, "acme", [date(2026, 3, 9), date(2026, 3, 2), FIRST_DAY, FIRST_DAY], ["cpu_percent"]
    )
    assert found == [FIRST_DAY, date(2026, 3, 2)]
    assert data.column_names == ["cpu_percent", "day"]
    assert data["cpu_percent"].to_pylist() == [1.0] * 6 + [2.0] * 6
    assert data["day"].to_pylist() == [FIRST_DAY] * 6 + [date(2026, 3, 2)] * 6
    nothing, none = lake.read(VM_LOAD, "acme", [date(2020, 1, 1)])
    assert (nothing.num_rows, none, nothing.column_names) == (0, [], [*VM_LOAD.column_names, "day"])


def test_what_was_never_stored_is_missing_not_damaged(tmp_path):
    lake = Lake(tmp_path)
    for ask in (
        lambda: lake.read_day(VM_LOAD, CELL),
        lambda: lake.stored("vm_load", CELL),
        lambda: lake.footer("vm_load", CELL),
    ):
        with pytest.raises(MissingPartition, match="vm_load holds nothing for acme on 2026-03-01"):
            ask()
    with pytest.raises(MissingPartition, match="is not there"):
        read_footer(lake.path("vm_load", CELL))


def test_a_file_deleted_between_the_look_and_the_read_is_missing(tmp_path, monkeypatch):
    """Stops a partition that another process removes meanwhile from being reported as damaged."""
    lake = filled_lake(tmp_path, days=1)
    lake.path("vm_load", CELL).unlink()
    monkeypatch.setattr(lake.storage, "exists", lambda _: True)
    for ask in (lambda: lake.read_day(VM_LOAD, CELL), lambda: lake.footer("vm_load", CELL)):
        with pytest.raises(MissingPartition, match="is not there"):
            ask()


def test_listings_hold_only_what_the_lake_wrote(tmp_path):
    """Stops strange files and folders from breaking or entering a listing."""
    lake = filled_lake(tmp_path, ("acme", "b.org"), days=1)
    for junk in ("tenant=Bad Name", "tenant=", "other", ".git", "tenant=acme/Not A Table", "tenant=acme/.x"):
        (tmp_path / junk).mkdir()
    (tmp_path / "tenant=acme" / "evil.csv").write_text("1")
    folder = tmp_path / "tenant=acme" / "vm_load"
    for junk in (".writing-day=2026-03-01.parquet-x", "day=2026-13-45.parquet", "day=2026-03-05.parquet.bak", "x"):
        (folder / junk).write_text("junk")
    assert lake.tenants() == ["acme", "b.org"]
    assert lake.tables("acme") == ["vm_load"]
    assert lake.days("vm_load", "acme") == [FIRST_DAY]


@pytest.mark.parametrize(
    "tenant", ["..", "../b", "a/b", "A", "", "a|b", "a\n", "a\0", "tenant=a", "a" * 64, "ä", "*", " a", "-a", ".a"]
)
def test_a_tenant_id_cannot_leave_its_folder(tmp_path, tenant):
    lake = filled_lake(tmp_path, days=1)
    for ask in (lake.tables, lake.tenant_folder, lambda t: lake.days("vm_load", t), lambda t: Partition(t, FIRST_DAY)):
        with pytest.raises(InvalidInput, match="is not a tenant id"):
            ask(tenant)


@pytest.mark.parametrize("table", ["..", "a/b", "A", "", "a-b", "a\n"])
def test_a_table_name_cannot_leave_its_folder(tmp_path, table):
    with pytest.raises(PermanentFailure, match="not the name of a table's file"):
        Lake(tmp_path).path(table, CELL)


GONE = replace(VM_LOAD, columns=VM_LOAD.columns[:-1])
GROWN = replace(VM_LOAD, columns=(*VM_LOAD.columns, Column("new", pa.float64(), "new", nullable=True)))


def test_an_older_file_lacks_a_nullable_column(tmp_path):
    lake = filled_lake(tmp_path, days=1)
    assert lake.read_day(GROWN, CELL)["new"].null_count == 6
    assert lake.read_day(GONE, CELL).column_names == GONE.column_names


def test_a_file_of_another_shape_is_named(tmp_path):
    lake = Lake(tmp_path)
    lake.write(GONE, CELL, ROWS.drop_columns(["samples"]))
    with pytest.raises(CorruptPartition, match=r"day=2026-03-01.parquet is damaged: column samples is missing"):
        lake.read_day(VM_LOAD, CELL)
    wider = replace(VM_LOAD, columns=(*VM_LOAD.columns[:-1], Column("samples", pa.int64(), "Samples")))
    lake.write(VM_LOAD, CELL, ROWS)
    with pytest.raises(CorruptPartition, match="column samples is int32, declared int64"):
        lake.read_day(wider, CELL)


def test_a_changed_bit_is_never_read_as_data(tmp_path):
    """Stops silent corruption: every changed byte is refused, or lies where no value depends on it."""
    lake = Lake(tmp_path)
    rows = load_rows(FIRST_DAY, [f"vm-{number}" for number in range(40)], 20).set_column(
        2, "cpu_percent", pa.array(np.random.default_rng(1).random(800).astype("f4"))
    )
    path = lake.write(VM_LOAD, CELL, rows).path
    good, expected = path.read_bytes(), VM_LOAD.conform(rows)
    refused = []
    for place in np.random.default_rng(11).integers(0, len(good) * 8, 150):
        changed = bytearray(good)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert lake.read_day(VM_LOAD, CELL).equals(expected)
        except CorruptPartition as error:
            refused.append(error.path)
    assert len(refused) > 100
    assert set(refused) == {path}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 5000, b"PAR1" + b"\0" * 8 + b"PAR1"])
def test_what_is_no_parquet_file_is_named(tmp_path, content):
    path = filled_lake(tmp_path, days=1).path("vm_load", CELL)
    path.write_bytes(content)
    for read in (lambda: Lake(tmp_path).read_day(VM_LOAD, CELL), lambda: Lake(tmp_path).footer("vm_load", CELL)):
        with pytest.raises(CorruptPartition, match="materialize this one again"):
            read()


@pytest.mark.parametrize("facts", ["[1]", "{", '{"unknown": 1}', "5"])
def test_facts_that_are_not_ours_are_damage(tmp_path, facts):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({b"novacron.facts": facts.encode()}), path)
    with pytest.raises(CorruptPartition):
        read_footer(path)


def test_facts_keep_what_was_said():
    facts = Facts(samples_seen=7, days_missing=("2026-03-01",), notes=("a", "b"))
    assert Facts.from_json(facts.to_json()) == facts
    assert json.loads(Facts().to_json()) == {}
    assert Facts(samples_seen=9, samples_expected=8).coverage == 1.0
    assert Facts(samples_expected=0).coverage is None
    assert Facts(samples_expected=8).coverage == 0.0


def encodings_of(content: pa.Buffer) -> dict[str, set[str]]:
    """Return how each column's data is encoded."""
    group = pq.read_metadata(pa.BufferReader(content)).row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    return {column.path_in_schema: set(column.encodings) for column in columns}


RANDOM = np.random.default_rng(3).random(40_000, dtype="f4") * 100
LEVELS = [
    ("random", RANDOM, True),
    ("rounded", RANDOM.round(1), False),
    ("constant", np.full(40_000, 7, "f4"), False),
    ("a random level per VM", np.repeat(RANDOM[:400], 100), False),
    ("runs of four", np.repeat(RANDOM[:10_000], 4), False),
    ("rounded VMs first", np.where(np.arange(40_000) < 10_000, RANDOM.round(0), RANDOM), True),
    ("mostly zeros", np.where(RANDOM < 80, 0, RANDOM), False),
    ("no value", None, False),
    ("half without a value", np.where(RANDOM < 50, np.nan, RANDOM), True),
]


@pytest.mark.parametrize(("name", "level", "split"), LEVELS, ids=[each[0] for each in LEVELS])
def test_each_column_has_the_encoding_that_is_small_for_it(tmp_path, name, level, split):
    """Stops random values from being stored twice by a dictionary, and rounded ones from losing theirs."""
    whole = pa.nulls(40_000, pa.float32()) if level is None else pa.array(level, pa.float32(), from_pandas=True)
    data = load_rows(FIRST_DAY, [f"vm-{n:03}" for n in range(400)], 100).set_column(2, "cpu_percent", whole)
    content = encode(VM_LOAD, data, Facts())
    found = encodings_of(content)
    assert ("BYTE_STREAM_SPLIT" in found["cpu_percent"]) == split
    assert all("RLE_DICTIONARY" in found[other] for other in found if other != "cpu_percent" or not split)
    other_way = pa.BufferOutputStream()
    pq.write_table(
        VM_LOAD.conform(data),
        other_way,
        compression="zstd",
        compression_level=3,
        use_dictionary=[each for each in found if each != "cpu_percent" or split],
        column_encoding={} if split else {"cpu_percent": "BYTE_STREAM_SPLIT"},
        write_page_checksum=True,
    )
    # A constant is as small either way; the metadata of the facts is a few bytes.
    assert content.size < other_way.getvalue().size + 500
    lake = Lake(tmp_path)
    path = lake.write(VM_LOAD, CELL, data).path
    assert lake.read_day(VM_LOAD, CELL).equals(VM_LOAD.conform(data))
    read = duckdb.read_parquet(str(path)).order("vm_id, ts").to_arrow_table()["cpu_percent"]
    assert read.combine_chunks().equals(VM_LOAD.conform(data)["cpu_percent"].combine_chunks())
    assert encode(VM_LOAD, data, Facts()).equals(content)


def test_a_column_without_rows_has_an_encoding(tmp_path):
    """Stops the look at a column from failing where there is nothing to look at."""
    lake = Lake(tmp_path)
    lake.write(VM_LOAD, CELL, VM_LOAD.empty())
    assert lake.read_day(VM_LOAD, CELL).equals(VM_LOAD.empty())
    assert duckdb.read_parquet(str(lake.path("vm_load", CELL))).fetchall() == []


REWRITER = """
import itertools, sys
from pathlib import Path
from resources.lake.lake import Lake
from resources.partition import Partition
from tests.resources.lake.scenario import FIRST_DAY, VM_LOAD, load_rows
versions = [load_rows(FIRST_DAY, [f"vm-{n}" for n in range(400)], 100, level) for level in (1.0, 2.0, 3.0)]
for data in itertools.cycle(versions):
    Lake(Path(sys.argv[1])).write(VM_LOAD, Partition("acme", FIRST_DAY), data)
"""


def test_a_reader_during_rewrites_sees_one_version(tmp_path):
    """Stops a reader from seeing half of one version and half of another."""
    lake = Lake(tmp_path)
    lake.write(VM_LOAD, CELL, load_rows(FIRST_DAY, [f"vm-{n}" for n in range(400)], 100, 1.0))
    writer = subprocess.Popen([sys.executable, "-c", REWRITER, tmp_path], cwd=ROOT)
    seen = set()
    try:
        began = time.monotonic()
        while time.monotonic() < began + 2 or (len(seen) < 3 and time.monotonic() < began + 20):
            levels = lake.read_day(VM_LOAD, CELL)["cpu_percent"]
            assert (len(levels), len(levels.unique())) == (40_000, 1)
            file = duckdb.read_parquet(str(lake.path("vm_load", CELL)))
            low, high, count = file.aggregate("min(cpu_percent), max(cpu_percent), count(*)").fetchall()[0]
            assert (count, low) == (40_000, high)
            seen |= {levels[0].as_py(), low}
    finally:
        writer.kill()
        writer.wait()
    assert seen == {1.0, 2.0, 3.0}


def test_a_rewriter_killed_at_any_time_leaves_one_version(tmp_path):
    """Stops a crash in the middle of a write from costing the partition or leaving visible junk."""
    lake = Lake(tmp_path)
    lake.write(VM_LOAD, CELL, load_rows(FIRST_DAY, [f"vm-{n}" for n in range(400)], 100, 1.0))
    path = lake.path("vm_load", CELL)
    for delay in np.random.default_rng(5).random(8) * 0.1:
        before = path.stat().st_mtime_ns
        writer = subprocess.Popen([sys.executable, "-c", REWRITER, tmp_path], cwd=ROOT)
        while path.stat().st_mtime_ns == before:
            time.sleep(0.005)
        time.sleep(delay)
        writer.kill()
        writer.wait()
        levels = lake.read_day(VM_LOAD, CELL)["cpu_percent"]
        assert (len(levels), len(levels.unique())) == (40_000, 1)
        assert lake.storage.names("tenant=acme/vm_load") == ["day=2026-03-01.parquet"]
        assert duckdb.read_parquet(str(path.parent / "*.parquet")).shape[0] == 40_000
    lake.write(VM_LOAD, CELL, ROWS)
    assert [path.name for path in (tmp_path / "tenant=acme" / "vm_load").iterdir()] == ["day=2026-03-01.parquet"]
