"""What one check of a place says: fine, doubtful or wrong, and the mend."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["OK", "STATES", "WARNING", "WRONG", "Check", "lines"]

OK, WARNING, WRONG = STATES = ("OK", "WARNING", "WRONG")
NARROW = 60  # letters in which words can still be read


@dataclass(frozen=True)
class Check:
    """One check.

    Arguments:
        name: what was looked at.
        state: of STATES: WRONG stops a run, WARNING may.
        words: what was seen.
        mend: what to do about it, "" where nothing is to be done.
    """

    name: str
    state: str
    words: str
    mend: str = ""


def lines(checks: Sequence[Check], columns: int | None = None) -> list[str]:
    """The checks for a reader, each with its mend below.

    Arguments:
        checks: in the order in which they are told.
        columns: of a terminal; None for a log, in which a check and a mend are a line each.

    Example:
        >>> lines([Check("cores", OK, "2 of them")])
        ['OK       cores  2 of them']
    """
    wide = max((len(check.name) for check in checks), default=0)
    indent = " " * (len(WARNING) + 2 + wide + 2)
    told = []
    for check in checks:
        head = f"{check.state:{len(WARNING)}}  {check.name:{wide}}  "
        mend = f"mend: {check.mend}" if check.mend else ""
        for begin, text in ((head, check.words), (indent, mend)):
            text = " ".join(text.split())
            if columns is None:
                told += [f"{begin}{text}"] if text else []
            else:
                told += textwrap.wrap(
                    text, max(columns, len(indent) + NARROW), initial_indent=begin,
                    subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
                )  # fmt: skip
    return told
