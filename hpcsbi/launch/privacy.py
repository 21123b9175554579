"""What a run writes is for whom its site says, whatever the caller's umask and group are."""

import logging
import os
import stat
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from hpcsbi.caches import keep_caches

__all__ = ["keep_private"]

GROUP = stat.S_IRWXG


def keep_private(run: Path, mask: int) -> None:
    """Make the run's folder, by default for nobody else, and keep what is written in it.

    Arguments:
        run: its folder.
        mask: the umask of its site.
    """
    os.umask(mask)
    run.mkdir(parents=True, exist_ok=True)
    # Of a shared folder the group goes on to what is made in it, whoever makes it.
    _permit(run, mask, 0 if mask & GROUP == GROUP else stat.S_ISGID)
    if HydraConfig.initialized():  # which has made its folder before the site was known
        out = Path(HydraConfig.get().runtime.output_dir)
        for path in (out, *out.rglob("*"), *out.parents):
            if path != run and path.is_relative_to(run.absolute()):
                _permit(path, mask)
    keep_caches(run)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)


def _permit(path: Path, mask: int, more: int = 0) -> None:
    """Set the permissions of a file or folder of ours; the bits beside them stay."""
    status = path.stat()
    if status.st_uid == os.getuid():
        special = stat.S_IMODE(status.st_mode) & (stat.S_ISGID | stat.S_ISVTX)
        bits = 0o777 if stat.S_ISDIR(status.st_mode) else 0o666
        path.chmod(bits & ~mask | special | more)
