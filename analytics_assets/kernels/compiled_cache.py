"""Where compiled code is cached: a folder for each state of the kernels' source files."""

import atexit
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

KERNELS = Path(__file__).parent
PREFIX = "novacron-compiled-"


def cache_folder(kernels: Path = KERNELS) -> Path:
    """Return the folder of the present state of the files in `kernels`, by their names, sizes and times."""
    state = hashlib.sha256()
    for path in sorted(kernels.rglob("*.py")):
        about = path.stat()
        state.update(f"{path.relative_to(kernels)} {about.st_size} {about.st_mtime_ns}\n".encode())
    return kernels / "__pycache__" / f"{PREFIX}{state.hexdigest()[:16]}"


def is_ones_own(given: str) -> bool:
    """Return whether a folder that was given is the user's, and none that a parent process of any version chose."""
    return not Path(given).name.startswith(PREFIX)


def writable_folder(folder: Path) -> Path:
    """Return `folder`, made if need be; a private one of this process where it cannot be written to.

    In an installation that may not be written to, every process compiles anew what it uses: half a minute.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:  # a read-only file system or folder: what follows is for it
        pass
    private, creator = Path(tempfile.mkdtemp(prefix=PREFIX)), os.getpid()
    atexit.register(lambda: shutil.rmtree(private, ignore_errors=True) if os.getpid() == creator else None)
    return private
