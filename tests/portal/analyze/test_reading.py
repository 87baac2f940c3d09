"""What the files of `analyze` may look like, and what is refused by name."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portal.analyze import reading
from portal.analyze.columns import Kind, Rows, Wanted
from portal.analyze.reading import read_rows
from resources.errors import InvalidInput
from tests.portal.analyze.files import write

SERIES = Wanted({"series": Kind.TEXT, "ts": Kind.TIME, "value": Kind.NUMBER}, {"reference": Kind.FLAG})
METRICS = Wanted({"series": Kind.TEXT, "ts": Kind.TIME}, {"reference": Kind.FLAG}, rest=True)
TS = 1_772_366_400


def read(folder: Path, content: str | bytes, wanted: Wanted = SERIES, name: str = "in.csv", **options) -> Rows:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_rows(path, wanted, **options)


def refused(folder: Path, content: str | bytes, wanted: Wanted = SERIES, name: str = "in.csv", **options) -> str:
    with pytest.raises(InvalidInput) as failure:
        read(folder, content, wanted, name, **options)
    message = str(failure.value)
    assert name in message
    assert message.isprintable()
    return message.partition(name)[2]


def test_rows_keep_their_order(tmp_path):
    rows = read(tmp_path, f"series,ts,value\nb,{TS},1\na,{TS + 60},2\nb,{TS - 60},\n")
    assert (rows.count, rows.names("series"), rows.codes("series").tolist()) == (3, ["b", "a"], [0, 1, 0])
    assert rows.ts_ms.tolist() == [TS * 1000, TS * 1000 + 60_000, TS * 1000 - 60_000]
    np.testing.assert_array_equal(rows.numbers["value"], [1, 2, np.nan])
    assert rows.ts.to_pylist() == [str(TS), str(TS + 60), str(TS - 60)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_line_ends_quotes_blanks_and_a_byte_order_mark(tmp_path, separator, end):
    lines = ["series,ts,value", f'"a",{TS},1.5', "", f'"b ""x""", {TS}, -2e3 ', ""]
    rows = read(tmp_path, "\ufeff" + end.join(lines).replace(",", separator))
    assert rows.names("series") == ["a", 'b "x"']
    assert rows.numbers["value"].tolist() == [1.5, -2000]


def test_the_same_from_gzip_and_parquet(tmp_path):
    text = f"series,ts,value\n7,{TS},1\n8,{TS},2\n"
    packed = read(tmp_path, gzip.compress(text.encode()), name="in.csv.gz")
    table = pa.table({"series": [7, 8], "ts": [TS, TS], "value": pa.array(["1", "2"])})
    pq.write_table(table, tmp_path / "in.parquet")
    stored = read_rows(tmp_path / "in.parquet", SERIES)
    for rows in (packed, stored):
        assert rows.names("series") == ["7", "8"]
        assert rows.numbers["value"].tolist() == [1, 2]
        assert rows.ts_ms.tolist() == [TS * 1000, TS * 1000]
    assert stored.ids("series", np.array([1, 0])).to_pylist() == [8, 7]  # the type that they had in the file


def test_ids_of_many_blocks_get_one_code_each(tmp_path, monkeypatch):
    """Stops the series of a large file from being torn apart where a block ends."""
    monkeypatch.setattr(reading, "BLOCK_BYTES", 64)
    monkeypatch.setattr(reading, "BLOCK_ROWS", 3)
    names = [f"s{number % 3}" for number in range(50)]
    lines = "".join(f"{name},{TS + place},{place}\n" for place, name in enumerate(names))
    rows = read(tmp_path, f"series,ts,value\n{lines}")
    stored = pa.table({"series": names, "ts": [TS + place for place in range(50)], "value": range(50)})
    pq.write_table(stored, tmp_path / "in.parquet")
    for found in (rows, read_rows(tmp_path / "in.parquet", SERIES)):
        assert [found.names("series")[code] for code in found.codes("series")] == names
        assert len(found.ts) == found.count == 50


def test_flags_in_the_words_people_use(tmp_path):
    words = ["true", "False", "1", "0", "yes", "", "T"]
    lines = "".join(f"a,{TS + place},1,{word}\n" for place, word in enumerate(words))
    rows = read(tmp_path, f"series,ts,value,reference\n{lines}")
    assert rows.flags["reference"].tolist() == [True, False, True, False, True, False, True]
    assert "line 2: reference = 'perhaps' is neither true nor false" in refused(
        tmp_path, f"series,ts,value,reference\na,{TS},1,perhaps\n"
    )


def test_columns_nobody_needs_are_named_and_infinite_values_counted(tmp_path):
    rows = read(tmp_path, f"host,series,ts,value\nx,a,{TS},inf\nx,a,{TS},-Infinity\nx,a,{TS},3\n")
    assert (rows.ignored, rows.infinite) == (("host",), 2)
    np.testing.assert_array_equal(rows.numbers["value"], [np.nan, np.nan, 3])


def test_all_other_columns_are_metrics_where_they_are_wanted(tmp_path):
    rows = read(tmp_path, f"cpu,series,ts,memory\n1,a,{TS},2\n", METRICS)
    assert {name: values.tolist() for name, values in rows.numbers.items()} == {"cpu": [1], "memory": [2]}
    rows = read(tmp_path, f",series,ts,cpu,__index_level_0__\n0,a,{TS},1,7\n", METRICS)
    assert (list(rows.numbers), rows.ignored) == (["cpu"], ("", "__index_level_0__"))  # row numbers, by pandas
    assert "line 2: host = 'x' is not a number" in refused(tmp_path, f"series,ts,host\na,{TS},x\n", METRICS)
    assert "two columns 'cpu'" in refused(tmp_path, f"series,ts,cpu,cpu\na,{TS},1,2\n", METRICS)


def test_columns_may_have_other_names(tmp_path):
    named = Wanted(SERIES.required, named={"series": "vm_id", "value": "cpu"})
    rows = read(tmp_path, f"vm_id,ts,cpu,value\na,{TS},1,2\n", named)
    assert (rows.names("series"), rows.numbers["value"].tolist()) == (["a"], [1])
    missing = Wanted(SERIES.required, named={"series": "host"})
    assert "no column 'host'. It has: 'series', 'ts', 'value'." in refused(tmp_path, "series,ts,value\n", missing)
    unknown = Wanted(SERIES.required, named={"cpu": "x"})
    with pytest.raises(InvalidInput, match="'cpu': there is no such column"):
        read(tmp_path, "series,ts,value\n", unknown)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("series,ts,value", "has a header and no rows"),
        ("series,ts,value\n", "has a header and no rows"),
        ("\n", "does not begin with a header"),
        (b"\x00\x01", "does not begin with a header"),
        (b"\xff\xfes\x00", "is UTF-16"),
        (b"\x89PNG\xff", "does not begin with a line of UTF-8"),
        ("series,ts\na,1\n", "no column 'value'. It has: 'series', 'ts'. Say which one it is with --column value="),
        ("series,ts,value,value\n", "has 2 columns 'value'"),
        (f"series,ts,value\na,{TS},1\nb,{TS},x\n", "line 3: value = 'x' is not a number. Write a number"),
        (f"series,ts,value\na,{TS},1,2\n", "line 2: 4 fields where the header has 3"),
        (f"series,ts,value\na,{TS}\n", "line 2: 2 fields where the header has 3"),
        (f"series,ts,value\n\n,{TS},1\n", "line 3: series is missing"),
        ("series,ts,value\na,,1\n", "line 2: ts is missing"),
        ("series,ts,value\na,noon,1\n", "line 2: ts = 'noon' is no time. Write ISO 8601 from"),
        ("series,ts,value\na,0026-03-01,1\n", "line 2: ts = '0026-03-01' is no time"),
        (f"series,ts,value\na,{TS},\u0661\n", "line 2: value = '\u0661' is not a number"),
        ("series,ts,value\na,5,1\n", "line 2: ts = '5' is no time"),
        ("series,ts,value\na,2999-01-01,1\n", "ts = '2999-01-01' is no time. Write ISO 8601 from 1970 to 2262-04-11"),
        (f"series,ts,value\na,{TS},true\n", "'true' is not a number. Write a number with a decimal point (1 and 0 for"),
        (f'series,ts,value\na,{TS},1\n"b,{TS},1\nc,{TS},1\n', "line 3: 1 fields where the header has 3; a quote"),
        (f'series,ts,value\na,{TS},1\n"b,{TS},1', "line 3: 1 fields where the header has 3; a quote that opens there"),
        (f'series,ts,value\n"b,{TS},1\n' + f"c,{TS},1\n" * 20000, "line 2: field larger than field limit"),
        (f"series,ts,value\ra,{TS},1\r" * 2, "has lines that end with CR, as on old Macs. Convert them: tr '"),
        (",".join(map(str, range(50))), "'18', '19' and 30 more."),
        (f"ts,value\n{TS},1\n", "where all rows are one series, add a column series with the same name in every row."),
        (f"series,ts,value\na,{TS},1\na,{TS}000,1\n", f"line 3: ts = '{TS}000' is no time"),
        (f"series,ts,value\na,{TS},1,5\nb,{TS},0x10\n,,\nc,,1\nd,,2\n", "and 2 more lines"),
        (f"series,ts,value\na\x1b[31m,{TS},\x1b[2J\n", r"value = '\x1b[2J' is not a number"),
        (b"series,ts,value\n\xff,1772366400,1\n", "line 2: series is not UTF-8"),
        (f"series,ts,value\na,{TS},{'9' * 400}x\n", "9' is not a number"),
    ],
)
def test_refused_by_name(tmp_path, content, said):
    """Stops a file that is not what it should be from being analysed in part, or from a traceback."""
    assert said in refused(tmp_path, content)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"series": ["a", None], "ts": [TS, TS], "value": [1.0, 2.0]}, "row 2: series is missing"),
        ({"series": ["a", "b"], "ts": [TS, None], "value": [1.0, 2.0]}, "row 2: ts is missing"),
        ({"series": ["a", "b"], "ts": [TS, 7], "value": [1.0, 2.0]}, "row 2: ts = '7' is no time"),
        ({"series": ["a", "b"], "ts": [TS, TS], "value": ["1", "two"]}, "row 2: value = 'two' is not a number"),
        ({"series": ["a", "b"], "ts": [TS, TS], "value": [[1], [2]]}, "row 1: value = '[1]' is not a number"),
        ({"series": [1.5, 2.5], "ts": [TS, TS], "value": [1, 2]}, "row 1: series = '1.5' is no id"),
        ({"series": ["a", "b"], "ts": [[1], [2]], "value": [1, 2]}, "the times are of type list"),
        ({"series": [], "ts": [], "value": []}, "has a header and no rows"),
    ],
)
def test_parquet_refused_by_name(tmp_path, columns, said):
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    with pytest.raises(InvalidInput) as failure:
        read_rows(tmp_path / "in.parquet", SERIES)
    assert said in str(failure.value)


def test_empty_texts_of_parquet_are_missing_numbers(tmp_path):
    """Stops an empty cell of a text column from breaking a file whose CSV twin is read."""
    texts = [" 1.5", "", "NaN", "null", None, "-inf", "2"]
    columns = {"series": ["a"] * 7, "ts": [TS] * 7}
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        values = pa.array(texts, kind if not pa.types.is_string_view(kind) else pa.string()).cast(kind)
        pq.write_table(pa.table({**columns, "value": values}), tmp_path / "in.parquet")
        rows = read_rows(tmp_path / "in.parquet", SERIES)
        np.testing.assert_array_equal(rows.numbers["value"], [1.5, *[np.nan] * 5, 2])
        assert rows.infinite == 1


def refusal(path: Path) -> str | None:
    """Return why a file is refused, None where it is read."""
    try:
        read_rows(path, SERIES)
    except InvalidInput as refused:
        return str(refused)
    return None


NUMBERS = ["1", "+1.5e3", ".5", "5.", " 7 ", "", " ", " NA ", "nan", "NaN", "-nan", "None", "NA", "inf", "-Infinity",
           "1e400", "0x10", "1,5", "1_0", "one", "--1", "1e", "true", "\u0661"]  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_is_refused_by_name_or_read(tmp_path, text):
    """Stops the two readers from disagreeing on what a number is: then a file is refused without a row to look at."""
    for name in ("in.parquet", "in.csv"):
        path = tmp_path / name
        if name.endswith("parquet"):
            pq.write_table(pa.table({"series": ["a", "b"], "ts": [TS, TS], "value": ["1", text]}), path)
        else:
            path.write_text(f'series;ts;value\na;{TS};1\nb;{TS};"{text}"\n')
        assert refusal(path) is None or f": value = {text!r} is not a number" in refusal(path)


def test_a_missing_mark_is_no(tmp_path):
    """Stops an empty flag that pandas wrote as nan from being refused."""
    content = "series,ts,value,reference\n" + "".join(f"a,{TS},1,{word}\n" for word in ("True", "nan", "", "None", "0"))
    assert read(tmp_path, content).flags["reference"].tolist() == [True, False, False, False, False]


def test_files_that_are_not_what_their_name_says(tmp_path):
    assert "is not a Parquet file" in refused(tmp_path, "series,ts,value\n", name="in.parquet")
    assert "cannot be read" in refused(tmp_path, "series,ts,value\n", name="in.csv.gz")
    whole = gzip.compress(f"series,ts,value\na,{TS},1\n".encode() * 1000)
    assert "cannot be read" in refused(tmp_path, whole[:-20], name="in.csv.gz")
    assert "neither CSV nor Parquet by its name" in refused(tmp_path, "x", name="in.txt")
    with pytest.raises(InvalidInput, match="does not exist"):
        read_rows(tmp_path / "none.csv", SERIES)
    with pytest.raises(InvalidInput, match="is a folder"):
        read_rows(tmp_path, SERIES)


def test_a_huge_id_is_read(tmp_path):
    """Stops a long id from breaking the look at the file that names its bad lines."""
    huge = "x" * 1_000_000
    assert read(tmp_path, f"series,ts,value\n{huge},{TS},1\n").names("series") == [huge]
    assert len(refused(tmp_path, f"series,ts,value\n{huge},{TS},x\n")) < 300


def test_truth_in_parquet_is_1_and_0(tmp_path):
    """Stops a state such as up or down from being refused where a number of the same meaning is read."""
    table = pa.table({"series": ["a"] * 3, "ts": [TS] * 3, "value": pa.array([True, False, None])})
    pq.write_table(table, tmp_path / "in.parquet")
    np.testing.assert_array_equal(read_rows(tmp_path / "in.parquet", SERIES).numbers["value"], [1, 0, np.nan])


@pytest.mark.parametrize("name", ["in.csv", "in.parquet"])
@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"series": "ts"}, "column 'ts' is used for both series and ts. Name another one with --column series=THEIRS"),
        ({"value": "ts"}, "column 'ts' is used for both ts and value. Name another one with --column value=THEIRS"),
        ({"reference": "value"}, "'value' is used for both value and reference. Name another one with --column refer"),
        ({"series": "host", "reference": "host"}, "column 'host' is used for both series and reference."),
    ],
)
def test_a_column_is_not_two_of_ours(tmp_path, name, named, said):
    """Stops a traceback for CSV, and times scored as values for Parquet."""
    write(tmp_path / name, pd.DataFrame({"series": ["a"], "ts": [TS], "value": [1.0], "host": ["x"]}))
    with pytest.raises(InvalidInput) as failure:
        read_rows(tmp_path / name, replace(SERIES, named=named))
    assert said in str(failure.value)


def test_what_need_not_be_there_gives_way_to_a_name(tmp_path):
    """Stops a file whose ids are in a column `reference` from being refused for what nobody asked for."""
    content = f"reference,ts,value\na,{TS},1\n"
    rows = read(tmp_path, content, replace(SERIES, named={"series": "reference"}))
    assert (rows.names("series"), rows.flags) == (["a"], {})
    both = f"series,host,ts\nb,a,{TS}\n"
    assert "a column 'series' besides 'host', which --column names so. Leave it out with --ignore 'series'" in refused(
        tmp_path, both, replace(METRICS, named={"series": "host"})
    )
