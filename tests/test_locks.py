"""One driver on a folder at a time; the dead hold nothing."""

import json
import os
import socket
import subprocess
import sys

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
    assert list(tmp_path.iterdir()) == []


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

    assert list(tmp_path.iterdir()) == []


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
        lambda _: written(tmp_path, host=socket.gethostname(), pid=1, started=locks._started(1)),
    )

    with pytest.raises(Held, match="process 1 "):
        locked(tmp_path).__enter__()
