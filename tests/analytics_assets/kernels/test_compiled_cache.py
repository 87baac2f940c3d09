"""Compiled code of another version is never run."""

import os
import subprocess
import sys
from pathlib import Path

from analytics_assets.kernels.compiled_cache import cache_folder, writable_folder

ROOT = Path(__file__).resolve().parents[3]


def test_any_change_of_any_kernel_is_another_folder(tmp_path):
    """Stops a caller from running old machine code after an upgrade of a file that it imports from."""
    (tmp_path / "part").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "part" / "b.py").write_text("y = 1\n")
    seen = {cache_folder(tmp_path)}
    assert cache_folder(tmp_path) in seen
    os.utime(tmp_path / "part" / "b.py", ns=(1, 1))
    seen.add(cache_folder(tmp_path))
    (tmp_path / "a.py").write_text("x = 10\n")
    seen.add(cache_folder(tmp_path))
    (tmp_path / "part" / "c.py").write_text("")
    seen.add(cache_folder(tmp_path))
    assert len(seen) == 4


def test_the_kernels_use_it_and_a_setting_of_ones_own_wins():
    script = "import analytics_assets.kernels, numba; print(numba.config.CACHE_DIR)"
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    ours, older = str(cache_folder()), str(cache_folder().with_name("novacron-compiled-0"))
    for given, expected in ((None, ours), (older, ours), ("/elsewhere", "/elsewhere")):
        whole = environment if given is None else {**environment, "NUMBA_CACHE_DIR": given}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env=whole, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


def test_an_installation_that_cannot_be_written_to_still_compiles(tmp_path):
    """Stops numba's "no locator available" at the first function; a file in the way stands for a read-only folder."""
    assert writable_folder(tmp_path / "kernels" / "compiled-1") == tmp_path / "kernels" / "compiled-1"
    (tmp_path / "file").write_text("")
    private = writable_folder(tmp_path / "file" / "compiled-1")
    assert private.is_dir()
    assert private.stat().st_mode & 0o077 == 0  # what is in it is run: nobody else may put anything there
