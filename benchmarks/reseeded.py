"""Run tests with other random numbers: does one hold because of its seed?

    PYTHONPATH=benchmarks python -m pytest -p reseeded --reseed=1 tests/stages/test_fit.py ...

Every seed that a test or the package gives is joined by the number, in the processes of pytest and
in the Python programs that it starts: a folder on their path makes each of them begin with this.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

PLAIN = (int, np.integer, list, tuple, np.ndarray)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that joins every seed."""
    parser.addoption("--reseed", type=int, default=0, help="joins every seed; 0 for none")


def pytest_configure(config: pytest.Config) -> None:
    """Replace numpy's and torch's ways of seeding before any test is imported."""
    more = config.getoption("reseed")
    if not more:
        return
    if not hasattr(np.random, "reseeded"):  # as a worker of pytest-xdist is when it begins
        replace(more)
        folder = tempfile.mkdtemp(prefix="reseeded-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        here = str(Path(__file__).parent)
        (Path(folder) / "sitecustomize.py").write_text(
            f"import sys\nsys.path.append({here!r})\nimport reseeded\nreseeded.replace({more})\n"
        )
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
    # Some tests hand their own path on.
    sys.path.insert(0, os.environ["PYTHONPATH"].split(os.pathsep)[0])


def replace(more: int) -> None:
    """Join a number to the seeds that are given from now on."""

    def joined(seed: object) -> object:
        return [*np.atleast_1d(seed).tolist(), more] if isinstance(seed, PLAIN) else seed

    class SeedSequence(np.random.SeedSequence):
        def __init__(self, entropy: object = None, **options: object) -> None:
            super().__init__(joined(entropy), **options)

    class RandomState(np.random.RandomState):
        def __init__(self, seed: object = None) -> None:
            super().__init__(joined(seed))

    class Generator(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(seed + (more << 20))

    np.random.reseeded = more
    numpys, torchs = np.random.default_rng, torch.manual_seed
    np.random.SeedSequence, np.random.RandomState = SeedSequence, RandomState
    np.random.default_rng = lambda seed=None: numpys(joined(seed))
    torch.Generator = Generator
    torch.manual_seed = lambda seed: torchs(seed + (more << 20))
