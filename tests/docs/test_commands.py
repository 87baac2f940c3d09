"""The commands in the documentation, run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.packages import PACKAGES, missing_packages

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TESTED = re.compile(r"<!-- tested -->\n```sh\n(.*?)```", re.DOTALL)


@pytest.mark.integration
@pytest.mark.parametrize(
    "page", [page for page in PAGES if TESTED.search(page.read_text())], ids=lambda page: page.name
)
def test_the_commands_of_a_page_work(page, tmp_path):
    """Stops documentation whose commands no longer run."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name, arguments in (("novacron-analytics", '-c "from portal.cli import main; main()" '), ("python", "")):
        command = binaries / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        command.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ANALYTICS_HOME": str(tmp_path / "home"),
    }
    script = "\n".join(TESTED.findall(page.read_text()))
    if "tests.servers" in script and (packages := missing_packages(*PACKAGES)):
        pytest.skip(f"not installed: {', '.join(packages)}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_links_between_pages_lead_somewhere():
    """Stops a link to a page or picture that was renamed."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
