"""The inventory file: formats, units, times, and how a wrong row is named to whom."""

import json
import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.errors import InvalidInput, TransientFailure
from resources.inventory.cells import COLUMNS
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
        ("vcpus=nan", "vcpus = 'nan' is not a number"),
        ("vcpus=1_000", "is not a number"),
        ("vcpus=\u0661", "is not a number"),
        ("memory_gib=1e300", "more than an exbibyte"),
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


@pytest.mark.parametrize(
    "text",
    [
        "tenant_id,vm_id,vm_name,vcpus\r\nacme,v,a b,2\r\n",
        "\ufefftenant_id;vm_id;vm_name;vcpus\nacme;v;a b;2\n",
        "\n\ntenant_id\tvm_id\tvm_name\tvcpus\n\nacme\tv\t a b \t2",
        'tenant_id,vm_id,vm_name,vcpus\r"acme","v","a b",2\r,,,\r',
    ],
)
def test_dialects_of_csv(tmp_path, text):
    """Stops what spreadsheets write (a byte order mark, semicolons, quotes, empty rows) from being refused."""
    assert [(row["vm_id"], row["vm_name"], row["vcpus"]) for row in rows(csv(tmp_path, text))] == [("v", "a b", 2.0)]


def test_text_that_looks_like_a_formula_stays_text(tmp_path):
    source = csv(tmp_path, 'tenant_id,vm_id,vm_name\nacme,v,"=HYPERLINK(""x"",""y"")"\n')
    assert rows(source)[0]["vm_name"] == '=HYPERLINK("x","y")'


def test_latin_1_is_refused_where_it_stands(tmp_path):
    """Stops one name in another encoding from garbling it, or from refusing the whole file."""
    source = csv(tmp_path, "tenant_id,vm_id,vm_name\nacme,v,web\nglobex,w,café\n".encode("latin-1"))
    assert len(rows(source)) == 1
    assert "line 3: vm_name = 'caf\\udce9' is not UTF-8 text" in refusal(source, "globex")
    assert "UTF-16" in refusal(csv(tmp_path, "tenant_id,vm_id\nacme,v\n".encode("utf-16")))


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_cell_of_a_megabyte_is_refused_and_not_printed(tmp_path, quote):
    """Stops a message, a log or a table of a megabyte."""
    source = csv(tmp_path, f"tenant_id,vm_id,vm_name\nglobex,v,web\nacme,v,{quote}{'x' * 1_000_000}{quote}\n")
    said = refusal(source)
    assert "line 3: " in said
    assert len(said) < 500
    assert len(rows(source, "globex")) == 1


def test_a_forgotten_quote_spoils_its_own_row_only(tmp_path):
    """Stops a quote from swallowing the rows of all tenants that follow."""
    source = csv(tmp_path, 'tenant_id,vm_id,vm_name\nacme,v,"web\nglobex,v,web\nacme,w,"x"y\n')
    assert "2 wrong row(s) of acme: line 2: its quotes are wrong" in refusal(source)
    assert len(rows(source, "globex")) == 1


def test_a_row_of_the_wrong_length_may_be_anybodys(tmp_path):
    """Stops a row whose cells have moved from being believed about whose it is."""
    source = csv(tmp_path, "vm_id,tenant_id,vcpus\nv,acme,2\nv,8,acme,2\nv,globex,2\n")
    assert "line 3: 4 cells where the header has 3" in refusal(source, "platform")
    assert len(rows(source, "acme")) == len(rows(source, "globex")) == 1


def test_many_wrong_rows_are_counted_not_listed(tmp_path):
    said = refusal(csv(tmp_path, "tenant_id,vm_id,vcpus\n" + "acme,v,x\n" * 10_000))
    assert "10,000 wrong row(s)" in said
    assert said.count("line ") == 5
    assert "and 9,995 more" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"tenant_id": "acme"}', "line 1, it is not JSON: it does not begin with "),
        ('[{"tenant_id": "acme", "vm_id": "v"}\n{"tenant_id": "acme"}]', "line 2, .*a comma or ] is missing"),
        ('[\n{"tenant_id": "acme", "vm_id": "v"},\n]', "line 3"),
        ("[] []", "something follows"),
        ('[{"vm_id": NaN}]', "NaN is no value of JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"vm_id": "v"', "line 1"),
        ("  ", "is empty"),
    ],
)
def test_broken_json_is_refused_by_line(tmp_path, text, message):
    source = csv(tmp_path, text, "inventory.JSON")
    with pytest.raises(InvalidInput, match=message):
        source.inventory("acme", START, END)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"tenant_id": "acme", "vm_id": "w", "cores": 2}', "'cores' is no column"),
        ('{"tenant_id": "acme"}', "there is no vm_id"),
        ('{"tenant_id": "acme", "vm_id": "w", "vcpus": true}', "vcpus = 'True' is neither text nor a number"),
        ('{"tenant_id": "acme", "vm_id": ["w"]}', "neither text nor a number"),
        ('{"tenant_id": "acme", "vm_id": {"a": 1}}', "neither text nor a number"),
        ('{"tenant_id": "acme", "vm_id": "w", "vcpus": 1, "vcpus": 2}', "a name occurs twice"),
        ('{"tenant_id": "acme", "vm_id": "\\ud800"}', "is not UTF-8 text"),
    ],
)
@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_wrong_object_is_its_tenants(tmp_path, row, message, form):
    good = '{"tenant_id": "globex", "vm_id": "v", "vcpus": 2, "vm_name": null, "memory_gib": 0.5}'
    source = csv(tmp_path, f"[{good},\n{row}\n]" if form == "json" else f"{good}\n\n{row}", f"inventory.{form}")
    assert message in refusal(source)
    (found,) = rows(source, "globex")
    assert (found["vcpus"], found["memory_bytes"], found["vm_name"]) == (2.0, GIB // 2, None)


@pytest.mark.parametrize("row", ["[1]", "null", "7", "{broken", '"text"', "[" * 100_000])
def test_a_json_line_that_is_no_object_is_the_operators(tmp_path, row):
    source = csv(tmp_path, f'{{"tenant_id": "acme", "vm_id": "v"}}\n{row}\n', "inventory.jsonl")
    assert len(rows(source)) == 1
    assert "line 2: " in refusal(source, "platform")


def test_numbers_of_json_are_exact(tmp_path):
    source = csv(tmp_path, '[{"tenant_id":"acme","vm_id":17,"disk_bytes":9007199254740993}]', "i.json")
    assert (rows(source)[0]["vm_id"], rows(source)[0]["disk_bytes"]) == ("17", 2**53 + 1)
    huge = '[{"tenant_id":"acme","vm_id":"v","vcpus":1' + "0" * 10_000 + "}]"
    assert "is longer than 253 characters" in refusal(csv(tmp_path, huge, "i.json"))


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


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cf", "Zs", "Zl", "Zp", "Co", "Cn"]),
                min_size=1, max_size=20)  # fmt: skip
TOLD = st.fixed_dictionaries(
    {
        "tenant_id": st.sampled_from(["acme", "globex"]),
        "vm_id": NAMES,
        "vm_name": st.one_of(st.none(), NAMES),
        "vcpus": st.one_of(st.none(), st.integers(1, 1000)),
        "memory_bytes": st.one_of(st.none(), st.integers(1, 2**60)),
        "valid_from": st.one_of(st.none(), st.integers(START // 1000, END // 1000 - 1)),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told=st.lists(TOLD, max_size=8, unique_by=lambda row: (row["tenant_id"], row["vm_id"])))
def test_what_is_written_is_read_in_every_format(told, tmp_path_factory):
    """Stops a name with separators, quotes or odd letters from being changed, and CSV from differing from JSON."""
    folder = tmp_path_factory.mktemp("formats")
    columns = ("tenant_id", "vm_id", "vm_name", "vcpus", "memory_bytes", "valid_from")

    def quoted(value: object) -> str:
        return "" if value is None else '"' + str(value).replace('"', '""') + '"'

    lines = [",".join(columns), *(",".join(quoted(row[name]) for name in columns) for row in told)]
    csv(folder, "\n".join(lines), "i.csv")
    csv(folder, json.dumps(told, ensure_ascii=False), "i.json")
    csv(folder, "\n".join(json.dumps(row) for row in told) or "{}", "i.jsonl")
    for tenant in ("acme", "globex"):
        expected = [
            (row["vm_id"], 0 if row["valid_from"] is None else row["valid_from"] * 1000, row["vm_name"], row["vcpus"],
             row["memory_bytes"])
            for row in sorted(told, key=lambda row: row["vm_id"])
            if row["tenant_id"] == tenant
        ]  # fmt: skip
        for name in ("i.csv", "i.json", "i.jsonl"):
            found = rows(InventoryFile(folder / name), tenant)
            assert [
                (row["vm_id"], row["valid_from_ms"], row["vm_name"], row["vcpus"], row["memory_bytes"]) for row in found
            ] == expected
