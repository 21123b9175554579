"""Where numba and matplotlib keep what they compile and find: never in the home directory."""

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["keep_caches", "keeps_kernels", "kernels_folder"]

KERNELS = Path(__file__).parent / "kernels"


def keep_caches(folder: Path | None) -> None:
    """Set both before the two are imported; workers inherit it.

    numba keeps its code beside the package, once for all runs; where the installation is not to be
    written it goes into the folder, for otherwise it is the home directory's, or there is none.

    Arguments:
        folder: of a run; None for a command that writes none, whose caches are the user's in the
            folder for temporary files.
    """
    names = {"MPLCONFIGDIR": ".matplotlib"}
    if not keeps_kernels():  # a colleague's files are not to be written
        names["NUMBA_CACHE_DIR"] = f".numba-{os.getuid()}"
    names = {variable: name for variable, name in names.items() if variable not in os.environ}
    if not names:
        return
    folder = _temporary_folder() if folder is None else folder
    os.environ.update({variable: str(folder.absolute() / name) for variable, name in names.items()})


def keeps_kernels() -> bool:
    """Whether compiled code can be kept beside the package."""
    inside = KERNELS / "__pycache__"
    return os.access(inside if inside.exists() else KERNELS, os.W_OK)


def kernels_folder() -> Path:
    """Where the compiled code of the package's kernels is: of other sources in another folder.

    numba asks for the file of a function alone, and would run its code of before where what it
    calls or reads, in another file, has changed.
    """
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(KERNELS.glob("*.py")):
        digest.update(path.read_bytes())
    name = f"kernels-{digest.hexdigest()}"
    if kept := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(kept) / name
    if not keeps_kernels():
        return _temporary_folder() / name
    folder = KERNELS / "__pycache__" / name
    if not folder.exists():  # what is beside the package is of its sources of before
        for other in folder.parent.glob("kernels-*"):
            shutil.rmtree(other, ignore_errors=True)
    return folder


def _temporary_folder() -> Path:
    """One for all commands of a user, however they end; another where it is somebody else's."""
    folder = Path(tempfile.gettempdir()) / f"hpcsbi-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    private = stat.S_ISDIR(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o077
    if private and status.st_uid == os.getuid():
        return folder
    return Path(tempfile.mkdtemp(prefix="hpcsbi-"))
