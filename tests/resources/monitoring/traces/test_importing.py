"""The import as a whole: all or nothing, the same again changes nothing, overlap, a kill in the middle."""

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

import resources
from resources.errors import InvalidInput, TransientFailure
from resources.lake.storage import LocalStorage
from resources.lake.table import Table
from resources.monitoring.traces.importing import Progress
from resources.monitoring.traces.source import TraceFiles
from resources.monitoring.traces.store import TRACE_FILES, TRACE_REJECTS, TRACE_SAMPLES, TraceStore
from tests.resources.monitoring.traces.files import (
    START_S,
    bitbrains_line,
    contents,
    run,
    samples_of,
    series,
    tree,
    write_bitbrains,
)

DAY_SAMPLES = 288


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two VMs over three days, one of them with a bad line."""
    write_bitbrains(tmp_path / "rnd" / "1.csv", samples_of(3 * DAY_SAMPLES))
    write_bitbrains(tmp_path / "rnd" / "2.csv", [*samples_of(2 * DAY_SAMPLES, first=DAY_SAMPLES), "rubbish"])
    return tmp_path / "rnd"


def test_the_same_files_again_change_not_a_byte(folder: Path, tmp_path: Path) -> None:
    run(tmp_path / "store", folder)
    before = tree(tmp_path / "store")
    report = run(tmp_path / "store", folder)
    assert tree(tmp_path / "store") == before
    assert (report.files_known, report.files_read, report.rows_added) == (2, 0, 0)
    copied = tmp_path / "elsewhere" / "1.csv"
    copied.parent.mkdir()
    copied.write_bytes((folder / "1.csv").read_bytes())
    assert run(tmp_path / "store", copied, folder / "1.csv").files_known == 2
    assert tree(tmp_path / "store") == before


def test_equal_content_of_two_vms_is_two_vms(tmp_path: Path) -> None:
    """Stops an idle VM from being taken for another idle VM's file."""
    for name in ("1.csv", "2.csv"):
        write_bitbrains(tmp_path / "rnd" / name, samples_of(4))
    assert run(tmp_path / "store", tmp_path / "rnd").vms == 2


def test_a_longer_export_adds_only_what_is_new(folder: Path, tmp_path: Path) -> None:
    run(tmp_path / "store", folder)
    before = tree(tmp_path / "store")
    write_bitbrains(folder / "1.csv", samples_of(3 * DAY_SAMPLES + 10))
    report = run(tmp_path / "store", folder)
    assert (report.files_known, report.rows, report.rows_added, report.days_changed) == (
        1, 3 * DAY_SAMPLES + 10, 10, 1,
    )  # fmt: skip
    after = tree(tmp_path / "store")
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {
        "tenant=acme/trace_samples/day=2013-07-04.parquet",
        "tenant=acme/trace_inventory/whole.parquet",
        "tenant=acme/trace_files/whole.parquet",
        "tenant=acme/summary.json",
    }
    write_bitbrains(tmp_path / "once" / "rnd" / "1.csv", samples_of(3 * DAY_SAMPLES + 10))
    write_bitbrains(tmp_path / "once" / "rnd" / "2.csv", [*samples_of(2 * DAY_SAMPLES, first=DAY_SAMPLES), "rubbish"])
    run(tmp_path / "other", tmp_path / "once" / "rnd")
    assert series(tmp_path / "other") == series(tmp_path / "store")


def test_conflicting_values_are_both_kept_in_order_of_arrival(tmp_path: Path) -> None:
    run(tmp_path / "store", write_bitbrains(tmp_path / "a" / "1.csv", [bitbrains_line(START_S, cpu=9)]))
    later = [bitbrains_line(START_S, cpu=5), bitbrains_line(START_S, cpu=5), bitbrains_line(START_S, cpu=9)]
    report = run(tmp_path / "store", write_bitbrains(tmp_path / "b" / "1.csv", later))
    assert series(tmp_path / "store") == {"1": [(START_S * 1000, cpu) for cpu in (9.0, 5.0, 5.0)]}
    assert report.rows_added == 2


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("x.csv", ["rubbish"] * 3 + samples_of(10), "3 of 13 lines are bad.*line 2"),
        ("x.csv", ["rubbish"], "no line that can be read"),
        ("x.csv", [bitbrains_line(1_800_000_000)], "samples of 2027-01-15, after today"),
    ],
)
def test_what_is_refused_changes_nothing(
    folder: Path, tmp_path: Path, name: str, lines: list[str], message: str
) -> None:
    """Stops the good files of a refused import from being stored, and any folder from being left behind."""
    write_bitbrains(folder / name, lines)
    with pytest.raises(InvalidInput, match=message):
        run(tmp_path / "store", folder)
    assert not (tmp_path / "store").exists()
    (folder / name).unlink()
    run(tmp_path / "store", folder)
    before = tree(tmp_path / "store")
    write_bitbrains(folder / name, lines)
    with pytest.raises(InvalidInput, match=message):
        run(tmp_path / "store", folder)
    assert tree(tmp_path / "store") == before


def test_the_share_of_bad_lines_is_a_choice(tmp_path: Path) -> None:
    file = write_bitbrains(tmp_path / "1.csv", ["rubbish"] * 3 + samples_of(7))
    assert run(tmp_path / "store", file, max_bad_share=0.3).rejects == 3
    with pytest.raises(InvalidInput):
        run(tmp_path / "other", file, max_bad_share=0.29)


def test_today_may_have_samples(tmp_path: Path) -> None:
    file = write_bitbrains(tmp_path / "1.csv", [bitbrains_line(START_S)])
    assert run(tmp_path / "store", file, today=date(2013, 7, 1)).rows == 1
    with pytest.raises(InvalidInput, match="after today"):
        run(tmp_path / "other", file, today=date(2013, 6, 30))


def test_paths_are_checked(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    loop = tmp_path / "loop"
    write_bitbrains(loop / "1.csv", samples_of(1))
    (loop / "again").symlink_to(loop)
    dangling = tmp_path / "dangling"
    dangling.mkdir()
    (dangling / "1.csv").symlink_to(tmp_path / "gone")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    zero = tmp_path / "zero.csv"
    zero.touch()
    readme = tmp_path / "README.md"
    readme.write_text("# Traces\n")
    for path, message in [
        (tmp_path / "gone", "does not exist"), (empty, "holds no files"), (loop, "links back"),
        (dangling, "link to nothing"), (pipe, "not a regular file"), (zero, "is empty"),
        (readme, r"no known format: it begins with '# Traces'. Looked for: bitbrains"),
    ]:  # fmt: skip
        with pytest.raises(InvalidInput, match=message):
            run(tmp_path / "store", path)
    utf16 = tmp_path / "utf16.csv"
    utf16.write_text("ts,vm_id\n", encoding="utf-16")
    with pytest.raises(InvalidInput, match="UTF-16"):
        run(tmp_path / "store", utf16)


def test_a_file_named_twice_is_read_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(folder)
    assert run(tmp_path / "store", folder / "1.csv", folder, tmp_path / "alias").files_read == 2


@pytest.mark.parametrize("tenant", ["platform", "../evil", "Acme", ""])
def test_only_a_tenant_can_have_traces(folder: Path, tmp_path: Path, tenant: str) -> None:
    with pytest.raises(InvalidInput):
        run(tmp_path / "store", folder, tenant=tenant)
    assert not (tmp_path / "store").exists()


def test_tenants_do_not_meet(folder: Path, tmp_path: Path) -> None:
    run(tmp_path / "store", folder)
    before = tree(tmp_path / "store")
    run(tmp_path / "store", folder / "1.csv", tenant="other")
    after = tree(tmp_path / "store")
    assert {name: state for name, state in after.items() if name.startswith("tenant=acme/")} == before
    assert TraceFiles(tmp_path / "store").tenants() == ["acme", "other"]


def test_a_dry_run_tells_all_and_changes_nothing(folder: Path, tmp_path: Path) -> None:
    dry = run(tmp_path / "store", folder, dry_run=True)
    assert not (tmp_path / "store").exists()
    real = run(tmp_path / "store", folder)
    dry.dry_run = False
    assert dry == real


def test_the_rejects_of_two_imports_are_all_kept(folder: Path, tmp_path: Path) -> None:
    """Stops the rejects of a day from being replaced by those of the next file that begins on it."""
    run(tmp_path / "store", folder)
    lines = [*samples_of(20, first=DAY_SAMPLES), "more rubbish"]
    run(tmp_path / "store", write_bitbrains(tmp_path / "b" / "9.csv", lines))
    store = TraceStore(tmp_path / "store", "acme")
    rejects = store.read_day(TRACE_REJECTS, date(2013, 7, 2))
    assert rejects is not None
    assert sorted(zip(rejects["file"].to_pylist(), rejects["text"].to_pylist(), strict=True)) == [
        ("9.csv", "more rubbish"), ("rnd/2.csv", "rubbish"),
    ]  # fmt: skip
    files = store.read_whole(TRACE_FILES).to_pylist()
    assert sorted((file["file"], file["rejects"]) for file in files) == [
        ("9.csv", 1),
        ("rnd/1.csv", 0),
        ("rnd/2.csv", 1),
    ]


@pytest.mark.parametrize("survivors", range(8))
def test_an_import_that_broke_off_is_completed_by_the_next(
    folder: Path, tmp_path: Path, survivors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stops rows from being doubled or lost when only the first `survivors` objects had been stored."""
    run(tmp_path / "clean", folder / "1.csv")
    run(tmp_path / "broken", folder / "1.csv")
    write_bitbrains(folder / "1.csv", samples_of(4 * DAY_SAMPLES))
    run(tmp_path / "clean", folder)
    put = LocalStorage.put
    puts: list[str] = []

    def fail(self: LocalStorage, path: str, content: object) -> None:
        if len(puts) == survivors:
            raise TransientFailure("the disk is full")
        puts.append(path)
        put(self, path, content)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "put", fail)
        if survivors < 7:
            with pytest.raises(TransientFailure):
                run(tmp_path / "broken", folder)
    run(tmp_path / "broken", folder)
    assert contents(tmp_path / "broken") == contents(tmp_path / "clean")


KILLED = """
import os, signal, sys
from datetime import date
from pathlib import Path
from resources.lake import storage
from resources.monitoring.traces.importing import import_traces

replace = os.replace
def stop(source, target):
    if str(target).endswith("day=2013-07-02.parquet"):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
storage.os.replace = stop
import_traces(Path(sys.argv[1]), "acme", [Path(sys.argv[2])], today=date(2026, 1, 1))
"""


def test_a_killed_import_is_completed_by_the_next(folder: Path, tmp_path: Path) -> None:
    """Stops what a SIGKILL in the middle of a write leaves from staying in the store, or from being read."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "broken"), str(folder)]
    process = subprocess.run(command, check=False, timeout=60, cwd=Path(resources.__file__).parents[1])
    assert process.returncode == -signal.SIGKILL
    left = list(contents(tmp_path / "broken"))
    assert len(left) == 2  # the first day, and the hidden beginning of the second
    assert not TraceFiles(tmp_path / "broken").has("acme")
    run(tmp_path / "broken", folder)
    run(tmp_path / "clean", folder)
    assert contents(tmp_path / "broken") == contents(tmp_path / "clean")


def test_two_imports_of_one_tenant_do_not_mix(folder: Path, tmp_path: Path) -> None:
    with TraceStore(tmp_path / "store", "acme").locked(), pytest.raises(TransientFailure, match="another import"):
        run(tmp_path / "store", folder)
    assert run(tmp_path / "store", folder).rows_added == 5 * DAY_SAMPLES


@pytest.mark.parametrize("memory_rows", [1, 100, 10_000])
def test_what_does_not_fit_in_memory_gives_the_same_store(folder: Path, tmp_path: Path, memory_rows: int) -> None:
    run(tmp_path / "clean", folder)
    run(tmp_path / "small", folder, memory_rows=memory_rows)
    assert contents(tmp_path / "small") == contents(tmp_path / "clean")


def test_each_day_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops a folder of many small files from rewriting every day for every file."""
    for vm in range(30):
        write_bitbrains(tmp_path / "rnd" / f"{vm}.csv", samples_of(DAY_SAMPLES + 1))
    written: list[date] = []
    write_day = TraceStore.write_day

    def count(self: TraceStore, table: Table, day: date, data: pa.Table) -> None:
        if table is TRACE_SAMPLES:
            written.append(day)
        write_day(self, table, day, data)

    monkeypatch.setattr(TraceStore, "write_day", count)
    run(tmp_path / "store", tmp_path / "rnd", memory_rows=500)
    assert written == [date(2013, 7, 1), date(2013, 7, 2)]


def test_progress_is_told(folder: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    run(tmp_path / "store", folder, progress=told.append)
    steps = [(progress.step, progress.done, progress.total) for progress in told]
    assert steps[0] == ("reading", 0, 2)
    assert steps[2] == ("reading", 2, 2)
    assert steps[-1] == ("storing", 3, 3)
