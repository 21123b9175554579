"""A Python without the packages of hpcsbi says so in one line; imported before them."""

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv/bin/python"
# The folder of the script, which Python puts first: jobs/tabulate.py is not the library that torch
# imports by that name.
sys.path.pop(0)
MISSING = [name for name in ("hydra", "omegaconf", "hpcsbi") if find_spec(name) is None]

if MISSING:
    instead = (
        f"run {PYTHON} {' '.join(sys.argv)}, or activate that environment"
        if PYTHON.exists()
        else "make the environment first (README.md, the first command)"
    )
    print(f"error: {sys.executable} has no {', '.join(MISSING)}: {instead}.", file=sys.stderr)
    sys.exit(2)
