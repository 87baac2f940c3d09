"""`tenants`: who is there, since when, how complete, and which files are damaged."""

import json
import os
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from portal import tenants
from portal.cli import cli
from resources.errors import TransientFailure
from resources.partition import PLATFORM, Partition
from tests.portal.command import run
from tests.resources.lake.scenario import FIRST_DAY, filled_lake


@pytest.fixture
def known(monkeypatch) -> list[str]:
    """The tenants that the sources know, to be filled by the test."""
    names: list[str] = []
    refused = {"Bad\nName": "no tenant id"}
    sources = SimpleNamespace(tenants=lambda: names, refused_tenants=lambda: refused if names else {})
    pretend(monkeypatch, sources)
    return names


def pretend(monkeypatch, sources) -> None:
    monkeypatch.setattr("resources.sources.open_sources", lambda _: sources)
    monkeypatch.setattr(tenants, "base_tables", lambda _: {True: "node_load", False: "vm_load"})


def show(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["tenants", *arguments, "--home", str(home)], catch_exceptions=False)


def test_stored_and_known_tenants_are_listed(tmp_path, known):
    lake = filled_lake(tmp_path / "lake", ("acme",))
    known += ["acme", "new", PLATFORM]
    done = show(tmp_path, "--json")
    assert done.exit_code == 0
    assert done.stderr == "in quarantine, never read: tenant label 'Bad\\nName': no tenant id\n"
    assert json.loads(done.stdout) == [
        {
            "tenant": "acme",
            "first_day": "2026-03-01",
            "last_day": "2026-03-03",
            "days": 3,
            "rows": 18,
            "coverage": 0.75,
            "bytes": sum(path.stat().st_size for path in lake.root.rglob("*.parquet")),
            "counted_days": 3,
            "damaged": 0,
        },
        *(
            {
                "tenant": name,
                "first_day": None,
                "last_day": None,
                "days": 0,
                "rows": 0,
                "coverage": None,
                "bytes": 0,
                "counted_days": 0,
                "damaged": 0,
            }
            for name in ("new", PLATFORM)
        ),
    ]


def test_the_list_for_people(tmp_path, known):
    filled_lake(tmp_path / "lake", ("acme",))
    known.append("new")
    lines = show(tmp_path).stdout.splitlines()
    assert lines[0].split() == ["tenant", "first", "day", "last", "day", "days", "rows", "coverage", "bytes"]
    assert lines[2].split()[:6] == ["acme", "2026-03-01", "2026-03-03", "3", "18", "75.0%"]
    assert lines[3].split() == ["new", "0", "0", "0"]


def test_nobody_is_said_to_be_there(tmp_path, known):
    assert known == []
    done = show(tmp_path)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no tenant yet" in done.stderr


def test_a_damaged_file_is_named_and_counted(tmp_path, known):
    """Stops one damaged file from hiding the list, and from passing unnoticed by scripts."""
    lake = filled_lake(tmp_path / "lake", ("acme", "beta"))
    known.append("acme")
    lake.path("vm_load", Partition("acme", FIRST_DAY)).write_bytes(b"damaged")
    done = show(tmp_path, "--json")
    assert done.exit_code == 1
    assert "day=2026-03-01.parquet is damaged" in done.stderr
    first, second = json.loads(done.stdout)
    assert (first["damaged"], first["rows"], first["days"]) == (1, 12, 3)
    assert (second["damaged"], second["rows"]) == (0, 18)


def test_rows_and_coverage_are_of_the_last_28_days(tmp_path, known):
    """Stops the list from opening every file of a long history."""
    lake = filled_lake(tmp_path / "lake", ("acme",), days=1)
    known.append("acme")
    first = lake.path("vm_load", Partition("acme", FIRST_DAY))
    for back in range(1, 365):
        os.link(first, first.with_name(f"day={FIRST_DAY - timedelta(days=back)}.parquet"))
    began = time.monotonic()
    [about] = json.loads(show(tmp_path, "--json").stdout)
    assert time.monotonic() - began < 1
    assert (about["days"], about["counted_days"], about["rows"]) == (365, 28, 28 * 6)


def test_base_tables_follow_the_pipelines(small_home):
    """Stops a renamed instance from emptying the list."""
    assert tenants.base_tables(small_home) == {True: "system_load", False: "vm_resources"}


@pytest.mark.parametrize("fails", ["tenants", "refused_tenants"])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_is_stored_is_listed_while_the_server_is_down(tmp_path, monkeypatch, fails, form):
    """Stops an outage from hiding what the lake holds, and from passing for success."""
    filled_lake(tmp_path / "lake", ("acme",))

    def down():
        raise TransientFailure("http://server gave no answer. Check that it runs.")

    known = {"tenants": lambda: ["new"], "refused_tenants": dict, fails: down}
    pretend(monkeypatch, SimpleNamespace(traces=SimpleNamespace(tenants=lambda: ["imported"]), **known))
    done = run("tenants", "--home", tmp_path, *form)
    assert (done.code, done.err) == (1, "error: http://server gave no answer. Check that it runs.\n")
    expected = ["acme", "imported", *(["new"] if fails == "refused_tenants" else [])]
    if form:
        assert [about["tenant"] for about in json.loads(done.out)] == expected
    else:
        assert [line.split()[0] for line in done.out.splitlines()[2:]] == expected


def test_nothing_stored_and_no_server_says_only_the_failure(tmp_path, monkeypatch):
    """Stops an outage from being called a home without tenants."""

    def down():
        raise TransientFailure("http://server gave no answer.")

    pretend(monkeypatch, SimpleNamespace(tenants=down, traces=SimpleNamespace(tenants=list)))
    done = run("tenants", "--home", tmp_path)
    assert (done.code, done.out, done.err) == (1, "", "error: http://server gave no answer.\n")


def test_only_some_of_many_labels_in_quarantine_are_shown(tmp_path, monkeypatch):
    """Stops ten thousand labels, or a long one, from filling the terminal, and a hostile one from steering it."""
    refused = {f"Bad\x1b[2J{number:05}" + "x" * 10_000: "no tenant id" for number in range(10_000)}
    pretend(monkeypatch, SimpleNamespace(tenants=lambda: ["acme"], refused_tenants=lambda: refused))
    done = run("tenants", "--home", tmp_path)
    lines = done.err.splitlines()
    assert (done.code, len(lines), lines[-1]) == (0, 21, "in quarantine, never read: and 9980 more")
    assert lines[0].startswith("in quarantine, never read: tenant label 'Bad\\x1b[2J00000xxx")
    assert max(map(len, lines)) < 300
    assert "\x1b" not in done.err
