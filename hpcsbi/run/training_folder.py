"""The folder of a trained flow: whether it is there, what a killed run left, its table."""

import json
import shutil
from pathlib import Path

from hpcsbi.run.checkpoint import is_whole
from hpcsbi.run.folder import FlowFolder
from hpcsbi.store.files import Damaged, load_weights
from hpcsbi.store.opening import Incomplete, open_complete
from hpcsbi.store.settings import refuse_other_settings

__all__ = ["copy_table", "is_trained", "remove_leftovers"]


def is_trained(folder: Path, settings: dict, mend: str) -> bool:
    """True where it holds the flow that the settings make.

    Arguments:
        settings: as of `stages.train`.
        mend: what the user can do about other settings.

    Raises:
        Mismatch: it holds the flow of other settings.
    """
    path = FlowFolder(folder).weights
    if not is_whole(path):
        return False
    existing = load_weights(path)[1]["settings"]
    refuse_other_settings(path, existing, json.loads(json.dumps(settings)), mend)
    return True


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
