"""Where compiled code is cached: a folder for each state of the kernels' source files."""

import hashlib
from pathlib import Path

KERNELS = Path(__file__).parent


def cache_folder(kernels: Path = KERNELS) -> Path:
    """Return the folder of the present state of the files in `kernels`, by their names, sizes and times."""
    state = hashlib.sha256()
    for path in sorted(kernels.rglob("*.py")):
        about = path.stat()
        state.update(f"{path.relative_to(kernels)} {about.st_size} {about.st_mtime_ns}\n".encode())
    return kernels / "__pycache__" / f"compiled-{state.hexdigest()[:16]}"
