"""A real `novacron-analytics dev`: webserver, daemon and code server on a free port, ended as a group."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY_SECONDS = 90
BACKFILL = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
STATUS = "query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"


class DagsterServer:
    """Asks the running server's GraphQL API."""

    def __init__(self, port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(  # noqa: S310 - a loopback address
            f"{self.url}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            answer = json.loads(response.read())
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def wait_for(self, what: str, seconds: float, ready: Any) -> Any:
        """Return the first true answer of `ready()`; fail with the server's log if none comes in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = ready()
            if found:
                return found
            time.sleep(1)
        raise AssertionError(f"{what} did not happen in {seconds} s; the log ends:\n{self.log.read_text()[-3000:]}")

    def backfill(self, assets: list[str], partitions: list[str], seconds: float = 240) -> str:
        """Launch a backfill as the page does and return its status at the end."""
        answer = self.ask(
            BACKFILL,
            params={
                "assetSelection": [{"path": [name]} for name in assets],
                "partitionNames": partitions,
                "fromFailure": False,
            },
        )["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer

        def ended() -> str:
            status = self.ask(STATUS, id=answer["backfillId"])["partitionBackfillOrError"]["status"]
            return "" if status in ("REQUESTED", "CANCELING") else str(status)

        return str(self.wait_for("the backfill's end", seconds, ended))

    def location_is_loaded(self) -> bool:
        try:
            data = self.ask("{ repositoriesOrError { __typename ... on RepositoryConnection { nodes { name } } } }")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return bool(data["repositoriesOrError"].get("nodes"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server(home: Path) -> Iterator[DagsterServer]:
    """Start the server on `home` and end all its processes afterwards."""
    port = free_port()
    log = home.parent / "dev.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from portal.cli import main; main()",
                "dev",
                "--home",
                str(home),
                "--port",
                str(port),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith(("ANALYTICS_", "DAGSTER_"))},
        )
    try:
        server = DagsterServer(port, log)
        server.wait_for("loading the code location", READY_SECONDS, server.location_is_loaded)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
