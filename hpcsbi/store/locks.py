"""One driver on a folder: the second says who holds it, and a dead one holds nothing.

Who is not known to be dead (see `drivers`), or has left a lock that cannot be read, holds the
folder, and the error says how to clear it.
"""

import errno
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hpcsbi.errors import Unfinished
from hpcsbi.store.drivers import is_dead, states_of, this_driver
from hpcsbi.store.files import sweep, write_atomically
from hpcsbi.terminal import user_name

__all__ = ["LOCKS", "Held", "Lock", "holders", "locked"]

LOCKS = ".lock"
SETTLED = 1.0  # seconds: two drivers that find the same dead lock do not both win
TRIES = 10
# What a file system without hard links says to one.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
UNKNOWN = {
    "host": "an unknown host", "pid": "?", "started": None, "job": None, "restarts": 0,
    "command": "its lock cannot be read", "since": "?",
}  # fmt: skip


class Held(Unfinished):
    """Another driver is at work on the folder."""


class Lock:
    """A held lock."""

    def __init__(self, path: Path, holder: dict) -> None:
        self.path, self.holder, self._written = path, holder, 0.0

    def note(self, **facts: Any) -> None:
        """Tell `status` what goes on, once a second at most.

        Raises:
            Held: another driver has taken the lock: somebody removed it.
        """
        if time.monotonic() - self._written > 1:
            self._written = time.monotonic()
            held = _read(self.path)
            if held and _is(held, self.holder):
                write_atomically(self.path, json.dumps(self.holder | facts).encode())
            elif held:
                raise Held(f"{_told(self.path, held)} This driver has lost it, and ends.")


@contextmanager
def locked(
    folder: Path, part: tuple[int, int] | None = None, patience: float = 0.0
) -> Iterator[Lock]:
    """Hold a folder, or one of several parts of the work in it, while the block runs.

    Arguments:
        folder: what to hold; it must be there.
        part: (index, count) of a task of an array: other parts of the same count may work too.
        patience: seconds to wait for another driver.

    Raises:
        Held: another driver holds the folder or the part; names it and the mend.
    """
    name = "whole" if part is None else f"part-{part[0]:05d}-of-{part[1]:05d}"
    path, end = folder / LOCKS / f"{name}.json", time.monotonic() + patience
    path.parent.mkdir(exist_ok=True)
    while True:
        lock = Lock(path, this_driver())
        try:
            _enter(lock)
            break
        except Held:
            if time.monotonic() > end:
                raise
        time.sleep(1.0)
    try:
        yield lock
    finally:
        _release(lock)


def _enter(lock: Lock) -> None:
    """Take a lock that no other one excludes."""
    _take(lock)
    with ExitStack() as undo:
        undo.callback(_release, lock)
        for other in sorted(lock.path.parent.glob("*.json")):
            if other != lock.path and not _share(lock.path.stem, other.stem):
                _refuse_if_alive(other)
        undo.pop_all()


def holders(folder: Path) -> list[dict]:
    """Those who are at work on a folder now."""
    notes = [_read(path) for path in sorted((folder / LOCKS).glob("*.json"))]
    notes = [holder for holder in notes if holder]
    states = states_of(notes)  # asked once: an array has hundreds
    return [holder for holder in notes if not is_dead(holder, states)]


def _take(lock: Lock) -> None:
    """Create the file; one of a dead driver is removed first."""
    removed = False
    for _ in range(TRIES):
        if _create(lock):
            break
        removed |= _refuse_if_alive(lock.path)
    else:
        raise Held(f"{lock.path} comes and goes: too many drivers start here; try again.")
    if removed:
        time.sleep(SETTLED)
        held = _read(lock.path)
        if held is None or not _is(held, lock.holder):
            raise Held(_told(lock.path, held or UNKNOWN))


def _create(lock: Lock) -> bool:
    """Write the file under another name and give it its own; False where that is taken."""
    content = json.dumps(lock.holder).encode()
    half = lock.path.with_suffix(f".{uuid.uuid4().hex}.partial")
    half.write_bytes(content)
    try:
        os.link(half, lock.path)
    except FileExistsError:
        held = _read(lock.path)  # NFS: done, and its answer lost
        return held is not None and _is(held, lock.holder)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        try:
            with lock.path.open("xb") as file:  # empty for a moment: see `_read`
                file.write(content)
        except FileExistsError:
            return False
    finally:
        half.unlink(missing_ok=True)
    return True


def _release(lock: Lock) -> None:
    """Remove the file if it is ours yet; the folder stays, for others may be about to enter it."""
    held = _read(lock.path)
    if held and _is(held, lock.holder):
        lock.path.unlink(missing_ok=True)
    for half in lock.path.parent.glob("*.partial"):  # of drivers that were killed, by what they say
        if (holder := _parsed(half)) and is_dead(holder, None):
            half.unlink(missing_ok=True)
    sweep(lock.path.parent)


def _share(first: str, second: str) -> bool:
    """True for two parts of the same whole."""
    parts = [name.split("-of-") for name in (first, second)]
    return all(len(part) == 2 for part in parts) and parts[0][1] == parts[1][1]


def _refuse_if_alive(path: Path) -> bool:
    """Raise unless a lock's holder is surely dead; True if its lock was removed."""
    holder = _read(path)
    if holder is None:
        return False
    if not is_dead(holder, states_of([holder])):
        raise Held(_told(path, holder))
    if _read(path) != holder:  # another driver has removed it, and may hold its own
        return False
    path.unlink(missing_ok=True)
    return True


def _told(path: Path, holder: Mapping) -> str:
    of = f" of cluster {holder['cluster']}" if holder.get("cluster") else ""
    job = f", job {holder['job']}{of}" if holder["job"] else ""
    user = holder.get("user", os.getuid())
    whose = "" if user == os.getuid() else f" of {user_name(user)}"
    return (
        f"{path.parent.parent} is held by process {holder['pid']}{whose} on {holder['host']}{job} "
        f"({holder['command']}, since {holder['since']}): wait for it, or end it first. If it is "
        f"surely dead, remove {path}."
    )


def _is(first: Mapping, second: Mapping) -> bool:
    """True for two notes of the same holder."""
    return first.get("token") == second["token"]


def _read(path: Path) -> dict | None:
    """What a lock says, None where there is none; one that is just being written is waited for."""
    end = time.monotonic() + SETTLED
    while (holder := _parsed(path)) == {}:
        if time.monotonic() > end:
            return dict(UNKNOWN)
        time.sleep(0.05)
    return holder


def _parsed(path: Path) -> dict | None:
    """What a file says of a holder, nothing where it cannot be read, None where there is none."""
    try:
        holder = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    except OSError as error:
        if error.errno != errno.ESTALE:  # replaced while it was read
            raise
        return {}
    return holder if isinstance(holder, dict) and holder.keys() >= UNKNOWN.keys() else {}
