"""One driver on a folder: the second says who holds it, and a dead one holds nothing."""

import json
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from hpcsbi import slurm
from hpcsbi.errors import Unfinished
from hpcsbi.files import write_atomically

__all__ = ["LOCKS", "Held", "Lock", "holders", "locked"]

LOCKS = ".lock"
SETTLED = 1.0  # seconds: two drivers that find the same dead lock do not both win


class Held(Unfinished):
    """Another driver is at work on the folder."""


class Lock:
    """A held lock."""

    def __init__(self, path: Path, holder: dict) -> None:
        self.path, self.holder, self._written = path, holder, 0.0

    def note(self, **facts: Any) -> None:
        """Tell `status` what goes on, once a second at most."""
        if time.monotonic() - self._written > 1:
            self._written = time.monotonic()
            write_atomically(self.path, json.dumps(self.holder | facts).encode())


@contextmanager
def locked(folder: Path, part: tuple[int, int] | None = None) -> Iterator[Lock]:
    """Hold a folder, or one of several parts of the work in it, while the block runs.

    Arguments:
        folder: what to hold; it must be there.
        part: (index, count) of a task of an array: other parts of the same count may work too.

    Raises:
        Held: another driver holds the folder or the part; names it and the mend.
    """
    name = "whole" if part is None else f"part-{part[0]:05d}-of-{part[1]:05d}"
    path = folder / LOCKS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    lock = Lock(path, _self())
    _take(lock)
    try:
        for other in sorted(path.parent.glob("*.json")):
            if other != path and not _share(path.stem, other.stem):
                _refuse_if_alive(other)
        yield lock
    finally:
        _release(lock)


def holders(folder: Path) -> list[dict]:
    """Those who are at work on a folder now."""
    found = [_read(path) for path in sorted((folder / LOCKS).glob("*.json"))]
    found = [holder for holder in found if holder]
    elsewhere = [holder["job"] for holder in found if holder["host"] != socket.gethostname()]
    try:  # asked once: an array has hundreds
        states = slurm.jobs(job.split("_")[0] for job in elsewhere if job)
    except slurm.SlurmError:
        states = None
    return [holder for holder in found if _alive(holder, states)]


def _self() -> dict:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "job": slurm.own_job(),
        "restarts": slurm.restarts(),
        "command": Path(sys.argv[0]).name,
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _take(lock: Lock) -> None:
    """Create the file; one of a dead driver is removed first."""
    half = lock.path.with_suffix(f".{uuid.uuid4().hex[:12]}.partial")
    half.write_text(json.dumps(lock.holder))
    try:
        _link(half, lock)
    finally:
        half.unlink(missing_ok=True)


def _link(half: Path, lock: Lock) -> None:
    """Give the file its name, which fails where it is taken, on network file systems too."""
    try:
        os.link(half, lock.path)
        return
    except FileExistsError:
        _refuse_if_alive(lock.path)
    try:
        os.link(half, lock.path)
    except FileExistsError:
        _refuse_if_alive(lock.path)
        raise
    time.sleep(SETTLED)
    if _read(lock.path) != lock.holder:
        _refuse_if_alive(lock.path)


def _release(lock: Lock) -> None:
    held = _read(lock.path)
    if held and (held["host"], held["pid"]) == (lock.holder["host"], lock.holder["pid"]):
        lock.path.unlink(missing_ok=True)
    if lock.path.stem == "whole":  # nobody else can be at work: dead drivers left the rest
        for left in lock.path.parent.glob("*.partial"):
            left.unlink(missing_ok=True)
    with suppress(OSError):  # other parts are at work
        lock.path.parent.rmdir()


def _share(one: str, other: str) -> bool:
    """True for two parts of the same whole."""
    parts = [name.split("-of-") for name in (one, other)]
    return all(len(part) == 2 for part in parts) and parts[0][1] == parts[1][1]


def _refuse_if_alive(path: Path) -> None:
    """Raise if a lock's holder is at work, remove the lock if not."""
    holder = _read(path)
    if holder is None:
        return
    if _alive(holder):
        job = f", job {holder['job']}" if holder["job"] else ""
        raise Held(
            f"{path.parent.parent} is held by process {holder['pid']} on {holder['host']}{job} "
            f"({holder['command']}, since {holder['since']}): wait for it, or end it first. If it "
            f"is surely dead, remove {path}."
        )
    path.unlink(missing_ok=True)


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def _alive(holder: dict, states: Mapping[str, slurm.JobState] | None = None) -> bool:
    """False if the holder is surely dead: its process is gone, or its job has ended."""
    if holder["host"] == socket.gethostname():
        return _started(holder["pid"]) is not None and _started(holder["pid"]) == holder["started"]
    if holder["job"] is None:
        return True
    if holder["job"] == slurm.own_job():  # this job, before it was queued again
        return holder["restarts"] >= slurm.restarts()
    try:
        states = slurm.jobs([holder["job"].split("_")[0]]) if states is None else states
    except slurm.SlurmError:
        return True
    state = states.get(holder["job"])
    return state is not None and state.active and state.state != "PENDING"


def _started(pid: int) -> float | None:
    """When a process began; the number alone may belong to another one by now."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
