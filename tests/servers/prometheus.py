"""A real Prometheus: on blocks made beforehand, scraping, or reading from another one.

Retention is 100 years: at the default of 15 days, counted from the newest block, Prometheus
deletes older blocks within moments of its start.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.servers.packages import program
from tests.servers.process import ServerProcess
from tests.servers.web_security import WebSecurity


def prometheus(
    folder: Path,
    *,
    blocks: Path | None = None,
    scrape_configs: Sequence[Mapping[str, Any]] = (),
    scrape_interval_seconds: float = 5,
    rules: Mapping[str, Any] | None = None,
    remote_read: Sequence[Mapping[str, Any]] = (),
    flags: Sequence[str] = (),
    security: WebSecurity | None = None,
    port: int | None = None,
) -> ServerProcess:
    """Return a Prometheus in `folder`, to be started.

    `blocks` are copied to its own data folder, and a data folder that is there already is kept.
    The other options are parts of its configuration file, and `flags` are added to its command line,
    such as `--query.max-samples=1000`, `--storage.remote.read-sample-limit=1000` or `--query.timeout=1s`.
    """
    data = folder / "data"
    folder.mkdir(parents=True, exist_ok=True)
    if blocks is not None and not data.exists():
        shutil.copytree(blocks, data)
    interval = f"{round(scrape_interval_seconds * 1000)}ms"
    configuration: dict[str, Any] = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "scrape_configs": [dict(config) for config in scrape_configs],
        "remote_read": [dict(backend) for backend in remote_read],
    }
    if rules:
        (folder / "rules.yml").write_text(yaml.safe_dump(dict(rules), sort_keys=False))
        configuration["rule_files"] = ["rules.yml"]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration, sort_keys=False))
    check_configuration(file)
    binary = program("prometheus")
    web = [f"--web.config.file={security.file}"] if security else []
    return ServerProcess(
        "prometheus",
        folder,
        lambda port: [
            binary,
            f"--config.file={file}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-lifecycle",
            *web,
            *flags,
        ],
        ready="/-/ready",
        port=port,
        access=security.access if security else None,
    )


def check_configuration(file: Path) -> None:
    """Raise `ValueError` with promtool's words if the configuration in `file`, or its rules, are wrong."""
    done = subprocess.run(
        [program("promtool"), "check", "config", str(file)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ValueError(f"{file} is no configuration of Prometheus: {done.stdout}{done.stderr}")
