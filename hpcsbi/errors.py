"""What hpcsbi itself refuses, in one line with the mend; any other exception is a fault of ours.

The jobs catch `Refusal`, and what the operating system says (`OSError`); everything else ends with
its traceback, so that a fault of the program never looks like one of the input.
"""

import errno
import os
from contextlib import suppress

from hpcsbi.terminal import user_name

__all__ = ["BadInput", "Refusal", "Unfinished", "file_trouble"]


class Refusal(Exception):
    """A message for the user: what is wrong, where, and how to mend it."""


class BadInput(Refusal, ValueError):
    """A setting, an argument or a file that cannot be used."""


class Unfinished(Refusal, RuntimeError):
    """Work that could not be done, though its input is right: the same command may go on."""


def file_trouble(error: OSError) -> str:
    """What the operating system says of a file in a line, with the mend where there is one."""
    file = error.filename
    if not isinstance(file, str | os.PathLike):
        return str(error)
    text = f"{os.fspath(file)}: {error.strerror}"
    if error.errno == errno.EISDIR:
        return f"{text}: a folder is in the place of a file, move it away."
    if error.errno == errno.ENOTDIR:
        return f"{text}: a file is in the place of a folder, move it away."
    if error.errno in (errno.EACCES, errno.EPERM):
        return _closed(os.fspath(file)) or str(error)
    return str(error)


def _closed(path: str) -> str:
    """What this user may not do with a file, "" where it is something else than look or make."""
    parent = os.path.dirname(os.path.abspath(path))
    if not os.path.lexists(path) and os.access(parent, os.R_OK | os.X_OK):
        return (
            f"{path} cannot be made, for {parent} is not for you to write, but for "
            f"{_owner(parent)}: choose another place (run=...)."
        )
    if os.access(path, os.R_OK):
        return ""
    return (
        f"{path} is not for you to read, but for {_owner(path)}: ask for it (site.umask=027 lets "
        "the group read what a run writes); it is as it was."
    )


def _owner(path: str) -> str:
    """Whose a file is that may lie in a folder which this user may not look into."""
    with suppress(OSError):
        return f"its owner ({user_name(os.stat(path).st_uid)})"
    return "its owner"
