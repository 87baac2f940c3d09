"""The command line and the scorers, called as processes of their own, as a user calls them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CALL = "from portal.cli import main; main()"


class Failed(Exception):
    """A process did not end well; the message is what it said."""


def analyze(command: str, *arguments: object) -> dict[str, Any]:
    """Run `novacron-analytics analyze COMMAND ARGUMENTS --json` and return its summary."""
    told = _run([sys.executable, "-c", CALL, "analyze", command, *map(str, arguments), "--json"])
    summary: dict[str, Any] = json.loads(told)
    return summary


def score(data: Path, scorer: str, *arguments: object) -> str:
    """Run a scorer of the data folder and return what it prints."""
    return _run([sys.executable, str(data / "score" / scorer), str(data), *map(str, arguments)])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command[1:])[:300]} ended with {done.returncode}:\n{done.stderr.strip()[-3000:]}")
    return done.stdout
