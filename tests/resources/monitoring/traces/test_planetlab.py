"""PlanetLab files: time by position, odd file names."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.errors import InvalidInput
from resources.monitoring.traces.rows import legal_id
from resources.monitoring.traces.source import TraceFiles
from tests.resources.monitoring.traces.files import run, series

START_MS = int(datetime(2011, 3, 3, tzinfo=UTC).timestamp() * 1000)


def write(path: Path, values: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{value}\n" for value in values))
    return path


def test_the_place_in_the_file_is_the_time_of_day(tmp_path: Path) -> None:
    """Stops a bad line from moving the samples after it."""
    values = [str(number % 101) for number in range(288)]
    values[5], values[9], values[11] = "x", "101", ""
    write(tmp_path / "20110303" / "host_slice", values)
    report = run(tmp_path / "store", tmp_path / "20110303")
    expected = [(START_MS + 300_000 * n, float(n % 101)) for n in range(288) if n not in (5, 9, 11)]
    assert series(tmp_path / "store") == {"host_slice": expected}
    reasons = [(r.line, r.reason) for r in report.first_rejects]
    assert reasons == [
        (6, "'x' is not a whole number"), (10, "101 is more than 100 percent"), (12, "the line is empty"),
    ]  # fmt: skip
    assert TraceFiles(tmp_path / "store").sample_interval_seconds("acme") == 300


def test_more_than_a_day_of_lines_does_not_run_into_the_next_day(tmp_path: Path) -> None:
    report = run(tmp_path / "store", write(tmp_path / "20110303" / "h_s", ["7"] * 290))
    assert (report.rows, report.rejects, report.first_day, report.last_day) == (
        288, 2, datetime(2011, 3, 3, tzinfo=UTC).date(), datetime(2011, 3, 3, tzinfo=UTC).date(),
    )  # fmt: skip


def test_names_with_blanks_become_ids_that_can_be_told(tmp_path: Path) -> None:
    """Stops two odd names from becoming one VM, and the name that was there from being lost."""
    names = ["planet1_jp_ rnp_ufjf", "planet1_jp__rnp_ufjf", "a%20b", "a b", "bücher"]
    for name in names:
        write(tmp_path / "20110303" / name, ["1"] * 288)
    run(tmp_path / "store", tmp_path)
    assert set(series(tmp_path / "store")) == {
        "planet1_jp_%20rnp_ufjf", "planet1_jp__rnp_ufjf", "a%2520b", "a%20b", "bücher",
    }  # fmt: skip
    [batch] = TraceFiles(tmp_path / "store").samples("acme", ["novacron_vm_cpu_usage_percent"], 0, 2**42)
    assert {"tenant_id": "acme", "vm_id": "a%20b", "vm_name": "a b"} in batch.labels
    assert {"tenant_id": "acme", "vm_id": "bücher"} in batch.labels


def test_a_name_that_is_not_utf8_is_kept_apart(tmp_path: Path) -> None:
    folder = tmp_path / "20110303"
    folder.mkdir()
    for name in (b"vm\xff", b"vm\xfe"):
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_text("1\n" * 288)
    run(tmp_path / "store", folder)
    assert set(series(tmp_path / "store")) == {"vm%25FF", "vm%25FE"}


def test_the_same_slice_on_several_days_is_one_vm(tmp_path: Path) -> None:
    for day in ("20110303", "20110306"):
        write(tmp_path / day / "h_s", ["3"] * 288)
    report = run(tmp_path / "store", tmp_path)
    assert (report.vms, report.rows, str(report.first_day), str(report.last_day)) == (
        1, 576, "2011-03-03", "2011-03-06",
    )  # fmt: skip


def test_the_folder_must_name_a_day(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no known format"):
        run(tmp_path / "store", write(tmp_path / "20111399" / "h_s", ["1"] * 288))


def test_legal_ids_stay() -> None:
    assert legal_id("web-01.example_x:y@z") == "web-01.example_x:y@z"
    assert legal_id("a/b") == "a%2Fb"
