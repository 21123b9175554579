"""A Python that cannot run the jobs of this folder says so in one line; imported first of all."""

import sys

# The folder of the script, which Python puts first: jobs/tabulate.py and jobs/inspect.py are not
# the libraries that others import by these names.
sys.path.pop(0)
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv/bin/python"
# What a job imports before it can tell anything in its own words.
NEEDED = ("hydra", "omegaconf", "hpcsbi", "numpy", "zarr", "safetensors", "llvmlite", "psutil",
          "packaging", "threadpoolctl", "tqdm", "yaml")  # fmt: skip


def trouble() -> str:
    """What is wrong and its mend, "" if nothing is."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        instead = (
            f"run {PYTHON} {' '.join(sys.argv)}, or activate that environment"
            if PYTHON.exists()
            else "make the environment first (README.md, the first command)"
        )
        return f"{sys.executable} has no {', '.join(missing)}: {instead}."
    package = Path(find_spec("hpcsbi").origin).resolve().parent
    if package != ROOT / "hpcsbi":  # whose conf/ counts, in place of the one here
        return (
            f"{sys.executable} takes hpcsbi from {package}, not from {ROOT}: use the jobs beside "
            f"that one, or install this one (pip install -e {ROOT})."
        )
    return ""


if why := trouble():
    print(f"error: {why}", file=sys.stderr)
    sys.exit(2)
