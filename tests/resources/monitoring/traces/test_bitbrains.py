"""Bitbrains files: units, line ends, and which line was bad."""

from pathlib import Path

import pytest

from resources.errors import InvalidInput
from resources.monitoring.traces.source import TraceFiles
from resources.monitoring.traces.store import TRACE_FILES, TRACE_REJECTS, TraceStore
from tests.resources.monitoring.traces.files import (
    CPU,
    MEMORY,
    START_S,
    bitbrains_line,
    run,
    samples_of,
    series,
    write_bitbrains,
)


def test_units_are_ours(tmp_path: Path) -> None:
    """Stops KB stored as bytes, and columns shifted by the tabs after the separators."""
    file = write_bitbrains(tmp_path / "rnd" / "1.csv", [bitbrains_line(START_S, cpu=104.25, memory_kb=2000.5)])
    run(tmp_path / "store", file)
    store = tmp_path / "store"
    assert series(store) == {"1": [(START_S * 1000, 104.25)]}
    assert series(store, MEMORY) == {"1": [(START_S * 1000, 2000.5 * 1024)]}
    for place, name in enumerate(("disk_read", "disk_write", "network_receive", "network_transmit"), 1):
        assert series(store, f"novacron_vm_{name}_bytes_per_second") == {"1": [(START_S * 1000, place * 1024.0)]}
    [row] = TraceFiles(store).inventory("acme", START_S * 1000, START_S * 1000 + 1).to_pylist()
    assert (row["vcpus"], row["memory_bytes"], row["disk_bytes"], row["state"]) == (4.0, 8192 * 1024, None, "running")


@pytest.mark.parametrize(("factor", "unit"), [(1, "s"), (1000, "ms")])
def test_seconds_and_milliseconds_are_told_apart(tmp_path: Path, factor: int, unit: str) -> None:
    """Stops samples of 1970 out of files whose header says ms and whose numbers are seconds, and the reverse."""
    file = write_bitbrains(tmp_path / "1.csv", [bitbrains_line(START_S * factor)])
    report = run(tmp_path / "store", file)
    assert series(tmp_path / "store") == {"1": [(START_S * 1000, 12.5)]}
    assert report.time_units == {unit: 1}
    assert TraceStore(tmp_path / "store", "acme").read_whole(TRACE_FILES).column("time_unit").to_pylist() == [unit]


def test_a_bad_first_timestamp_does_not_decide_the_unit(tmp_path: Path) -> None:
    lines = [bitbrains_line(0), *samples_of(19)]
    report = run(tmp_path / "store", write_bitbrains(tmp_path / "1.csv", lines))
    assert (report.rows, report.rejects, report.time_units) == (19, 1, {"s": 1})


@pytest.mark.parametrize(("end", "bom"), [("\r\n", False), ("\n", True), ("\r\n", True)])
def test_line_ends_and_byte_order_marks_change_nothing(tmp_path: Path, end: str, bom: bool) -> None:
    run(tmp_path / "plain", write_bitbrains(tmp_path / "a" / "1.csv", samples_of(10)))
    run(tmp_path / "other", write_bitbrains(tmp_path / "b" / "1.csv", samples_of(10), end, bom))
    assert series(tmp_path / "other") == series(tmp_path / "plain")


def test_a_file_without_a_last_line_end_loses_nothing(tmp_path: Path) -> None:
    file = write_bitbrains(tmp_path / "1.csv", samples_of(5))
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    assert run(tmp_path / "store", file).rows == 5


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_bad_lines_are_named_and_the_others_kept(tmp_path: Path, end: str) -> None:
    """Stops line numbers that are off by the header, by an empty line before, or by the end of a block."""
    lines = samples_of(60)
    lines[3] = "rubbish"
    lines[10] = ""
    lines[20] = bitbrains_line(START_S, memory_kb=-1)
    lines[30] = lines[30].replace(";\t", ";", 1).replace("12.5", "x") + ";\t9"
    lines[40] = bitbrains_line(12)
    lines[50] = lines[50].replace("11704.0", "11704.0").replace("8192", "8_192")
    file = write_bitbrains(tmp_path / "rnd" / "7.csv", lines, end)
    report = run(tmp_path / "store", tmp_path / "rnd")
    stored = TraceStore(tmp_path / "store", "acme")
    rejects = stored.read_day(TRACE_REJECTS, stored.days()[0])
    assert rejects is not None
    found = {row["line"]: row for row in rejects.to_pylist()}
    text = file.read_bytes().decode().split(end)
    assert sorted(found) == [5, 22, 32, 42, 52]
    assert all(text[line - 1] == row["text"] for line, row in found.items())
    assert {row["file"] for row in found.values()} == {"rnd/7.csv"}
    assert found[5]["reason"] == "1 fields where the header has 11"
    assert found[22]["reason"] == "memory_bytes = -1024 is negative"
    assert found[32]["reason"] == "12 fields where the header has 11"
    assert found[42]["reason"] == "ts 12 is not in 2000 to 2099"
    assert found[52]["reason"] == "memory_capacity_bytes = '8_192' is not a number"
    assert (report.rows, report.rejects, report.lines) == (54, 5, 59)
    kept = [number for number in range(60) if number not in (3, 10, 20, 30, 40, 50)]
    assert series(tmp_path / "store")["7"] == [((START_S + 300 * n) * 1000, n / 8) for n in kept]


def test_a_few_bad_lines_among_many_are_found(tmp_path: Path) -> None:
    """Stops lines from being lost or renumbered where a block that does not parse is halved."""
    lines = samples_of(5000)
    bad = {0, 1, 777, 2499, 2500, 4998, 4999}
    for number in bad:
        lines[number] = f"bad {number}"
    lines[3000] = ""
    file = write_bitbrains(tmp_path / "1.csv", lines)
    run(tmp_path / "store", file)
    stored = TraceStore(tmp_path / "store", "acme")
    rejects = stored.read_day(TRACE_REJECTS, stored.days()[0])
    assert rejects is not None
    assert {(row["line"], row["text"]) for row in rejects.to_pylist()} == {(n + 2, f"bad {n}") for n in bad}
    kept = [number for number in range(5000) if number not in {*bad, 3000}]
    assert series(tmp_path / "store")["1"] == [((START_S + 300 * n) * 1000, n / 8) for n in kept]


def test_long_lines_are_cut_and_odd_bytes_kept_readable(tmp_path: Path) -> None:
    file = write_bitbrains(tmp_path / "1.csv", samples_of(30))
    file.write_bytes(file.read_bytes() + b"\xff\x00" + b"x" * 500 + b"\n")
    report = run(tmp_path / "store", file)
    [reject] = report.first_rejects
    assert (reject.line, reject.reason, len(reject.text)) == (32, "not UTF-8 text", 200)


def test_both_ways_of_reading_agree(tmp_path: Path) -> None:
    """Stops the careful way, which a bad line brings about, from reading the good lines around it otherwise."""
    odd = ["1e2", "+3.", ".5", "0.1", "12.300000000000001", "", "NaN", " 7 ", "1.7976931348623157e2"]
    lines = [bitbrains_line(START_S + 300 * n).replace("12.5", cpu) for n, cpu in enumerate(odd)]
    lines += samples_of(30, first=len(odd))
    run(tmp_path / "fast", write_bitbrains(tmp_path / "a" / "1.csv", [line for line in lines if " 7 " not in line]))
    run(tmp_path / "slow", write_bitbrains(tmp_path / "b" / "1.csv", [*lines, "rubbish"]))
    slow = series(tmp_path / "slow", CPU)["1"]
    assert ((START_S + 300 * 7) * 1000, 7.0) in slow
    assert [pair for pair in slow if pair[0] != (START_S + 300 * 7) * 1000] == series(tmp_path / "fast", CPU)["1"]
    assert len(slow) == len(lines) - 2  # "" and NaN are no samples


def test_a_vm_over_months_is_one_vm(tmp_path: Path) -> None:
    write_bitbrains(tmp_path / "rnd" / "2013-7" / "1.csv", samples_of(3))
    write_bitbrains(tmp_path / "rnd" / "2013-8" / "1.csv", [bitbrains_line(START_S + 31 * 86400)])
    report = run(tmp_path / "store", tmp_path / "rnd")
    assert (report.vms, report.files_read) == (1, 2)
    assert len(series(tmp_path / "store")["1"]) == 4


def test_powered_off_is_stopped(tmp_path: Path) -> None:
    lines = [bitbrains_line(START_S), bitbrains_line(START_S + 300, cores=0), bitbrains_line(START_S + 600)]
    run(tmp_path / "store", write_bitbrains(tmp_path / "1.csv", lines))
    rows = TraceFiles(tmp_path / "store").inventory("acme", START_S * 1000, START_S * 1000 + 86_400_000).to_pylist()
    assert [row["state"] for row in rows] == ["running", "stopped", "running"]
    assert [row["valid_from_ms"] // 1000 - START_S for row in rows] == [0, 300, 600]


def test_a_header_without_lines_is_a_vm_without_samples(tmp_path: Path) -> None:
    """Stops one VM that was created later from having the whole folder refused; a folder of them is refused."""
    write_bitbrains(tmp_path / "rnd" / "2.csv", [])
    with pytest.raises(InvalidInput, match="has a sample"):
        run(tmp_path / "store", tmp_path / "rnd")
    write_bitbrains(tmp_path / "rnd" / "1.csv", samples_of(3))
    assert run(tmp_path / "store", tmp_path / "rnd").rows == 3
