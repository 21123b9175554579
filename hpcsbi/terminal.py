"""What a stage says while it runs: progress, and sentences that need not be said twice."""

import errno
import io
import os
import pwd
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TextIO, TypeVar

from tqdm import tqdm

__all__ = [
    "duration",
    "outlive_reader",
    "printable",
    "progress",
    "tell_once",
    "user_name",
    "with_progress",
]

Piece = TypeVar("Piece")
OFTEN, SELDOM = 1.0, 30.0  # seconds between two looks on a terminal, and between lines of a log
LINE = "{desc}: {n_fmt} of {total_fmt} {unit}s, {elapsed} gone, {remaining} left{postfix}"
LEFT = (errno.EPIPE, errno.EIO)  # of a pipe as of `| head`, and of a terminal that was closed


class _Lines:
    """A log takes a line at a time: nothing can be overwritten there."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.last = file, ""

    def write(self, text: str) -> None:
        """One line, unless it is of the same piece as the last one."""
        line = text.strip()
        if line and line.split(",")[0] != self.last:
            self.file.write(f"{line}\n")
            self.last = line.split(",")[0]

    def flush(self) -> None:
        """See `TextIO`."""
        self.file.flush()


class _Heedless(io.FileIO):
    """A stream that is written to, whether or not there is a reader yet."""

    def write(self, content: bytes) -> int:
        """Write; from when the reader has left, to nowhere."""
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in LEFT:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(content).nbytes


def outlive_reader() -> None:
    """From now on this process goes on when the reader of what it prints has left.

    Lines are written as they end, also into a log: a killed job must not take its words along.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__"):
            continue  # closed, or somebody else's
        stream.flush()
        buffer = io.BufferedWriter(_Heedless(stream.fileno(), "w", closefd=False))
        again = io.TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=True)
        setattr(sys, name, again)


def progress(total: int, done: int, title: str, unit: str, file: TextIO | None = None) -> tqdm:
    """A bar on a terminal, a line every half minute in a log.

    Arguments:
        total, done: pieces in all, and before the start.
        title: name of the stage.
        unit: what a piece is called.
        file: where to; standard error when None.
    """
    file = file or sys.stderr
    common = {"total": total, "initial": done, "desc": title, "unit": unit}
    if file.isatty():
        return tqdm(**common, file=file, mininterval=OFTEN)
    lines = _Lines(file)
    return tqdm(**common, file=lines, mininterval=SELDOM, miniters=1, bar_format=LINE)


def with_progress(
    pieces: Sequence[Piece], title: str, each: int, total: int, seldom: float = SELDOM
) -> Iterator[Piece]:
    """The pieces of a shard, one after the other; a line every half minute says how far it is.

    It goes to the standard error of the process at work, which on one machine is the driver's.

    Arguments:
        pieces: what is yielded.
        title: what is being done.
        each, total: spectra in a piece, and in all of them.
        seldom: seconds between two lines.
    """
    told = time.monotonic()
    for i, piece in enumerate(pieces):
        if time.monotonic() - told > seldom:
            told = time.monotonic()
            begin = "\r\x1b[K" if sys.stderr.isatty() else ""  # over the bar, which comes again
            with suppress(BrokenPipeError):  # in a worker
                print(f"{begin}{title}: {i * each} of {total} spectra", file=sys.stderr, flush=True)
        yield piece


@lru_cache(maxsize=64)
def tell_once(text: str) -> None:
    """Print a sentence, the first time in this process."""
    print(text, flush=True)


def printable(text: str) -> str:
    """Text without control characters: names from survey files reach it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def user_name(number: int | str) -> str:
    """Name of a user by number."""
    try:
        return pwd.getpwuid(int(number)).pw_name
    except (KeyError, ValueError):
        return f"user {number}"


def duration(seconds: float) -> str:
    """A time span in the unit that reads best.

    Example:
        >>> duration(5), duration(90), duration(7200)
        ('5.0 s', '1.5 min', '2.0 h')
    """
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
