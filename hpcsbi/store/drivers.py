"""The driver that holds a folder: what it says of itself, and whether it is surely dead.

It is dead only where that is known: its process is gone from this machine, or SLURM says that its
job has ended. Who cannot be asked (another machine without a job, a query that fails, a job of
another cluster, or of another user that the site hides) is alive.
"""

import os
import socket
import sys
import time
import uuid
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import psutil

from hpcsbi.cluster import slurm, this_job

__all__ = ["is_dead", "place", "process_start", "states_of", "this_driver"]

STEPPED = 120.0  # seconds that a clock may be set by; for locks of versions that knew no better


def this_driver() -> dict:
    """What this process notes of itself in a lock."""
    return {
        **place(),
        "pid": os.getpid(),
        "started": process_start(os.getpid()),
        "user": os.getuid(),
        "job": this_job.number(),
        "cluster": this_job.cluster(),
        "restarts": this_job.restarts(),
        "command": Path(sys.argv[0]).name,
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "token": uuid.uuid4().hex,
    }


@cache
def place() -> dict:
    """Where the number of a process means something: machine, its boot, the space of numbers."""

    def line(path: str) -> str | None:
        try:
            return Path(path).read_text().strip() or None
        except OSError:  # not Linux
            return None

    space = Path("/proc/self/ns/pid")
    return {
        "host": socket.gethostname(),
        "machine": line("/etc/machine-id"),
        "boot": line("/proc/sys/kernel/random/boot_id"),
        "space": os.readlink(space) if space.is_symlink() else None,
    }


def states_of(holders: Iterable[Mapping]) -> Mapping[str, slurm.JobState] | None:
    """What SLURM says of the jobs of holders that are not seen from here; None: it does not say."""
    asked = [
        holder
        for holder in holders
        if holder["job"] and not _is_here(holder) and not _of_another_cluster(holder)
    ]
    if not asked:
        return {}
    options = {"own": True} if {holder.get("user") for holder in asked} == {os.getuid()} else {}
    try:
        return slurm.jobs([holder["job"].split("_")[0] for holder in asked], **options)
    except slurm.SlurmError:
        return None


def _of_another_cluster(holder: Mapping) -> bool:
    """True unless SLURM can be asked here for a holder's job."""
    try:
        return slurm.is_elsewhere(holder.get("cluster"))
    except slurm.SlurmError:
        return True


def _is_here(holder: Mapping) -> bool:
    """True if the number of the holder's process means the same here."""
    here = place()
    if "boot" not in holder:
        return holder["host"] == here["host"]
    return (holder["boot"], holder["space"]) == (here["boot"], here["space"]) and (
        here["boot"] is not None or holder["host"] == here["host"]
    )


def is_dead(holder: Mapping, states: Mapping[str, slurm.JobState] | None) -> bool:
    """True if the holder is surely dead: its process is gone, or its job has ended."""
    here = place()
    if _is_here(holder):
        if "boot" not in holder:
            return not _runs_since(holder["pid"], holder["started"])
        return holder["started"] is None or process_start(holder["pid"]) != holder["started"]
    if holder["host"] == here["host"] and holder["boot"] != here["boot"]:
        # This machine has begun again since, unless another one has its name.
        return here["machine"] is not None and holder["machine"] == here["machine"]
    if holder["job"] is None or _of_another_cluster(holder):
        return False
    if holder["job"] == this_job.number():  # this job, before it was queued again
        return holder["restarts"] < this_job.restarts()
    if states is None:
        return False
    state = states.get(holder["job"])
    if state is None:  # forgotten; but sites may hide jobs of others
        return holder.get("user", os.getuid()) == os.getuid()
    return not state.active or state.state == "PENDING"


def process_start(pid: int) -> float | None:
    """When a process began, None where it has ended; the number may belong to another by now.

    In ticks since the machine's boot: the time of day moves when somebody sets the clock.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _time_of_start(pid)


def _time_of_start(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def _runs_since(pid: int, then: float | None) -> bool:
    """True if a process runs and began about then."""
    start = _time_of_start(pid)
    return start is not None and then is not None and abs(start - then) < STEPPED
