"""SHA256SUMS: the digest of every file of a folder, as `sha256sum -c` reads it."""

import hashlib
from pathlib import Path

from hpcsbi.errors import BadInput
from hpcsbi.store.files import write_atomically

__all__ = ["NAME", "refuse_changed", "write_checksums"]

NAME = "SHA256SUMS"


def write_checksums(folder: Path) -> None:
    """Write the digests of all files below a folder, by their paths in it, in order.

    Arguments:
        folder: what holds the files; the list comes into it.
    """
    paths = (path for path in folder.rglob("*") if path.is_file() and path != folder / NAME)
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    lines = [f"{_digest(folder / name)}  {name}\n" for name in names]
    write_atomically(folder / NAME, "".join(lines).encode())


def refuse_changed(folder: Path) -> None:
    """Raise unless all files of a folder are there with the digests of its list.

    Raises:
        FileNotFoundError: there is no list.
        BadInput: a file is another one, or is not there; names the first.
    """
    lines = [line.split("  ", 1) for line in (folder / NAME).read_text().splitlines()]
    bad = [
        pair[-1]
        for pair in lines
        if not (folder / pair[-1]).is_file() or _digest(folder / pair[-1]) != pair[0]
    ]
    if bad or not lines:
        what = f"{bad[0]} (and {len(bad) - 1} more)" if bad else "its list of files"
        raise BadInput(f"{folder}: {what} is not what {NAME} says: copy the folder again, whole.")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
