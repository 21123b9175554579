"""Folders that another driver holds: a process that does, and a lock that one has left."""

import json

HOLD = """
import sys, time
from pathlib import Path
from hpcsbi.store.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def written(folder, **changes) -> None:
    """A lock as another driver has left it."""
    holder = {
        "host": "other", "pid": 1, "started": 1.0, "job": None, "restarts": 0,
        "command": "simulate.py", "since": "2026-01-01 00:00:00",
    }  # fmt: skip
    (folder / ".lock").mkdir(exist_ok=True)
    (folder / ".lock" / "whole.json").write_text(json.dumps(holder | changes))
