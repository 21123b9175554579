"""The folder of a training: what a killed run left in it, and the table beside the flow."""

import shutil
from pathlib import Path

from hpcsbi.run.folder import FlowFolder
from hpcsbi.store.files import Damaged
from hpcsbi.store.opening import Incomplete, open_complete

__all__ = ["copy_table", "remove_leftovers"]


def remove_leftovers(folder: Path, done: bool) -> None:
    """Remove what a killed run left under temporary names, and the checkpoint that is done with."""
    for half in folder.glob("*.partial"):
        shutil.rmtree(half) if half.is_dir() else half.unlink(missing_ok=True)
    if done:
        FlowFolder(folder).checkpoint.unlink(missing_ok=True)


def copy_table(table: str | Path, folder: Path) -> None:
    """A flow takes the table along, so that predictions can be made wherever it goes."""
    copy = FlowFolder(folder).table
    half = copy.with_name(f"{copy.name}.partial")
    if copy.exists():
        try:
            open_complete(copy, "train")
            return
        except (Damaged, Incomplete):
            print(f"{copy} is damaged and copied again.", flush=True)
            shutil.rmtree(copy)
    shutil.copytree(table, half)
    half.rename(copy)
