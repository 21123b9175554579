"""SHA256SUMS: the digest of every file of a folder, as `sha256sum -c` reads it."""

import hashlib
from pathlib import Path

from hpcsbi.store.files import write_atomically

__all__ = ["NAME", "write_checksums"]

NAME = "SHA256SUMS"


def write_checksums(folder: Path) -> None:
    """Write the digests of all files below a folder, by their paths in it, in order.

    Arguments:
        folder: what holds the files; the list comes into it.
    """
    paths = (path for path in folder.rglob("*") if path.is_file() and path != folder / NAME)
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    lines = []
    for name in names:
        with (folder / name).open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    write_atomically(folder / NAME, "".join(lines).encode())
