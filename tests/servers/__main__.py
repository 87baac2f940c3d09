"""`python -m tests.servers`: a real monitoring server to try this software with, on one machine.

python -m tests.servers start prometheus --folder prom --simulated
python -m tests.servers start victoriametrics --folder victoria --data ../shared/data
python -m tests.servers start live --folder live
"""

import argparse
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from types import FrameType

import psutil

from resources.errors import AnalyticsError, InvalidInput
from tests.servers.live import live_servers
from tests.servers.prepared import Wanted, prepared_server
from tests.servers.process import Access, ServerDidNotStart, ServerProcess, ask

RUNNING = "running.json"
WAIT_SECONDS = 600.0
MOST_BITBRAINS_DAYS = 61
"""From the first of August 2013 to the end of the traces."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    try:
        status: int = given.run(given)
    except (AnalyticsError, ServerDidNotStart, RuntimeError, OSError) as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _start_loaded(given: argparse.Namespace) -> int:
    folder: Path = given.folder
    _refuse_running(folder)
    if given.simulated:
        wanted = Wanted(
            given.server, "", given.tenants, given.vms or 20, given.days or 14, str(given.first_day),
            given.interval_seconds,
        )  # fmt: skip
    else:
        days = given.days or 30
        if days > MOST_BITBRAINS_DAYS:
            raise InvalidInput(f"--days {days}: the traces have {MOST_BITBRAINS_DAYS} days from 2013-08-01.")
        wanted = Wanted(given.server, str(given.data.absolute()), 0, given.vms or 12, days, "", 0)
    server, holds = prepared_server(folder, wanted, given.port, _say)
    with server:
        _say(
            f"It holds {holds.series:,} series with {holds.samples:,} samples of "
            f"{holds.first_day} to {holds.last_day}; tenants {', '.join(holds.tenants)}."
        )
        return _run(folder, server.url, given.server, holds.first_day, [server])


def _start_live(given: argparse.Namespace) -> int:
    folder: Path = given.folder
    _refuse_running(folder)
    _say("Starting node exporter, libvirt exporter and Prometheus; waiting for the first samples ...")
    with live_servers(folder.absolute(), scrape_interval_seconds=given.scrape_interval, port=given.port) as servers:
        _say(
            f"Prometheus scrapes {servers.node_exporter.url} and {servers.libvirt_exporter.url} "
            f"every {given.scrape_interval:g} s; tenants {', '.join(servers.tenants)}."
        )
        today = time.strftime("%Y-%m-%d", time.gmtime())
        everyone = [servers.prometheus, servers.node_exporter, servers.libvirt_exporter]
        return _run(folder, servers.url, "prometheus", today, everyone)


def _wait(given: argparse.Namespace) -> int:
    """Print the address as soon as the server of a folder answers."""
    deadline = time.monotonic() + given.seconds
    while time.monotonic() < deadline:
        running = _running(given.folder)
        if running and _answers(running["url"]):
            print(running["url"])  # noqa: T201 - the answer
            return 0
        if given.pid and not _lives(given.pid):
            _say(f"error: process {given.pid} ended before the server of {given.folder} was ready; see what it said")
            return 1
        time.sleep(0.1)
    _say(f"error: no server answers in {given.folder} after {given.seconds:g} s")
    return 1


def _run(folder: Path, url: str, kind: str, first_day: str, servers: Sequence[ServerProcess]) -> int:
    """Say where the server is, and wait until somebody ends this command."""
    note = folder / RUNNING
    _say(f"Settings of a home that reads it (analytics.toml):\n  source = {kind!r}\n  {kind}_url = {url!r}")
    _say(f"  first_day = {first_day}\nCtrl-C stops it.")
    print(url, flush=True)  # noqa: T201 - the answer
    note.write_text(json.dumps({"url": url, "pid": os.getpid()}))
    try:
        while all(server.running for server in servers):
            time.sleep(0.2)
    except KeyboardInterrupt:
        _say("stopping")
        return 0
    finally:
        note.unlink(missing_ok=True)
    ended = next(server for server in servers if not server.running)
    _say(f"error: {ended.name} ended by itself; {ended.log} ends:\n{ended.log_tail()}")
    return 1


def _refuse_running(folder: Path) -> None:
    running = _running(folder)
    if running:
        raise InvalidInput(f"{folder} has a running server already: {running['url']}, process {running['pid']}.")


def _running(folder: Path) -> dict[str, object] | None:
    """Return what a command that runs on `folder` noted, None where none does."""
    try:
        noted = json.loads((folder / RUNNING).read_text())
    except (FileNotFoundError, json.JSONDecodeError):  # not there yet, or half written
        return None
    return noted if _lives(int(noted["pid"])) else None


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _answers(url: str) -> bool:
    try:
        return ask(int(url.rpartition(":")[2]), Access(), "GET", "/health", seconds=5)[0] < 500
    except (OSError, http.client.HTTPException):
        return False


def _end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.servers",
        description="Start a real monitoring server on this machine, with something in it, to try this software "
        "with. Its address goes to standard output, everything else to standard error.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    start = commands.add_parser("start", help="start a server and run until Ctrl-C or SIGTERM")
    kinds = start.add_subparsers(required=True, metavar="SERVER")
    for kind in ("prometheus", "victoriametrics"):
        loaded = kinds.add_parser(kind, help=f"a {kind} that holds real traces or a simulated fleet")
        _common(loaded)
        source = loaded.add_mutually_exclusive_group(required=True)
        source.add_argument(
            "--data", type=Path, metavar="DIR", help="folder with planetlab_cpu.parquet and bitbrains_5min.parquet"
        )
        source.add_argument("--simulated", action="store_true", help="a simulated fleet; needs no files")
        loaded.add_argument(
            "--days", type=_positive, metavar="N",
            help=f"days: of the simulated fleet (14), or of Bitbrains from 2013-08-01 (30, at most "
            f"{MOST_BITBRAINS_DAYS}; PlanetLab is one day, 2011-03-03)",
        )  # fmt: skip
        loaded.add_argument(
            "--vms", type=_positive, metavar="N", help="VMs of each simulated tenant (20), or of each trace (12)"
        )
        loaded.add_argument("--tenants", type=_positive, default=3, metavar="N", help="simulated tenants (3)")
        loaded.add_argument(
            "--first-day", type=date.fromisoformat, default=date(2026, 1, 1), metavar="YYYY-MM-DD",
            help="first simulated day (2026-01-01)",
        )  # fmt: skip
        loaded.add_argument(
            "--interval-seconds", type=_positive, default=300, metavar="N", help="between simulated samples (300)"
        )
        loaded.set_defaults(run=_start_loaded, server=kind)
    live = kinds.add_parser("live", help="a Prometheus that scrapes this machine and some libvirt test domains")
    _common(live)
    live.add_argument(
        "--scrape-interval", type=_seconds, default=5.0, metavar="SECONDS", help="between two scrapes (5)"
    )
    live.set_defaults(run=_start_live)
    wait = commands.add_parser("wait", help="wait until the server of a folder answers, and print its address")
    wait.add_argument("--folder", type=Path, required=True, help="the folder given to start")
    wait.add_argument("--pid", type=int, help="process of the start command: do not wait for one that has ended")
    wait.add_argument("--seconds", type=_seconds, default=WAIT_SECONDS, help=f"how long ({WAIT_SECONDS:g})")
    wait.set_defaults(run=_wait)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, required=True, help="where everything is written; empty or new at first")
    parser.add_argument("--port", type=_positive, metavar="P", help="loopback port (a free one)")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.2 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{value:g} is not 0.2 to 86400 seconds")
    return value


if __name__ == "__main__":
    sys.exit(main())
