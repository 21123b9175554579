"""Files by their first bytes: what they are, and their contents where they are compressed."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hpcsbi.errors import BadInput

__all__ = ["kind", "open_contents", "path_or_contents"]

OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
FOREIGN = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x9d": "compress (.Z)", b"\x04\x22\x4d\x18": "lz4"}
KINDS = {b"SIMPLE": "fits", b"PAR1": "parquet", b"PK\x03\x04": "npz", b"PK\x05\x06": "npz"}


def open_contents(path: Path) -> BinaryIO:
    """The file, open for reading what it holds when unpacked.

    Raises:
        ValueError: compressed in a way that is not read.
    """
    return (_opener(_head(path)) or Path.open)(path, "rb")


def kind(path: Path) -> str:
    """ "fits", "parquet", "npz", or "" for something else.

    Raises:
        OSError, EOFError: the file is cut short.
        ValueError: compressed in a way that is not read.
    """
    head = _head(path)
    if opener := _opener(head):
        with opener(path) as file:
            head = file.read(8)
    return next((name for magic, name in KINDS.items() if head.startswith(magic)), "")


def path_or_contents(path: Path) -> Path | bytes:
    """The path of a plain file, the contents of a compressed one: unpacked once, not per seek."""
    if _opener(_head(path)) is None:
        return path
    with open_contents(path) as file:
        return file.read()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _opener(head: bytes) -> Callable[..., BinaryIO] | None:
    """What opens a compressed file; None for a plain one."""
    for magic, name in FOREIGN.items():
        if head.startswith(magic):
            raise BadInput(f"compressed with {name}, which is not read: unpack it first")
    return next((opener for magic, opener in OPENERS.items() if head.startswith(magic)), None)
