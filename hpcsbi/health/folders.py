"""Folders that a run writes: room, kind of file system, and whether locks hold there."""

import os
import shutil
import tempfile
from pathlib import Path

import psutil

from hpcsbi.errors import Unfinished, file_trouble
from hpcsbi.health.check import OK, WARNING, WRONG, Check
from hpcsbi.store.files import write_atomically
from hpcsbi.store.locks import Held, locked

__all__ = ["file_system", "locks", "nearest", "room"]

FEW_FILES = 20_000  # that a run may make
LOST = ("tmpfs", "ramfs")  # in memory: gone with the machine
NETWORK = ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "afs", "cifs", "smb3", "fuse.sshfs")
ELSEWHERE = "choose another place: run=FOLDER"


def nearest(folder: Path) -> Path:
    """The folder itself, or the first above it that is there."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def room(name: str, folder: Path, needed: float) -> Check:
    """Whether there is room for a run, in bytes and in files.

    Arguments:
        name: what the folder is called.
        folder: it need not be there yet.
        needed: bytes.
    """
    there = nearest(folder)
    free, system = shutil.disk_usage(there).free, os.statvfs(there)
    words = f"{folder.absolute()}: {_size(free)} free, {_size(needed)} needed"
    if free < needed:
        return Check(name, WRONG, words, f"make room, or {ELSEWHERE}")
    if system.f_files and system.f_favail < FEW_FILES:
        words += f", and room for {system.f_favail} files alone"
        return Check(name, WARNING, words, f"ask for a larger quota of files, or {ELSEWHERE}")
    return Check(name, OK, words)


def file_system(name: str, folder: Path) -> Check:
    """What kind of file system holds a folder.

    Arguments:
        name: what the folder is called.
        folder: it need not be there yet.
    """
    kind = _kind_of(nearest(folder))
    if kind in LOST:
        words = f"{kind}: in memory, and gone when the machine restarts"
        return Check(name, WARNING, words, ELSEWHERE)
    where = ", over the network" if kind in NETWORK else ""
    return Check(name, OK, f"{kind or 'not known'}{where}")


def locks(name: str, folder: Path) -> Check:
    """Try in a folder of ours whether a lock holds and a file gets its name at once.

    What is made is removed again, the folder too where it was not there.

    Arguments:
        name: what the folder is called.
        folder: of a run.
    """
    above = nearest(folder)
    made = [path for path in (folder.absolute(), *folder.absolute().parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as place:
            words = _tried(Path(place))
    except OSError as error:
        return Check(name, WRONG, file_trouble(error), ELSEWHERE)
    finally:
        for path in made:
            if path.is_dir() and path != above and not any(path.iterdir()):
                path.rmdir()
    if words:
        mend = f"{ELSEWHERE}, on another file system"
        return Check(name, WRONG, f"{folder}: {words}", mend)
    return Check(name, OK, "locks hold, and files get their names at once")


def _tried(place: Path) -> str:
    """What does not work in a folder, "" where all does."""
    file = place / "file"
    write_atomically(file, b"first")
    write_atomically(file, b"second")
    if file.read_bytes() != b"second" or [*place.glob("*.partial")]:
        return "a file that is written again is not the new one"
    try:
        with locked(place):
            try:
                with locked(place):
                    return "two drivers get the same lock"
            except Held:
                pass
        with locked(place):  # it was given back
            return ""
    except Unfinished as error:
        return f"a lock cannot be taken ({error})"


def _kind_of(folder: Path) -> str:
    """Type of the file system as the system names it, "" where it does not tell."""
    path, kinds = folder.resolve(), {}
    for part in psutil.disk_partitions(all=True):
        if path.is_relative_to(part.mountpoint):
            kinds[len(part.mountpoint)] = part.fstype
    return kinds[max(kinds)] if kinds else ""


def _size(number: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number / 1e6:.3g} MB"
