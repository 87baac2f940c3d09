"""LocalStorage: one object is the old one or the new one, whatever happens to its writer."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from resources.errors import PermanentFailure, TransientFailure
from resources.lake.storage import TEMPORARY_PREFIX, LocalStorage

ROOT = Path(__file__).resolve().parents[3]


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(f"{TEMPORARY_PREFIX}*")]


def test_put_read_list_delete(tmp_path):
    store = LocalStorage(tmp_path / "new" / "root")
    store.put("a/b/x.bin", b"one")
    store.put("a/b/x.bin", b"two")
    assert store.read("a/b/x.bin") == b"two"
    assert store.size_bytes("a/b/x.bin") == 3
    assert (store.names(""), store.names("a/b"), store.names("a/none")) == (["a"], ["x.bin"], [])
    assert store.exists("a/b/x.bin")
    assert not store.exists("a/b")
    store.delete("a/b/x.bin")
    store.delete("a/b/x.bin")
    assert not store.exists("a/b/x.bin")


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "", ".", "a/../x"])
def test_paths_that_leave_the_root_are_refused(tmp_path, path):
    with pytest.raises(PermanentFailure, match="not a path inside"):
        LocalStorage(tmp_path).put(path, b"x")


def test_links_are_no_way_out(tmp_path):
    """Stops a link in a tenant's folder from showing or overwriting another tenant's files."""
    store = LocalStorage(tmp_path)
    store.put("other/secret", b"secret")
    store.put("mine/real", b"real")
    (tmp_path / "mine" / "link").symlink_to(tmp_path / "other" / "secret")
    (tmp_path / "mine" / "folder").symlink_to(tmp_path / "other")
    assert store.names("mine") == ["real"]
    for path in ("mine/link", "mine/folder/secret"):
        for use in (store.read, store.exists, store.delete, lambda path: store.put(path, b"x")):
            with pytest.raises(PermanentFailure, match="is a link"):
                use(path)
    assert store.read("other/secret") == b"secret"


@pytest.mark.parametrize("call", ["os.fsync", "os.replace", "os.chmod", "tempfile.mkstemp"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_failed_write_leaves_the_old_object_and_nothing_else(tmp_path, monkeypatch, call, number):
    """Stops a full disk from costing the data that were there, or from leaving half files."""
    store = LocalStorage(tmp_path)
    store.put("a/x", b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(call, fail)
        with pytest.raises(TransientFailure, match=rf"cannot write .*a/x: {os.strerror(number)}.*unchanged"):
            store.put("a/x", b"new")
    assert store.read("a/x") == b"old"
    assert hidden(tmp_path) == []


def test_a_folder_that_cannot_be_synced_is_not_called_unchanged(tmp_path, monkeypatch):
    """Stops an error after the rename from claiming that the old object is still there."""
    store = LocalStorage(tmp_path)
    store.put("a/x", b"old")

    def fail(_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("resources.lake.storage._sync_folder", fail)
    with pytest.raises(TransientFailure, match="The new content is there, but a power cut"):
        store.put("a/x", b"new")
    assert store.read("a/x") == b"new"
    assert hidden(tmp_path) == []


def test_a_really_full_disk(tmp_path):
    """Stops what a simulated error hides: a disk that takes the first half of the bytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0
    if not mounted or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=False).returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        store = LocalStorage(place)
        store.put("a/x", b"old" * 1000)
        with pytest.raises(TransientFailure, match="No space left on device"):
            store.put("a/x", b"n" * 100_000)
        assert store.read("a/x") == b"old" * 1000
        assert hidden(place) == []
        store.put("a/x", b"n" * 40_000)
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_limit_on_file_size(tmp_path):
    """Stops a quota from leaving a part of the file under its name."""
    store = LocalStorage(tmp_path)
    store.put("a/x", b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(TransientFailure, match="File too large"):
            store.put("a/x", b"n" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.read("a/x") == b"old"
    assert hidden(tmp_path) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "a").write_text("a file where a folder should be")
    with pytest.raises(TransientFailure, match=r"cannot write .*a/x"):
        LocalStorage(tmp_path).put("a/x", b"new")


def test_no_permission_to_write(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    store = LocalStorage(tmp_path)
    store.put("a/x", b"old")
    (tmp_path / "a").chmod(0o500)
    with pytest.raises(TransientFailure, match="Permission denied"):
        store.put("a/x", b"new")
    assert store.read("a/x") == b"old"


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from resources.lake import storage

step = sys.argv[2]
module, name = {"fsync": (os, "fsync"), "replace": (os, "replace"), "chmod": (os, "chmod"),
                "after_replace": (storage, "_sync_folder")}[step]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(module, name, die)
storage.LocalStorage(Path(sys.argv[1])).put("a/x", b"new" * 100_000)
"""


@pytest.mark.parametrize(
    ("step", "survivor"),
    [("fsync", b"old"), ("chmod", b"old"), ("replace", b"old"), ("after_replace", b"new" * 100_000)],
)
def test_a_writer_killed_at_a_point(tmp_path, step, survivor):
    """Stops a crash between two steps from leaving half an object, or leftovers that are never removed."""
    store = LocalStorage(tmp_path)
    store.put("a/x", b"old")
    done = subprocess.run([sys.executable, "-c", KILLED_AT, tmp_path, step], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert store.read("a/x") == survivor
    assert store.names("a") == ["x"]
    store.put("a/x", b"next")
    assert hidden(tmp_path) == []


WRITER = """
import sys
from pathlib import Path
from resources.lake.storage import LocalStorage
store = LocalStorage(Path(sys.argv[1]))
number = 0
while True:
    store.put("a/x", b"%d" % (number % 10) * 3_000_000)
    number += 1
"""


def test_writers_killed_at_any_time(tmp_path):
    """Stops what no chosen point shows: a reader sees one whole version after every kill."""
    store = LocalStorage(tmp_path)
    store.put("a/x", b"0" * 3_000_000)
    path = tmp_path / "a" / "x"
    for delay in np.random.default_rng(7).random(18) * 0.03:
        before = path.stat().st_mtime_ns
        writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], cwd=ROOT)
        while path.stat().st_mtime_ns == before:
            time.sleep(0.002)
        time.sleep(delay)
        for _ in range(3):
            content = store.read("a/x")
            assert content == content[:1] * 3_000_000
        writer.kill()
        writer.wait()
        content = store.read("a/x")
        assert content == content[:1] * 3_000_000
        assert store.names("a") == ["x"]
        assert len(hidden(tmp_path)) <= 1
    store.put("a/x", b"next")
    assert hidden(tmp_path) == []
