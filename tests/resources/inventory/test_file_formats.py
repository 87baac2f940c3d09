"""CSV and JSON as people and programs write them, well and badly: what is read, and what is refused for whom."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.errors import InvalidInput
from resources.inventory.file import InventoryFile
from tests.resources.inventory.files import END, GIB, START, csv, refusal, rows


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
    source = csv(tmp_path, text)
    assert [(row["vm_id"], row["vm_name"], row["vcpus"]) for row in rows(source)] == [("v", "a b", 2.0)]
    assert source.problems() == []


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


def test_an_object_that_names_two_tenants_is_the_operators(tmp_path):
    """Stops whichever name comes last from deciding whose a row is."""
    row = '{"tenant_id": "globex", "vm_id": "v", "tenant_id": "acme"}'
    assert "a name occurs twice" in refusal(csv(tmp_path, row, "inventory.jsonl"), "platform")


def test_numbers_of_json_are_exact(tmp_path):
    source = csv(tmp_path, '[{"tenant_id":"acme","vm_id":17,"disk_bytes":9007199254740993}]', "i.json")
    assert (rows(source)[0]["vm_id"], rows(source)[0]["disk_bytes"]) == ("17", 2**53 + 1)
    huge = '[{"tenant_id":"acme","vm_id":"v","vcpus":1' + "0" * 10_000 + "}]"
    assert "is longer than 253 characters" in refusal(csv(tmp_path, huge, "i.json"))


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


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
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
