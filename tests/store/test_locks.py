"""One driver on a folder at a time; the dead hold nothing."""

import errno
import json
import os
import socket
import subprocess
import sys

import pytest
from held_folders import HOLD, written

from hpcsbi.store import drivers, locks
from hpcsbi.store.locks import Held, holders, locked

PART = """
import sys
from pathlib import Path
from hpcsbi.store.locks import locked
for _ in range(250):
    with locked(Path(sys.argv[1]), (int(sys.argv[2]), 4)):
        pass
"""


def test_the_second_driver_says_who_holds_it(tmp_path):
    """Process, host, command and mend are named; when the first ends, the next one goes on."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(Held, match=rf"process {process.pid} on {socket.gethostname()}.*end it"):
        locked(tmp_path).__enter__()
    assert [holder["pid"] for holder in holders(tmp_path)] == [process.pid]
    process.kill()
    process.wait()

    assert holders(tmp_path) == []
    with locked(tmp_path):
        assert holders(tmp_path)[0]["pid"] == os.getpid()
    assert not list((tmp_path / ".lock").iterdir())


def test_parts_share_and_exclude_the_whole(tmp_path):
    """Two parts of an array work together; the same part again or a whole driver does not."""
    with locked(tmp_path, (0, 4)), locked(tmp_path, (3, 4)):
        for other in (None, (3, 4), (0, 5)):
            with pytest.raises(Held):
                locked(tmp_path, other).__enter__()
        assert len(holders(tmp_path)) == 2
    with locked(tmp_path), pytest.raises(Held):
        locked(tmp_path, (0, 4)).__enter__()

    assert not list((tmp_path / ".lock").iterdir())


def test_notes_are_seen_and_bounded(tmp_path):
    """What a driver notes is there for status, at most once a second."""
    with locked(tmp_path) as lock:
        lock.note(made=1)
        lock.note(made=2)
        assert holders(tmp_path)[0]["made"] == 1


def test_two_that_find_a_dead_lock_do_not_both_win(tmp_path, monkeypatch):
    """Whoever's file was replaced meanwhile stands back."""
    written(tmp_path, host=socket.gethostname(), pid=2**22 + 1)
    monkeypatch.setattr(
        locks.time,
        "sleep",
        lambda _: written(tmp_path, **drivers.place(), pid=1, started=drivers.process_start(1)),
    )

    with pytest.raises(Held, match="process 1 "):
        locked(tmp_path).__enter__()


def test_parts_that_start_and_stop_together(tmp_path):
    """Four parts that take and release a thousand times never get in each other's way."""
    parts = [
        subprocess.Popen(
            [sys.executable, "-c", PART, str(tmp_path), str(i)], stderr=subprocess.PIPE
        )
        for i in range(4)
    ]

    assert [part.communicate()[1] for part in parts] == [b""] * 4
    assert [part.returncode for part in parts] == [0] * 4


def test_a_part_may_enter_while_another_leaves(tmp_path, monkeypatch):
    """The folder of locks stays: another part stands between making it and writing into it."""
    real = locks._create

    def create(lock):
        if lock.path.stem.startswith("part-00001"):
            first.__exit__(None, None, None)
        return real(lock)

    first = locked(tmp_path, (0, 2))
    first.__enter__()
    monkeypatch.setattr(locks, "_create", create)

    with locked(tmp_path, (1, 2)):
        assert len(holders(tmp_path)) == 1


@pytest.mark.parametrize("content", ["", '{"host": "n1", "pi', "[]"])
def test_a_lock_that_cannot_be_read_is_held(tmp_path, monkeypatch, content):
    """An empty or torn file is an error of ours that names it and the mend."""
    monkeypatch.setattr(locks, "SETTLED", 0.1)
    (tmp_path / ".lock").mkdir()
    (tmp_path / ".lock" / "whole.json").write_text(content)

    with pytest.raises(Held, match=r"cannot be read.*remove .*whole\.json"):
        locked(tmp_path).__enter__()
    assert len(holders(tmp_path)) == 1


def test_without_hard_links(tmp_path, monkeypatch):
    """FAT, some network and user-space file systems have none."""

    def link(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with locked(tmp_path):
        with pytest.raises(Held):
            locked(tmp_path).__enter__()
        assert holders(tmp_path)[0]["pid"] == os.getpid()
    assert not list((tmp_path / ".lock").iterdir())


def test_a_lock_whose_taking_was_answered_twice(tmp_path, monkeypatch):
    """NFS may lose the answer and say of the second try that the name is taken: it is ours."""
    real = os.link

    def link(source, target):
        real(source, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", link)
    with locked(tmp_path):
        assert len(holders(tmp_path)) == 1


def test_a_note_is_written_into_the_own_lock_only(tmp_path):
    """Who lost the lock to another driver is told, and leaves that lock alone."""
    with pytest.raises(Held, match=r"process 1 on other.*ends"), locked(tmp_path) as lock:
        written(tmp_path)
        lock.note(made=1)
    assert json.loads((tmp_path / ".lock" / "whole.json").read_text())["host"] == "other"
    (tmp_path / ".lock" / "whole.json").unlink()

    with locked(tmp_path) as lock:
        (tmp_path / ".lock" / "whole.json").unlink()
        lock.note(made=1)
        assert not list((tmp_path / ".lock").iterdir())
