"""One driver on a folder at a time; the dead hold nothing."""

import errno
import json
import os
import socket
import subprocess
import sys

import psutil
import pytest

from hpcsbi import locks, slurm
from hpcsbi.locks import Held, holders, locked

HOLD = """
import sys, time
from pathlib import Path
from hpcsbi.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
PART = """
import sys
from pathlib import Path
from hpcsbi.locks import locked
for _ in range(250):
    with locked(Path(sys.argv[1]), (int(sys.argv[2]), 4)):
        pass
"""


def written(folder, **changes) -> None:
    """A lock as another driver has left it."""
    holder = {
        "host": "other", "pid": 1, "started": 1.0, "job": None, "restarts": 0,
        "command": "simulate.py", "since": "2026-01-01 00:00:00",
    }  # fmt: skip
    (folder / ".lock").mkdir(exist_ok=True)
    (folder / ".lock" / "whole.json").write_text(json.dumps(holder | changes))


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


def test_a_number_that_another_process_has_now_is_no_holder(tmp_path):
    """The holder's process is known by its start too."""
    written(tmp_path, host=socket.gethostname(), pid=os.getpid(), started=12.0)

    with locked(tmp_path):
        pass


@pytest.mark.parametrize(
    ("state", "held"), [("RUNNING", True), ("PENDING", False), ("TIMEOUT", False), (None, False)]
)
def test_a_job_on_another_host_is_asked_for(tmp_path, monkeypatch, state, held):
    """SLURM tells whether the holder's job runs; one that waits to start again holds nothing."""
    found = {} if state is None else {"77": slurm.JobState(state)}
    monkeypatch.setattr(slurm, "jobs", lambda ids: found)
    written(tmp_path, job="77")

    if held:
        with pytest.raises(Held, match="job 77"):
            locked(tmp_path).__enter__()
    else:
        with locked(tmp_path):
            pass


@pytest.mark.parametrize(("answers", "held"), [("alpha", False), ("beta", True), ("", False)])
@pytest.mark.parametrize("own", ["8", "77"])
def test_a_number_means_another_job_on_another_cluster(tmp_path, monkeypatch, answers, held, own):
    """Two SLURMs on one file system: what the other one says of a job 77, or our being its 77
    queued again, is not about the holder; SLURM without a name is taken for the same."""
    written(tmp_path, job="77", cluster="alpha")
    monkeypatch.setenv("SLURM_JOB_ID", own)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setattr(slurm, "cluster", lambda: answers)
    monkeypatch.setattr(slurm, "jobs", lambda ids: {"77": slurm.JobState("COMPLETED")})

    if held:
        with pytest.raises(Held, match="job 77 of cluster alpha"):
            locked(tmp_path).__enter__()
        assert len(holders(tmp_path)) == 1
    else:
        assert holders(tmp_path) == []
        with locked(tmp_path):
            pass


def test_who_cannot_be_asked_counts_as_alive(tmp_path):
    """A holder on another host without a job is left alone, and the error names the file."""
    written(tmp_path)

    with pytest.raises(Held, match=r"surely dead, remove .*whole\.json"):
        locked(tmp_path).__enter__()


def test_an_earlier_run_of_the_same_job_is_dead(tmp_path, monkeypatch):
    """A job that was queued again takes over what it left on another node."""
    written(tmp_path, job="77", restarts=0)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")

    with locked(tmp_path):
        pass


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
        lambda _: written(tmp_path, **locks._place(), pid=1, started=locks._started(1)),
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


def test_a_step_of_the_clock_kills_nobody(tmp_path, monkeypatch):
    """The holder's process is known without the time of day."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    if sys.platform == "linux":  # what /proc/stat says when the clock was set
        real = psutil._pslinux.boot_time
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda *_: real() + 3600.0)

    with pytest.raises(Held):
        locked(tmp_path).__enter__()
    process.kill()
    process.wait()


def here(**changes) -> dict:
    return {**locks._place(), **changes}


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({"boot": "another", "machine": "m"}, False),  # begun again
        ({"boot": "another", "machine": "other"}, True),  # another machine of this name
        ({"space": "pid:[1]"}, True),  # a container
        ({"host": "renamed"}, False),  # its process is not there
        ({"host": "renamed", "pid": os.getppid()}, False),  # nor began then
    ],
)
def test_numbers_of_processes_mean_something_in_their_place_only(
    tmp_path, monkeypatch, changes, held
):
    """Boot, machine and name space say whose numbers they are; the name of a host does not."""
    place = here(boot="b", machine="m", space="pid:[4026531836]")
    monkeypatch.setattr(locks, "_place", lambda: place)
    written(tmp_path, **{**place, "pid": 2**22 + 1, "started": 1, **changes})

    if held:
        with pytest.raises(Held, match="surely dead"):
            locked(tmp_path).__enter__()
    else:
        with locked(tmp_path):
            pass


@pytest.mark.parametrize("answer", ["fails", "hides"])
def test_a_colleagues_job_is_not_dead_because_it_is_not_seen(tmp_path, monkeypatch, answer):
    """A query that fails, or a site that hides jobs of others, says nothing: held, by whom."""

    def jobs(ids, own=False):
        if answer == "fails":
            raise slurm.SlurmError("squeue: timed out")
        return {}

    monkeypatch.setattr(slurm, "jobs", jobs)
    written(tmp_path, **here(host="n7", boot="b"), job="77", user=4_000_111)

    with pytest.raises(Held, match=r"of user 4000111 on n7, job 77 .*remove"):
        locked(tmp_path).__enter__()
    assert [holder["job"] for holder in holders(tmp_path)] == ["77"]


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
