"""Where numba and matplotlib keep what they compile and find: never in the home directory."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["keep_caches"]

KERNELS = Path(__file__).parent / "kernels"


def keep_caches(folder: Path | None) -> None:
    """Set both before the two are imported; workers inherit it.

    numba keeps its code beside the package, once for all runs; where the installation is not to be
    written it goes into the folder, for otherwise it is the home directory's, or there is none.

    Arguments:
        folder: of a run; None for a command that writes nothing, whose caches go with it.
    """
    inside = KERNELS / "__pycache__"
    beside = os.access(inside if inside.exists() else KERNELS, os.W_OK)
    if folder is None and not {"MPLCONFIGDIR", "NUMBA_CACHE_DIR"} <= os.environ.keys():
        folder = Path(tempfile.mkdtemp(prefix="hpcsbi-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if folder is None:
        return
    os.environ.setdefault("MPLCONFIGDIR", str(folder.absolute() / ".matplotlib"))
    if not beside:
        name = f".numba-{os.getuid()}"  # a colleague's files are not to be written
        os.environ.setdefault("NUMBA_CACHE_DIR", str(folder.absolute() / name))
