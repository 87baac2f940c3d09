"""The `import` command: what it takes, what it prints, what it exits with."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from portal import import_traces
from resources.errors import InvalidInput
from resources.monitoring.traces.importing import Progress
from resources.monitoring.traces.source import TraceFiles
from resources.settings import Settings
from tests.resources.monitoring.traces.files import START_S, samples_of, series, tree, write_bitbrains


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    tenants: list[str] = []

    def register(settings: Settings, tenant: str) -> None:
        assert TraceFiles(settings.traces_root).has(tenant)  # a tenant without samples must not get partitions
        tenants.append(tenant)

    monkeypatch.setattr(import_traces, "register", register)
    return tenants


def call(*arguments: Any, home: Path) -> Result:
    options = [str(argument) for argument in arguments]
    return CliRunner().invoke(import_traces.command, [*options, "--home", str(home)], catch_exceptions=True)


def test_it_says_what_it_did_and_what_comes_next(tmp_path: Path, registered: list[str]) -> None:
    file = write_bitbrains(tmp_path / "rnd" / "1.csv", [*samples_of(300), "bad\x1b[31m"])
    result = call(tmp_path / "rnd", "--tenant", "acme", home=tmp_path / "home")
    assert result.exit_code == 0, result.output
    assert registered == ["acme"]
    assert "files    1 read (1 bitbrains; timestamps in seconds)" in result.output
    assert "rows     300 read, 300 added" in result.output
    assert "VMs      1" in result.output
    assert "days     2013-07-01 to 2013-07-02" in result.output
    assert "rejects  1 of 301 lines" in result.output
    assert "rnd/1.csv, line 302: 1 fields where the header has 11: 'bad\\x1b[31m'" in result.output
    assert "run daily-analytics --tenant acme --from 2013-07-01 --to 2013-07-02" in result.output
    before = tree(tmp_path / "home")
    again = call(file, "--tenant", "acme", home=tmp_path / "home")
    assert "nothing new: all 1 file(s) were imported for acme before" in again.output
    assert tree(tmp_path / "home") == before


def test_json_is_for_programs(tmp_path: Path, registered: list[str]) -> None:
    write_bitbrains(tmp_path / "1.csv", [*samples_of(20), "bad"])
    result = call(tmp_path / "1.csv", "--tenant", "acme", "--json", home=tmp_path / "home")
    told = json.loads(result.stdout)
    assert (told["rows"], told["rejects"], told["first_day"], told["vms"]) == (20, 1, "2013-07-01", 1)
    assert told["first_rejects"] == [
        {"file": "1.csv", "line": 22, "reason": "1 fields where the header has 11", "text": "bad"}
    ]


def test_a_dry_run_registers_nobody_and_writes_nothing(tmp_path: Path, registered: list[str]) -> None:
    write_bitbrains(tmp_path / "1.csv", samples_of(20))
    result = call(tmp_path / "1.csv", "--tenant", "acme", "--dry-run", home=tmp_path / "home")
    assert "nothing was changed" in result.output
    assert "20 would be added" in result.output
    assert (registered, (tmp_path / "home").exists()) == ([], False)


def test_mapping_and_selection_options(tmp_path: Path, registered: list[str]) -> None:
    day = 86_400
    rows = "".join(f"{START_S + hour * 3600},{vm},{hour}\n" for hour in range(72) for vm in "abc")
    (tmp_path / "x.csv").write_text(f"when,machine,mem_kb\n{rows}")
    (tmp_path / "vms.txt").write_text("# ours\na\n\nb \n")
    columns = ("--column", "ts=when", "--column", "vm_id=machine", "--column", "memory_bytes=mem_kb*1024")
    chosen = ("--vm", f"@{tmp_path / 'vms.txt'}", "--vm", "zz", "--from", "2013-07-02", "--to", "2013-07-02")
    result = call(tmp_path / "x.csv", "--tenant", "acme", *columns, *chosen, home=tmp_path / "home")
    assert result.exit_code == 0, result.output
    assert "missing  1 VM(s) had no sample: zz" in result.output
    found = series(tmp_path / "home" / "traces", "novacron_vm_memory_usage_bytes")
    one = [((START_S + day + hour * 3600) * 1000, (24 + hour) * 1024.0) for hour in range(24)]
    assert found == {"a": one, "b": one}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--from", "2013-07-02", "--to", "2013-07-01"), "Swap"),
        (("--from", "yesterday"), "not a day"),
        (("--vm", "@gone.txt"), "cannot read the VMs"),
        (("--map", "gone.toml"), "cannot read the mapping"),
        (("--map", "gone.toml", "--column", "ts=x"), "--map goes without --column"),
        (("--column", "load=x"), "not a column of ours"),
        (("--format", "planetlab"), "no known format planetlab"),
        (("--max-bad", "4"), "1 of 21 lines are bad"),
    ],
)
def test_what_is_wrong_is_refused(
    tmp_path: Path, registered: list[str], options: tuple[str, ...], message: str
) -> None:
    write_bitbrains(tmp_path / "1.csv", [*samples_of(20), "bad"])
    result = call(tmp_path / "1.csv", "--tenant", "acme", *options, home=tmp_path / "home")
    assert isinstance(result.exception, InvalidInput)
    assert message in str(result.exception)
    assert (registered, (tmp_path / "home").exists()) == ([], False)


def test_without_a_terminal_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stops a log from being flooded with a line for every file."""
    now = iter([0.0, 1.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    with import_traces.showing_progress() as show:
        for done in range(3):
            show(Progress("reading", done, 3, 1000 * done))
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "reading: 1 of 3 files, 1,000 rows\n")


def test_on_a_terminal_progress_is_a_bar_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with import_traces.showing_progress() as show:
        show(Progress("reading", 1, 3, 1000))
        show(Progress("storing", 1, 3, 1000))
    told = capsys.readouterr()
    assert told.out == ""
    assert "reading (1,000 rows)" in told.err
