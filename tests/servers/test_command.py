"""`python -m tests.servers` as a newcomer runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.__main__ import main
from tests.servers.packages import missing_packages
from tests.servers.process import Access, ask

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--simulated", "--tenants", "1", "--vms", "2", "--days", "1")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.servers", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)


def start_and_stop(folder: Path, *arguments: str) -> tuple[str, str]:
    """Start, wait until it answers, look at it, end it; return its address and what it said."""
    started = subprocess.Popen(
        command("start", *arguments, "--folder", str(folder)),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        waited = run("wait", "--folder", str(folder), "--pid", str(started.pid))
        assert waited.returncode == 0, waited.stderr
        url = waited.stdout.strip()
        port = int(url.rpartition(":")[2])
        assert ask(port, Access(), "GET", "/api/v1/label/tenant_id/values")[0] == 200
        started.send_signal(signal.SIGTERM)
        out, said = started.communicate(timeout=30)
    finally:
        started.kill()
        started.wait()
    assert (started.returncode, out.strip()) == (0, url), said
    with pytest.raises(ConnectionRefusedError):
        ask(port, Access(), "GET", "/")
    assert not (folder / "running.json").exists()
    return url, said


@pytest.mark.integration
@pytest.mark.parametrize(("server", "program"), [("prometheus", "prometheus"), ("victoriametrics", "victoria-metrics")])
def test_a_loaded_server_is_prepared_once_and_stops_when_told(server, program, tmp_path):
    """Stops servers that outlive the command, and a second start that prepares everything again."""
    if missing_packages(program):
        pytest.skip(f"not installed: {program}")
    _, said = start_and_stop(tmp_path / "own", server, *SMALL)
    assert "tenants acme." in said
    assert f"{server}_url = " in said
    _, said = start_and_stop(tmp_path / "own", server, *SMALL)
    assert "prepared already" in said
    other = run("start", server, "--folder", str(tmp_path / "own"), "--simulated", "--days", "2")
    assert other.returncode == 1
    assert "prepared with other options" in other.stderr


@pytest.mark.integration
def test_a_preparation_that_was_interrupted_begins_again(tmp_path):
    """Stops a server that holds half of the data for good."""
    if missing_packages("prometheus"):
        pytest.skip("not installed: prometheus")
    folder = tmp_path / "own"
    start_and_stop(folder, "prometheus", *SMALL)
    marker = json.loads((folder / "prepared.json").read_text())
    (folder / "prepared.json").write_text(json.dumps({**marker, "holds": None}))
    (folder / "data" / "half").mkdir()
    _, said = start_and_stop(folder, "prometheus", *SMALL)
    assert "prepared already" not in said
    assert not (folder / "data" / "half").exists()


def test_a_folder_of_somebody_elses_files_is_left_alone(tmp_path, capsys):
    """Stops the command from writing among, or removing, files that are not its own."""
    (tmp_path / "data").mkdir()
    assert main(["start", "prometheus", "--folder", str(tmp_path), *SMALL]) == 1
    assert "was not made by this command" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_traces_that_are_not_there_are_named(tmp_path, capsys):
    """Stops an error about a file that nobody asked for by name."""
    assert main(["start", "prometheus", "--folder", str(tmp_path / "own"), "--data", str(tmp_path)]) == 1
    assert "has no planetlab_cpu.parquet" in capsys.readouterr().err


def test_a_missing_package_is_named(tmp_path, capsys, monkeypatch):
    """Stops "No such file or directory: promtool"."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["start", "live", "--folder", str(tmp_path / "own")]) == 1
    assert "apt-get install --no-install-recommends prometheus-node-exporter" in capsys.readouterr().err


def test_waiting_ends_with_the_command_that_is_waited_for(tmp_path, capsys):
    """Stops a script that waits ten minutes for a server that failed in its first second."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    began = time.monotonic()
    assert main(["wait", "--folder", str(tmp_path), "--pid", str(ended.pid)]) == 1
    assert time.monotonic() - began < 5
    assert "ended before" in capsys.readouterr().err
    assert main(["wait", "--folder", str(tmp_path), "--pid", str(os.getpid()), "--seconds", "0.3"]) == 1
    assert "no server answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ["start", "prometheus", "--folder", "x"],
        ["start", "prometheus", "--folder", "x", "--simulated", "--days", "0"],
        ["start", "live", "--folder", "x", "--scrape-interval", "nan"],
        ["start"],
    ],
)
def test_wrong_options_are_refused(wrong, capsys):
    """Stops a traceback where a word would do."""
    with pytest.raises(SystemExit):
        main(wrong)
    assert "error" in capsys.readouterr().err
