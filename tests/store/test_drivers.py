"""Who holds a folder is alive unless it is known to be dead."""

import os
import socket
import subprocess
import sys

import psutil
import pytest
from held_folders import HOLD, written

from hpcsbi.cluster import slurm
from hpcsbi.store import drivers
from hpcsbi.store.locks import Held, holders, locked


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
    return {**drivers.place(), **changes}


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
    monkeypatch.setattr(drivers, "place", lambda: place)
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
