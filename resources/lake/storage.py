"""The one place that touches storage: whole objects by relative path, put, read, listed, deleted.

Nothing above it opens, renames or lists a file, so an object store can take its place: every write
is a single put of finished bytes.
"""

import contextlib
import os
import tempfile
from typing import Any
from pathlib import Path, PurePosixPath

from resources.errors import PermanentFailure, TransientFailure

TEMPORARY_PREFIX = ".writing-"


class LocalStorage:
    """Objects as files under one root folder.

    A put writes to a hidden temporary name in the same folder, syncs it and renames it over the
    old object: a reader sees the old bytes or the new ones, and a process killed at any point
    leaves the old object and at most one hidden file, which the next put in that folder removes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def location(self, path: str) -> Path:
        """Return where the object `path` is, refusing one that would leave the root."""
        relative = PurePosixPath(path)
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise PermanentFailure(f"{path!r} is not a path inside {self.root}.")
        return self.root / relative

    def put(self, path: str, content: Any) -> None:
        """Store `content` under `path`, replacing what was there in one step.

        Raises:
            TransientFailure: the folder cannot be written or the disk is full; the old object stays.
        """
        target = self.location(path)
        temporary: str | None = None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers(target)
            descriptor, temporary = tempfile.mkstemp(prefix=f"{TEMPORARY_PREFIX}{target.name}-", dir=target.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o640)
            os.replace(temporary, target)
            _sync_folder(target.parent)
        except OSError as error:
            if temporary is not None:
                with contextlib.suppress(FileNotFoundError):  # it may have been renamed already
                    os.unlink(temporary)
            raise TransientFailure(
                f"cannot write {target}: {error.strerror}. What was stored there before is unchanged; "
                "free some space or mend the permissions and run it again."
            ) from error

    def read(self, path: str) -> bytes:
        return self.location(path).read_bytes()

    def exists(self, path: str) -> bool:
        return self.location(path).is_file()

    def size_bytes(self, path: str) -> int:
        return self.location(path).stat().st_size

    def names(self, folder: str) -> list[str]:
        """Return the names in `folder`, sorted; hidden ones are not part of the store."""
        place = self.location(folder) if folder else self.root
        if not place.is_dir():
            return []
        return sorted(entry.name for entry in os.scandir(place) if not entry.name.startswith("."))

    def delete(self, path: str) -> None:
        self.location(path).unlink(missing_ok=True)

    @staticmethod
    def _remove_leftovers(target: Path) -> None:
        """Remove what a killed writer of the same object left: writers of one object never overlap."""
        for leftover in target.parent.glob(f"{TEMPORARY_PREFIX}{target.name}-*"):
            leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
