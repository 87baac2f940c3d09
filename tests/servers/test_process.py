"""Starting and stopping child servers, with a small one in place of a real one."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.servers import process
from tests.servers.process import ServerDidNotStart, ServerProcess, ask, free_port

SERVER = """
import http.server, signal, sys
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


def small_server(folder: Path, *more: str, port: int | None = None) -> ServerProcess:
    return ServerProcess(
        "small", folder, lambda port: [sys.executable, "-u", "-c", SERVER, str(port), *more], ready="/", port=port
    )


def python(folder: Path, code: str, seconds: float = 30) -> ServerProcess:
    command: Sequence[str] = [sys.executable, "-c", code]
    return ServerProcess("small", folder, lambda port: command, ready="/", ready_seconds=seconds)


def test_it_answers_when_start_returns_and_is_gone_after_the_block(tmp_path):
    """Stops a fixture whose first request meets a server that is not up, and servers left behind."""
    with small_server(tmp_path / "own") as server:
        assert server.ask("GET", "/")[0] == 200
        pid = server.pid
    assert not server.running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_that_ends_at_once_is_reported_with_what_it_said(tmp_path):
    """Stops a test run that only says "did not start"."""
    with pytest.raises(ServerDidNotStart, match=r"(?s)ended with 3.*no space left"):
        python(tmp_path, "print('no space left', flush=True); raise SystemExit(3)").start()


def test_a_server_that_never_answers_is_given_up_and_ended(tmp_path):
    """Stops a suite that hangs, and a silent server that lives on after it."""
    server = python(tmp_path, "print('starting', flush=True); import time; time.sleep(600)", seconds=0.5)
    with pytest.raises(ServerDidNotStart, match=r"(?s)did not answer / in 0.5 s.*starting"):
        server.start()
    assert not server.running


def test_a_port_taken_between_choosing_and_binding_is_changed(tmp_path, monkeypatch):
    """Stops a suite that fails now and then because two servers chose the same port."""
    with small_server(tmp_path / "first") as first:
        ports = iter([first.port, first.port, free_port()])
        monkeypatch.setattr(process, "free_port", lambda: next(ports))
        with small_server(tmp_path / "second") as second:
            assert second.port != first.port


def test_another_server_on_the_port_is_not_taken_for_this_one(tmp_path, monkeypatch):
    """Stops tests that talk to the server of another test without anybody noticing."""
    with small_server(tmp_path / "first") as first:
        monkeypatch.setattr(process, "free_port", lambda: first.port)
        with pytest.raises(ServerDidNotStart, match="did not answer"):
            python(tmp_path / "second", "import time; time.sleep(600)", seconds=0.5).start()


def test_a_given_port_that_is_taken_is_an_error(tmp_path):
    """Stops `--port` from being ignored."""
    with small_server(tmp_path / "first") as first:
        second = small_server(tmp_path / "second", port=first.port)
        with pytest.raises(ServerDidNotStart, match=f"(?s)port {first.port}.*already in use"):
            second.start()


def test_a_killed_server_comes_back_under_the_same_address(tmp_path):
    """Stops tests of an outage from ending with a server at another address."""
    with small_server(tmp_path) as server:
        url = server.url
        server.kill()
        with pytest.raises(ConnectionRefusedError):
            server.ask("GET", "/")
        server.start()
        assert server.url == url
        assert server.ask("GET", "/")[0] == 200


def test_a_paused_server_hangs_and_goes_on(tmp_path):
    """Stops a test of read timeouts from testing a refused connection."""
    with small_server(tmp_path) as server:
        server.pause()
        with pytest.raises(TimeoutError):
            ask(server.port, server.access, "GET", "/", seconds=0.3)
        server.resume()
        assert server.ask("GET", "/")[0] == 200
        server.pause()
        began = time.monotonic()
    assert time.monotonic() - began < 5  # stopping a paused one works too


def test_a_server_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    """Stops a server that does not want to end from outliving its test."""
    monkeypatch.setattr(process, "STOP_SECONDS", 0.5)
    server = small_server(tmp_path, "stubborn").start()
    server.stop()
    assert not server.running
