"""Options that differ from those of what is there already: told before a job that would refuse."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcsbi.run.folder import FlowFolder
from hpcsbi.store.files import load_header
from hpcsbi.store.opening import MEND, open_store
from hpcsbi.store.settings import refuse_other_settings

__all__ = ["refuse_other_options"]

# Arguments that stand in the settings of a product under their own names, as they are.
UNSAID = {
    "device": "cpu",
    "compiled": False,
    "passes": 1,
    "labels": "own",
}  # settings leave these values out
OPTIONS = {
    "simulate": ("source", "n", "seed"),
    "augment": ("labels", "copies", "validation", "test", "seed"),
    "train": (
        "source",
        "representation",
        "steps",
        "batch",
        "passes",
        "rate",
        "seed",
        "device",
        "compiled",
    ),
    "calibrate": ("draws", "cap", "seed"),
    "infer": ("draws", "cap", "keep_draws", "certificate", "seed", "device"),
    "fit": ("engine", "start", "likelihood", "walkers", "draws", "proposals", "seed"),
}


def refuse_other_options(stage: str, node: Mapping[str, Any]) -> None:
    """Raise where a stage's product is there, or begun, and was made with other options.

    The stage compares all of its settings; here stand those that take no input to know, for on a
    cluster the stage begins when the jobs before it have run.

    Arguments:
        stage: its name.
        node: its arguments.

    Raises:
        Mismatch: each option with both values.
        BadInput: the product is damaged.
    """
    path = Path(node["out"]) if stage in OPTIONS else None
    if path is None or not path.exists():
        return
    settings = _settings_of(stage, path)
    existing = settings and {**UNSAID, **settings}
    names = [name for name in OPTIONS[stage] if name in existing]
    if node.get("device") == "auto":  # whichever the job finds
        names = [name for name in names if name != "device"]
    if node.get("theta") is not None:  # rows of a file: theirs is the number
        names.remove("n")
    refuse_other_settings(
        path, {name: existing[name] for name in names}, {name: node[name] for name in names}, MEND
    )


def _settings_of(stage: str, path: Path) -> Mapping[str, Any]:
    if stage != "train":
        return open_store(path, check=False).settings
    flow = FlowFolder(path)
    header = load_header(flow.weights) or load_header(flow.checkpoint) or {}
    return header.get("settings", {})
