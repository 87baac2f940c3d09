"""How soon the command line answers: whole processes, start of the interpreter included."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.fleet import TENANT, history_of, make_home
from benchmarks.report import Outcome, best

CALL = "from portal.cli import main; main()"


def run(quick: bool) -> list[Outcome]:
    """Return seconds of `--help` and of a query over 28 days."""
    with tempfile.TemporaryDirectory() as folder:
        history_of(make_home(Path(folder), 20))
        bare = best(lambda: _call("pass"))
        help_seconds = best(lambda: _call(CALL, "--help"))
        sql = "SELECT vm_id, avg(cpu_percent_mean) AS cpu FROM vm_resources_hourly GROUP BY vm_id ORDER BY vm_id"
        query = best(lambda: _call(CALL, "query", sql, "--tenant", TENANT, "--home", folder))
    return [
        Outcome("--help", help_seconds, "s", aim="<= 0.5", note=f"python -c pass: {bare:.3f} s"),
        Outcome("query over 28 days", query, "s", aim="<= 1.0"),
    ]


def _call(*arguments: str) -> None:
    subprocess.run([sys.executable, "-c", *arguments], check=True, stdout=subprocess.DEVNULL)
