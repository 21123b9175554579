"""What a stage says while it runs: progress, and sentences that need not be said twice."""

import sys
from functools import lru_cache
from typing import TextIO

from tqdm import tqdm

__all__ = ["progress", "tell_once"]

OFTEN, SELDOM = 1.0, 30.0  # seconds between two looks on a terminal, and between lines of a log
LINE = "{desc}: {n_fmt} of {total_fmt} {unit}s, {elapsed} gone, {remaining} left{postfix}"


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


@lru_cache(maxsize=64)
def tell_once(text: str) -> None:
    """Print a sentence, the first time in this process."""
    print(text, flush=True)
