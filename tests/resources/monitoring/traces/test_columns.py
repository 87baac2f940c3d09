"""Any CSV or Parquet file: mapping, units, separators, selection, and a round trip."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.errors import InvalidInput
from resources.lake.table import TIMESTAMP
from resources.monitoring.traces.columns import ColumnMap, parse_columns, read_map
from resources.monitoring.traces.delimited import Field
from resources.monitoring.traces.importing import Selection
from resources.monitoring.traces.rows import legal_id
from resources.monitoring.traces.source import TraceFiles
from tests.resources.monitoring.traces.files import CPU, MEMORY, START_S, run, series


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_mapping_file_says_column_scale_and_unit(tmp_path: Path) -> None:
    mapping = write(
        tmp_path / "map.toml",
        '[columns]\nts = {from = "when", unit = "ms"}\nvm_id = "machine"\ncpu_percent = "cpu"\n'
        'memory_bytes = {from = "mem_kb", scale = 1024}\n',
    )
    file = write(tmp_path / "x.csv", f'machine,when,cpu,mem_kb,other\n"web, 1",{START_S}000,1.5,2,zzz\n')
    run(tmp_path / "store", file, mapping=read_map(mapping))
    assert series(tmp_path / "store") == {"web%2C%201": [(START_S * 1000, 1.5)]}
    assert series(tmp_path / "store", MEMORY) == {"web%2C%201": [(START_S * 1000, 2048.0)]}


def test_options_make_the_same_mapping() -> None:
    assert parse_columns(["memory_bytes=mem*1024", "cpu_percent=a=b"], "s") == ColumnMap(
        {"memory_bytes": Field("mem", 1024.0), "cpu_percent": Field("a=b")}, "s"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[columns]\ncpu = 'x'\n", "'cpu' is not a column of ours"),
        ("[columns]\nmemory_bytes = {from = 'x', scale = -1}\n", "not a positive number"),
        ("[columns]\nmemory_bytes = {from = 'x', scale = true}\n", "not a positive number"),
        ("[columns]\nmemory_bytes = {source = 'x'}\n", "is not a column"),
        ("[columns]\nts = {from = 'x', unit = 'us'}\n", "not a time unit"),
        ("[columns]\nts = 5\n", "is not a column"),
        ("columns = 3\n", "one table"),
        ("[columns]\n[more]\n", "one table"),
        ("[columns\n", "cannot read the mapping"),
    ],
)
def test_a_wrong_mapping_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_map(write(tmp_path / "map.toml", text))


@pytest.mark.parametrize("option", ["memory_bytes", "memory_bytes=", "nothing=x", "memory_bytes=x*0"])
def test_a_wrong_option_is_refused(option: str) -> None:
    with pytest.raises(InvalidInput):
        parse_columns([option])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("ts,cpu_percent", "no column vm_id"),
        ("ts,vm_id,color", "no column that could be imported"),
        ("ts,vm_id,cpu_percent,cpu_percent", "2 columns 'cpu_percent'"),
    ],
)
def test_a_file_that_the_mapping_does_not_fit_is_refused(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        run(tmp_path / "store", write(tmp_path / "x.csv", f"{header}\n1,2,3,4\n"), format="columns")
    file, mapping = write(tmp_path / "x.csv", "ts,vm_id,cpu_percent\n"), parse_columns(["cpu_percent=load"])
    with pytest.raises(InvalidInput, match="no column 'load'"):
        run(tmp_path / "store", file, mapping=mapping)


@pytest.mark.parametrize(
    "times",
    [
        ["2013-07-01T00:00:00Z", "2013-07-01T00:05:00Z"],
        ["2013-07-01 00:00:00", "2013-07-01 00:05:00"],
        ["2013-07-01T02:00:00+02:00", "2013-07-01T00:05:00.000000Z"],
        ["2013-07-01T02:00:00+02:00", "2013-07-01 00:05:00"],
        [f"{START_S}", f"{START_S + 300}"],
        [f"{START_S}000", f"{START_S + 300}000"],
        [f"{START_S}.0", f"{START_S + 300}.0000"],
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_times_are_understood(tmp_path: Path, times: list[str], separator: str) -> None:
    """Stops local time, seconds taken for milliseconds, and a separator that is only guessed as a comma."""
    lines = [["ts", "vm_id", "cpu_percent"], [times[0], "v", "1"], [times[1], "v", "2"]]
    run(tmp_path / "store", write(tmp_path / "x.csv", "\n".join(map(separator.join, lines))))
    assert series(tmp_path / "store") == {"v": [(START_S * 1000, 1.0), ((START_S + 300) * 1000, 2.0)]}


def test_a_text_that_is_no_time_is_rejected(tmp_path: Path) -> None:
    good = "".join(f"2013-07-01T00:{minute:02}:00Z,v,1\n" for minute in range(0, 60, 5))
    report = run(tmp_path / "store", write(tmp_path / "x.csv", f"ts,vm_id,cpu_percent\n{good}2013-07-41,v,1\n"))
    assert [(r.line, r.reason) for r in report.first_rejects] == [(14, "ts '2013-07-41' is not a time")]
    assert report.rows == 12


def test_a_line_without_a_vm_is_rejected_and_one_named_null_is_not(tmp_path: Path) -> None:
    lines = "".join(f"{START_S + 300 * n},null,1\n" for n in range(10))
    report = run(tmp_path / "store", write(tmp_path / "x.csv", f"ts,vm_id,cpu_percent\n{lines}{START_S}, ,1\n"))
    assert [(r.line, r.reason) for r in report.first_rejects] == [(12, "vm_id is missing")]
    assert set(series(tmp_path / "store")) == {"null"}


def test_selection_takes_vms_and_days_only(tmp_path: Path) -> None:
    """Stops faults of VMs that nobody asked for from refusing an import, and the edges of a day from moving."""
    day = 86_400
    lines = [
        f"{START_S - 1},a b,1", f"{START_S},a b,2", f"{START_S + day - 1},a b,3", f"{START_S + day},a b,4",
        f"{START_S},c,5", f"{START_S},d,-6", f"{START_S},e,x",
    ]  # fmt: skip
    file = write(tmp_path / "x.csv", "ts,vm_id,cpu_percent\n" + "\n".join(lines))
    for vm in ("a b", "a%20b"):
        chosen = Selection((vm, "nobody"), date(2013, 7, 1), date(2013, 7, 1))
        report = run(tmp_path / vm, file, selection=chosen)
        expected = {"a%20b": [(START_S * 1000, 2.0), ((START_S + day - 1) * 1000, 3.0)]}
        assert series(tmp_path / vm) == expected
        assert (report.rejects, report.vms_not_found) == (0, ["nobody"])
    with pytest.raises(InvalidInput, match="none of 1 file"):
        run(tmp_path / "none", file, selection=Selection(("nobody",)))


def test_a_wider_selection_of_the_same_file_adds_the_rest(tmp_path: Path) -> None:
    """Stops the file from being taken as imported when only a part of it was."""
    lines = "".join(f"{START_S + 300 * n},{vm},{n}\n" for n in range(5) for vm in "ab")
    file = write(tmp_path / "x.csv", f"ts,vm_id,cpu_percent\n{lines}")
    run(tmp_path / "store", file, selection=Selection(("a",)))
    report = run(tmp_path / "store", file)
    assert (report.rows, report.rows_added) == (10, 5)
    assert set(series(tmp_path / "store")) == {"a", "b"}


def test_parquet_of_other_types_is_read(tmp_path: Path) -> None:
    """Stops nanoseconds, local zones, dictionaries, whole numbers and nulls from being refused or misread."""
    moments = [datetime(2013, 7, 1, 0, minute, tzinfo=UTC) for minute in (0, 5, 10)]
    table = pa.table(
        {
            "ts": pa.array(moments, pa.timestamp("ns", "Europe/Amsterdam")),
            "vm_id": pa.array(["x", "x", "y"]).dictionary_encode(),
            "cpu_percent": pa.array([1, None, 3], pa.uint8()),
            "vcpus": pa.array([2, 2, 0], pa.int16()),
            "node_id": pa.array(["n1", "n2", ""], pa.large_string()),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    run(tmp_path / "store", tmp_path / "x.parquet")
    assert series(tmp_path / "store") == {"x": [(START_S * 1000, 1.0)], "y": [((START_S + 600) * 1000, 3.0)]}
    rows = TraceFiles(tmp_path / "store").inventory("acme", 0, 2**42).to_pylist()
    assert [(row["vm_id"], row["node_id"], row["vcpus"], row["state"]) for row in rows] == [
        ("x", "n1", 2.0, "running"), ("x", "n2", 2.0, "running"), ("y", None, 0.0, "stopped"),
    ]  # fmt: skip


def test_bad_rows_of_parquet_are_named_by_row(tmp_path: Path) -> None:
    count = 30
    cpu: list[float | None] = [1.0] * count
    cpu[7], cpu[9], cpu[11] = -1.0, float("inf"), float("nan")
    table = pa.table({"ts": [START_S + 300 * n for n in range(count)], "vm_id": ["v"] * count, "cpu_percent": cpu})
    pq.write_table(table, tmp_path / "x.parquet")
    report = run(tmp_path / "store", tmp_path / "x.parquet")
    assert [(r.line, r.reason, r.text) for r in report.first_rejects] == [
        (8, "cpu_percent = -1 is negative", f"ts={START_S + 2100}, vm_id=v, cpu_percent=-1.0"),
        (10, "cpu_percent = inf is more than 1e+06", f"ts={START_S + 2700}, vm_id=v, cpu_percent=inf"),
    ]
    assert len(series(tmp_path / "store")["v"]) == count - 3


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not a Parquet file"):
        run(tmp_path / "store", write(tmp_path / "x.parquet", "PAR1 not"))
    pq.write_table(pa.table({"ts": [START_S], "vm_id": ["v"], "cpu_percent": ["much"]}), tmp_path / "y.parquet")
    with pytest.raises(InvalidInput, match="no numbers"):
        run(tmp_path / "store", tmp_path / "y.parquet")


VALUES = st.one_of(st.none(), st.floats(0, 1e6, allow_nan=False))
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b c", "ü/1", "x;y", 'q"q', "50%"]),
        st.integers(START_S * 1000, (START_S + 3 * 86_400) * 1000),
        VALUES,
        VALUES,
        st.one_of(st.none(), st.integers(0, 2**60)),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, memory_rows=st.sampled_from([5, 1_000_000]), parquet=st.booleans())
def test_whatever_is_in_the_file_comes_out(
    rows: list[tuple[Any, ...]], memory_rows: int, parquet: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Stops values rounded, samples lost or doubled at the edge of a day or of what fits in memory."""
    folder = tmp_path_factory.mktemp("round_trip")
    names = ["vm_id", "ts", "cpu_percent", "memory_bytes", "memory_capacity_bytes"]
    if parquet:
        types = [pa.string(), TIMESTAMP, pa.float64(), pa.float64(), pa.int64()]
        columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]
        file = folder / "x.parquet"
        pq.write_table(pa.table(columns, names), file)
    else:
        quoted = [[f'"{str(row[0]).replace(chr(34), chr(34) * 2)}"', *row[1:]] for row in rows]
        lines = [",".join("" if value is None else str(value) for value in row) for row in quoted]
        file = write(folder / "x.csv", "\n".join([",".join(names), *lines]))
    report = run(folder / "store", file, memory_rows=memory_rows)
    assert (report.rows, report.rows_added, report.rejects) == (len(rows), len(rows), 0)
    for metric, place in ((CPU, 2), (MEMORY, 3)):
        expected: dict[str, list[tuple[int, float]]] = {}
        for row in sorted(rows, key=lambda row: row[1]):
            if row[place] is not None:
                expected.setdefault(legal_id(row[0]), []).append((row[1], row[place]))
        assert series(folder / "store", metric) == expected
