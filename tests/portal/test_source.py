"""`source check` as a terminal shows it; what it finds out of real servers is tested in tests/integration."""

import pytest

from resources.monitoring.server.check import SourceCheck
from tests.portal.command import run


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Return the lines that are printed of a check with some values of its own."""

    def show(**values):
        told = {
            "kind": "prometheus", "version": "2.42.0", "url": "http://server", "read_method": "query",
            "passed_over": {}, "clock_skew_seconds": 0.0, "metrics_found": [], "metrics_missing": [],
            "metrics_of_others": [], "tenants": [], "tenants_unchecked": [], "quarantine": {}, **values,
        }  # fmt: skip
        monkeypatch.setattr("resources.monitoring.server.check.check_source", lambda *_: SourceCheck(**told))
        (tmp_path / "analytics.toml").write_text(
            'source = "prometheus"\nprometheus_url = "http://server"\nfirst_day = 2026-01-01\n'
        )
        done = run("source", "check", "--home", tmp_path)
        assert done.code == 0, done.err
        return done.out.splitlines()

    return show


def test_a_servers_version_steers_no_terminal(found):
    """Stops what answers in the server's place from clearing the screen or writing over it."""
    lines = found(version="2.42\x1b[2J\r\n\u202eevil" + "x" * 1000)
    assert lines[0].startswith("prometheus 2.42[2Jevilxxx")
    assert lines[0].endswith(" at http://server")
    assert len(lines[0]) < 150
    assert lines[1].startswith("read by")


def test_only_some_of_many_labels_in_quarantine_are_shown(found):
    """Stops ten thousand labels, or a long one, from filling the terminal, and a hostile one from steering it."""
    refused = {f"Bad\x1b[2J{number:05}" + "x" * 10_000: "no tenant id" for number in range(10_000)}
    lines = [line for line in found(quarantine=refused) if line.startswith("quarantine")]
    assert (len(lines), lines[-1]) == (21, "quarantine     and 9980 more")
    assert lines[0].startswith("quarantine     tenant label 'Bad\\x1b[2J00000xxx")
    assert max(map(len, lines)) < 300
