"""A real node exporter of this machine."""

from pathlib import Path

from tests.servers.packages import program
from tests.servers.process import ServerProcess


def node_exporter(folder: Path, *, port: int | None = None) -> ServerProcess:
    """Return a node exporter, to be started; its log is in `folder`."""
    binary = program("prometheus-node-exporter")
    return ServerProcess(
        "node-exporter",
        folder,
        lambda port: [binary, f"--web.listen-address=127.0.0.1:{port}"],
        ready="/metrics",
        port=port,
    )
