import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from hpcsbi.health import folders
from hpcsbi.health.check import OK, WARNING, WRONG
from hpcsbi.health.folders import file_system, locks, nearest, room
from hpcsbi.store.files import write_atomically

NOBODY = 65534  # a user without rights


def contents(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


def test_room_in_bytes_and_files(tmp_path, monkeypatch):
    """A byte more than is free is wrong; few files are a warning where there is such a limit."""
    free = 5_000_000_000
    usage, system = SimpleNamespace(free=free), SimpleNamespace(f_files=1e6, f_favail=1e6)
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(folders.os, "statvfs", lambda _: system)

    assert room("run", tmp_path / "not/there/yet", free).state == OK
    full = room("run", tmp_path, free + 1)
    assert full.state == WRONG and "5 GB free" in full.words and "run=" in full.mend
    system.f_favail = 100
    assert room("run", tmp_path, 1).state == WARNING
    system.f_files = 0  # as file systems without such a limit say
    assert room("run", tmp_path, 1).state == OK


def test_locks_hold_here_and_nothing_is_left(tmp_path):
    """Neither in a run that is there, nor of one that is not."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "file").write_text("mine")
    before = contents(tmp_path)

    assert locks("run", tmp_path / "run").state == OK
    assert locks("run", tmp_path / "runs" / "new").state == OK
    assert contents(tmp_path) == before


@contextmanager
def no_lock(folder):
    yield


def torn(path, content):
    """A file system that keeps the first content of a name."""
    if not path.exists():
        write_atomically(path, content)


def test_a_file_system_that_deceives_is_found(tmp_path, monkeypatch):
    """One that gives two drivers the same lock, and one that shows the old file."""
    monkeypatch.setattr(folders, "locked", no_lock)
    check = locks("run", tmp_path)
    assert check.state == WRONG and "same lock" in check.words and check.mend
    monkeypatch.undo()
    monkeypatch.setattr(folders, "write_atomically", torn)
    assert "not the new one" in locks("run", tmp_path).words
    assert contents(tmp_path) == []


@pytest.fixture
def not_ours(tmp_path_factory):
    """A folder that may be read and not written, whoever runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="not-ours-"))
    folder.chmod(0o555)
    root = os.geteuid() == 0  # who may write everywhere, and so takes another's place
    if root:
        os.seteuid(NOBODY)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o700)
    folder.rmdir()


def test_a_folder_that_is_not_ours_is_wrong(not_ours):
    """In the words of all files that may not be written."""
    check = locks("run", not_ours / "run")

    assert check.state == WRONG and "not for you to write" in check.words


def test_a_file_in_the_place_of_the_folder_is_wrong(tmp_path):
    """It stays what it was."""
    (tmp_path / "run").write_text("mine")
    assert locks("run", tmp_path / "run").state == WRONG
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.parametrize(
    ("kind", "state", "says"),
    [("ext4", OK, "ext4"), ("nfs4", OK, "over the network"), ("tmpfs", WARNING, "restarts")],
)
def test_the_innermost_mount_counts(tmp_path, monkeypatch, kind, state, says):
    """A folder that is not there yet lies where the first above it does."""
    mounts = [("/", "xfs"), (str(tmp_path), kind), (str(tmp_path / "other"), "zfs")]
    parts = [SimpleNamespace(mountpoint=point, fstype=fstype) for point, fstype in mounts]
    monkeypatch.setattr(folders.psutil, "disk_partitions", lambda all: parts)

    check = file_system("run, disk", tmp_path / "a" / "b")

    assert check.state == state and says in check.words
    assert nearest(tmp_path / "a" / "b") == tmp_path
