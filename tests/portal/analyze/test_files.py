"""What all commands of `analyze` hold to with their files: checked before any work, whole or not at all."""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portal.analyze import writing
from portal.analyze.group import COMMANDS
from portal.analyze.writing import write_table
from tests.portal.analyze.files import analyze, daily, read, write
from tests.portal.command import run

SIZES = ("--days", "30")


@pytest.fixture
def usage(tmp_path):
    return write(tmp_path / "in.csv", daily("a", 14).assign(capacity=100.0))


def test_each_command_has_help(tmp_path):
    listed = run("analyze", "--help")
    for name in COMMANDS:
        assert name in listed.out
        assert "IN" in run("analyze", name, "--help").out
    assert run("analyze", "none").code == 2


def test_help_imports_nothing_heavy():
    """Stops `analyze --help` from taking a second."""
    code = (
        "import sys\nsys.argv = ['novacron-analytics', 'analyze', '--help']\nfrom portal.cli import main\n"
        "try:\n    main()\nfinally:\n    print('HEAVY', sorted({'numpy', 'pyarrow', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("HEAVY []\n")


def test_the_output_is_checked_first(tmp_path, usage):
    """Stops an hour of work from ending in a folder that is not there, and an input from being overwritten."""
    before = usage.read_bytes()
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    os.link(usage, tmp_path / "same.csv")
    for output, said in (
        (tmp_path / "none" / "out.csv", "is not a folder"),
        (usage, "is the input"),
        (tmp_path / "same.csv", "is the input"),
        (tmp_path / "link.csv", "is not a plain file"),
        (tmp_path / "out.txt", "neither CSV nor Parquet"),
        (tmp_path, "neither CSV nor Parquet"),
    ):
        done = analyze("sizes", usage, *SIZES, "--output", output)
        assert (done.code, said in done.err) == (1, True), done.err
    assert usage.read_bytes() == before
    assert analyze("sizes", usage, *SIZES).code == 2  # no --output
    assert not (tmp_path / "elsewhere.csv").exists()


def test_an_output_is_replaced_and_stays_where_the_analysis_fails(tmp_path, usage):
    output = tmp_path / "out.csv"
    output.write_text("old")
    bad = tmp_path / "bad.csv"
    bad.write_text(usage.read_text() + "a,soon,1,100\n")
    done = analyze("sizes", bad, *SIZES, "--output", output)
    assert (done.code, output.read_text()) == (1, "old")
    assert f"{bad}, line 4034: ts = 'soon' is no time" in done.err
    assert analyze("sizes", usage, *SIZES, "--output", output).code == 0
    assert read(output)["series"].tolist() == ["a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "in.csv", "out.csv"]


def test_a_full_disk_leaves_what_was_there(tmp_path, usage, monkeypatch):
    output = tmp_path / "out.parquet"
    output.write_text("old")

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    done = analyze("sizes", usage, *SIZES, "--output", output)
    assert (done.code, output.read_text()) == (1, "old")
    assert "No space left on device. What was there is unchanged" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.parquet"]


ENDED = """
import os, signal, sys
from pathlib import Path
import pyarrow as pa
from portal.analyze import writing
writing.os.fsync = lambda _file: os.kill(os.getpid(), getattr(signal, sys.argv[2]))
writing.write_table(Path(sys.argv[1]), pa.table({"a": [1]}))
"""


def test_a_write_that_is_ended_leaves_nothing_behind(tmp_path):
    """Stops hidden files from piling up beside OUT: SIGTERM cleans, and after SIGKILL the next write does."""
    output = tmp_path / "out[1].parquet"
    output.write_text("old")

    def end_by(name: str) -> int:
        return subprocess.run([sys.executable, "-c", ENDED, str(output), name], check=False).returncode

    assert (end_by("SIGTERM"), output.read_text()) == (143, "old")
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    assert (end_by("SIGKILL"), output.read_text()) == (-9, "old")
    running = tmp_path / f".writing-{output.name}-{os.getppid()}"
    running.touch()
    other = tmp_path / ".writing-other.csv-999999999"
    other.touch()
    assert len(list(tmp_path.iterdir())) == 4
    write_table(output, pa.table({"a": [1]}))
    assert set(tmp_path.iterdir()) == {output, running, other}  # what another process writes to stays


def test_a_dry_run_reads_and_writes_nothing(tmp_path, usage):
    done = analyze("sizes", usage, *SIZES, "--dry-run")
    assert (done.code, "nothing written" in done.out) == (0, True)
    usage.write_text("series,ts,value\n")
    assert analyze("sizes", usage, *SIZES, "--dry-run").code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_every_format_gives_the_same(tmp_path, usage, ending):
    first, output = tmp_path / "first.csv", tmp_path / f"out.{ending}"
    analyze("sizes", usage, *SIZES, "--output", first)
    assert analyze("sizes", usage, *SIZES, "--output", output).code == 0
    pd.testing.assert_frame_equal(read(output), read(first), check_dtype=False)  # CSV has 0 for 0.0
    again = output.read_bytes()
    analyze("sizes", usage, *SIZES, "--output", output)
    assert output.read_bytes() == again  # no clock, no chance
    if ending == "csv.gz":
        assert gzip.decompress(again) == first.read_bytes()


def test_nothing_that_a_terminal_would_obey_is_printed(tmp_path):
    """Stops an escape sequence in an id from reaching the terminal."""
    rows = daily("a\x1b[2Jb" + "x" * 500, 1).assign(capacity=1.0)
    rows["host\x1b]0;"] = 1
    done = analyze("sizes", write(tmp_path / "in.csv", rows), *SIZES, "--output", tmp_path / "out.csv")
    assert done.code == 0
    assert "\x1b" not in done.out + done.err
    assert r"'a\x1b[2Jb" in done.out
    assert max(map(len, done.out.splitlines())) < 200
    told = json.loads(analyze("sizes", tmp_path / "in.csv", *SIZES, "--output", tmp_path / "out.csv", "--json").out)
    assert told["unanswered"][0]["series"] == rows["series"][0]  # whole for programs


def test_ids_with_separators_and_quotes_come_back(tmp_path):
    names = ['a,"b"', "c\nd", "ü", " e"]
    rows = pd.concat([daily(name, 6).assign(capacity=100.0) for name in names])
    rows.to_parquet(tmp_path / "in.parquet")
    assert analyze("sizes", tmp_path / "in.parquet", *SIZES, "--output", tmp_path / "out.csv").code == 0
    assert sorted(read(tmp_path / "out.csv")["series"]) == sorted(names)


def test_columns_of_other_names(tmp_path, usage):
    rows = read(usage).rename(columns={"series": "vm_id", "value": "mhz"})
    path = write(tmp_path / "own.csv", rows)
    named = ("--column", "series=vm_id", "--column", "value=mhz")
    assert analyze("sizes", path, *SIZES, *named, "--dry-run").code == 0
    done = analyze("sizes", path, *SIZES, "--dry-run")
    assert (done.code, "Say which one it is with --column series=THEIRS" in done.err) == (1, True)
    assert "not OURS=THEIRS" in analyze("sizes", path, *SIZES, "--column", "series", "--dry-run").err


@pytest.mark.parametrize(
    ("ids", "times", "written", "made"),
    [
        (
            pa.int16(),
            pa.timestamp("us", "Europe/Amsterdam"),
            (pa.int16(), pa.timestamp("us", "Europe/Amsterdam")),
            None,
        ),
        (pa.large_string(), pa.timestamp("s"), (pa.string(), pa.timestamp("ms")), None),
        (pa.dictionary(pa.int32(), pa.string()), pa.float64(), (pa.string(), pa.float64()), pa.int64()),
        (pa.string(), pa.int32(), (pa.string(), pa.int32()), pa.int64()),
        (pa.string(), pa.date64(), (pa.string(), pa.date32()), pa.timestamp("ms")),
    ],
)
def test_what_parquet_keeps_of_its_types(tmp_path, ids, times, written, made):
    """Stops docs/analyze.md from promising types that are not kept: `written` of the rows, `made` of new times."""
    count = 10
    seconds = pa.array(1_772_323_200 + 86_400 * np.arange(count))
    numeric = pa.types.is_integer(times) or pa.types.is_floating(times)
    ts = seconds.cast(times) if numeric else seconds.cast(pa.timestamp("s")).cast(times)
    series = pa.array(["7"] * count).cast(ids) if pa.types.is_integer(ids) else pa.array(["7"] * count, pa.string())
    series = series.dictionary_encode() if pa.types.is_dictionary(ids) else series.cast(ids)
    path, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"series": series, "ts": ts, "value": pa.array(np.arange(count) / 7)}), path)
    assert analyze("anomalies", path, "--output", output).code == 0
    assert tuple(pq.read_schema(output).types[:2]) == written
    assert analyze("forecasts", path, "--horizon", 1, "--freq", "d", "--output", output).code == 0
    assert tuple(pq.read_schema(output).types[:2]) == (written[0], made or written[1])
