"""The inventory file: formats, units, times, and how a wrong row is named to whom."""

import json
import os
from datetime import date
from pathlib import Path

import pytest

from resources.errors import InvalidInput, TransientFailure
from resources.inventory.cells import COLUMNS
from resources.inventory.file import InventoryFile
from resources.partition import DAY_MS, day_start_ms
from tests.resources.inventory.files import END, GIB, HEADER, START, csv, refusal, rows, sizes


def test_a_row_says_everything_and_an_empty_cell_is_unknown(tmp_path):
    """Stops an unknown size from being stored as zero, and a state from being guessed."""
    source = csv(tmp_path, HEADER + "acme,v1,web 1,n3,s1.large,2.5,8,160,running,\nacme,v2,,,,,,,,2026-02-01\n")
    assert rows(source) == [
        {
            "vm_id": "v1", "valid_from_ms": 0, "vm_name": "web 1", "node_id": "n3", "flavor": "s1.large",
            "vcpus": 2.5, "memory_bytes": 8 * GIB, "disk_bytes": 160 * GIB, "state": "running",
        },
        {
            "vm_id": "v2", "valid_from_ms": day_start_ms(date(2026, 2, 1)), "vm_name": None, "node_id": None,
            "flavor": None, "vcpus": None, "memory_bytes": None, "disk_bytes": None, "state": None,
        },
    ]  # fmt: skip


def test_a_resize_counts_from_its_moment_and_only_there(tmp_path):
    """Stops a size of today from being used for last week, and a future one from being used at all."""
    noon = START + DAY_MS // 2
    lines = [("", 2), ("2026-03-01T12:00:00Z", 4), ("2026-03-03T00:00:00Z", 8)]
    source = csv(tmp_path, "tenant,vm_id,vcpus,valid_from\n" + "".join(f"acme,v,{n},{at}\n" for at, n in lines))
    assert sizes(source, START - DAY_MS, START) == [("v", 0, 2.0)]
    assert sizes(source) == [("v", 0, 2.0), ("v", noon, 4.0)]
    assert sizes(source, END, END + DAY_MS) == [("v", noon, 4.0)]
    assert sizes(source, END, END + DAY_MS + 1) == [("v", noon, 4.0), ("v", END + DAY_MS, 8.0)]
    assert sizes(source, END + DAY_MS, END + 2 * DAY_MS) == [("v", END + DAY_MS, 8.0)]
    assert sizes(source, START, START) == []


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("memory_bytes", "8589934592", 8 * GIB),
        ("memory_kib", "8388608", 8 * GIB),
        ("memory_mib", "8192", 8 * GIB),
        ("memory_gib", "0.5", GIB // 2),
        ("disk_tib", "1.5", 1536 * GIB),
        ("disk_bytes", "9007199254740993", 2**53 + 1),
        ("disk_gib", "1e3", 1000 * GIB),
    ],
)
def test_units_are_in_the_columns_name(tmp_path, column, cell, expected):
    """Stops sizes that are wrong by a unit, and bytes that lose digits in a float."""
    source = csv(tmp_path, f"tenant_id,vm_id,{column}\nacme,v,{cell}\n")
    assert rows(source)[0][COLUMNS[column]] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01", START),
        ("2026-03-01T00:00:00Z", START),
        ("2026-03-01 01:30:00.250+01:30", START + 250),
        ("2026-03-01T00:00+0000", START),
        (str(START // 1000), START),
        (f"{START // 1000}.5", START + 500),
    ],
)
def test_instants_are_understood(tmp_path, text, expected):
    """Stops an offset from being dropped and seconds from being read as milliseconds."""
    assert rows(csv(tmp_path, f"tenant_id,vm_id,valid_from\nacme,v,{text}\n"))[0]["valid_from_ms"] == expected


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("vcpus=four", "vcpus = 'four' is not a number"),
        ("vcpus=0", "vcpus = '0' is not above 0"),
        ("vcpus=-2", "vcpus = '-2' is not above 0"),
        ("vcpus=1e6", "vcpus = '1e6' is more than 100,000"),
        ("vcpus=1e-400", "vcpus = '1e-400' is as good as 0"),
        ("vcpus=nan", "vcpus = 'nan' is not a number"),
        ("vcpus=1_000", "is not a number"),
        ("vcpus=\u0661", "is not a number"),
        ("memory_gib=1e300", "more than an exbibyte"),
        ("disk_tib=1048577", "more than an exbibyte"),
        ("memory_bytes=0.1", "less than a byte"),
        ("vcpus==1+1", "vcpus = '=1\\+1' is not a number"),
        ("vm_id=", "vm_id is missing"),
        ("vm_id=   ", "vm_id is missing"),
        ("state=paused", "state = 'paused' is not one of running, stopped"),
        ("valid_from=yesterday", "valid_from = 'yesterday' is no time"),
        ("valid_from=2026-03-01T00:00:00", "has no time zone"),
        ("valid_from=2026-02-30", "is no time"),
        ("valid_from=2026-02-28T25:00:00Z", "is no time"),
        ("valid_from=1772323200000", "not in 2000 to 2099"),
        ("valid_from=1e999", "not in 2000 to 2099"),
        ("valid_from=1999-12-31", "not in 2000 to 2099"),
        ("vm_name=a\0b", "vm_name = 'a\\\\x00b' holds characters that cannot be printed"),
        ("vm_name=a\u202eb", "cannot be printed"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
def test_a_wrong_cell_is_named_by_file_line_column_and_value(tmp_path, cells, message, form):
    """Stops a size that cannot be from being used, and an error that does not say where to look."""
    name, _, value = cells.partition("=")
    given = {"tenant_id": "acme", "vm_id": "v", name: value}
    text = {
        "csv": ",".join(given) + "\nacme,good" + "," * (len(given) - 2) + "\n" + ",".join(given.values()) + "\n",
        "json": '[{"tenant_id": "acme", "vm_id": "good"},\n' + json.dumps(given) + "]",
        "jsonl": '{"tenant_id": "acme", "vm_id": "good"}\n' + json.dumps(given) + "\n",
    }[form]
    source = csv(tmp_path, text, f"inventory.{form}")
    with pytest.raises(InvalidInput, match=message) as caught:
        source.inventory("acme", START, END)
    assert f"{source.path} has 1 wrong row(s) of acme: line {3 if form == 'csv' else 2}: " in str(caught.value)


def test_one_tenants_wrong_row_stops_nobody_else(tmp_path):
    """Stops a typing error in one tenant's row from stopping all tenants, and its text from being shown to them."""
    text = "tenant_id,vm_id,vcpus\nacme,v,2\nglobex,w,secret\nglobex,x,4\n"
    source = csv(tmp_path, text)
    assert sizes(source) == [("v", 0, 2.0)]
    assert "line 3: vcpus = 'secret'" in refusal(source, "globex")
    assert rows(source, "nobody") == rows(source, "platform") == []
    assert [said.split(":")[0] for said in source.problems()] == ["globex"]


@pytest.mark.parametrize("tenant", ["", "Acme", "a/b", "../acme", "acme|x", "é", "a" * 64, "platform", "ac\0me"])
def test_a_row_of_no_tenant_is_the_operators_and_of_whom_it_nearly_names(tmp_path, tenant):
    """Stops a row with a mistyped tenant from being left out without a word."""
    source = csv(tmp_path, f"tenant_id,vm_id,vcpus\nacme,v,2\nglobex,g,2\n{tenant},w,2\n")
    assert "line 4: " in refusal(source, "platform")
    assert "1 wrong row(s) of unknown tenants" in refusal(source, "platform")
    assert len(rows(source, "globex")) == 1
    if tenant == "Acme":
        assert "line 4: tenant_id = 'Acme' is not a tenant id" in refusal(source)
    else:
        assert len(rows(source)) == 1


def test_tenants_never_see_each_others_rows(tmp_path):
    """Stops a VM id that two tenants use from mixing their sizes."""
    source = csv(tmp_path, "tenant_id,vm_id,vcpus\nacme,v,2\nglobex,v,16\nacme2,v,32\n")
    assert sizes(source) == [("v", 0, 2.0)]
    assert rows(source, "globex")[0]["vcpus"] == 16
    with pytest.raises(InvalidInput, match="not a tenant id"):
        source.inventory("../acme", START, END)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("tenant_id,vm_id,cores", "line 1: 'cores' is no column of an inventory"),
        ("tenant_id,vm_id,memory_mb", "call it memory_mib if it means the latter"),
        ("tenant_id,vm_id,", "'' is no column"),
        ("tenant_id,vcpus", "there is no vm_id"),
        ("vm_id,vcpus", "there is no tenant_id"),
        ("tenant_id,tenant,vm_id", "tenant_id is given more than once: tenant, tenant_id"),
        ("tenant_id,vm_id,memory_gib,memory_bytes", "memory_bytes is given more than once: memory_bytes, memory_gib"),
        ("tenant_id,vm_id,vcpus,vcpus", "vcpus is given more than once"),
        ('tenant_id,vm_id,"vcpus', "line 1: its quotes are wrong"),
    ],
)
def test_a_header_that_is_not_understood_refuses_the_file_for_all(tmp_path, header, message):
    """Stops a column that nobody reads from being taken for no column."""
    source = csv(tmp_path, header + "\nacme,v,1\n")
    for tenant in ("acme", "globex", "platform"):
        assert message in refusal(source, tenant)
    if "cores" in header:
        assert f"The columns are: {', '.join(sorted(COLUMNS))}" in refusal(source)


def test_contradictions_are_refused_and_repetitions_are_not(tmp_path):
    """Stops the order of two lines from deciding how large a VM was."""
    same = "acme,v,2,2026-01-01\n"
    text = "tenant_id,vm_id,vcpus,valid_from\n" + same * 2
    assert len(rows(csv(tmp_path, text))) == 1
    source = csv(tmp_path, text + "acme,v,4,2026-01-01T00:00:00Z\nglobex,v,8,2026-01-01\n")
    assert "line 4: says something else of vm_id 'v' than line 2, from the same instant on" in refusal(source)
    assert len(rows(source, "globex")) == 1


def test_a_row_that_says_the_same_again_is_no_change(tmp_path):
    """Stops a daily export from making a resize out of every day."""
    lines = "".join(f"acme,v,2,2026-02-{day:02d}\n" for day in range(1, 29)) + "acme,v,4,2026-03-01T06:00:00Z\n"
    source = csv(tmp_path, "tenant_id,vm_id,vcpus,valid_from\n" + lines)
    assert sizes(source) == [("v", day_start_ms(date(2026, 2, 1)), 2.0), ("v", START + DAY_MS // 4, 4.0)]


def test_the_file_is_read_again_when_it_changed_and_only_then(tmp_path, monkeypatch):
    """Stops a long-lived process from using the sizes of the day it was started, and from reading for each tenant."""
    source = csv(tmp_path, "tenant_id,vm_id,vcpus\nacme,v,2\n")
    read = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path), original(path))[1])
    assert sizes(source) == sizes(source) == [("v", 0, 2.0)]
    assert len(read) == 1
    csv(tmp_path, "tenant_id,vm_id,vcpus\nacme,v,4\n")
    os.utime(source.path, ns=(1, 1))
    assert sizes(source) == [("v", 0, 4.0)]
    source.path.write_text("tenant_id,vm_id,vcpus\nacme,v,bad\n")
    assert "'bad'" in refusal(source)


def test_a_file_that_changes_under_the_reader_is_read_later(tmp_path, monkeypatch):
    """Stops half of a file that is just being written from being taken for the inventory."""
    source = csv(tmp_path, "tenant_id,vm_id,vcpus\nacme,v,2\n")
    original = Path.read_bytes

    def read_and_append(path: Path) -> bytes:
        content = original(path)
        with path.open("a") as file:
            file.write("acme,w,2\n")
        return content

    monkeypatch.setattr(Path, "read_bytes", read_and_append)
    with pytest.raises(TransientFailure, match="changed while it was read"):
        source.inventory("acme", START, END)
    monkeypatch.undo()
    assert len(rows(source)) == 2


def test_files_that_cannot_be_are_refused(tmp_path, monkeypatch):
    """Stops a pipe from being waited on for ever, and a missing file from being an empty inventory."""
    with pytest.raises(InvalidInput, match=r"must end with one of \.csv, \.json, \.jsonl"):
        InventoryFile(tmp_path / "inventory.xlsx")
    assert "cannot read the inventory file" in refusal(InventoryFile(tmp_path / "none.csv"))
    os.mkfifo(tmp_path / "pipe.csv")
    assert "not a regular file" in refusal(InventoryFile(tmp_path / "pipe.csv"))
    monkeypatch.setattr("resources.inventory.file.MOST_BYTES", 10)
    assert "at most 10 are read" in refusal(csv(tmp_path, "tenant_id,vm_id\n"))
