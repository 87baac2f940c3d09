"""The one place that touches storage: whole objects by relative path, put, read, listed, deleted.

Nothing above it opens, renames or lists a file, so an object store can take its place: every write
is a single put of finished bytes.
"""

import contextlib
import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from resources.errors import PermanentFailure, TransientFailure

TEMPORARY_PREFIX = ".writing-"


class LocalStorage:
    """Objects as files under one root folder.

    A put writes to a hidden temporary name in the same folder, syncs it and renames it over the
    old object: a reader sees the old bytes or the new ones, and a process killed at any point
    leaves the old object and at most one hidden file, which the next put of that object removes.
    A link below the root is no part of the store: it could lead out of a tenant's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def location(self, path: str) -> Path:
        """Return where the object `path` is, refusing one that would leave the root, by itself or by a link."""
        relative = PurePosixPath(path)
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise PermanentFailure(f"{path!r} is not a path inside {self.root}.")
        place = self.root
        for part in relative.parts:
            place = place / part
            if place.is_symlink():
                raise PermanentFailure(
                    f"{place} is a link, which could lead out of its tenant's folder. "
                    "Put what it points to in its place; a lake on another disk is a home or a mount there."
                )
        return place

    def put(self, path: str, content: Any) -> None:
        """Store `content` under `path`, replacing what was there in one step.

        Raises:
            TransientFailure: the folder cannot be written or the disk is full; the old object stays
                (or the new one is there unsynced, which the message then says).
        """
        target = self.location(path)
        temporary: str | None = None
        outcome = "What was stored there before is unchanged"
        try:
            _make_folder(target.parent)
            self._remove_leftovers(target)
            descriptor, temporary = tempfile.mkstemp(prefix=f"{TEMPORARY_PREFIX}{target.name}-", dir=target.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o640)
            os.replace(temporary, target)
            outcome = "The new content is there, but a power cut may still take it back"
            _sync_folder(target.parent)
        except OSError as error:
            if temporary is not None:
                with contextlib.suppress(OSError):  # it may have been renamed already; else the next put removes it
                    os.unlink(temporary)
            raise TransientFailure(
                f"cannot write {target}: {error.strerror or error}. {outcome}; "
                "free some space or mend the permissions and run it again."
            ) from error

    def read(self, path: str) -> bytes:
        return self.location(path).read_bytes()

    def exists(self, path: str) -> bool:
        return self.location(path).is_file()

    def size_bytes(self, path: str) -> int:
        return self.location(path).stat().st_size

    def names(self, folder: str) -> list[str]:
        """Return the names in `folder`, sorted; hidden ones and links are not part of the store."""
        place = self.location(folder) if folder else self.root
        if not place.is_dir():
            return []
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and not entry.is_symlink())

    def delete(self, path: str) -> None:
        self.location(path).unlink(missing_ok=True)

    @staticmethod
    def _remove_leftovers(target: Path) -> None:
        """Remove what a killed writer of the same object left: writers of one object never overlap."""
        for leftover in target.parent.glob(f"{TEMPORARY_PREFIX}{target.name}-*"):
            leftover.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    """Make `folder` and what it lies in, and sync their names, so that a stored object survives a power cut."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
