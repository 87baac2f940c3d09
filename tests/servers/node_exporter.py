"""A real node exporter of this machine."""

from pathlib import Path

from tests.servers.packages import program
from tests.servers.process import ServerProcess


def node_exporter(folder: Path, *, loopback: bool = False, port: int | None = None) -> ServerProcess:
    """Return a node exporter, to be started; its log is in `folder`. With `loopback` it shows that interface too."""
    binary = program("prometheus-node-exporter")
    return ServerProcess(
        "node-exporter",
        folder,
        lambda port: [
            binary,
            f"--web.listen-address=127.0.0.1:{port}",
            # Debian's shows every interface but this one.
            *(["--collector.netdev.device-exclude=^$"] if loopback else []),
        ],
        ready="/metrics",
        port=port,
    )
